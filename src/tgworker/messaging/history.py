"""History jobs: claimed while any wait, for accounts that hold their line. `history_reader` reads them."""

from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import JobsWaiting, Report
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.limits import Limits
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import HistoryQueue

TABLE = "sync_history_jobs"


async def run_history(
    pulse: Pulse,
    *,
    store: HistoryQueue,
    desks: HistoryDesks,
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Claim history jobs for accounts that are online and have none; returns never.

    Args:
        pulse: This loop's sign of life.
        store: Where the jobs are.
        desks: Where they go.
        limits: ``jobs_every_s`` and the database deadline.
        delays: Backoff while the store is away.
        report: Hears how many wait, and of outages.
        task_status: Started at once.

    Cancellation: jobs on desks go on being read. A claim whose answer was cut off is handed over again.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    last = 0
    while True:
        pulse.beat()
        news = desks.news  # taken before the claim: what happens while it runs is not missed
        try:
            with pulse.cycle(limits.cycle_s):
                waiting = await within(pulse, "database.history", limits.database_s, store.count_history)
                known, idle = desks.known(), desks.idle()
                if idle and waiting > len(known):
                    claim = partial(store.claim_history, idle, known=known, limit=len(idle))
                    desks.hand_over(await within(pulse, "database.history", limits.database_s, claim))
        except StoreAway as error:
            await outage.wait("history", error)
            continue
        outage.over("history")
        if waiting != last:
            report(JobsWaiting(TABLE, waiting))
            last = waiting
        pulse.expect(limits.jobs_every_s)
        with trio.move_on_after(limits.jobs_every_s):
            await news.wait()
