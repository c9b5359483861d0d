"""The sweep: what keeps a store small and right, a bounded piece at a time, and never in anybody's way."""

from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import MessagesUnsure, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import Sweeper

GO_ON_S = 1.0
"""Between two pieces of a sweep that is not done: others want the store, too."""


async def run_sweep(
    pulse: Pulse,
    *,
    store: Sweeper,
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Sweep every ``limits.sweep_every_s``; returns never.

    Args:
        pulse: This loop's sign of life.
        store: What is swept.
        limits: ``sweep_every_s``, the retention, and the database deadline.
        delays: Backoff while the store is away.
        report: Hears of outages, and of messages that are left to a person.
        task_status: Started at once.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    unsure = 0
    while True:
        pulse.beat()
        try:
            with pulse.cycle(limits.cycle_s):
                more = await within(
                    pulse, "database.sweep", limits.database_s, partial(store.sweep, limits.retention)
                )
                now_unsure = await within(pulse, "database.unsure", limits.database_s, store.count_unsure)
        except StoreAway as error:
            await outage.wait("sweep", error)
            continue
        outage.over("sweep")
        if now_unsure != unsure:
            report(MessagesUnsure(now_unsure))
        unsure = now_unsure
        pause_s = GO_ON_S if more else limits.sweep_every_s
        pulse.expect(pause_s)
        await trio.sleep(pause_s)
