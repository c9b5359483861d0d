"""The outbound loop: claim what is due, hand it to the accounts' senders, settle what came of it."""

from collections.abc import Callable

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.pace import Pace, PaceLimits
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import OutboxStore


async def run_outbound(
    pulse: Pulse,
    *,
    store: OutboxStore,
    dispatch: Dispatch,
    limits: Limits,
    delays: Delays,
    report: Report,
    pace: Pace | None = None,
    on_settled: Callable[[], None] = lambda: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the outbox moving; returns never.

    One direction: claimed attempts go to the desks, outcomes come back through the dispatch and are settled
    in bulk. Polling is the truth; an outcome, an account that comes online, or somebody who watches the
    outbox only wakes the loop early.

    Args:
        pulse: This loop's sign of life; each turn is one cycle of at most ``limits.cycle_s``.
        store: The queue.
        dispatch: Shared with the accounts' senders.
        limits: The deadlines.
        delays: Backoff while the store is away.
        report: Hears of outages.
        on_settled: Hears that the store has committed what became of messages.
        pace: How often to look; every ``limits.outbound_every_s`` if nothing is said.
        task_status: Started at once: the loop has nothing to wait for.

    Cancellation: what was claimed and not settled stays in the dispatch; a new incarnation settles it.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    if pace is None:
        every_s = limits.outbound_every_s
        pace = Pace(PaceLimits(fast_s=every_s, slow_s=every_s, watched_s=every_s))
    while True:
        pulse.beat()
        news = dispatch.news
        try:
            with pulse.cycle(limits.cycle_s):
                found = await _turn(pulse, store, dispatch, limits, on_settled)
        except StoreAway as error:
            await outage.wait("outbound", error)
            continue
        outage.over("outbound")
        pause_s = pace.after(found=found)
        pulse.expect(pause_s)
        with trio.move_on_after(pause_s):
            await dispatch.wait_news(since=news)


async def _turn(
    pulse: Pulse,
    store: OutboxStore,
    dispatch: Dispatch,
    limits: Limits,
    on_settled: Callable[[], None],
) -> bool:
    """Settle, claim, hand over; returns whether there was anything to do.

    If that fills every desk, the next outcome is the time to ask for more; until then the store is only asked
    whether somebody has cancelled what is in hand.
    """
    settled, slots = dispatch.unsettled(), dispatch.slots()
    known = dispatch.known(besides=settled)
    if not (settled or slots or known):
        return False
    text_limit, caption_limit = dispatch.text_limit(), dispatch.caption_limit()
    asked_at = trio.current_time()
    turn = await within(
        pulse,
        "database.turn",
        limits.database_s,
        lambda: store.turn(settled, slots, known=known, text_limit=text_limit, caption_limit=caption_limit),
    )
    dispatch.forget(settled)
    if settled:
        on_settled()
    dispatch.withdraw(turn.withdrawn)
    dispatch.hand_over(turn.attempts, claimed_at=asked_at)
    return bool(settled or turn.attempts)
