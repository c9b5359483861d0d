"""What settings choose: the store, Telegram, the vault, and where heartbeats go."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import trio

from tgworker.app.parts import OpenStore, SessionVault
from tgworker.app.telegram import make_telegram
from tgworker.embedded import DataFolder, HeartbeatFile, open_files, open_store
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report, StoreUnavailable
from tgworker.messaging.pace import PaceLimits
from tgworker.settings import Settings
from tgworker.telegram import TelegramEvent, TelethonTelegram
from tgworker.vault import FernetVault

if TYPE_CHECKING:
    from tgworker.supabase import SupabaseEvent

Observer = Callable[["TelegramEvent | SupabaseEvent"], None]
"""Hears what an adapter notices that concerns no single call."""

LOOK_EVERY_S = 0.12
"""How often the embedded store's file is looked at: a row is found within that time. Idling costs little more
than these looks."""

WATCHED_S = 5.0
"""How often the outbox of the embedded store is asked beside that."""

OPEN_AGAIN_S = 1.0
"""A store that is away at the start is tried again after this time."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The outside of a worker.

    Attributes:
        opened: The store.
        telegram: Opens lines.
        vault: Decrypts sessions.
    """

    opened: OpenStore
    telegram: TelethonTelegram
    vault: SessionVault


@asynccontextmanager
async def open_adapters(
    settings: Settings,
    *,
    observer: Observer,
    report: Report,
    holder: UUID,
    rng: Random,
    hold: bool = True,
    blocking: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> AsyncGenerator[Adapters]:
    """Open what a worker needs, in an order that connects nothing before the data folder is ours alone.

    Args:
        settings: With ``telegram`` and ``encryption`` required.
        observer: Hears what adapters notice.
        report: Hears that the store is away: it is waited for, however long that takes.
        holder: Whose leases of accounts will be: another process of the same holder takes them over at once.
        rng: Jitter, and ids of requests.
        hold: Whether the data folder has to be taken first: not where the guard holds it for this process.
        blocking: Entered each time while the store is opened, which blocks the loop for as long as an
            upgrade of the schema or another program's lock takes.

    Raises:
        StoreFault: The data folder cannot be used, or another worker holds it.
        StoreMismatch: The store has another schema than this program.
        KeyUnusable: The project's key does not let the worker work.
        TelethonMoved: The installed Telethon is not one that the adapter knows.
    """
    telegram = settings.telegram
    if telegram is None:
        raise ValueError("settings without telegram: load them with require={'telegram', 'encryption'}")
    folder = DataFolder(settings.data_dir)
    async with AsyncExitStack() as stack:
        if hold:
            stack.enter_context(folder.hold())
        heartbeats = HeartbeatFile(folder.heartbeats)
        stack.callback(heartbeats.close)
        opened = (
            await _embedded(stack, folder, settings, report, blocking)
            if settings.supabase is None
            else await _supabase(stack, settings, observer, report, holder, rng)
        )
        yield Adapters(
            # Whatever the store: `status` reads the file where nothing else answers.
            opened=replace(opened, heartbeats=(heartbeats, *opened.heartbeats)),
            telegram=make_telegram(telegram, observer, may_write=opened.may_write),
            vault=FernetVault(settings.encryption_keys),
        )


async def _embedded(
    stack: AsyncExitStack,
    folder: DataFolder,
    settings: Settings,
    report: Report,
    blocking: Callable[[], AbstractContextManager[object]],
) -> OpenStore:
    """The store, once it can be opened: a locked file or a full disk is an outage, not a failure."""
    buckets = (settings.attachments_bucket, settings.avatars_bucket)
    while True:
        try:
            async with AsyncExitStack() as opening:
                with blocking():
                    store = opening.enter_context(
                        open_store(
                            folder,
                            as_worker=True,
                            worker=settings.worker_id,
                            attachments_wait_s=settings.limits.attachments_wait_s,
                        )
                    )
                files = await opening.enter_async_context(
                    open_files(folder, as_worker=True, buckets=buckets, media_s=settings.limits.media_s)
                )
                stack.push_async_exit(opening.pop_all())
        except StoreAway as error:
            report(StoreUnavailable("database.open", str(error), OPEN_AGAIN_S))
            await trio.sleep(OPEN_AGAIN_S)
        else:
            every_s = settings.limits.outbound_every_s
            return OpenStore(
                store,
                files,
                store.incarnation,
                limits=settings.limits,
                sweeper=store,
                wakeup=store.watch(every_s=LOOK_EVERY_S),
                pace=PaceLimits(fast_s=every_s, slow_s=every_s, watched_s=WATCHED_S, hush_s=every_s),
            )


async def _supabase(
    stack: AsyncExitStack, settings: Settings, observer: Observer, report: Report, holder: UUID, rng: Random
) -> OpenStore:
    # Imported only where it is used: httpx costs a fifth of a second.
    from tgworker.app.supabase import open_supabase

    return await stack.enter_async_context(
        open_supabase(settings, holder=holder, rng=rng, observer=observer, report=report)
    )
