"""The data folder: its layout, its permissions, and the lock that makes one worker its only holder."""

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tgworker.embedded.errors import DataFolderInUse, DataFolderUnusable

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where a worker keeps what outlives it. One folder belongs to one worker at a time.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def database(self) -> Path:
        """The embedded store."""
        return self.path / "tgworker.db"

    @property
    def heartbeats(self) -> Path:
        """The heartbeats, in a file of their own: a stopped writer of the store must not hold their lock."""
        return self.path / "heartbeats.db"

    @property
    def lock_file(self) -> Path:
        """Locked by the worker that runs here; holds its process id."""
        return self.path / "lock"

    @property
    def socket(self) -> Path:
        """The Unix socket of ``status`` and ``stacks``."""
        return self.path / "status.sock"

    @property
    def stacks(self) -> Path:
        """The folder of stack dumps."""
        return self.path / "stacks"

    @property
    def files(self) -> Path:
        """The files of messages."""
        return self.path / "files"

    @property
    def spool(self) -> Path:
        """Files on their way between Telegram and where they are kept."""
        return self.path / "spool"

    def prepare(self) -> None:
        """Make the folder (mode 0700) if it is missing, and make sure that it can be used.

        A folder that exists keeps its mode: it may be somebody else's decision (systemd's, an
        administrator's). What stands in it is readable by its owner alone.

        Raises:
            DataFolderUnusable: It is no folder, or may not be made, read or written.
        """
        with _usable(self.path):
            self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            os.listdir(self.path)  # noqa: PTH208 - only whether it may be read counts, not the paths
            probe = self.path / f".probe-{os.getpid()}"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
            probe.unlink()
            for file in (self.database, self.heartbeats):
                create_private(file)

    @contextmanager
    def hold(self) -> Generator[None]:
        """Be the folder's only worker while the block runs.

        The lock is the kernel's (``flock``): it goes with the last process that holds it, however that ends.
        A forked child holds it too.

        Raises:
            DataFolderInUse: Another worker holds it.
            DataFolderUnusable: As `prepare`, or its file system cannot lock.
        """
        self.prepare()
        with _usable(self.path):
            fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            with _usable(self.path):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                        raise
                    raise DataFolderInUse(self.path, _pid_in(fd)) from None
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            # The file stays: removing it would let two workers lock two files of one name.
            os.close(fd)

    def holder(self) -> int | None:
        """The process id of the worker that runs here; ``None`` if none does, or it did not say.

        Raises:
            DataFolderUnusable: The lock file may not be read.
        """
        with _usable(self.path):
            try:
                fd = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _pid_in(fd)
            finally:
                os.close(fd)
        return None


def create_private(file: Path) -> None:
    """Make an empty file that its owner alone may read, unless it exists.

    SQLite gives its journals the mode of the database.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


@contextmanager
def _usable(path: Path) -> Generator[None]:
    """Translate what the operating system says about the folder."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        named = Path(os.fsdecode(error.filename)) if error.filename is not None else path
        raise DataFolderUnusable(
            f"the data folder {path} cannot be used ({named}: {reason}): "
            "set TGWORKER_DATA_DIR to a folder that this user may write"
        ) from None
