"""A thin loop over a table of jobs: it looks, and says how many rows wait.

It stands for `history` and `jobs` until their work is built: nothing is claimed, so nothing is lost, and the
supervised child, its pulse and its deadlines are the ones that the real loops will have.
"""

from collections.abc import Awaitable, Callable

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import JobsWaiting, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.ports import Pulse


async def run_pending(
    pulse: Pulse,
    *,
    table: str,
    count: Callable[[], Awaitable[int]],
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Report how many rows of ``table`` wait, whenever that changes; returns never.

    Args:
        pulse: This loop's sign of life.
        table: The table's name.
        count: Asks the store how many rows are pending.
        limits: ``jobs_every_s`` and the database deadline.
        delays: Backoff while the store is away.
        report: Hears of changes and outages.
        task_status: Started at once.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    last = 0
    while True:
        pulse.beat()
        try:
            with pulse.cycle(limits.cycle_s):
                waiting = await within(pulse, f"database.{table}", limits.database_s, count)
        except StoreAway as error:
            await outage.wait(table, error)
            continue
        outage.over(table)
        if waiting != last:
            report(JobsWaiting(table, waiting))
            last = waiting
        pulse.expect(limits.jobs_every_s)
        await trio.sleep(limits.jobs_every_s)
