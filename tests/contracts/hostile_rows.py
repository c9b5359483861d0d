"""Rows that nobody should write, drawn from a store's own schema: each column null, wrong or hostile."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from hypothesis import strategies as st

from contracts.store_kit import OTHER_OWNER, OWNER, StoreKit
from embedded.embedded_kit import EmbeddedKit
from supabase_schema.rpc_kit import RpcKit

TABLES = (
    "integration_accounts",
    "contact_identities",
    "conversations",
    "messages",
    "attachments",
    "message_events",
    "presence_status",
    "sync_history_jobs",
    "message_jobs",
    "tgworker_login_requests",
)
"""Everything that the application writes."""

OWNERS = {"ada": OWNER, "eve": OTHER_OWNER}


@dataclass(frozen=True)
class Ref:
    """The id of something that an owner has: one of `WHATS`, or ``login``."""

    owner: str
    what: str


@dataclass(frozen=True)
class Malformed:
    """Bytes that stand in a column as text without being any (SQLite does not look)."""

    data: bytes


@dataclass(frozen=True)
class Row:
    """A row, or a change of one that is there.

    Attributes:
        table: Where.
        columns: What is said of it; for a change, what becomes of it.
        of: Whose row is changed; ``None``: a new one.
    """

    table: str
    columns: Mapping[str, Any]
    of: Ref | None = None


TEXTS = (
    "",
    "'; drop table messages; --",
    '" or 1=1 --',
    "../../etc/passwd",
    "/dev/zero",
    "file:///etc/passwd",
    "https://127.0.0.1/\r\nHost: evil",
    "\u202egnp.exe",
    "\ufeff",
    "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "e\u0301" * 50,
    "x" * 70_000,
    "%s%n{0}{}",
    "null",
    "true",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1",
    "99999999999999999999999",
    "9223372036854775808",
    "-9223372036854775808",
    "0",
    "-100",
    "-1009999999999999999999",
    "@",
    "@ada",
    "+",
    "+0",
    "local-",
    "LOCAL-X",
    "local-\U0001f98a",
    "error-",
    "0x10",
    "٣٤٥",  # digits, but none of ours
    "pending",
    "processing",
    "telegram_user",
    "telegram_bot",
    "inbound",
    "outbound",
    "0000-00-00",
    "9999-12-31T23:59:59Z",
    "2026-01-01T12:00:00+99:99",
    "-infinity",
    "2026-01-01",
    "00000000-0000-0000-0000-000000000000",
)
"""Texts, whatever the column means by them."""

JSON = (
    "null",
    "0",
    "[]",
    '"text"',
    "{}",
    "{",
    '{"a": 1e999}',
    '{"telegram": null}',
    '{"telegram": []}',
    '{"telegram": {"parse_mode": {"a": 1}, "not_before": 5, "expires_at": [], "attachments": "2"}}',
    '{"telegram": {"not_before": "9999-12-31T23:59:59Z", "expires_at": "0001-01-01T00:00:00Z"}}',
    '{"telegram": {"not_before": "infinity", "expires_at": "-infinity", "attachments": -1}}',
    '{"telegram": {"parse_mode": "html", "attachments": 99999999999999999999}}',
    '{"telegram": {"attachments": 3}}',
    '{"telegram": {"expires_at": "2026-01-01T11:00:00Z"}}',
    '{"text": null, "reaction": [], "for_me": {}, "conversation_id": 5}',
    '{"text": "\\ud800", "reaction": "\\udfff\\ud800"}',
    '{"text": "a\\u0000b", "conversation_id": "../x"}',
    '{"first_name": 5, "username": [], "title": {"a": 1}, "is_group": "yes"}',
    '{"edited_at": 5, "deleted_at": [], "reactions": "x", "pinned": {}, "parts": 7}',
    '{"parts": {"1": 5, "2": []}, "reactions": {"own": 5, "counts": []}}',
    '{"proxy": 5, "device": "x", "api_id": {}}',
    "[" * 3_000 + "]" * 3_000,
)
"""JSON that is none of what the worker looks for, or no JSON."""

NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63), 1.5, -0.0, 1e308, float("inf"))
BLOBS = (b"", b"\x00", b"\xff\xfe", b"local-1", b"pending", b"\x8c\x02\x07", b"telegram_user")
MALFORMED = (b"\xff", b"local-\xff", b"50\xff", b'{"a": "\xff"}', b"\xed\xa0\x80", b"2026-\xfe")

REFS = tuple(
    Ref(owner, what) for owner in OWNERS for what in ("owner", "account", "chat", "contact", "message")
)

_BASES: Mapping[str, Mapping[str, Any]] = {
    "integration_accounts": {"owner_id": "owner", "type": "=telegram_user", "secrets_encrypted": "=token"},
    "contact_identities": {"owner_id": "owner", "type": "=telegram_user", "value": "=502"},
    "conversations": {"owner_id": "owner", "primary_identity_id": "contact"},
    "messages": {
        "owner_id": "owner",
        "conversation_id": "chat",
        "integration_account_id": "account",
        "channel": "=telegram",
        "direction": "=outbound",
        "text": "=hello",
        "external_message_id": "=local-h",
    },
    "attachments": {
        "owner_id": "owner",
        "message_id": "message",
        "storage_bucket": "=media",
        "storage_path": "=a.jpg",
    },
    "message_events": {"owner_id": "owner", "message_id": "message", "type": "=read"},
    "presence_status": {"owner_id": "owner", "contact_identity_id": "contact"},
    "sync_history_jobs": {
        "owner_id": "owner",
        "integration_account_id": "account",
        "conversation_id": "chat",
    },
    "message_jobs": {
        "owner_id": "owner",
        "integration_account_id": "account",
        "message_id": "message",
        "action": "=delete",
    },
    "tgworker_login_requests": {"owner_id": "owner", "phone": "=+44 20 7946 0000"},
}
"""What a plain row of each table has: constants, and what its owner has."""

_CHANGED = {
    "integration_accounts": "account",
    "contact_identities": "contact",
    "conversations": "chat",
    "messages": "message",
    "tgworker_login_requests": "login",
}
"""Rows that are there already and may be changed: never what other rows are checked by."""

_UNTOUCHED = {"integration_accounts": ("id", "type", "is_active", "owner_id"), "contact_identities": ("id",)}


@dataclass(frozen=True)
class Column:
    """A column of the schema.

    Attributes:
        name: Its name.
        kind: ``any`` where the database looks at nothing; else what it admits.
    """

    name: str
    kind: str


def columns_in(database: Path) -> Mapping[str, Sequence[Column]]:
    """The same, of the embedded store's file."""
    with closing(sqlite3.connect(database)) as connection:
        return {
            table: [Column(row[1], "any") for row in connection.execute(f"pragma table_info({table})")]
            for table in TABLES
        }


