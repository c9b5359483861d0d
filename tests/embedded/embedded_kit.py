"""The embedded store as tests want it: on a temporary path, inline, with a calendar that tests move."""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from contracts.store_kit import Calendar
from tgworker.embedded import DataFolder, EmbeddedStore, RunSync, inline, open_store


class SqliteApplication:
    """The application on the same file, over a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    def insert(self, table: str, **columns: Any) -> str:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        sql = f"insert into {table} ({names}) values ({marks}) returning id"
        return str(self._connection.execute(sql, tuple(columns.values())).fetchone()[0])

    def update(self, table: str, row_id: str, **columns: Any) -> None:
        sets = ", ".join(f"{name} = ?" for name in columns)
        self._connection.execute(f"update {table} set {sets} where id = ?", (*columns.values(), row_id))

    def delete(self, table: str, row_id: str) -> None:
        self._connection.execute(f"delete from {table} where id = ?", (row_id,))

    def row(self, table: str, row_id: str) -> Mapping[str, Any] | None:
        found = self.rows(table, id=row_id)
        return found[0] if found else None

    def rows(self, table: str, **where: Any) -> Sequence[Mapping[str, Any]]:
        condition = "".join(f" and {name} is ?" for name in where)
        order = "rowid" if table in _WITH_ROWID else "1"
        sql = f"select * from {table} where true{condition} order by {order}"
        return [dict(row) for row in self._connection.execute(sql, tuple(where.values()))]

    def close(self) -> None:
        self._connection.close()


_WITH_ROWID = {
    "integration_accounts",
    "contact_identities",
    "conversations",
    "messages",
    "attachments",
    "message_events",
    "sync_history_jobs",
    "message_jobs",
    "tgworker_login_requests",
    "tgworker_outbox",
}


class EmbeddedKit:
    """Fills `contracts.store_kit.StoreKit`."""

    def __init__(self, path: Path, stack: ExitStack, run_sync: RunSync) -> None:
        self.folder = DataFolder(path)
        self.calendar = Calendar()
        self._stack = stack
        self._run_sync = run_sync
        self.store: EmbeddedStore = self.take_over()
        self.app = SqliteApplication(self.folder.database)
        stack.callback(self.app.close)

    def take_over(self) -> EmbeddedStore:
        return self._stack.enter_context(
            open_store(self.folder, as_worker=True, run_sync=self._run_sync, now=self.calendar)
        )


@contextmanager
def open_kit(path: Path, *, run_sync: RunSync = inline) -> Generator[EmbeddedKit]:
    with ExitStack() as stack:
        yield EmbeddedKit(path, stack, run_sync)
