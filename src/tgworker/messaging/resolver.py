"""Finds whom rows in state ``resolving`` are for: one child of each account, beside its senders."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import trio

from tgworker.messaging.bounded import Delays, Outage
from tgworker.messaging.events import RecipientSought, Report
from tgworker.messaging.gate import Gate
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Peer, Recipients
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.messaging.pacing import Rate
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.seeking import METHODS, MOST_NAMES, Seeking, Turn, method_of
from tgworker.messaging.store_ports import RecipientStore

ASK_AGAIN_S = 60.0
"""Who waits for a name asks again after this, in case there was no room for it among the others."""

AGAIN_S = 1.0
"""The application holds a row just now: it is told again after this."""


@dataclass(slots=True, eq=False)
class _Finder:
    """A name that somebody waits for who has no row: what it means, once that is known."""

    answered: trio.Event = field(default_factory=trio.Event)
    answer: Peer | Refused | None = None
    waiting: int = 0


class Resolver:
    """One account's search for recipients. It outlives the account's lines.

    Each name is asked for once, in the order in which rows wanted them, within a budget of its own
    (`tgworker.messaging.seeking`): a day-long flood of these questions holds up nothing that is known. What
    Telegram says is stored at once; rows that wait then go on, or end.

    Args:
        account_id: The account.
        rate: How many usernames and phone numbers Telegram may be asked for.
        pulse: Shows the operations; the line's keepalive beats.
        gate: Keeps waits that Telegram announced, for the next process, too.
        store: Knows which rows wait, and is told what becomes of them.
        limits: ``entity_s`` and the database's deadline.
        delays: Backoff after a question that got no answer.
        outage: The resolver's view of the store.
        report: Hears of what was found.
        ring: Tells who claims that rows may have become due.
    """

    def __init__(
        self,
        account_id: AccountId,
        *,
        rate: Rate,
        pulse: Pulse,
        gate: Gate,
        store: RecipientStore,
        limits: Limits,
        delays: Delays,
        outage: Outage,
        report: Report,
        ring: Callable[[], None],
    ) -> None:
        self._account_id = account_id
        self._pulse = pulse
        self._gate = gate
        self._store = store
        self._limits = limits
        self._delays = delays
        self._outage = outage
        self._report = report
        self._ring = ring
        self._seeking = Seeking(rate)
        self._unanswered = 0
        self._finders: dict[str, _Finder] = {}
        self._news = trio.Event()

    def recall(self, recipients: Recipients) -> None:
        """Look for whom the store says that rows wait for, and heed the waits that the gate was told of."""
        now_s = trio.current_time()
        for method in METHODS:
            if (wait := self._gate.wait_of(method)) is not None:
                self._seeking.announced(method, wait.until_s, wait.reason)
        for one in recipients.sought:
            self._seeking.want(one.to, now_s, left_s=one.left_s, seen=True)
        if len(recipients.sought) >= MOST_NAMES:
            self._seeking.overflowed = True
        self._wake()

    def want(self, to: str) -> None:
        """A row waits for this name, and the store knows that it does."""
        self._seeking.want(to, trio.current_time())
        self._wake()

    async def find(self, to: str) -> Peer | Refused:
        """Find somebody whom no row waits for, within the same budget; waits as long as that takes.

        Cancellation: the name is asked for all the same, and remembered.
        """
        to = to.lower()
        finder = self._finders.setdefault(to, _Finder())
        finder.waiting += 1
        try:
            while finder.answer is None:
                self.want(to)
                with trio.move_on_after(ASK_AGAIN_S):
                    await finder.answered.wait()
            return finder.answer
        finally:
            finder.waiting -= 1
            if not finder.waiting and self._finders.get(to) is finder:
                del self._finders[to]

    async def run(self, connection: Connection) -> NoReturn:
        """Ask over this line until cancelled, or until it breaks (`TelegramAway`).

        Cancellation: what was asked and not stored is asked again, or stored, over the next line.
        """
        while True:
            await self._show()
            turn = self._seeking.next(trio.current_time())
            if turn is None and self._seeking.overflowed:
                await self._reload()
                continue
            with trio.move_on_at(float("inf") if turn is None else turn.at_s) as waiting:
                await self._news.wait()
                self._news = trio.Event()
            if waiting.cancelled_caught and turn is not None:
                await self._take(turn, connection)

    async def _take(self, turn: Turn, connection: Connection) -> None:
        answer = turn.answer
        if answer is None:
            answer = await self._ask(turn.to, connection)
        if answer is None:
            return
        record = partial(self._store.record_recipients, self._account_id, {turn.to: answer})
        left = await self._outage.insist("database.record_recipients", self._limits.database_s, record)
        if (finder := self._finders.pop(turn.to, None)) is not None:
            finder.answer = answer
            finder.answered.set()
        if left:
            self._seeking.later(turn.to, trio.current_time() + AGAIN_S, "")
        else:
            self._seeking.stored([turn.to])
        self._ring()

    async def _ask(self, to: str, connection: Connection) -> Peer | Refused | None:
        """Ask Telegram; ``None``: it is to be asked again."""
        began_s = trio.current_time()
        self._seeking.asked(to, began_s)
        answer: Peer | Refused | Deferred | None = None
        with self._pulse.deadline("telegram.entity", self._limits.entity_s):
            answer = await connection.resolve(to)
        now_s = trio.current_time()
        if answer is None:
            self._unanswered += 1
            answer = Deferred(self._delays(self._unanswered), f"no answer within {self._limits.entity_s:g} s")
        else:
            self._unanswered = 0
        self._report(
            RecipientSought(
                self._account_id,
                method_of(to),
                "found" if isinstance(answer, Peer) else type(answer).__name__.lower(),
                now_s - began_s,
                None if isinstance(answer, Peer) else answer.reason,
            )
        )
        if not isinstance(answer, Deferred):
            self._seeking.answered(to, answer, now_s)
            return answer
        until_s = now_s + answer.retry_after_s
        if answer.holds_up is HoldsUp.ROW:
            self._seeking.later(to, until_s, answer.reason)
        else:
            self._seeking.announced(method_of(to), until_s, answer.reason)
            self._gate.announced(method_of(to), answer.retry_after_s, answer.reason)
        return None

    async def _show(self) -> None:
        """Write into rows until when they wait."""
        shown = self._seeking.to_show(trio.current_time())
        if shown:
            record = partial(self._store.record_recipients, self._account_id, shown)
            await self._outage.insist("database.record_recipients", self._limits.database_s, record)

    async def _reload(self) -> None:
        self._seeking.overflowed = False
        ask = partial(self._store.recipients, self._account_id, limit=MOST_NAMES)
        self.recall(await self._outage.insist("database.recipients", self._limits.database_s, ask))

    def _wake(self) -> None:
        self._news.set()
