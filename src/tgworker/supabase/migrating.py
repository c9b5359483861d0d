"""Migrations: our files of SQL, applied over a connection of PostgreSQL's own, by no running worker.

psycopg comes with the extra ``migrate`` and is imported only here, only when it is needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import Any, Final

from tgworker.messaging.errors import StoreAway, StoreFault, StoreMismatch
from tgworker.messaging.models import Secret
from tgworker.supabase.schema import VERSION

CONNECT_S: Final = 10

_HAS_SCHEMA_SQL: Final = "select to_regprocedure('public.tgworker_schema()') is not null"

_PASSING: Final = frozenset({"55P03", "57014", "40P01", "40001", "57P01", "57P03"})
"""SQLSTATEs of what may be well the next time: a lock that the application holds, a timeout, a restart."""


class DriverMissing(StoreFault):
    """psycopg is not installed. Remedy: ``pip install 'tgworker[migrate]'``."""


class MigrationFailed(StoreFault):
    """The database refuses a file. Remedy: in the text, PostgreSQL's own; what came before it is applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file.

    Attributes:
        name: Its name.
        sql: What stands in it.
    """

    name: str
    sql: str


def migrations() -> Sequence[Migration]:
    """Our files, in their order."""
    folder = files("tgworker.supabase") / "migrations"
    found = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [Migration(file.name, file.read_text(encoding="utf-8")) for file in found]


def migrate_database(url: Secret, *, notice: Callable[[str], object]) -> int:
    """Apply every file, each in transactions of its own; returns how many versions that took.

    Every file may be applied again: what is there already is left alone.

    Args:
        url: Where the database is, for an owner of its schema ``public``.
        notice: Hears what a person should do by hand: indexes on large tables.

    Raises:
        DriverMissing: psycopg is not installed.
        StoreAway: The database does not answer, or a lock is held: run it again.
        StoreMismatch: The database is newer than this program.
        MigrationFailed: A file was refused.
    """
    try:
        psycopg: Any = import_module("psycopg")
    except ImportError:
        raise DriverMissing("psycopg is not installed: pip install 'tgworker[migrate]'") from None
    try:
        with psycopg.connect(url.value, autocommit=True, connect_timeout=CONNECT_S) as connection:
            connection.add_notice_handler(lambda diagnostic: _tell(diagnostic, notice))
            before = _version(connection)
            if before > VERSION:
                raise StoreMismatch(
                    f"the database's schema has version {before}, this program knows {VERSION}: "
                    "upgrade tgworker"
                )
            for migration in migrations():
                _apply(psycopg, connection, migration)
            return _version(connection) - before
    except psycopg.OperationalError as error:
        # Its text may hold the URL's user and host, never the password; but the first line says enough.
        raise StoreAway(f"PostgreSQL (SUPABASE_DB_URL): {_first_line(str(error))}") from None


def _version(connection: Any) -> int:
    known: bool = connection.execute(_HAS_SCHEMA_SQL).fetchone()[0]
    if not known:
        return 0
    version: int = connection.execute("select (public.tgworker_schema() ->> 'version')::int").fetchone()[0]
    return version


def _apply(psycopg: Any, connection: Any, migration: Migration) -> None:
    try:
        connection.execute(migration.sql)
    except psycopg.Error as error:
        connection.rollback()
        state: str | None = error.sqlstate
        if state is None or state.startswith("08"):
            raise
        said = _first_line(error.diag.message_primary or type(error).__name__)
        if state in _PASSING:
            raise StoreAway(f"{migration.name}: {said}") from None
        remedy = _first_line(error.diag.message_hint or "nothing else was changed by that file")
        raise MigrationFailed(f"{migration.name}: {said} ({state}): {remedy}") from None


def _tell(diagnostic: Any, notice: Callable[[str], object]) -> None:
    # Notices below that are PostgreSQL's own chatter: "relation already exists, skipping".
    text: str = diagnostic.message_primary or ""
    if text.startswith("recommended"):
        notice(_first_line(text))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
