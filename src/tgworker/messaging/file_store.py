"""Where files are kept, as a port: attachments up and down, in pieces, each file whole or not at all."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import trio

from tgworker.messaging.errors import StoreRefused
from tgworker.messaging.places import Place

FILE_PIECE_BYTES: Final = 256 * 1024
"""What is read from a file at a time, in a thread."""

Content = Callable[[], AsyncGenerator[bytes]]
"""Makes an object's content, from its beginning, once for each try. The generator is closed after each."""


class BucketMissing(StoreRefused):
    """There is no such bucket. Remedy: create it; what waits for it goes on by itself."""


class ObjectMissing(Exception):
    """There is no such object: it was never uploaded, or it was removed. Asking again is of no use."""


class ObjectChanged(Exception):
    """The object was replaced or removed while it was being read. Remedy: read it from its beginning."""


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


class Reading(Protocol):
    """A file on its way out of the store; iterate over its pieces.

    Iterating raises `StoreAway` when nothing came for too long, and `ObjectChanged` when what is left would
    be another file's.
    """

    @property
    def size(self) -> int:
        """Of the whole file, in bytes."""
        ...

    @property
    def content_type(self) -> str:
        """As it was uploaded."""
        ...

    @property
    def etag(self) -> str | None:
        """Names this version of the file; ``None``: the store does not say."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class FileStore(Protocol):
    """Files by bucket and path.

    Every method may be repeated after any doubt, and raises `StoreAway` when nobody answers, or not now
    (`StoreRefused`: a person must act). No error, event or ``repr`` shows a path or a link.
    """

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        """Store a file, or replace the one that is there: as a whole, or not at all.

        Args:
            place: Where it goes.
            content: Makes its content, from its beginning, for each try.
            size: How many bytes that is.
            content_type: Its type, as it is served later.

        Raises:
            BucketMissing: There is no such bucket.
            Exception: What ``content`` raised, as it was.

        Cancellation: the file is as it was, or, after the last byte, perhaps the new one.
        """
        ...

    def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AbstractAsyncContextManager[Reading]:
        """Read a file; leave the context as early as you like.

        Args:
            place: Where it is.
            begin: The first byte that is wanted, less than the file's size.
            etag: The version that is wanted, from an earlier download; ``None``: the one that is there.

        Raises:
            ObjectMissing: There is no such file.
            ObjectChanged: There is another version of it, or another one came while it was read.
        """
        ...

    async def download_to(self, place: Place, path: Path) -> Reading:
        """Read a file into one on the disk, which appears, or is replaced, when all of it is there.

        Raises:
            ObjectMissing: There is no such file.
            ObjectChanged: It changed again and again while it was read.
            OSError: The file on the disk cannot be written.
        """
        ...

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        """Delete files; returns how many there were. Those that are not there are no error."""
        ...

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:
        """Make a bucket, unless there is one of that name already.

        Args:
            bucket: Its name.
            public: Whether a new one's files are for everybody who knows their `link`.
        """
        ...

    def link(self, place: Place) -> str:
        """A lasting address of a file, for who may see it."""
        ...


async def file_pieces(path: Path, begin: int = 0) -> AsyncGenerator[bytes]:
    """A file's content, for an upload: ``partial(file_pieces, path)``.

    Args:
        path: The file.
        begin: The first byte that is wanted.

    Raises:
        OSError: It cannot be read.
    """
    async with await trio.open_file(path, "rb") as file:
        if begin:
            await file.seek(begin)
        while piece := await file.read(FILE_PIECE_BYTES):
            yield piece
