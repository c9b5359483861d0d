"""The loop of message jobs: claim what may be done, hand it to the accounts, settle what came of it."""

from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import JobsWaiting, Report
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.job_outcomes import verdict
from tgworker.messaging.limits import Limits
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import JobStore

TABLE = "message_jobs"

AT_ONCE = 20
"""Jobs in one claim."""


async def run_jobs(
    pulse: Pulse,
    *,
    store: JobStore,
    desks: JobDesks,
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep message jobs moving; returns never.

    The store says which may be done now: a job whose message waits to be sent waits with it.

    Args:
        pulse: This loop's sign of life.
        store: Where the jobs are.
        desks: Where they go, and where outcomes come back.
        limits: ``jobs_every_s`` and the database deadline.
        delays: Backoff while the store is away.
        report: Hears how many wait, and of outages.
        task_status: Started at once.

    Cancellation: what was claimed and not settled stays on the desks; a new incarnation settles it.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    last, count_at, is_rung = 0, trio.current_time(), True
    while True:
        pulse.beat()
        try:
            with pulse.cycle(limits.cycle_s):
                await _settle(pulse, store, desks, limits)
                if trio.current_time() >= count_at:
                    waiting = await within(pulse, "database.jobs", limits.database_s, store.count_jobs)
                    count_at = trio.current_time() + limits.jobs_every_s
                    if waiting != last:
                        report(JobsWaiting(TABLE, waiting))
                        last = waiting
                    is_rung = is_rung or waiting > len(desks.known())
                # (Also without anybody online: what is to be refused or taken back needs no line.)
                is_rung = is_rung and await _claim(pulse, store, desks, limits)
        except StoreAway as error:
            is_rung = True
            await outage.wait("jobs", error)
            continue
        outage.over("jobs")
        if not is_rung:
            pulse.expect(count_at - trio.current_time())
            is_rung = await desks.wait(count_at)


async def _settle(pulse: Pulse, store: JobStore, desks: JobDesks, limits: Limits) -> None:
    settled = desks.unsettled()
    if not settled:
        return
    verdicts = [verdict(each) for each in settled]
    settle = partial(store.settle_jobs, verdicts)
    await within(pulse, "database.settle_jobs", limits.database_s, settle)
    desks.forget(settled)
    for each in verdicts:
        if not each.ended:
            desks.look_by(trio.current_time() + each.retry_after_s)


async def _claim(pulse: Pulse, store: JobStore, desks: JobDesks, limits: Limits) -> bool:
    """Claim and hand over; returns whether there may be more at once."""
    claim = partial(store.claim_jobs, desks.free(), known=desks.known(), limit=AT_ONCE)
    turn = await within(pulse, "database.claim_jobs", limits.database_s, claim)
    desks.hand_over(turn.jobs)
    desks.some_wait = turn.waiting > 0
    return len(turn.jobs) >= AT_ONCE and bool(desks.free())