def columns_of(kit: StoreKit) -> Mapping[str, Sequence[Column]]:
    """The application's columns, as the store's own schema has them."""
    if isinstance(kit, EmbeddedKit):
        found = columns_in(kit.folder.database)
    else:
        assert isinstance(kit, RpcKit)
        with psycopg.connect(kit.url) as asking:
            rows = asking.execute(
                "select table_name, column_name, data_type from information_schema.columns"
                " where table_schema = 'public' order by 1, ordinal_position"
            ).fetchall()
        found = {table: [Column(row[1], row[2]) for row in rows if row[0] == table] for table in TABLES}
    assert all(found.values()), "a table of the application is not there"
    return found


def values(kind: str) -> st.SearchStrategy[Any]:
    """What may stand in a column of a kind."""
    refs = st.sampled_from(REFS)
    match kind:
        case "any":
            return st.one_of(
                st.none(),
                refs,
                st.sampled_from(TEXTS),
                st.sampled_from(JSON),
                st.sampled_from(NUMBERS),
                st.sampled_from(BLOBS),
                st.sampled_from(MALFORMED).map(Malformed),
                st.text(max_size=8),
            )
        case "uuid":
            return st.one_of(st.none(), refs, st.uuids().map(str))
        case "text":
            return st.one_of(
                st.none(), refs, st.sampled_from(TEXTS), st.sampled_from(JSON[:-1]), st.text(max_size=8)
            )
        case "jsonb":
            return st.one_of(st.none(), st.sampled_from(JSON[:-1]))
        case "boolean":
            return st.sampled_from((None, True, False))
        case "integer" | "bigint":
            return st.one_of(
                st.none(), st.sampled_from([number for number in NUMBERS if isinstance(number, int)])
            )
        case "timestamp with time zone":
            return st.sampled_from((None, "infinity", "-infinity", "4713-01-01 BC", "294276-01-01", "epoch"))
        case _:
            raise AssertionError(f"no values are known for a column of type {kind}")


