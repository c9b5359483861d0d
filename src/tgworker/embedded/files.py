"""Files in the data folder, with the contract of `tgworker.messaging.file_store.FileStore`."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar

import trio

from tgworker.embedded.database import RunSync, in_threads
from tgworker.embedded.folder import DataFolder
from tgworker.embedded.held import Steps, holding
from tgworker.embedded.objects import Blob, blob_file, disk, make_bucket, name_of, remove_objects, sweep
from tgworker.embedded.passing import FileTooLarge, Reading, Saving, Writing
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.file_store import (
    Content,
    ObjectChanged,
    Rejected,
    SizeDiffers,
    Uploaded,
    UploadOutcome,
    Why,
)
from tgworker.messaging.places import Place, check_bucket, is_content_type

T = TypeVar("T")

MAX_TRANSFERS: Final = 8
"""Files on their way at a time, in each direction; each may have a thread. Others wait for their turn."""

MEDIA_S: Final = 60.0
"""How long the disk may take for one piece, or for a question."""

PIECE_BYTES: Final = 256 * 1024
"""What is read at a time, and what is gathered before it is written: each is a visit to a thread."""

_ANY: Final = "0" * 32


class Download:
    """An object on its way out; iterate over its pieces. Get one from `EmbeddedFiles.download`.

    It is the version that was there when it was opened: what replaces or removes it does not disturb it.
    Iterating raises `StoreAway` when the disk is broken, and `ObjectChanged` when somebody has cut the file.

    Attributes:
        size: Of the whole object, in bytes.
        content_type: As it was uploaded.
        etag: Names this version of the object.
    """

    def __init__(self, steps: Steps, reading: Reading, blob: Blob, size: int, begin: int) -> None:
        self.size = size
        self.content_type = blob.content_type
        self.etag: str | None = blob.etag
        self._steps = steps
        self._reading = reading
        self._next = begin

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece."""
        if self._next >= self.size:
            raise StopAsyncIteration
        most = min(PIECE_BYTES, self.size - self._next)
        piece = await self._steps.take(partial(self._reading.read, self._next, most))
        if not piece:
            raise ObjectChanged("the file store: a file has become shorter while it was read")
        self._next += len(piece)
        return piece


