"""A worker that does nothing by the clock, as the scenarios run it: see `crashes.victims`."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import trio

from tgworker.app.parts import OpenStore, Parts
from tgworker.app.supabase import open_supabase
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.embedded import DataFolder, EmbeddedFiles, EmbeddedStore, inline, open_store
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountState, Secret
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
    hearing_first_s=RARELY_S,
)
"""Nothing but what a scenario is about happens in the short life of this worker."""

OTHERS = ("recorder", "history", "jobs", "files")
"""Tasks that look at something else when a worker starts."""


@dataclass(frozen=True)
class Victim:
    """A worker that runs.

    Attributes:
        worker: The worker.
        store: Its store.
        online: Set once its account is.
    """

    worker: Worker
    store: EmbeddedStore | SupabaseStore
    online: trio.Event


@asynccontextmanager
async def open_victim(
    *, folder: str, environment: dict[str, str], server: dict[str, Any], vault_key: str, holder: int = 7
) -> AsyncGenerator[Victim]:
    """Run a worker.

    Args:
        folder: The data folder.
        environment: Of the worker, with ``SUPABASE_URL`` for that store.
        server: The sandbox.
        vault_key: Opens sessions.
        holder: Whose the leases are: who comes back after a crash has them at once, another one does not.
    """
    online = trio.Event()

    def note(event: object) -> None:
        if isinstance(event, AccountChanged) and event.state is AccountState.ONLINE:
            online.set()

    async with _opened(Path(folder), environment, UUID(int=holder), note) as opened:
        parts = Parts(
            worker_id="victim",
            incarnation=opened.incarnation,
            data_dir=Path(folder),
            limits=LIMITS,
            stall_after_s=60,
            store=opened.store,
            files=opened.files,
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
            assert isinstance(opened.store, EmbeddedStore | SupabaseStore)
            yield Victim(worker, opened.store, online)


@asynccontextmanager
async def _opened(
    folder: Path, environment: dict[str, str], holder: UUID, note: Any
) -> AsyncGenerator[OpenStore]:
    if environment:
        settings = load_settings(environment, require=())
        async with open_supabase(
            settings, holder=holder, rng=random.Random(1), observer=note, report=note
        ) as opened:
            yield opened
        return
    data = DataFolder(folder)
    with data.hold(), open_store(data, as_worker=True, run_sync=inline) as store:
        yield OpenStore(store, EmbeddedFiles(data.files, threads=lambda: inline), store.incarnation, LIMITS)