@st.composite
def rows(draw: st.DrawFn, columns: Mapping[str, Sequence[Column]]) -> Row:
    """A row of some table, plain but for one to four columns; or such a change of one that is there."""
    table = draw(st.sampled_from(TABLES))
    owner = draw(st.sampled_from(sorted(OWNERS)))
    free = [column for column in columns[table] if column.name not in _UNTOUCHED.get(table, ())]
    if table in _CHANGED and draw(st.integers(0, 3)) == 0:
        odd = draw(st.lists(st.sampled_from(free), min_size=1, max_size=2, unique=True))
        of = Ref(owner, _CHANGED[table])
        return Row(
            table, {column.name: draw(values(column.kind)) for column in odd if column.name != "id"}, of
        )
    row: dict[str, Any] = {
        name: said[1:] if said.startswith("=") else Ref(owner, said) for name, said in _BASES[table].items()
    }
    odd = draw(st.lists(st.sampled_from(columns[table]), min_size=1, max_size=4, unique=True))
    return Row(table, row | {column.name: draw(values(column.kind)) for column in odd})


def each_column(columns: Mapping[str, Sequence[Column]], rng: Random, *, times: int) -> list[Row]:
    """Plain rows but for one column, in a drawn order: each column of the embedded store so often."""
    odd = [None, *REFS, *TEXTS, *JSON, *NUMBERS, *BLOBS, *map(Malformed, MALFORMED)]
    found: list[Row] = []
    for table, names in columns.items():
        for column in names:
            for value in rng.sample(odd, times):
                owner = rng.choice(sorted(OWNERS))
                row = {
                    name: said[1:] if said.startswith("=") else Ref(owner, said)
                    for name, said in _BASES[table].items()
                }
                if table == "contact_identities" and column.name != "value":
                    row["value"] = str(rng.randrange(10_000, 10**9))
                if table == "message_jobs":
                    row["action"] = rng.choice(
                        ("delete", "edit", "typing", "mark_read", "react", "pin", "forward")
                    )
                found.append(Row(table, row | {column.name: value}))
    rng.shuffle(found)
    return found


def write_sqlite(database: Path, row: Row, columns: Mapping[str, Any], row_id: str | None) -> None:
    """Write a row, or change one that is there, over a connection that minds nothing.

    Args:
        database: The embedded store's file.
        row: Which table.
        columns: What is written.
        row_id: The row that is changed; ``None``: a new one.

    Raises:
        sqlite3.Error: The database does not take it; see `is_refusal`.
    """
    marks = ["cast(? as text)" if isinstance(value, Malformed) else "?" for value in columns.values()]
    values = [value.data if isinstance(value, Malformed) else value for value in columns.values()]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if row_id is None:
            names, said = ", ".join(columns), ", ".join(marks)
            connection.execute(f"insert into {row.table} ({names}) values ({said})", values)
        elif columns:
            sets = ", ".join(f"{name} = {mark}" for name, mark in zip(columns, marks, strict=True))
            connection.execute(f"update {row.table} set {sets} where id = ?", [*values, row_id])


def is_refusal(error: Exception) -> bool:
    """Whether it is the database's constraints or types that do not take a row, and no trigger of ours."""
    if isinstance(error, sqlite3.IntegrityError):
        return re.search(r"constraint failed|datatype mismatch", str(error)) is not None
    return isinstance(error, psycopg.IntegrityError | psycopg.DataError)
