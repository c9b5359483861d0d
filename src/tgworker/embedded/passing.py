"""One object on its way into the file store, or out of it. Everything here blocks; see `Held`."""

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from tgworker.embedded.held import Held
from tgworker.embedded.objects import BLOBS, READ, Blob, OpenBucket, blob_file, disk, name_of, open_bucket
from tgworker.messaging.file_store import BucketMissing, ObjectChanged, ObjectMissing
from tgworker.messaging.places import Place

SYNC_EVERY_BYTES: Final = 32 * 1024 * 1024
"""So much of a file may be in the kernel's memory alone: no single call waits for the disk for long."""

_LOOKS: Final = 10
"""So often a name is looked up whose blob is replaced between the look and the opening."""

_FILE_MODE: Final = 0o600


class FileTooLarge(Exception):
    """The file system takes no file of that size."""


class Writing(Held):
    """A blob that is being written, and is gone unless a name points to it in the end.

    Args:
        root: The file store's folder.
        place: Where the object goes.
        content_type: Its type, which fits into a name.
        rng: Draws its version.
        changing: Held while a name changes.
    """

    def __init__(
        self, root: Path, place: Place, content_type: str, rng: Random, changing: threading.Lock
    ) -> None:
        super().__init__()
        self._root = root
        self._place = place
        self._content_type = content_type
        self._rng = rng
        self._changing = changing
        self._folder: OpenBucket | None = None
        self._file = -1
        self._version = ""
        self._name = ""
        self._digest = hashlib.md5(usedforsecurity=False)
        self._kept = False
        self._unsynced = 0

    def open(self) -> None:
        """Make the blob, under a lock that says that somebody is at work on it.

        Raises:
            BucketMissing: There is no such bucket.
            StoreAway: The disk does not want it.
        """
        with disk(self._root):
            folder = self._folder = open_bucket(self._root, self._place.bucket)
            while self._file < 0:
                self._version = f"{self._rng.getrandbits(128):032x}"
                with suppress(FileExistsError):
                    self._file = self._create(folder, f"{self._version}.new")

    def write(self, data: bytes) -> None:
        """Write what comes next.

        Raises:
            FileTooLarge: The file system takes no file of that size.
            StoreAway: The disk is full or broken.
        """
        with disk(self._root):
            try:
                _write_all(self._file, data)
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise FileTooLarge from None
                raise
            self._digest.update(data)
            self._unsynced += len(data)
            if self._unsynced >= SYNC_EVERY_BYTES:
                os.fsync(self._file)
                self._unsynced = 0

    def keep(self) -> None:
        """Make it the object, in place of what was there; it is on the disk when this returns.

        Raises:
            StoreAway: The disk is full or broken; the object is the old one, or the new one.
        """
        folder = self._folder
        assert folder is not None
        name, link = name_of(self._place.path), f"{self._version}.link"
        file = blob_file(self._version, self._digest.hexdigest(), self._content_type)
        assert file is not None
        with disk(self._root):
            os.fsync(self._file)
            os.rename(self._name, file, src_dir_fd=folder.blobs, dst_dir_fd=folder.blobs)
            self._name = file
            os.symlink(f"{BLOBS}/{file}", link, dir_fd=folder.blobs)
            os.fsync(folder.blobs)
            with self._changing:
                before = folder.find(name)
                os.rename(link, name, src_dir_fd=folder.blobs, dst_dir_fd=folder.names)
                self._kept = True
            os.fsync(folder.names)  # before the old one goes: a power failure may bring its name back
            if before is not None:
                folder.remove_blob(before.file)

    def let_go(self) -> None:
        """See `Held`."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        if self._file >= 0:
            if not self._kept:
                for name in (f"{self._version}.link", self._name):
                    with suppress(OSError):
                        os.unlink(name, dir_fd=folder.blobs)
            with suppress(OSError):
                os.close(self._file)
        folder.close()

    def _create(self, folder: OpenBucket, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, _FILE_MODE, dir_fd=folder.blobs)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink == 0:  # swept away in the moment before it was locked
                raise FileExistsError
        except BaseException:
            os.close(file)
            raise
        self._name = name
        return file


class Reading(Held):
    """An object that is being read: the version that was there when it was opened, whatever replaces it.

    Args:
        root: The file store's folder.
        place: Where the object is.
        begin: The first byte that is wanted.
        etag: The version that is wanted; ``None``: the one that is there.
    """

    def __init__(self, root: Path, place: Place, begin: int, etag: str | None) -> None:
        super().__init__()
        self._root = root
        self._place = place
        self._begin = begin
        self._etag = etag
        self._file = -1

    def open(self) -> tuple[Blob, int]:
        """Open it; returns which version it is, and how many bytes it has.

        Raises:
            ObjectMissing: There is no such object.
            ObjectChanged: It has another version, or ends before it begins.
            StoreAway: The disk is broken.
        """
        where = f"the file store's bucket {self._place.bucket}"
        with disk(self._root):
            blob = self._find_and_open()
            if blob is None:
                raise ObjectMissing(f"{where} has no such object")
            size = os.fstat(self._file).st_size
        if self._etag not in (None, blob.etag):
            raise ObjectChanged(f"{where}: the object was replaced since it was read")
        if self._begin and self._begin >= size:
            raise ObjectChanged(f"{where}: the object has become shorter")
        return blob, size

    def read(self, begin: int, most: int) -> bytes:
        """What stands from a byte on; nothing at the end.

        Raises:
            StoreAway: The disk is broken.
        """
        with disk(self._root):
            return os.pread(self._file, most, begin)

    def let_go(self) -> None:
        """See `Held`."""
        file, self._file = self._file, -1
        if file >= 0:
            with suppress(OSError):
                os.close(file)

    def _find_and_open(self) -> Blob | None:
        try:
            folder = open_bucket(self._root, self._place.bucket)
        except BucketMissing:
            return None
        try:
            for _ in range(_LOOKS):
                blob = folder.find(name_of(self._place.path))
                if blob is None:
                    return None
                try:
                    file = os.open(blob.file, READ, dir_fd=folder.blobs)
                except FileNotFoundError:
                    continue  # replaced meanwhile
                if stat.S_ISREG(os.fstat(file).st_mode):
                    self._file = file
                    return blob
                os.close(file)
            return None
        finally:
            folder.close()


class Saving(Held):
    """A file of somebody else's that is being written beside its place, and takes it in the end.

    Args:
        path: The place. What the operating system says about it passes as it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file = -1
        self._temporary: Path | None = None

    def open(self) -> None:
        """Make the file beside it."""
        self._file, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
        self._temporary = Path(name)

    def write(self, data: bytes) -> None:
        """Write what comes next."""
        _write_all(self._file, data)

    def keep(self) -> None:
        """Let it take its place."""
        assert self._temporary is not None
        self._temporary.replace(self._path)
        self._temporary = None

    def let_go(self) -> None:
        """See `Held`."""
        file, self._file = self._file, -1
        temporary, self._temporary = self._temporary, None
        with suppress(OSError):
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        with suppress(OSError):
            if file >= 0:
                os.close(file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