class EmbeddedFiles:
    """The file store in a data folder. Get one from `open_files`.

    Every method may be repeated after any doubt. It raises `StoreAway` when the disk is full, broken or too
    slow (`StoreRefused`: a person must act). No error and no ``repr`` shows an object's path.

    Args:
        root: The folder.
        rng: Draws versions; one of its own if nothing is said.
        media_s: How long the disk may take for one piece, seconds.
        threads: Makes what runs one transfer's calls, one at a time.
    """

    def __init__(
        self,
        root: Path,
        *,
        rng: Random | None = None,
        media_s: float = MEDIA_S,
        threads: Callable[[], RunSync] = in_threads,
    ) -> None:
        self._root = root.absolute()
        self._rng = Random() if rng is None else rng
        self._media_s = media_s
        self._threads = threads
        self._ask_in = threads()
        self._up = trio.Semaphore(MAX_TRANSFERS)
        self._down = trio.Semaphore(MAX_TRANSFERS)
        self._changing = threading.Lock()

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        """Store an object, or replace the one that is there: as a whole, or not at all.

        When it is `Uploaded`, it is on the disk.

        Args:
            place: Where it goes.
            content: Makes its content; once.
            size: How many bytes that is.
            content_type: Its type.

        Raises:
            BucketMissing: There is no such bucket.
            StoreAway: The disk is full, broken or too slow.
            Exception: What ``content`` raised, as it was.

        Cancellation: the object is as it was, or, after the last byte, perhaps the new one; nothing else is
        left.
        """
        if not is_content_type(content_type):
            return Rejected(Why.CONTENT_TYPE, "what was given as its content type is none")
        if blob_file(_ANY, _ANY, content_type) is None:
            return Rejected(Why.CONTENT_TYPE, "its content type is too long for the file store: shorten it")
        writing = Writing(self._root, place, content_type, self._rng, self._changing)
        async with self._up, holding(writing, self._threads(), self._media_s) as steps:
            await steps.take(writing.open)
            try:
                async with aclosing(content()) as pieces:
                    came = await _write(pieces, size, steps, writing)
            except FileTooLarge:
                return Rejected(
                    Why.TOO_LARGE, f"the file store's disk takes no file of {size} bytes: use another disk"
                )
            if came != size:
                return SizeDiffers(size, came)
            await steps.take(writing.keep)
        return Uploaded(size)

    @asynccontextmanager
    async def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AsyncGenerator[Download]:
        """Read an object; leave the context as early as you like.

        Args:
            place: Where it is.
            begin: The first byte that is wanted, less than the object's size.
            etag: The version that is wanted, from an earlier download; ``None``: the one that is there.

        Raises:
            ObjectMissing: There is no such object.
            ObjectChanged: There is another version of it.
            StoreAway: The disk is broken or too slow.

        Cancellation: the file is closed.
        """
        reading = Reading(self._root, place, begin, etag)
        async with self._down, holding(reading, self._threads(), self._media_s) as steps:
            blob, size = await steps.take(reading.open)
            yield Download(steps, reading, blob, size, begin)

    async def download_to(self, place: Place, path: Path) -> Download:
        """Read an object into a file.

        Args:
            place: Where it is.
            path: The file; it appears, or is replaced, when all of it is there.

        Raises:
            ObjectMissing: There is no such object.
            StoreAway: The disk is broken or too slow.
            OSError: The file cannot be written.

        Cancellation: the file is as it was, and nothing else is left.
        """
        saving = Saving(path)
        async with (
            self.download(place) as download,
            holding(saving, self._threads(), self._media_s) as steps,
        ):
            await steps.take(saving.open)
            async for piece in download:
                await steps.take(partial(saving.write, piece))
            await steps.take(saving.keep)
        return download

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        """Delete objects; returns how many there were. Those that are not there are no error.

        Args:
            bucket: Where they are.
            paths: Which; each is one object's whole path.

        Raises:
            PlaceInvalid: One of them can be no object's; none was deleted.
            BucketMissing: There is no such bucket.
            StoreAway: The disk is broken or too slow.

        Cancellation: some may be deleted, others not.
        """
        check_bucket(bucket)
        names = [Place(bucket, path).path for path in paths]
        return await self._ask(lambda: remove_objects(self._root, bucket, names, self._changing))

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:  # noqa: ARG002 - see below
        """Make a bucket, unless there is one of that name already.

        Args:
            bucket: Its name.
            public: Of no meaning here: who may read the data folder may read all of it.

        Raises:
            PlaceInvalid: No bucket can have that name.
            StoreAway: The disk is full or broken.
        """
        check_bucket(bucket)
        await self._ask(lambda: make_bucket(self._root, bucket))

    def link(self, place: Place) -> str:
        """A lasting address of an object for who may read the data folder: a ``file://`` URL.

        Args:
            place: Where the object is.
        """
        return (self._root / name_of(place.bucket) / name_of(place.path)).as_uri()

    async def sweep(self) -> int:
        """Remove what uploads left that did not come to their end; returns how many there were.

        Those of other processes that go on meanwhile are left alone.
        """
        return await self._ask(lambda: sweep(self._root))

    async def _ask(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            with disk(self._root):
                return work()

        with trio.move_on_after(self._media_s):
            return await self._ask_in(translated)
        raise StoreAway(f"the disk did not answer within {self._media_s:g} s: see whether it is well")


@asynccontextmanager
async def open_files(
    folder: DataFolder,
    *,
    as_worker: bool,
    buckets: Sequence[str] = (),
    media_s: float = MEDIA_S,
    rng: Random | None = None,
    threads: Callable[[], RunSync] = in_threads,
) -> AsyncGenerator[EmbeddedFiles]:
    """The file store in a data folder.

    Args:
        folder: The data folder; it exists.
        as_worker: Whether what unfinished uploads left is swept away.
        buckets: Made if they are missing.
        media_s: How long the disk may take for one piece, seconds.
        rng: Draws versions; one of its own if nothing is said.
        threads: Makes what runs one transfer's calls, one at a time: threads if nothing is said.

    Raises:
        StoreAway: The disk is full, broken or too slow.
    """
    files = EmbeddedFiles(folder.files, rng=rng, media_s=media_s, threads=threads)
    for bucket in buckets:
        await files.ensure_bucket(bucket, public=False)
    if as_worker:
        await files.sweep()
    yield files


async def _write(pieces: AsyncIterator[bytes], size: int, steps: Steps, writing: Writing) -> int:
    """Write what comes, but not more than it should be; returns how many bytes came."""
    came = 0
    gathered = bytearray()
    async for piece in pieces:
        came += len(piece)
        if came > size:
            return came
        if not gathered and len(piece) >= PIECE_BYTES:
            await steps.take(partial(writing.write, piece))  # as it is: there is nothing to gather
            continue
        gathered += piece
        if len(gathered) >= PIECE_BYTES:
            await steps.take(partial(writing.write, bytes(gathered)))
            gathered.clear()
    if gathered and came == size:
        await steps.take(partial(writing.write, bytes(gathered)))
    return came
