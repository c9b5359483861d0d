"""What may be wrong with a line, and how to say it."""

import asyncio
import os
import socket

from telethon.errors import (
    AuthKeyNotFound,
    BadMessageError,
    InvalidBufferError,
    RPCError,
    SecurityError,
    TypeNotFoundError,
)

from tgworker.telegram.books import LineLost
from tgworker.telegram.rpc_errors import error_name

OF_THE_LINE = (
    OSError,
    EOFError,
    BufferError,
    RPCError,
    SecurityError,
    BadMessageError,
    TypeNotFoundError,
)
"""What ``connect`` may run into that is no bug of ours. `LineLost` is an OSError."""


def is_key_unknown(error: BaseException | None) -> bool:
    """Whether the server said -404: it has no such key (https://core.telegram.org/mtproto/mtproto-transports)."""
    return isinstance(error, AuthKeyNotFound) or (isinstance(error, InvalidBufferError) and error.code == 404)


def is_transport_flood(error: BaseException | None) -> bool:
    """Whether the server said -429: too many connections from here."""
    return isinstance(error, InvalidBufferError) and error.code == 429


def in_words(error: BaseException) -> str:
    """What an operator may read about an error of the line: no text that could quote what was sent."""
    match error:
        case LineLost():
            return str(error)
        case asyncio.IncompleteReadError():
            return "Telegram closed the line"
        case socket.gaierror():
            return f"the server's name was not found: {error.strerror}"
        case OSError() if error.errno:
            return f"the line broke: {os.strerror(error.errno)}"  # asyncio's own text has the address instead
        case RPCError():
            return error_name(error)
        case _:
            return f"the line broke: {type(error).__name__}"
