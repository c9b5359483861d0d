"""From objects to the bytes that clients get: results, vectors, containers."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from telethon.tl import types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult

from tgworker.sandbox.auth_keys import Session

GZIP_ABOVE_BYTES = 4096
"""Results below this travel as they are: they gain little."""

_VECTOR = 0x1CB5C415
_TRUE = struct.pack("<I", 0x997275B5)
_FALSE = struct.pack("<I", 0xBC799737)
_FILE = struct.pack("<I", types.upload.File.CONSTRUCTOR_ID)


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """A message on its way to a client.

    Attributes:
        body: The serialised object.
        content: Whether the client must acknowledge it: service messages are none of content.
        answer: Whether it answers something: it shows in the message id.
    """

    body: bytes
    content: bool = True
    answer: bool = True


def vector(items: Sequence[Any]) -> bytes:
    """A serialised ``Vector`` of TL objects."""
    return struct.pack("<Ii", _VECTOR, len(items)) + b"".join(map(bytes, items))


def serialised(answer: Any) -> bytes:
    """What a handler gave back, as bytes."""
    match answer:
        case bytes():
            return answer
        case bool():
            return _TRUE if answer else _FALSE
        case _:
            return bytes(answer)


def rpc_result(msg_id: int, body: bytes) -> Outgoing:
    """The answer to a request, compressed where that pays: pieces of files are what they are.

    (To try it on them took longer than all else that the sandbox did for them.)
    """
    if len(body) > GZIP_ABOVE_BYTES and not body.startswith(_FILE):
        packed = bytes(GzipPacked(body))
        body = min(body, packed, key=len)
    return Outgoing(struct.pack("<Iq", RpcResult.CONSTRUCTOR_ID, msg_id) + body)


def transport_error(code: int) -> bytes:
    """A packet that is nothing but an error code.

    Source: https://core.telegram.org/mtproto/mtproto-transports#transport-errors
    """
    return struct.pack("<i", -code)


def service(body: Any) -> Outgoing:
    """A message of the protocol itself."""
    return Outgoing(bytes(body), content=False)


def pack(session: Session, batch: Sequence[Outgoing], unix_s: float) -> bytes:
    """Number messages and put them together: one as it is, several into a container.

    Args:
        session: Whose numbers they get.
        batch: The messages, at least one.
        unix_s: The time now: message ids are times.
    """
    parts = [_numbered(session, each, unix_s) for each in batch]
    if len(parts) == 1:
        return parts[0]
    body = struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(parts)) + b"".join(parts)
    return _numbered(session, Outgoing(body, content=False), unix_s)


def size(batch: Iterable[Outgoing]) -> int:
    """How many bytes of bodies there are."""
    return sum(len(each.body) for each in batch)


def _numbered(session: Session, message: Outgoing, unix_s: float) -> bytes:
    msg_id = int(unix_s * 2**32) & ~3 | (1 if message.answer else 3)
    if msg_id <= session.last_msg_id:  # ids grow within a session, whatever the calendar does
        msg_id = (session.last_msg_id & ~3) + 4 | (1 if message.answer else 3)
    session.last_msg_id = msg_id
    seq_no = session.content_sent * 2 + message.content
    session.content_sent += message.content
    return struct.pack("<qii", msg_id, seq_no, len(message.body)) + message.body
