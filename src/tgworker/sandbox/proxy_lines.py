"""The servers' side of proxies: what a client says first, and where it wants to go.

SOCKS5: RFC 1928, and RFC 1929 for names and passwords. MTProxy: obfuscated streams whose keys also depend on
a secret (https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation).
"""

import ipaddress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import trio
from telethon.crypto import AESModeCTR

from tgworker.sandbox.errors import LineBroken
from tgworker.sandbox.framing import ABRIDGED, framing_of_tag

VERSION: Final = 5
NO_LOGIN, BY_PASSWORD, NOTHING_FITS = 0, 2, 0xFF
CONNECT: Final = 1
IPV4, NAME, IPV6 = 1, 3, 4
GRANTED, FORBIDDEN, REFUSED, NO_SUCH_COMMAND = 0, 2, 5, 7
HEADER_BYTES: Final = 64


class Reader:
    """Exactly so many bytes of a stream.

    Args:
        stream: A client.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            LineBroken: The client has gone before it sent them.
        """
        while len(self._buffer) < count:
            self._buffer += await receive(self._stream)
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def rest(self) -> bytes:
        """What was read beyond what was asked for."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


async def receive(stream: trio.SocketStream) -> bytes:
    """Whatever comes next.

    Raises:
        LineBroken: Nothing will.
    """
    try:
        chunk = bytes(await stream.receive_some(65536))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise LineBroken("reset") from None
    if not chunk:
        raise LineBroken("closed")
    return chunk


async def send(stream: trio.SocketStream, data: bytes) -> None:
    """Send all of it.

    Raises:
        LineBroken: Nobody reads it.
    """
    try:
        await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise LineBroken("reset") from None


async def admit(
    stream: trio.SocketStream, reader: Reader, login: tuple[str, str] | None, *, reject: bool
) -> bool:
    """Let a SOCKS5 client in, or not; returns which.

    Args:
        stream: Where the client is answered.
        reader: And heard.
        login: The name and password that it must give; ``None``: nobody asks.
        reject: Take no password, not even the right one.

    Raises:
        LineBroken: It has gone, or does not speak SOCKS5.
    """
    version, count = await reader.read(2)
    methods = await reader.read(count)
    if version != VERSION:
        raise LineBroken("no SOCKS5")
    wanted = NO_LOGIN if login is None and not reject else BY_PASSWORD
    if wanted not in methods:
        await send(stream, bytes([VERSION, NOTHING_FITS]))
        return False
    await send(stream, bytes([VERSION, wanted]))
    if wanted == NO_LOGIN:
        return True
    await reader.read(1)
    given: list[str] = []
    for _ in range(2):
        (length,) = await reader.read(1)
        given.append((await reader.read(length)).decode("ascii", "replace"))
    fits = not reject and tuple(given) == login
    await send(stream, bytes([1, 0 if fits else 1]))
    return fits


async def read_wish(reader: Reader) -> tuple[str, int] | None:
    """Where a SOCKS5 client wants to be connected to; ``None`` for any other wish.

    Raises:
        LineBroken: It has gone, or does not speak SOCKS5.
    """
    _, command, _, kind = await reader.read(4)
    match kind:
        case 1:
            host = str(ipaddress.IPv4Address(await reader.read(4)))
        case 3:
            (length,) = await reader.read(1)
            host = (await reader.read(length)).decode("ascii", "replace")
        case 4:
            host = str(ipaddress.IPv6Address(await reader.read(16)))
        case _:
            raise LineBroken("no SOCKS5 address")
    port = int.from_bytes(await reader.read(2), "big")
    return (host, port) if command == CONNECT else None


async def answer_wish(stream: trio.SocketStream, code: int) -> None:
    """Tell a SOCKS5 client what became of its wish. Raises `LineBroken`."""
    await send(stream, bytes([VERSION, code, 0, IPV4, 127, 0, 0, 1, 0, 0]))


@dataclass(slots=True)
class Veil:
    """What stands between an MTProxy and its client.

    Attributes:
        dc_id: The data centre that the client wants.
        opening: The first bytes for that one: they name the transport.
        decrypt: What the client sends.
        encrypt: What it gets.
    """

    dc_id: int
    opening: bytes
    decrypt: AESModeCTR
    encrypt: AESModeCTR


def lift_veil(header: bytes, secret: bytes) -> Veil | None:
    """What the first bytes of an MTProxy's client mean; ``None``: it does not know the secret."""
    backwards = header[55:7:-1]
    decrypt = AESModeCTR(sha256(header[8:40] + secret).digest(), header[40:56])
    encrypt = AESModeCTR(sha256(backwards[:32] + secret).digest(), backwards[32:48])
    plain = decrypt.encrypt(header)
    tag = plain[56:60]
    try:
        framing_of_tag(tag)
    except LineBroken:
        return None
    opening = ABRIDGED if tag[:1] == ABRIDGED else tag
    # (Media data centres have the negative of their number.)
    return Veil(abs(int.from_bytes(plain[60:62], "little", signed=True)), opening, decrypt, encrypt)
