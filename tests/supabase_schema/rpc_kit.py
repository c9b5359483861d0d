"""The migrations' database as contract tests want it: a fresh one, with a calendar that tests move."""

import itertools
import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from contracts.store_kit import Calendar
from supabase_schema.rpc_store import Rpc, RpcStore, set_calendar
from tgworker.devstack import Cluster

CLOCK = Path(__file__).with_name("clock.sql")


def migrations() -> list[Path]:
    """The files, in their order."""
    folder = Path(str(files("tgworker.supabase"))) / "migrations"
    return sorted(folder.glob("*.sql"))


class Ids:
    """UUIDs of version 7, each greater than the one before."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def __call__(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        number = milliseconds << 80 | 7 << 76 | 2 << 62 | int.from_bytes(os.urandom(7), "big")
        return str(UUID(int=number | (next(self._counter) & 0xFFF) << 64))


class PostgresApplication:
    """The application beside the worker, on a connection of its own."""

    def __init__(self, url: str, ids: Callable[[], str], now: Callable[[], datetime]) -> None:
        self._connection = psycopg.Connection[dict[str, Any]].connect(
            url, autocommit=True, row_factory=dict_row
        )
        self._ids = ids
        self._now = now
        adapters = self._connection.adapters
        for name in ("uuid", "json", "jsonb"):
            adapters.register_loader(name, TextLoader)

    def insert(self, table: str, **columns: Any) -> str:
        row = {"id": self._ids(), **columns}
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        self._run(sql.SQL("insert into {} ({}) values ({})").format(sql.Identifier(table), names, marks), row)
        return str(row["id"])

    def update(self, table: str, row_id: str, **columns: Any) -> None:
        sets = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
        query = sql.SQL("update {} set {} where id = %s").format(sql.Identifier(table), sets)
        self._run(query, {**columns, "id": row_id})

    def delete(self, table: str, row_id: str) -> None:
        self._run(sql.SQL("delete from {} where id = %s").format(sql.Identifier(table)), {"id": row_id})

    def row(self, table: str, row_id: str) -> Mapping[str, Any] | None:
        found = self.rows(table, id=row_id)
        return found[0] if found else None

    def rows(self, table: str, **where: Any) -> Sequence[Mapping[str, Any]]:
        condition = sql.SQL("").join(
            sql.SQL(" and {} is not distinct from %s").format(sql.Identifier(name)) for name in where
        )
        order = "1" if table.startswith("tgworker_") else "id"
        query = sql.SQL("select * from {} where true{} order by {}").format(
            sql.Identifier(table), condition, sql.SQL("updated_at" if table == "presence_status" else order)
        )
        found = self._run(query, where).fetchall()
        return [{name: _plain(value) for name, value in row.items()} for row in found]

    def close(self) -> None:
        self._connection.close()

    def _run(self, query: sql.Composed, columns: Mapping[str, Any]) -> psycopg.Cursor[dict[str, Any]]:
        set_calendar(self._connection, self._now())
        values = [_json(value) if name in _JSON else value for name, value in columns.items()]
        return self._connection.execute(query, values)


_JSON = {"config", "metadata", "payload", "raw_payload"}


def _json(value: Any) -> Any:
    """What the application writes into a column of JSON; text that is none stands there as a string."""
    if not isinstance(value, str):
        return value
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


class RpcKit:
    """Fills `contracts.store_kit.StoreKit`."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.calendar = Calendar()
        self.url = url
        self._stack = stack
        self._ids = Ids()
        self._holder = uuid4()
        self._incarnations = itertools.count(1)
        self._accounts: list[Any] = []
        self.app = PostgresApplication(url, self._ids, self.calendar)
        stack.callback(self.app.close)
        self.store = self.take_over()

    def take_over(self) -> RpcStore:
        connection = psycopg.connect(self.url, autocommit=True)
        self._stack.callback(connection.close)
        store = RpcStore(
            Rpc(connection, self.calendar),
            holder=self._holder,
            incarnation=next(self._incarnations),
            new_id=self._ids,
        )
        store.hold([row["id"] for row in store.rpc("tgworker_active_accounts")])
        return store


@contextmanager
def open_database(cluster: Cluster, template: str) -> Generator[str]:
    """A database of one test; yields its URL, and drops it."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(cluster.url("template1", "supabase_admin"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield cluster.url(name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def open_rpc_kit(cluster: Cluster, template: str) -> Generator[RpcKit]:
    """A store in a database of its own."""
    with open_database(cluster, template) as url, ExitStack() as stack:
        yield RpcKit(url, stack)
