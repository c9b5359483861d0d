"""What goes up: pieces of a known size, checked while they pass, and never all of them in memory."""

from collections.abc import AsyncIterator
from typing import Final

import httpx

from tgworker.messaging.file_store import SizeDiffers
from tgworker.supabase.stall import Stall

PIECE_BYTES: Final = 64 * 1024
"""What is sent at a time: 60 s for each of them is a kilobyte a second."""


class ContentFailed(Exception):
    """Carries what our own side raised through httpx, which might take it for its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class ContentDiffers(Exception):
    """Ends a request whose content has another size than it announced, before the last byte is sent."""

    def __init__(self, outcome: SizeDiffers) -> None:
        super().__init__()
        self.outcome = outcome


class UploadBody(httpx.AsyncByteStream):
    """A request's body, a piece at a time.

    The last piece is held back until the content has ended where it should: an object that is too short or
    too long is never complete on the other side, and so never kept.

    Args:
        content: What is sent.
        size: How many bytes it must have.
        stall: Told what moves, and for whom is waited.
    """

    def __init__(self, content: AsyncIterator[bytes], size: int, stall: Stall) -> None:
        self._content = content
        self._size = size
        self._stall = stall
        self._came = 0
        self._current = memoryview(b"")
        self._ahead: bytes | None = b""
        self.is_sent = False

    async def look_ahead(self) -> None:
        """Get the first piece; call it before the request is sent, which for an empty object is its end.

        Raises:
            ContentDiffers: The content is longer or shorter.
            ContentFailed: It raised something.
        """
        self._ahead = await self._fetch()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._current:
            if self._ahead is None:
                self.is_sent = True
                self._stall.moved()  # the last piece was taken: now for the answer
                raise StopAsyncIteration
            self._current = memoryview(self._ahead)
            self._stall.our_turn()
            self._ahead = await self._fetch()
        piece = bytes(self._current[:PIECE_BYTES])
        self._current = self._current[PIECE_BYTES:]
        self._stall.moved()
        return piece

    async def _fetch(self) -> bytes | None:
        try:
            while not (piece := await anext(self._content, None)):
                if piece is None:
                    break
        except Exception as error:
            raise ContentFailed(error) from error
        self._came += len(piece or b"")
        if self._came > self._size or (piece is None and self._came < self._size):
            raise ContentDiffers(SizeDiffers(self._size, self._came))
        return piece
