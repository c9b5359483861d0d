"""A client's TCP connection as a source and a sink of packets, in whichever transport the client speaks."""

import socket
from collections.abc import Iterable
from contextlib import suppress

import trio
from telethon.crypto import AESModeCTR

from tgworker.sandbox.errors import LineBroken
from tgworker.sandbox.framing import (
    ABRIDGED,
    INTERMEDIATE,
    PADDED,
    Abridged,
    Framing,
    Full,
    Intermediate,
    framing_of_tag,
)

CHUNK_BYTES = 65536
OBFUSCATION_HEADER_BYTES = 64


class Wire:
    """Packets in, packets out.

    Args:
        stream: The client's connection. The wire never closes it.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._framing: Framing | None = None
        self._decryptor: AESModeCTR | None = None
        self._encryptor: AESModeCTR | None = None

    async def receive(self) -> bytes:
        """The next packet. Always a checkpoint.

        Raises:
            LineBroken: The client is gone, or sent something that is no packet.

        Cancellation: nothing is lost; what was read stays in the buffer.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self._framing is None:
                self._framing = self._recognise()
            packet = None if self._framing is None else self._framing.take(self._buffer)
            if packet is not None:
                return packet
            try:
                chunk = await self._stream.receive_some(CHUNK_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise LineBroken("reset by the client") from None
            if not chunk:
                raise LineBroken("closed by the client")
            self._buffer += chunk if self._decryptor is None else self._decryptor.encrypt(bytes(chunk))

    async def send(self, packets: Iterable[bytes]) -> None:
        """Send packets in one piece.

        Raises:
            LineBroken: The client is gone.

        Cancellation: an unknown part was sent; the connection is of no more use.
        """
        assert self._framing is not None, "only a client that has said something is answered"
        data = b"".join(map(self._framing.frame, packets))
        if self._encryptor is not None:
            data = self._encryptor.encrypt(data)
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LineBroken("reset by the client") from None

    def shut_sending(self) -> None:
        """Tell the client that nothing more will come; go on reading."""
        with suppress(OSError):  # the client may be gone already
            self._stream.socket.shutdown(socket.SHUT_WR)

    def _recognise(self) -> Framing | None:
        """Which transport the first bytes belong to; ``None`` if there are too few to tell."""
        head = bytes(self._buffer[:8])
        if head[:1] == ABRIDGED:
            del self._buffer[:1]
            return Abridged()
        for tag, padded in ((INTERMEDIATE, False), (PADDED, True)):
            if head[:4] == tag:
                del self._buffer[:4]
                return Intermediate(padded=padded)
        if len(head) < 8:
            return None
        # The first packet of the full transport has number 0; obfuscated streams never have these four zeros.
        return Full() if head[4:] == b"\0\0\0\0" else self._reveal()

    def _reveal(self) -> Framing | None:
        """Undo "obfuscated2": AES-CTR with keys that the client sends in the first 64 bytes.

        Source: https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation
        """
        if len(self._buffer) < OBFUSCATION_HEADER_BYTES:
            return None
        header = bytes(self._buffer[:OBFUSCATION_HEADER_BYTES])
        backwards = header[55:7:-1]
        self._decryptor = AESModeCTR(header[8:40], header[40:56])
        self._encryptor = AESModeCTR(backwards[:32], backwards[32:48])
        tag = self._decryptor.encrypt(header)[56:60]
        rest = bytes(self._buffer[OBFUSCATION_HEADER_BYTES:])
        self._buffer = bytearray(self._decryptor.encrypt(rest))
        return framing_of_tag(tag)
