"""The early wake-up: waits where work appears, and rings the loops.

It only ever makes a loop look earlier than it would by itself. What it waits for may be lost, late or
wrong.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.pace import Pace
from tgworker.messaging.ports import Pulse, WakeUp, Work

FIRST_HUSH_S = 0.05
"""The first pause after a ring that made nobody find anything; the longest is ``PaceLimits.hush_s``."""


async def run_wakeup(
    pulse: Pulse,
    *,
    wakeup: WakeUp,
    dispatch: Dispatch,
    pace: Pace,
    limits: Limits,
    delays: Delays,
    report: Report,
    ring_jobs: Callable[[], None] = lambda: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Ring the dispatch whenever there is something to claim; returns never.

    Args:
        pulse: This loop's sign of life.
        wakeup: Where work appears.
        dispatch: Knows which accounts have a free slot, and wakes the outbound loop.
        pace: Is told whether anybody watches; knows when the outbound loop has looked.
        limits: ``database_s`` cuts off a wait that is not answered.
        delays: Backoff while nobody answers.
        report: Hears of outages.
        ring_jobs: Wakes the loops over jobs.
        task_status: Started at once.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    in_vain = of_jobs = 0
    try:
        while True:
            pulse.beat()
            accounts, online = dispatch.slots().keys(), dispatch.online()
            if not accounts and dispatch.statistics().claimed:
                await _wait_news(pulse, dispatch, limits)
                continue
            try:
                with pulse.cycle(limits.cycle_s):
                    wait = partial(wakeup.wait, accounts, jobs_of=online)
                    if not accounts:
                        # (Who may send nothing now does jobs all the same.)
                        wait = partial(_unless, dispatch.news, wait)
                    work = await within(pulse, "database.wait", limits.database_s, wait)
            except StoreAway as error:
                if pace.watch(watched=False):
                    # The pause that is made just now is one for while somebody watches.
                    dispatch.ring()
                await outage.wait("wakeup", error)
                if not online:
                    await _wait_news(pulse, dispatch, limits)  # nobody but a login is kept waiting
                continue
            outage.over("wakeup")
            pace.watch(watched=True)
            if Work.JOBS in work:
                ring_jobs()
            if Work.MESSAGES not in work:
                # (A job that nobody takes yet is seen again and again.)
                of_jobs = of_jobs + 1 if work else 0
                await _hush(pulse, pace, of_jobs)
                continue
            found = False
            pulse.expect(limits.database_s)
            with trio.move_on_after(limits.database_s):
                # (The loop that is rung runs once this one waits: its look is not missed.)
                dispatch.ring()
                found = await pace.wait_looked()
            in_vain = 0 if found else in_vain + 1
            await _hush(pulse, pace, in_vain)
    finally:
        pace.watch(watched=False)


async def _wait_news(pulse: Pulse, dispatch: Dispatch, limits: Limits) -> None:
    pulse.expect(limits.database_s)
    with trio.move_on_after(limits.database_s):
        await dispatch.wait_news()


async def _unless(news: trio.Event, wait: Callable[[], Awaitable[Work]]) -> Work:
    """Wait for work, but not beyond the news that there may be a free slot."""
    answers: list[Work | StoreAway] = []

    async def ask() -> None:
        try:
            answers.append(await wait())
        except StoreAway as error:
            answers.append(error)
        nursery.cancel_scope.cancel(reason="it was answered")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await news.wait()
        nursery.cancel_scope.cancel(reason="there may be a free slot")
    answer = answers[0] if answers else Work.NOTHING
    if isinstance(answer, StoreAway):
        raise answer
    return answer


async def _hush(pulse: Pulse, pace: Pace, in_vain: int) -> None:
    """Pause after so many rings in vain."""
    if in_vain:
        hush_s = min(pace.limits.hush_s, FIRST_HUSH_S * 2.0 ** min(in_vain - 1, 10))
        pulse.expect(hush_s)
        await trio.sleep(hush_s)
