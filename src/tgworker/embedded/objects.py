"""How objects stand on the disk: a name points to a blob, and a step of one rename is all that replaces it.

::

    files/BUCKET/NAME                       a symbolic link: makes an object of a blob; what people open
    files/BUCKET/.blobs/VERSION.MD5.TYPE    the content, under a number of its own, its digest and its type
    files/BUCKET/.blobs/VERSION.new         the same, while it is written
    files/BUCKET/.blobs/VERSION.link        the link, for the moment before it takes its place

Who writes a blob holds its lock (``flock``) until a name points to it: what is neither locked nor pointed to
is left over. Everything here blocks, and raises what `disk` makes of errors.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote

from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import BucketMissing

BLOBS: Final = ".blobs"

LONGEST_NAME: Final = 180
LONGEST_FILE_NAME: Final = 255
"""What file systems take, in bytes."""

_FOLDER_MODE: Final = 0o700
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How what should be a file is opened: no link is followed, and no pipe is waited for."""

_TARGET: Final = re.compile(r"\.blobs/([0-9a-f]{32}\.([0-9a-f]{32})\.([^/]+%2F[^/]+))")
_NEW: Final = re.compile(r"[0-9a-f]{32}\.(new|[0-9a-f]{32}\..+)")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_FOLDER: Final = frozenset({errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Blob:
    """A version of an object.

    Attributes:
        file: Its name among the blobs.
        digest: MD5 of its content.
        content_type: As it was uploaded.
    """

    file: str
    digest: str
    content_type: str

    @property
    def etag(self) -> str:
        """As HTTP has it."""
        return f'"{self.digest}"'


def name_of(path: str) -> str:
    """How an object of this path, or a bucket of this name, is called on the disk: no other one is. Pure.

    It is plain ASCII, which no file system normalises, and without slashes: ``a`` would else be a folder as
    soon as there is ``a/b``. What would be too long ends in a digest.

    Args:
        path: An object's path, or a bucket's name.
    """
    name = quote(path, safe=" ()+,=@").replace("~", "%7E")  # which marks those that are cut
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 65]}~{hashlib.sha256(path.encode()).hexdigest()}"


def blob_file(version: str, digest: str, content_type: str) -> str | None:
    """What a blob is called; ``None``: its type is too long for a name. Pure.

    Args:
        version: 32 hexadecimal digits.
        digest: MD5 of the content, as S3's etags are: the same content is the same version for who reads on.
        content_type: A valid one.
    """
    file = f"{version}.{digest}.{quote(content_type, safe=' !#$&^+;=,')}"
    return file if len(file) <= LONGEST_FILE_NAME else None


def blob_of(target: str) -> Blob | None:
    """The blob that a link points to; ``None`` for a link that is none of ours. Pure.

    Args:
        target: What the link says.
    """
    named = _TARGET.fullmatch(target)
    return None if named is None else Blob(named[1], named[2], unquote(named[3]))


@contextmanager
def disk(root: Path) -> Generator[None]:
    """Translate what the operating system says, without the names of files, which may be people's.

    Args:
        root: The file store's folder.

    Raises:
        StoreAway: The disk is full or broken.
        StoreRefused: A person must change something about the folder.
    """
    try:
        yield
    except OSError as error:
        what = f"the file store {root}"
        code = error.errno or 0
        if code in _FULL:
            raise StoreAway(f"{what}: the disk is full: make room") from None
        if code in _FORBIDDEN:
            raise StoreRefused(
                f"{what} may not be written ({os.strerror(code)}): give it to the worker's user"
            ) from None
        if code in _NO_FOLDER:
            raise StoreRefused(
                f"{what} holds something else where a folder should be: move it away"
            ) from None
        raise StoreAway(f"{what}: {os.strerror(code) if code else type(error).__name__}") from None


