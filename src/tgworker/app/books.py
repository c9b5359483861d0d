"""The store as one-shot commands use it, beside a running worker or without one."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from tgworker.embedded import DataFolder, HeartbeatFile, migrate, open_files, open_store
from tgworker.messaging.books import AccountBook, AdoptionBook, HeartbeatReader, HistoryBook, OutboxBook
from tgworker.messaging.errors import StoreFault
from tgworker.messaging.file_store import FileStore
from tgworker.operations.stack_files import StackFiles
from tgworker.settings import Settings


@dataclass(frozen=True, slots=True)
class Books:
    """What commands read and write.

    Attributes:
        accounts: Added, found, listed.
        outbox: Filled as the application fills it, listed.
        histories: Requested as the application does, watched.
        heartbeats: Read.
        adoption: Of accounts; ``None`` where no other worker can have had any.
    """

    accounts: AccountBook
    outbox: OutboxBook
    histories: HistoryBook
    heartbeats: HeartbeatReader
    adoption: AdoptionBook | None = None


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncGenerator[Books]:
    """Open the store without being its worker.

    Raises:
        StoreFault: The data folder cannot be used, or the project's key.
        StoreMismatch: The store has another schema version.
        StoreAway: It is locked for long, the disk is full or broken, or the project does not answer.
    """
    if settings.supabase is not None:
        # Imported only where it is used: httpx costs a fifth of a second.
        from tgworker.app.supabase import open_supabase_books

        async with open_supabase_books(settings) as (project, project_heartbeats):
            yield Books(
                accounts=project,
                outbox=project,
                histories=project,
                heartbeats=project_heartbeats,
                adoption=project.adoption,
            )
        return
    folder = DataFolder(settings.data_dir)
    with open_store(folder, as_worker=False) as store:
        heartbeats = HeartbeatFile(folder.heartbeats)
        try:
            yield Books(accounts=store, outbox=store, histories=store, heartbeats=heartbeats)
        finally:
            heartbeats.close()


@asynccontextmanager
async def open_file_store(settings: Settings) -> AsyncGenerator[FileStore]:
    """Open the file store without being its worker, while the books are open.

    Raises:
        StoreAway: The disk is full, broken or too slow.
    """
    media_s = settings.limits.media_s
    if settings.supabase is not None:
        from tgworker.supabase import open_storage

        project = settings.supabase
        async with open_storage(project.url, project.service_role_key, media_s=media_s) as storage:
            yield storage
        return
    async with open_files(DataFolder(settings.data_dir), as_worker=False, media_s=media_s) as files:
        yield files


@contextmanager
def open_heartbeats(settings: Settings) -> Generator[HeartbeatReader]:
    """The heartbeats alone, for who asks because nothing else works: the store may be locked, or away.

    Raises:
        StoreFault: The data folder cannot be used.
    """
    folder = DataFolder(settings.data_dir)
    folder.prepare()
    heartbeats = HeartbeatFile(folder.heartbeats)
    try:
        yield heartbeats
    finally:
        heartbeats.close()


def stack_files(settings: Settings) -> StackFiles:
    """The stack dumps of the data folder's workers, as the worker and its guard leave them."""
    return StackFiles(DataFolder(settings.data_dir).stacks)


@dataclass(frozen=True, slots=True)
class Migrated:
    """What `migrate_store` did.

    Attributes:
        where: What was migrated, for people.
        steps: How many versions that took; 0 if it was up to date.
    """

    where: str
    steps: int


def migrate_store(settings: Settings, *, notice: Callable[[str], object]) -> Migrated:
    """Create the store's schema or bring it to this program's version.

    Args:
        settings: Say which store it is.
        notice: Hears what a person should do by hand.

    Raises:
        StoreFault: The data folder cannot be used, or a worker holds it; or the database refuses it.
        StoreMismatch: The store is newer than this program.
        StoreAway: It does not answer, or cannot just now.
        DatabaseUrlMissing: There is a project, and nobody said where its PostgreSQL is.
    """
    if settings.database_url is not None:
        from tgworker.supabase.migrating import migrate_database

        steps = migrate_database(settings.database_url, notice=notice)
        return Migrated("the database of SUPABASE_DB_URL", steps)
    if settings.supabase is not None:
        raise DatabaseUrlMissing(
            "SUPABASE_DB_URL is not set: copy the connection string (URI) from the project's database "
            "settings, or apply what `python -m tgworker migrate --sql` prints"
        )
    return Migrated(f"the store in {settings.data_dir}", migrate(DataFolder(settings.data_dir)))


class DatabaseUrlMissing(StoreFault):
    """A project is migrated over PostgreSQL's own port. Remedy: ``SUPABASE_DB_URL``, or ``migrate --sql``."""


def migration_sql() -> str:
    """What `migrate_store` would apply to a project, for people who apply it themselves."""
    from tgworker.supabase.migrating import migrations

    return "\n".join(f"-- {each.name}\n{each.sql}" for each in migrations())
