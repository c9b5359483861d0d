"""The loop that writes presence: one for all accounts of a worker, one call a second at most."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import PresenceWritten, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.ports import Pulse
from tgworker.messaging.presence import Presence
from tgworker.messaging.presence_board import PresenceBoard
from tgworker.messaging.store_ports import PresenceStore
from tgworker.messaging.values import utc_now

CALL_EVERY_S = 1.0
"""Between the beginnings of two calls to the store, whatever is heard."""

BEAT_EVERY_S = 30.0
"""How long the loop sleeps at most while there is nothing to write."""


class PresenceWriter:
    """Hears of presence from all lines, and writes it.

    Args:
        now: The calendar's time, aware.
        board: What is known.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now, board: PresenceBoard | None = None) -> None:
        self._now = now
        self._board = PresenceBoard() if board is None else board
        self._news = trio.Event()
        self._recalled: set[AccountId] = set()
        self._to_recall: set[AccountId] = set()

    def begin(self, account_id: AccountId) -> None:
        """An account is ours; what the store shows of its contacts from before is read, once."""
        if account_id not in self._recalled:
            self._recalled.add(account_id)
            self._to_recall.add(account_id)
            self._news.set()

    def hear(self, account_id: AccountId, news: Presence) -> None:
        """Note what an account was told. It neither waits nor fails."""
        due_at = self._board.due_at
        self._board.hear(account_id, news, trio.current_time())
        if self._board.due_at < due_at:
            self._news.set()

    def forget(self, account_id: AccountId) -> None:
        """An account is no longer ours."""
        self._recalled.discard(account_id)
        self._to_recall.discard(account_id)
        self._board.forget(account_id)

    async def run(
        self,
        pulse: Pulse,
        *,
        store: PresenceStore,
        limits: Limits,
        delays: Delays,
        report: Report,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Write what has changed, as soon as it has, but never more often than `CALL_EVERY_S`; returns never.

        Of accounts that are new what the store has is read first: who is shown online there is to be shown
        offline some time, also if it was another process that heard of him.

        While the store is away, what is so when it is back is written then: what was so in between is not.

        Args:
            pulse: This loop's sign of life.
            store: Where presence is kept.
            limits: The database deadline.
            delays: Backoff while the store is away.
            report: Hears of what was written, and of outages.
            task_status: Started at once.

        Cancellation: what was in hand is written again by the next incarnation.
        """
        task_status.started()
        outage = Outage(pulse, report, delays)
        while True:
            await self._wait_due(pulse)
            started_at = trio.current_time()
            if self._to_recall:
                await self._recall(pulse, store, limits, outage)
                await trio.sleep_until(started_at + CALL_EVERY_S)
                continue
            due = self._board.take(started_at, self._now())
            if not due.items:
                continue  # who was online is known to be gone, and was not told of
            call = partial(store.record_presence, due.items)
            try:
                await within(pulse, "database.presence", limits.database_s, call)
            except StoreAway as error:
                await outage.wait("presence", error)
            else:
                outage.over("presence")
                self._board.written(due)
                dropped, self._board.dropped = self._board.dropped, 0
                report(PresenceWritten(due.count(), dropped, trio.current_time() - started_at))
            pulse.beat()
            await trio.sleep_until(started_at + CALL_EVERY_S)

    async def _recall(self, pulse: Pulse, store: PresenceStore, limits: Limits, outage: Outage) -> None:
        account_ids = tuple(self._to_recall)
        call = partial(store.shown, account_ids)
        try:
            shown = await within(pulse, "database.presence_shown", limits.database_s, call)
        except StoreAway as error:
            await outage.wait("presence", error)
            return
        outage.over("presence")
        for account_id in account_ids:
            if account_id in self._to_recall:  # and was not given up meanwhile
                self._to_recall.discard(account_id)
                self._board.recall(account_id, shown.get(account_id, ()), trio.current_time())

    async def _wait_due(self, pulse: Pulse) -> None:
        while not self._to_recall and (left_s := self._board.due_at - trio.current_time()) > 0:
            self._news = trio.Event()
            pause_s = min(left_s, BEAT_EVERY_S)
            pulse.beat()
            pulse.expect(pause_s)
            with trio.move_on_after(pause_s):
                await self._news.wait()
        pulse.beat()
