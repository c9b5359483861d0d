"""A worker that sends one row, as a process of its own: see `crashes.victims`."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import trio

from crashes.steps import Steps
from tgworker.app.parts import OpenStore, Parts
from tgworker.app.supabase import open_supabase
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.embedded import DataFolder, EmbeddedStore, inline, open_store
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState, Secret
from tgworker.messaging.records import OutboxState
from tgworker.settings import TelegramServer, TelegramSettings, load_settings
from tgworker.supabase import SupabaseStore
from tgworker.supervision import Backoff
from tgworker.vault import FernetVault

LOOK_EVERY_S = 0.002
RARELY_S = 600.0
LIMITS = Limits(
    outbound_every_s=RARELY_S,
    accounts_every_s=RARELY_S,
    heartbeat_every_s=RARELY_S,
    jobs_every_s=RARELY_S,
    sweep_every_s=RARELY_S,
    lease_renew_s=RARELY_S,
)
"""Nothing but the send happens in the short life of this worker."""


OTHERS = ("recorder", "history", "jobs")
"""Tasks that look at something else when a worker starts."""


async def send(
    steps: Steps,
    *,
    folder: str,
    environment: dict[str, str],
    server: dict[str, Any],
    vault_key: str,
    account: str,
    to: str,
    text: str | None,
    recovery: bool = False,
) -> None:
    """Finish what an earlier process has left behind, then send one row and end without any farewell.

    Args:
        steps: Counts from the row on.
        folder: The data folder.
        environment: Of the worker, with ``SUPABASE_URL`` for that store.
        server: The sandbox.
        vault_key: Opens sessions.
        account: Who sends.
        to: To whom.
        text: What; ``None``: nothing, only finish.
        recovery: Count the steps of what is left behind, too.
    """
    online = trio.Event()
    notes: list[object] = []

    def note(event: object) -> None:
        notes.append(event)
        if isinstance(event, AccountChanged) and event.state is AccountState.ONLINE:
            online.set()

    steps.others = OTHERS
    if recovery:
        steps.arm()
    with trio.fail_after(20):
        async with _opened(Path(folder), environment, note) as opened:
            parts = Parts(
                worker_id="victim",
                incarnation=opened.incarnation,
                data_dir=Path(folder),
                limits=LIMITS,
                stall_after_s=60,
                store=opened.store,
                leases=opened.leases,
                wakeup=None,
                pace=None,
                telegram=make_telegram(
                    TelegramSettings(api_id=1, api_hash=Secret("sandbox"), server=TelegramServer(**server)),
                    note,
                    may_write=opened.may_write,
                ),
                vault=FernetVault([Secret(vault_key)]),
                heartbeats=(),
                rng=random.Random(1),
                report=note,
                observers=(note,),
                line_backoff=Backoff(initial_s=0.02, cap_s=0.1),
            )
            async with Worker(parts).open() as worker:
                await online.wait()
                book = opened.store
                assert isinstance(book, EmbeddedStore | SupabaseStore)
                await _idle(book)
                if text is not None:
                    await steps.quiet()
                    steps.arm()
                    await book.enqueue(AccountId(account), to, [text])
                    worker.dispatch.ring()
                    await _idle(book)
                steps.end()


async def _idle(book: EmbeddedStore | SupabaseStore) -> None:
    """Wait until nothing is open."""
    while await book.list_outbox([OutboxState.WAITING, OutboxState.DEFERRED, OutboxState.SENDING]):
        await trio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def _opened(folder: Path, environment: dict[str, str], note: Any) -> AsyncGenerator[OpenStore]:
    if environment:
        settings = load_settings(environment, require=())
        async with open_supabase(
            settings, holder=UUID(int=7), rng=random.Random(1), observer=note, report=note
        ) as opened:
            yield opened
        return
    data = DataFolder(folder)
    with data.hold(), open_store(data, as_worker=True, run_sync=inline) as store:
        yield OpenStore(store, store.incarnation, LIMITS)
