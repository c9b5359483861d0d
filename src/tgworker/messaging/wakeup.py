"""The early wake-up: waits where work appears, and rings the outbound loop.

It only ever makes the loop look earlier than it would by itself. What it waits for may be lost, late or
wrong.
"""

from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.pace import Pace
from tgworker.messaging.ports import Pulse, WakeUp

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
        task_status: Started at once.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    in_vain = 0
    try:
        while True:
            pulse.beat()
            accounts = dispatch.slots().keys()
            if not accounts:
                pulse.expect(limits.database_s)
                with trio.move_on_after(limits.database_s):
                    await dispatch.wait_news()
                continue
            try:
                with pulse.cycle(limits.cycle_s):
                    work = await within(
                        pulse, "database.wait", limits.database_s, partial(wakeup.wait, accounts)
                    )
            except StoreAway as error:
                if pace.watch(watched=False):
                    # The pause that is made just now is one for while somebody watches.
                    dispatch.ring()
                await outage.wait("wakeup", error)
                continue
            outage.over("wakeup")
            pace.watch(watched=True)
            if not work:
                continue
            found = False
            pulse.expect(limits.database_s)
            with trio.move_on_after(limits.database_s):
                # (The loop that is rung runs once this one waits: its look is not missed.)
                dispatch.ring()
                found = await pace.wait_looked()
            in_vain = 0 if found else in_vain + 1
            if in_vain:
                hush_s = min(pace.limits.hush_s, FIRST_HUSH_S * 2.0 ** min(in_vain - 1, 10))
                pulse.expect(hush_s)
                await trio.sleep(hush_s)
    finally:
        pace.watch(watched=False)
