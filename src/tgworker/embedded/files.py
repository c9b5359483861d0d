"""The embedded store's files: `tgworker.messaging.file_store.FileStore` in the data folder."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import trio

from tgworker.embedded import objects
from tgworker.embedded.database import RunSync
from tgworker.embedded.folder import DataFolder
from tgworker.embedded.objects import Draft, Entry
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.file_store import (
    BucketMissing,
    Content,
    ObjectChanged,
    ObjectMissing,
    Rejected,
    SizeDiffers,
    Uploaded,
    UploadOutcome,
    Why,
)
from tgworker.messaging.places import Place, check_bucket, is_content_type
from tgworker.messaging.values import new_id

PIECE_BYTES: Final = 512 * 1024
"""What is read at a time, in a thread."""

TRIES: Final = 3
"""So often a file that is replaced while it is opened is opened anew."""

T = TypeVar("T")


async def in_thread(work: Callable[[], T], /) -> T:
    """Run what blocks in a thread. Cancellation waits for it: a disk is not left with half a step."""
    return await trio.to_thread.run_sync(work)


class StoredReading:
    """A file that is being read. See `tgworker.messaging.file_store.Reading`.

    What is read is the version that was there at the beginning, whatever comes after it.
    """

    def __init__(self, entry: Entry, file: IO[bytes], run_sync: RunSync) -> None:
        self.size = entry.size
        self.content_type = entry.content_type
        self.etag: str | None = entry.etag
        self._file = file
        self._run_sync = run_sync

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece."""
        with _away("read"):
            piece = await self._run_sync(partial(self._file.read, PIECE_BYTES))
        if not piece:
            raise StopAsyncIteration
        return piece


class EmbeddedFiles:
    """Fills `tgworker.messaging.file_store.FileStore` with a folder.

    Args:
        folder: It is made when it is needed.
        run_sync: Runs what blocks.
    """

    def __init__(self, folder: Path, *, run_sync: RunSync = in_thread) -> None:
        self._folder = folder
        self._run_sync = run_sync

    async def sweep(self) -> int:
        """Remove what crashes have left behind; returns how many files that were.

        Only for who holds the data folder, before anything is uploaded.
        """

        def work() -> int:
            return objects.sweep(self._folder.iterdir()) if self._folder.is_dir() else 0

        with _away("swept"):
            return await self._run_sync(work)

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        """See the port."""
        if not is_content_type(content_type):
            return Rejected(Why.CONTENT_TYPE, "what was given as its content type is none")
        bucket, name = await self._bucket(place.bucket), objects.name_of(place.path)
        with _away("written"):
            draft = await self._run_sync(partial(Draft, bucket, name))
        published = False
        try:
            async with aclosing(content()) as pieces:
                async for piece in pieces:
                    if draft.size + len(piece) > size:
                        return SizeDiffers(size, draft.size + len(piece))
                    with _away("written"):
                        await self._run_sync(partial(draft.write, piece))
            if draft.size < size:
                return SizeDiffers(size, draft.size)
            with _away("written"):
                await self._run_sync(partial(draft.publish, content_type))
            published = True
            return Uploaded(size)
        finally:
            if not published:
                with suppress(OSError):
                    draft.forget()

    @asynccontextmanager
    async def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AsyncGenerator[StoredReading]:
        """See the port."""
        bucket = await self._bucket(place.bucket)
        with _away("read"):
            found = await self._run_sync(partial(_open, bucket, objects.name_of(place.path), begin))
        if found is None:
            raise ObjectMissing(f"there is no such file in the bucket {place.bucket}")
        entry, file = found
        with file:
            if (etag is not None and etag != entry.etag) or begin > entry.size:
                raise ObjectChanged(f"there is another version of a file in the bucket {place.bucket}")
            yield StoredReading(entry, file, self._run_sync)

    async def download_to(self, place: Place, path: Path) -> StoredReading:
        """See the port."""
        temporary = path.with_name(f".new-{new_id()}")
        try:
            async with self.download(place) as reading, await trio.open_file(temporary, "xb") as file:
                async for piece in reading:
                    await file.write(piece)
            os.replace(temporary, path)  # noqa: PTH105 - a pathlib call in a coroutine is taken for a mistake
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
        return reading

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        """See the port."""
        folder = await self._bucket(bucket)
        names = [objects.name_of(Place(bucket, path).path) for path in paths]
        with _away("deleted"):
            return await self._run_sync(lambda: sum(objects.remove(folder, name) for name in names))

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:  # noqa: ARG002 - the folder's mode says it
        """See the port; who may read the folder is the operating system's matter."""
        check_bucket(bucket)
        with _away("made"):
            await self._run_sync(partial(objects.make_bucket, self._folder / bucket))

    def link(self, place: Place) -> str:
        """See the port: a ``file://`` address, for programs on this machine."""
        return (self._folder / place.bucket / objects.name_of(place.path)).absolute().as_uri()

    async def _bucket(self, bucket: str) -> Path:
        check_bucket(bucket)
        folder = self._folder / bucket
        with _away("read"):
            if not await self._run_sync(partial(objects.has_bucket, folder)):
                raise BucketMissing(f"the data folder has no bucket {bucket}: is its name right?")
        return folder


@asynccontextmanager
async def open_files(
    folder: DataFolder,
    *,
    as_worker: bool,
    buckets: Sequence[str] = (),
    threads: Callable[[], RunSync] = lambda: in_thread,
) -> AsyncGenerator[EmbeddedFiles]:
    """The file store in a data folder.

    Args:
        folder: The data folder; it exists.
        as_worker: Whether what unfinished uploads left is swept away: only for who holds the folder.
        buckets: Made if they are missing.
        threads: Makes what runs blocking calls.

    Raises:
        StoreAway: The disk is full or broken.
    """
    files = EmbeddedFiles(folder.files, run_sync=threads())
    for bucket in buckets:
        await files.ensure_bucket(bucket, public=False)
    if as_worker:
        await files.sweep()
    yield files


def _open(folder: Path, name: str, begin: int) -> tuple[Entry, IO[bytes]] | None:
    for _ in range(TRIES):
        entry = objects.read_entry(folder, name)
        if entry is None:
            return None
        file = objects.open_version(folder, entry, begin)
        if file is not None:
            return entry, file
    raise ObjectChanged("a file was replaced again and again while it was opened")


class _away:  # noqa: N801 - used like a function
    """Translate what the operating system says."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
            raise StoreAway(f"the files in the data folder cannot be {self._what}: {reason}") from None
