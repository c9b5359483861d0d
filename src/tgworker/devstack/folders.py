"""Where a stack keeps its things."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tgworker.devstack.errors import FolderInUse, Unfit
from tgworker.devstack.user import User, lesser_user

MAX_SOCKET_PATH_BYTES = 107
"""What fits into ``sun_path`` (unix(7))."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one stack.

    Attributes:
        data: What is kept: the database and the objects. In `run`, unless it was given.
        run: Sockets and logs; goes with the stack.
        user: Whose they are, and whom the parts run as; ``None``: ours.
    """

    data: Path
    run: Path
    user: User | None

    @property
    def database(self) -> Path:
        """PostgreSQL's data."""
        return self.data / "postgresql"

    @property
    def objects(self) -> Path:
        """What was uploaded."""
        return self.data / "objects"

    @property
    def removable(self) -> Path:
        """What is to be removed when the stack is gone."""
        return self.run

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.run / f"{part}.log"


@contextmanager
def open_folders(data: Path | None = None) -> Generator[Folders]:
    """Make the folders of a stack; leaving removes those that are temporary.

    Args:
        data: What is kept from one start to the next; ``None``: nothing is.

    Raises:
        FolderInUse: Another stack runs on it.
        Unfit: It cannot be used; with the remedy.
    """
    user = lesser_user()
    run = Path(tempfile.mkdtemp(prefix="tgworker-stack-"))
    lock = None
    try:
        _check(run, user, "set TMPDIR to a folder")
        if len(os.fsencode(run / ".s.PGSQL.5432.lock")) > MAX_SOCKET_PATH_BYTES:
            raise Unfit(
                f"{run} is too long a path for a Unix socket: set TMPDIR to a shorter one, such as /tmp"
            )
        kept = run / "data" if data is None else data.absolute()
        if data is not None:
            lock = _hold(kept)
            _check(kept / "postgresql", user, "choose a folder for --data-dir")
        folders = Folders(kept, run, user)
        for folder in (run, folders.database):
            folder.mkdir(parents=True, exist_ok=True)
            if user is not None:
                user.own(folder)
        yield folders
    finally:
        shutil.rmtree(run, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _check(path: Path, user: User | None, remedy: str) -> None:
    closed = None if user is None else user.cannot_enter(path)
    if user is not None and closed is not None:
        raise Unfit(
            f"PostgreSQL must run as {user.name}, to whom {closed} is closed: {remedy} that is not under it"
        )


def _hold(data: Path) -> int:
    """Lock a data folder; the lock goes with us."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise Unfit(f"{data} cannot be used for --data-dir: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise FolderInUse(
            f"another dev-stack runs on {data}: stop it, or choose another --data-dir"
        ) from None
    return lock
