"""Where the bytes of a file come from that is to be sent."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tgworker.messaging.file_store import FileStore
from tgworker.messaging.places import Place

PIECE_BYTES = 256 * 1024
"""What is read from a disk at a time, in a thread."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it lies in the file store.

    Attributes:
        files: The store.
        place: Where.
        size: In bytes.
        etag: Which version of it; ``None`` where the store does not say.
    """

    files: FileStore
    place: Place
    size: int
    etag: str | None

    @asynccontextmanager
    async def read(self, begin: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        """See `tgworker.messaging.uploading.Source`.

        Raises:
            ObjectChanged: Another file lies there now.
            ObjectMissing: None does.
        """
        async with self.files.download(self.place, begin=begin, etag=self.etag) as download:
            yield aiter(download)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine's disk.

    Attributes:
        path: Where.
        size: In bytes.
    """

    path: Path
    size: int

    @asynccontextmanager
    async def read(self, begin: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        """See `tgworker.messaging.uploading.Source`."""
        async with aclosing(_pieces(self.path, begin)) as pieces:
            yield pieces


async def _pieces(path: Path, begin: int) -> AsyncGenerator[bytes]:
    async with await trio.open_file(path, "rb") as file:
        await file.seek(begin)
        while piece := await file.read(PIECE_BYTES):
            yield piece
