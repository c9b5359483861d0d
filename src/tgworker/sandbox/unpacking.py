"""From bytes that a client sent to the objects in them: containers, gzip, TL. Bounded in size and depth."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl.core import GzipPacked, MessageContainer

from tgworker.sandbox.errors import LineBroken, Unreadable

MAX_MESSAGES = 1020
"""In one container (https://core.telegram.org/mtproto/service_messages#containers)."""

MAX_UNZIPPED_BYTES = 8 * 1024 * 1024

_MESSAGE = struct.Struct("<qii")  # message id, sequence number, length


@dataclass(frozen=True, slots=True, repr=False)
class Arrived:
    """One message of a client.

    Attributes:
        msg_id: Its id.
        seq_no: Its sequence number.
        body: The TL object, or ``None`` if it is of a type that nobody knows.
    """

    msg_id: int
    seq_no: int
    body: Any


def unpack(msg_id: int, seq_no: int, body: bytes) -> list[Arrived]:
    """The messages in an envelope: one, or those of a container.

    Raises:
        LineBroken: A container that is none.
    """
    if _constructor(body) != MessageContainer.CONSTRUCTOR_ID:
        return [_arrived(msg_id, seq_no, body)]
    messages: list[Arrived] = []
    count, at = int.from_bytes(body[4:8], "little"), 8
    if not 1 <= count <= MAX_MESSAGES:
        raise LineBroken(f"a container of {count} messages")
    for _ in range(count):
        if at + _MESSAGE.size > len(body):
            raise LineBroken("a container shorter than its messages")
        inner_id, inner_seq, length = _MESSAGE.unpack_from(body, at)
        at += _MESSAGE.size
        if not 0 <= length <= len(body) - at:
            raise LineBroken("a message longer than its container")
        messages.append(_arrived(inner_id, inner_seq, body[at : at + length]))
        at += length
    return messages


def read_object(data: bytes) -> Any:
    """Deserialise one TL object; bytes after it are ignored.

    Raises:
        Unreadable: It is none, or of a type that Telethon does not know.
    """
    try:
        return BinaryReader(data).tgread_object()
    except (
        TypeNotFoundError,
        BufferError,
        struct.error,
        UnicodeDecodeError,
        ValueError,
        OverflowError,  # a date beyond all calendars
        RecursionError,  # wrappers in wrappers in wrappers
        RuntimeError,  # "not a vector"
        AttributeError,  # an object of another kind where one with certain fields must stand
        TypeError,
        OSError,  # broken gzip inside
        EOFError,
        zlib.error,
    ) as error:
        raise Unreadable(type(error).__name__) from None


def _arrived(msg_id: int, seq_no: int, body: bytes) -> Arrived:
    try:
        return Arrived(msg_id, seq_no, read_object(_unzipped(body)))
    except Unreadable:
        return Arrived(msg_id, seq_no, None)


def _unzipped(body: bytes) -> bytes:
    if _constructor(body) != GzipPacked.CONSTRUCTOR_ID:
        return body
    try:
        packed: bytes = BinaryReader(body[4:]).tgread_bytes()
        inflater = zlib.decompressobj(wbits=31)
        data = inflater.decompress(packed, MAX_UNZIPPED_BYTES)
    except (zlib.error, BufferError, struct.error) as error:
        raise Unreadable(type(error).__name__) from None
    if not inflater.eof:
        raise Unreadable("gzip data too long or cut off")
    return data


def _constructor(body: bytes) -> int:
    return int.from_bytes(body[:4], "little")
