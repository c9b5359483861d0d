"""What goes up: pieces of a known size, checked while they pass, and never all of them in memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx
import trio

from tgworker.supabase.stall import Stall

PIECE_BYTES: Final = 64 * 1024
"""What is sent at a time: 60 s for each of them is a kilobyte a second."""

FILE_PIECE_BYTES: Final = 256 * 1024
"""What is read from a file at a time, in a thread."""

Content = Callable[[], AsyncGenerator[bytes]]
"""Makes an object's content, from its beginning, once for each try. The generator is closed after each."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The object is there, whole.

    Attributes:
        size: In bytes.
    """

    size: int


@dataclass(frozen=True, slots=True)
class SizeDiffers:
    """The content had another size than was said. There is no object; one that was there before stays.

    Attributes:
        said: Bytes that were announced.
        came: Bytes that came; where it was too long, at least so many.
    """

    said: int
    came: int


class Why(StrEnum):
    """Why Storage will never take an object."""

    TOO_LARGE = "too large"
    CONTENT_TYPE = "content type"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Storage will not take this object, however often it is asked. There is none.

    Attributes:
        why: Which rule it is.
        reason: One line for people, with the remedy.
    """

    why: Why
    reason: str


UploadOutcome = Uploaded | SizeDiffers | Rejected


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


async def file_pieces(path: Path) -> AsyncGenerator[bytes]:
    """A file's content, for an upload: ``partial(file_pieces, path)``.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    async with await trio.open_file(path, "rb") as file:
        while piece := await file.read(FILE_PIECE_BYTES):
            yield piece
