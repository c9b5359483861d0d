"""Lines out of a stream of bytes, none longer than a limit."""

from dataclasses import dataclass

import trio

CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """Stands for a line that was longer than the limit; it was read to its end and thrown away."""


class LineReader:
    """Reads a stream line by line.

    Args:
        stream: Where the lines come from.
        limit: How many bytes a line may have; no more than this and one chunk is ever held.
    """

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    async def read(self) -> bytes | LineTooLong | None:
        """The next line without its end, or ``None`` at the stream's end. Always a checkpoint.

        Raises:
            trio.BrokenResourceError: The other side is gone.

        Cancellation: nothing is lost.
        """
        await trio.lowlevel.checkpoint()
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            if len(self._buffer) > self._limit:
                self._buffer.clear()
                self._skipping = True
            self._searched = len(self._buffer)
            chunk = await self._stream.receive_some(CHUNK_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        too_long = self._skipping or len(line) > self._limit
        self._searched, self._skipping = 0, False
        return LineTooLong() if too_long else line
