"""The store as one-shot commands use it, beside a running worker or without one."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from tgworker.embedded import DataFolder, HeartbeatFile, migrate, open_store
from tgworker.messaging.books import AccountBook, HeartbeatReader, OutboxBook
from tgworker.operations.stack_files import StackFiles
from tgworker.settings import Settings


@dataclass(frozen=True, slots=True)
class Books:
    """What commands read and write.

    Attributes:
        accounts: Added, found, listed.
        outbox: Filled as the application fills it, listed.
        heartbeats: Read.
    """

    accounts: AccountBook
    outbox: OutboxBook
    heartbeats: HeartbeatReader


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
            yield Books(accounts=project, outbox=project, heartbeats=project_heartbeats)
        return
    folder = DataFolder(settings.data_dir)
    with open_store(folder, as_worker=False) as store:
        heartbeats = HeartbeatFile(folder.heartbeats)
        try:
            yield Books(accounts=store, outbox=store, heartbeats=heartbeats)
        finally:
            heartbeats.close()


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


def migrate_store(settings: Settings) -> int:
    """Create the store's schema or bring it to this program's version; returns how many steps that took.

    Raises:
        StoreFault: The data folder cannot be used, or a worker holds it.
        StoreMismatch: The store is newer than this program.
    """
    return migrate(DataFolder(settings.data_dir))
