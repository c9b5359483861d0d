"""Telegram's TCP transports: how packets are cut out of a stream of bytes. No sockets here.

Source: https://core.telegram.org/mtproto/mtproto-transports
"""

import os
import struct
from typing import Protocol
from zlib import crc32

from tgworker.sandbox.errors import LineBroken

MAX_PACKET_BYTES = 2 * 1024 * 1024
"""Telegram closes connections that send more than about 1 MiB; twice that leaves room for every overhead."""

ABRIDGED = b"\xef"
INTERMEDIATE = b"\xee\xee\xee\xee"
PADDED = b"\xdd\xdd\xdd\xdd"


class Framing(Protocol):
    """One transport, for one connection."""

    def take(self, buffer: bytearray) -> bytes | None:
        """Remove one packet from the front of ``buffer``; ``None`` if it is not complete.

        Raises:
            LineBroken: These bytes cannot be a packet.
        """
        ...

    def frame(self, packet: bytes) -> bytes:
        """A packet as it goes onto the wire."""
        ...


class Abridged:
    """One byte of length in words of 4 bytes; three more for long packets."""

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing`."""
        if not buffer:
            return None
        words, header = buffer[0] & 0x7F, 1  # the top bit asks for a quick acknowledgement: optional
        if words == 0x7F:
            if len(buffer) < 4:
                return None
            words, header = int.from_bytes(buffer[1:4], "little"), 4
        return _cut(buffer, header, words * 4)

    def frame(self, packet: bytes) -> bytes:
        """See `Framing`."""
        words = len(packet) // 4
        length = bytes([words]) if words < 0x7F else b"\x7f" + words.to_bytes(3, "little")
        return length + packet


class Intermediate:
    """Four bytes of length.

    Args:
        padded: Whether 0 to 3 random bytes follow each packet, to hide its length ("randomized").
    """

    def __init__(self, *, padded: bool) -> None:
        self._padded = padded

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing`. The padding is left on: what is inside knows its own length."""
        if len(buffer) < 4:
            return None
        return _cut(buffer, 4, int.from_bytes(buffer[:4], "little") & 0x7FFFFFFF)

    def frame(self, packet: bytes) -> bytes:
        """See `Framing`."""
        padding = os.urandom(os.urandom(1)[0] % 4) if self._padded else b""
        return struct.pack("<I", len(packet) + len(padding)) + packet + padding


class Full:
    """Length, number of the packet, and a checksum."""

    def __init__(self) -> None:
        self._sent = 0

    def take(self, buffer: bytearray) -> bytes | None:
        """See `Framing`."""
        if len(buffer) < 4:
            return None
        length = int.from_bytes(buffer[:4], "little", signed=True)
        if length < 12:
            raise LineBroken("a packet shorter than its own header")
        whole = _cut(buffer, 0, length)
        if whole is None:
            return None
        if crc32(whole[:-4]) != int.from_bytes(whole[-4:], "little"):
            raise LineBroken("wrong checksum")
        return whole[8:-4]

    def frame(self, packet: bytes) -> bytes:
        """See `Framing`."""
        body = struct.pack("<ii", len(packet) + 12, self._sent) + packet
        self._sent += 1
        return body + struct.pack("<I", crc32(body))


def framing_of_tag(tag: bytes) -> Framing:
    """The transport that a tag of four bytes names, inside obfuscation.

    Raises:
        LineBroken: None is called so.
    """
    match tag:
        case b"\xef\xef\xef\xef":
            return Abridged()
        case b"\xee\xee\xee\xee":
            return Intermediate(padded=False)
        case b"\xdd\xdd\xdd\xdd":
            return Intermediate(padded=True)
        case _:
            raise LineBroken("no known transport")


def _cut(buffer: bytearray, header: int, length: int) -> bytes | None:
    """Remove ``header`` bytes and then ``length`` bytes; returns the latter once all are there."""
    if length > MAX_PACKET_BYTES:
        raise LineBroken(f"a packet of {length} bytes")
    end = header + length
    if len(buffer) < end:
        return None
    packet = bytes(buffer[header:end])
    del buffer[:end]
    return packet