class OpenBucket:
    """A bucket's two folders, open: what happens between them happens there, wherever a path leads by then.

    Args:
        names: Descriptor of the folder of names.
        blobs: Descriptor of the folder of blobs.
    """

    def __init__(self, names: int, blobs: int) -> None:
        self.names = names
        self.blobs = blobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both."""
        for descriptor in (self.names, self.blobs):
            with suppress(OSError):
                os.close(descriptor)

    def find(self, name: str) -> Blob | None:
        """The blob that a name points to; ``None``: there is no such object."""
        try:
            return blob_of(os.readlink(name, dir_fd=self.names))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link: somebody else's file
                return None
            raise

    def remove_blob(self, file: str) -> None:
        """Remove a blob that nothing points to."""
        with suppress(FileNotFoundError):
            os.unlink(file, dir_fd=self.blobs)


def open_bucket(root: Path, bucket: str) -> OpenBucket:
    """Open a bucket; follows no link inside of the file store's folder.

    Args:
        root: The file store's folder.
        bucket: Its name.

    Raises:
        BucketMissing: There is none.
        OSError: What stands there is no folder, or cannot be used.
    """
    try:
        names = _open_below(root, name_of(bucket))
    except FileNotFoundError:
        where = root / name_of(bucket)
        raise BucketMissing(f"the file store has no bucket {bucket!r}: make the folder {where}") from None
    try:
        with suppress(FileExistsError):
            os.mkdir(BLOBS, _FOLDER_MODE, dir_fd=names)
            os.fsync(names)
        blobs = os.open(BLOBS, _FOLDER | os.O_NOFOLLOW, dir_fd=names)
    except BaseException:
        os.close(names)
        raise
    return OpenBucket(names, blobs)


def make_bucket(root: Path, bucket: str) -> None:
    """Make a bucket, unless there is one.

    Args:
        root: The file store's folder; made if it is missing.
        bucket: The bucket's name.
    """
    root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    top = os.open(root, _FOLDER)
    try:
        with suppress(FileExistsError):
            os.mkdir(name_of(bucket), _FOLDER_MODE, dir_fd=top)
            os.fsync(top)
    finally:
        os.close(top)
    with open_bucket(root, bucket):
        pass  # its folder of blobs


def remove_objects(root: Path, bucket: str, paths: Sequence[str], changing: threading.Lock) -> int:
    """Remove objects; returns how many there were.

    Args:
        root: The file store's folder.
        bucket: Where they are.
        paths: Which.
        changing: Held while a name changes.
    """
    gone = 0
    with open_bucket(root, bucket) as folder:
        for path in paths:
            name = name_of(path)
            with changing:
                blob = folder.find(name)
                if blob is None:
                    continue
                os.unlink(name, dir_fd=folder.names)
            folder.remove_blob(blob.file)
            gone += 1
        os.fsync(folder.names)
    return gone


def sweep(root: Path) -> int:
    """Remove what uploads left that did not come to their end; returns how many there were.

    Another process may be writing meanwhile: what it works on is locked.

    Args:
        root: The file store's folder.
    """
    gone = 0
    for bucket in _buckets(root):
        with bucket as folder:
            gone += _sweep_bucket(folder)
    return gone


def _sweep_bucket(folder: OpenBucket) -> int:
    there = {file for file in _names_in(folder.blobs) if _NEW.fullmatch(file)}
    left_over = there - _pointed_to(folder)
    locked: dict[str, int] = {}
    try:
        for file in left_over:
            if (descriptor := _lock_of_nobody(folder, file)) is not None:
                locked[file] = descriptor
        # Who had a lock may have made an object of his blob before he let go of it.
        dead = locked.keys() - _pointed_to(folder)
        for file in dead:
            folder.remove_blob(f"{file[:32]}.link")
            folder.remove_blob(file)
        return len(dead)
    finally:
        for descriptor in locked.values():
            os.close(descriptor)


def _pointed_to(folder: OpenBucket) -> set[str]:
    found = (folder.find(name) for name in _names_in(folder.names) if name != BLOBS)
    return {blob.file for blob in found if blob is not None}


def _names_in(folder: int) -> Sequence[str]:
    return os.listdir(folder)


def _lock_of_nobody(folder: OpenBucket, file: str) -> int | None:
    """A lock on a blob that nobody writes; ``None`` where somebody does, or it is no file."""
    try:
        descriptor = os.open(file, READ, dir_fd=folder.blobs)
    except OSError:
        return None
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _buckets(root: Path) -> Generator[OpenBucket]:
    """Each bucket, to be closed by who takes it; what is none is left alone."""
    for name in os.listdir(root) if root.is_dir() else ():  # noqa: PTH208 - names, not paths
        try:
            names = _open_below(root, name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in _NO_FOLDER:
                continue
            raise
        try:
            blobs = os.open(BLOBS, _FOLDER | os.O_NOFOLLOW, dir_fd=names)
        except OSError:
            os.close(names)
            continue
        yield OpenBucket(names, blobs)


def _open_below(root: Path, name: str) -> int:
    # The folder itself may be a link: to another disk, say, by an administrator.
    top = os.open(root, _FOLDER)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=top)
    finally:
        os.close(top)
