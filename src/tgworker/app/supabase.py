"""What a worker needs of Supabase, opened in order."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Final
from uuid import UUID

import trio

from tgworker.app.parts import STORE_BACKOFF, OpenStore
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report, StoreBack, StoreUnavailable
from tgworker.messaging.models import Heartbeat
from tgworker.messaging.pace import PaceLimits
from tgworker.settings import Settings
from tgworker.supabase import (
    Holder,
    LongPoll,
    Observer,
    Rest,
    SupabaseHeartbeat,
    SupabaseLeases,
    SupabaseStore,
    check_schema,
    ignore,
    open_rest,
    open_storage,
)

PACE: Final = PaceLimits(fast_s=0.05, slow_s=0.45, watched_s=15.0)
"""Polling alone asks less than three times a second, and finds a row within half a second; with the wake-up
the polls are only there for what it may have missed."""

JOBS_EVERY_S: Final = 30.0
"""How often the tables of jobs are asked: a request over the network, not a look into a file."""


@asynccontextmanager
async def open_supabase(
    settings: Settings, *, holder: UUID, rng: Random, observer: Observer, report: Report
) -> AsyncGenerator[OpenStore]:
    """Wait until the project answers, check its schema and the key, and prepare what a worker needs.

    Args:
        settings: With ``supabase``.
        holder: Whose the leases are.
        rng: Request ids and jitter.
        observer: Hears of requests that failed.
        report: Hears that the store is away: it is waited for, however long that takes.

    Raises:
        StoreMismatch: The database has another schema version, or none of ours.
        KeyUnusable: The key does not let the worker work.
    """
    supabase = settings.supabase
    assert supabase is not None
    async with (
        open_rest(supabase.url, supabase.service_role_key, rng=rng, observer=observer) as rest,
        # A wait holds its connection for seconds: nobody else is to wait for it.
        open_rest(
            supabase.url, supabase.service_role_key, max_connections=1, rng=rng, observer=observer
        ) as waiting,
        open_storage(
            supabase.url,
            supabase.service_role_key,
            media_s=settings.limits.media_s,
            rng=rng,
            observer=observer,
        ) as files,
    ):
        heartbeat = SupabaseHeartbeat(rest)
        incarnation = await _opened(settings, rest, heartbeat, rng, report)
        leases = SupabaseLeases(rest, Holder(holder, int(boot_s() * 1000), settings.worker_id), clock=boot_s)
        store = SupabaseStore(rest, leases, attachments_wait_s=settings.limits.attachments_wait_s)
        yield OpenStore(
            store=store,
            files=files,
            sweeper=store,
            incarnation=incarnation,
            limits=replace(settings.limits, jobs_every_s=JOBS_EVERY_S),
            heartbeats=(heartbeat,),
            leases=leases,
            wakeup=LongPoll(waiting),
            pace=PACE,
        )


async def _opened(
    settings: Settings, rest: Rest, heartbeat: SupabaseHeartbeat, rng: Random, report: Report
) -> int:
    """Ask until somebody answers; returns this worker's incarnation.

    A time, because another machine may take this worker's name over; but never behind what stands there.
    """
    tries, since_s = 0, trio.current_time()
    while True:
        try:
            with trio.fail_after(settings.limits.database_s):
                await check_schema(rest)
                last = await heartbeat.read(settings.worker_id)
        except (StoreAway, trio.TooSlowError) as error:
            tries += 1
            delay_s = rng.uniform(0, STORE_BACKOFF.bound_s(tries))
            reason = str(error) or f"no answer within {settings.limits.database_s:g} s"
            report(StoreUnavailable("database.open", reason, delay_s))
            await trio.sleep(delay_s)
        else:
            if tries:
                report(StoreBack("database.open", trio.current_time() - since_s))
            return max(time.time_ns() // 1_000_000, 0 if last is None else last.incarnation + 1)


def boot_s() -> float:
    """Seconds since the machine was started, those in which it slept included."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first on Linux alone
    return time.clock_gettime(clock)


def post_heartbeat(
    settings: Settings, compose: Callable[[tuple[int, int]], Heartbeat], order: tuple[int, int] | None
) -> None:
    """Write one heartbeat from outside of any event loop; blocks.

    Args:
        settings: With ``supabase``.
        compose: Makes it, with its ``(incarnation, seq)``.
        order: That, where it is known; else the one after what stands there.

    Raises:
        StoreAway: Nobody answers, or not now.
    """
    supabase = settings.supabase
    assert supabase is not None

    async def post() -> None:
        async with open_rest(supabase.url, supabase.service_role_key) as rest:
            writer = SupabaseHeartbeat(rest)
            known = order
            if known is None:
                last = await writer.read(settings.worker_id)
                known = (0, 1) if last is None else (last.incarnation, last.seq + 1)
            await writer.write(compose(known))

    trio.run(post)


@asynccontextmanager
async def open_supabase_books(settings: Settings) -> AsyncGenerator[tuple[SupabaseStore, SupabaseHeartbeat]]:
    """The project as commands use it: without leases, once.

    Raises:
        StoreAway: Nobody answers, or not now.
        StoreMismatch: The database has another schema version, or none of ours.
        KeyUnusable: The key does not let anybody work.
    """
    supabase = settings.supabase
    assert supabase is not None
    async with open_rest(supabase.url, supabase.service_role_key, observer=ignore) as rest:
        await check_schema(rest)
        nobody = SupabaseLeases(rest, Holder(UUID(int=0), 0, settings.worker_id), clock=boot_s)
        yield SupabaseStore(rest, nobody), SupabaseHeartbeat(rest)
