"""Where the bytes of a file come from that is to be sent."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tgworker.messaging.file_store import FileStore, file_pieces
from tgworker.messaging.places import Place


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
        async with aclosing(file_pieces(self.path, begin)) as pieces:
            yield pieces
