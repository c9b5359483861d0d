"""What settings choose: the store, Telegram, the vault, and where heartbeats go."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from tgworker.app.parts import Store
from tgworker.app.telegram import make_telegram
from tgworker.embedded import DataFolder, EmbeddedStore, HeartbeatFile, open_store, utc_now
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report, StoreUnavailable
from tgworker.messaging.ports import HeartbeatWriter, Vault
from tgworker.settings import Settings
from tgworker.telegram import Observer, TelethonTelegram
from tgworker.vault import FernetVault

OPEN_AGAIN_S = 1.0
"""A store that is away at the start is tried again after this time."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside of a worker.

    Attributes:
        store: The data folder's store; this worker is its only one.
        incarnation: Grows with every worker that opens the store.
        telegram: Opens lines.
        vault: Decrypts sessions.
        heartbeats: Where heartbeats go.
    """

    store: Store
    incarnation: int
    telegram: TelethonTelegram
    vault: Vault
    heartbeats: Sequence[HeartbeatWriter]


@asynccontextmanager
async def open_adapters(
    settings: Settings,
    *,
    observer: Observer,
    report: Report,
    hold: bool = True,
    before_blocking: Callable[[], object] = lambda: None,
) -> AsyncGenerator[Adapters]:
    """Open what a worker needs, in an order that connects nothing before the data folder is ours alone.

    Args:
        settings: With ``telegram`` and ``encryption`` required.
        observer: Hears what the Telegram adapter notices.
        report: Hears that the store is away: it is waited for, however long that takes.
        hold: Whether the data folder has to be taken first: not where the guard holds it for this process.
        before_blocking: Called each time before the store is opened, which blocks the loop for as long as an
            upgrade of the schema or another program's lock takes.

    Raises:
        StoreFault: The data folder cannot be used, or another worker holds it.
        StoreMismatch: The store is newer than this program.
        TelethonMoved: The installed Telethon is not one that the adapter knows.
    """
    telegram = settings.telegram
    if telegram is None:
        raise ValueError("settings without telegram: load them with require={'telegram', 'encryption'}")
    folder = DataFolder(settings.data_dir)
    async with AsyncExitStack() as stack:
        if hold:
            stack.enter_context(folder.hold())
        store = await _opened(stack, folder, report, before_blocking)
        heartbeats = HeartbeatFile(folder.heartbeats)
        stack.callback(heartbeats.close)
        writers: list[HeartbeatWriter] = [heartbeats]
        if settings.supabase is not None:
            # Imported only where it is used: httpx costs a fifth of a second.
            from tgworker.supabase.heartbeat import SupabaseHeartbeat
            from tgworker.supabase.rest import open_rest

            rest = await stack.enter_async_context(
                open_rest(settings.supabase.url, settings.supabase.service_role_key)
            )
            writers.append(SupabaseHeartbeat(rest, now=utc_now))
        yield Adapters(
            store=store,
            incarnation=store.incarnation,
            telegram=make_telegram(telegram, observer),
            vault=FernetVault(settings.encryption_keys),
            heartbeats=tuple(writers),
        )


async def _opened(
    stack: AsyncExitStack, folder: DataFolder, report: Report, before_blocking: Callable[[], object]
) -> EmbeddedStore:
    """The store, once it can be opened: a locked file or a full disk is an outage, not a failure."""
    while True:
        before_blocking()
        try:
            return stack.enter_context(open_store(folder, as_worker=True))
        except StoreAway as error:
            report(StoreUnavailable("database.open", str(error), OPEN_AGAIN_S))
            await trio.sleep(OPEN_AGAIN_S)
