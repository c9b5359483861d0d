"""What can be wrong with the embedded store, and the one table that translates SQLite's errors.

::

    StoreFault (messaging)  a person must act; one line that names the thing and the remedy
     ├ DataFolderUnusable   the folder cannot be made, read, written or locked
     ├ DataFolderInUse      another worker holds the folder
     └ StoreDamaged         a file is no database, or a damaged one
    StoreSuperseded         a newer worker has opened the store: this one must stop writing

An outage is `tgworker.messaging.errors.StoreAway`, another schema version `StoreMismatch`.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tgworker.messaging.errors import AccountGone as AccountGone
from tgworker.messaging.errors import AccountNameTaken as AccountNameTaken
from tgworker.messaging.errors import RecipientUnknown as RecipientUnknown
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.errors import StoreFault as StoreFault


class DataFolderUnusable(StoreFault):
    """The data folder cannot be used. Remedy: another ``TGWORKER_DATA_DIR``, or its owner and permissions."""


class DataFolderInUse(StoreFault):
    """Another worker holds the data folder. Remedy: stop it, or give this one its own ``TGWORKER_DATA_DIR``.

    Args:
        path: The folder.
        pid: The process that holds it, if the lock file says so.
    """

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"the data folder {path} is in use by {holder}: stop that worker first, "
            "or set TGWORKER_DATA_DIR to another folder (two workers on one session destroy it)"
        )
        self.path = path
        self.pid = pid


class StoreDamaged(StoreFault):
    """A file of the store is damaged or no database. Remedy: restore it, or move it away and log in again."""


class StoreSuperseded(Exception):
    """A newer worker has opened the store; nothing that this one writes counts any more. Remedy: end it."""


#: SQLite's primary result codes that are outages: what may be well again without a person, or with one who
#: knows nothing of this program (https://www.sqlite.org/rescode.html).
_AWAY = {
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_INTERRUPT: "interrupted at its deadline",
    sqlite3.SQLITE_IOERR: "disk I/O error",
    sqlite3.SQLITE_FULL: "disk full",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_PROTOCOL: "locking protocol error",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT: "damaged", sqlite3.SQLITE_NOTADB: "not a database"}


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn SQLite's errors about ``path`` into ours; whatever is not in the tables is a bug and passes.

    Raises:
        StoreAway: An outage.
        StoreDamaged: The file is damaged or no database.
    """
    try:
        yield
    except sqlite3.Error as error:
        # Only what SQLite itself reports has a code; misuse of the module has none.
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        if code in _AWAY:
            raise StoreAway(f"{path}: {_AWAY[code]}") from error
        if code in _DAMAGED:
            raise StoreDamaged(
                f"{path} is {_DAMAGED[code]}: restore it from a backup, or move it away and log in again"
            ) from error
        raise
