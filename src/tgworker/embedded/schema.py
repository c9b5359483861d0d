"""Numbered migrations. ``PRAGMA user_version`` is the number of the last one that was applied."""

import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from tgworker.messaging.errors import StoreMismatch

#: "tgwr": marks the file as ours, so that another program's database is never migrated.
APPLICATION_ID = 0x74677772

#: RETURNING came with 3.35, UPDATE … FROM with 3.33.
_SQLITE_NEEDED = (3, 35, 0)


def migrations() -> dict[int, str]:
    """The SQL of each migration by its number."""
    folder = files("tgworker.embedded") / "migrations"
    scripts = sorted((item.name, item) for item in folder.iterdir() if item.name.endswith(".sql"))
    return {int(name.partition("_")[0]): item.read_text(encoding="utf-8") for name, item in scripts}


def ensure_schema(connection: sqlite3.Connection, path: Path, *, upgrade: bool) -> int:
    """Bring an empty file to the newest schema, and an older one if ``upgrade`` says so.

    Each migration is one transaction: a crash in the middle leaves the one before. Two programs may call
    this at once.

    Args:
        connection: In autocommit mode.
        path: The file, for messages.
        upgrade: Whether an older schema may be changed: only by who holds the data folder, since an older
            worker may be running on it.

    Returns:
        How many migrations were applied.

    Raises:
        StoreMismatch: The schema is newer than this program, older and not to be upgraded, or not ours.
    """
    if sqlite3.sqlite_version_info < _SQLITE_NEEDED:
        needed = ".".join(map(str, _SQLITE_NEEDED))
        raise StoreMismatch(
            f"SQLite {sqlite3.sqlite_version} is too old, {needed} is needed: use another Python"
        )
    scripts = migrations()
    newest = max(scripts)
    applied = 0
    while (version := _version(connection, path)) != newest:
        if version > newest:
            raise StoreMismatch(
                f"{path} has schema version {version}, this program knows {newest}: upgrade tgworker"
            )
        if version and not upgrade:
            raise StoreMismatch(
                f"{path} has schema version {version}, this program needs {newest}: "
                "stop the worker and run `tgworker migrate`"
            )
        with_scripts = [(number, scripts[number]) for number in sorted(scripts) if number > version]
        applied += _apply(connection, version, with_scripts if not version else with_scripts[:1])
    return applied


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("pragma user_version").fetchone()[0]
    owner: int = connection.execute("pragma application_id").fetchone()[0]
    if owner != APPLICATION_ID:
        tables: int = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if version or tables:
            raise StoreMismatch(f"{path} is another program's database: move it away")
    return version


def _apply(connection: sqlite3.Connection, version: int, scripts: list[tuple[int, str]]) -> int:
    """Apply migrations in one transaction, unless somebody else was quicker; returns how many."""
    connection.execute("begin immediate")
    try:
        if connection.execute("pragma user_version").fetchone()[0] != version:
            connection.execute("rollback")
            return 0
        for number, script in scripts:
            for statement in statements(script):
                connection.execute(statement)
            connection.execute(f"pragma user_version = {number}")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return len(scripts)


def statements(script: str) -> Iterator[str]:
    """Split a script into statements (`sqlite3.Connection.executescript` would commit in between)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
