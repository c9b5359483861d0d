"""Lets an account's messages through when they may leave: executes what `tgworker.messaging.pacing` decides.

What has to wait, waits where it is cheapest and in nobody's way:

========================================  ===============================================================
the whole account, because of a wait      nothing is claimed for it; what was claimed is given back
the whole account, for its next token     here, in order: no other chat could go earlier
its chat, for a few seconds               parked at the desk, without a slot: to put it back into the
                                          store and to claim it again would cost two writes
its chat, for longer, and strangers       deferred in the store, with the time and the reason
========================================  ===============================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import assert_never

import trio

from tgworker.messaging.bounded import Outage, within
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report, StoreUnavailable, WaitAnnounced
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState, Attempt, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Outcome, Released, Sent
from tgworker.messaging.pacing import (
    SEND,
    STRANGERS,
    Because,
    Go,
    NotYet,
    Pacing,
    Rates,
    Scope,
    ScopeKind,
    Wait,
    restored,
    stored,
)
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import WaitStore

SHORT_S = 5.0
"""A chat that has to wait no longer than this keeps its message at the desk, and an account that has to wait
no longer than this is not called ``waiting``."""

ASK_AGAIN_S = 5.0
"""The store did not say whether somebody is a stranger: ask again after this."""

MOST_ACQUAINTED = 10_000
"""How many conversations are remembered as ones with people who know the account."""


_SENDING = Scope.method(SEND)


@dataclass(frozen=True, slots=True)
class Parked:
    """It may leave at that time of trio's clock, and stays at the desk until then."""

    until: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account with a line is, as far as its waits say.

    Attributes:
        state: ``online``, or ``waiting``.
        reason: For people, with the remedy; ``None`` where all is well.
        retry_in_s: When it will be another, if that is known, seconds.
    """

    state: AccountState
    reason: str | None = None
    retry_in_s: float | None = None


class Gate:
    """One account's pacing. It outlives the account's lines.

    Args:
        account_id: The account.
        rates: How fast it may send.
        store: Keeps waits, and knows who knows whom.
        limits: The database deadline.
        outage: The gate's view of the store.
        report: Hears of waits and outages.
        tell: Hears of every new standing while the account has a line.
        now: The calendar's time, aware, for what people read.
    """

    def __init__(
        self,
        account_id: AccountId,
        *,
        rates: Rates,
        store: WaitStore,
        limits: Limits,
        outage: Outage,
        report: Report,
        tell: Callable[[Standing], None],
        now: Callable[[], datetime],
    ) -> None:
        self._account_id = account_id
        self._pacing = Pacing(rates)
        self._store = store
        self._limits = limits
        self._outage = outage
        self._report = report
        self._tell = tell
        self._now = now
        self._desk: Desk | None = None
        self._turn = trio.Lock()
        self._news = trio.Event()
        self._unsaved = trio.Event()
        self._told: tuple[AccountState, Wait | None] | None = None
        self._acquainted: set[str] = set()

    # ---------------------------------------------------------------- for senders

    def closed(self) -> Wait | None:
        """The wait because of which the account sends nothing now."""
        return self._pacing.wait_of(_SENDING, trio.current_time())

    async def admit(self, pulse: Pulse, attempt: Attempt, peer: Peer) -> Go | Parked | Deferred | Released:
        """Wait for the account's turn, and say whether this message may leave now.

        Args:
            pulse: The sender's.
            attempt: The message.
            peer: Whom it goes to.

        Cancellation: nothing was taken.
        """
        try:
            stranger = await self._is_stranger(pulse, attempt, peer)
        except StoreAway as error:
            self._report(StoreUnavailable("database.acquainted", str(error), ASK_AGAIN_S, self._account_id))
            return Deferred(ASK_AGAIN_S, "the store did not say whether this would be a stranger")
        if not self._turn.locked():
            answer = self._pacing.ask(peer.chat_id, trio.current_time(), stranger=stranger)
            if isinstance(answer, Go):
                return answer
        async with self._turn:
            while True:
                now_s = trio.current_time()
                answer = self._pacing.ask(peer.chat_id, now_s, stranger=stranger)
                if isinstance(answer, Go):
                    return answer
                if answer.because is not Because.SHARED:
                    return self._refuse(answer, now_s)
                await trio.sleep_until(answer.until_s)

    def admit_forward(self, peer: Peer) -> Deferred | None:
        """Take a turn for a forward, which is a send as any other; ``None``: it may leave now."""
        now_s = trio.current_time()
        answer = self._pacing.ask(peer.chat_id, now_s)
        return None if isinstance(answer, Go) else Deferred(answer.until_s - now_s, answer.reason)

    def note(self, peer: Peer, outcome: Outcome) -> None:
        """Learn from what became of a message."""
        if isinstance(outcome, Sent):
            self._pacing.sent(peer.chat_id)
        if not isinstance(outcome, Deferred):
            return
        match outcome.holds_up:
            case HoldsUp.ROW:
                return
            case HoldsUp.CHAT:
                scope = Scope.chat(peer.chat_id)
            case HoldsUp.METHOD | HoldsUp.SUBSCRIPTION:
                scope = _SENDING
            case HoldsUp.STRANGERS:
                scope = STRANGERS
            case _:
                assert_never(outcome.holds_up)
        now_s = trio.current_time()
        wait = Wait(scope, now_s + outcome.retry_after_s, outcome.reason)
        ours = outcome.holds_up is not HoldsUp.SUBSCRIPTION
        if self._pacing.announced(wait, now_s, chat_id=peer.chat_id, ours=ours):
            self._report(
                WaitAnnounced(self._account_id, scope.kind.value, outcome.retry_after_s, outcome.reason)
            )
            self._unsaved.set()
            self._halt_or_go_on()  # before the outcome is filed: what is given back is not claimed again
            self._news.set()

    # ---------------------------------------------------------------- for the resolver

    def wait_of(self, method: str) -> Wait | None:
        """The wait that Telegram announced for a method, if it is not over."""
        return self._pacing.wait_of(Scope.method(method), trio.current_time())

    def announced(self, method: str, wait_s: float, reason: str) -> None:
        """Telegram will be asked by a method no more for so long: the next process is to know it, too."""
        now_s = trio.current_time()
        if self._pacing.announced(Wait(Scope.method(method), now_s + wait_s, reason), now_s, ours=False):
            self._report(WaitAnnounced(self._account_id, ScopeKind.METHOD.value, wait_s, reason))
            self._unsaved.set()

    # ---------------------------------------------------------------- for the account's child

    async def recall(self, outage: Outage) -> None:
        """Ask the store what an earlier process was asked to wait for; insists, on the child's own pulse."""
        call = partial(self._store.waits, self._account_id)
        waits = await outage.insist("database.waits", self._limits.database_s, call)
        for wait in restored(waits, trio.current_time()):
            self._pacing.recalled(wait)

    def attach(self, desk: Desk) -> Standing:
        """Mind a new line's desk; returns what the account is from now on."""
        self._desk = desk
        self._halt_or_go_on()
        self._told, standing = self._standing()
        return standing

    async def run(self) -> None:
        """Open the desk when a wait is over, and tell what the account is; returns never."""
        while True:
            news = self._news
            self._halt_or_go_on()
            told, standing = self._standing()
            if told != self._told:
                self._told = told
                self._tell(standing)
            waits = [wait for wait in self._pacing.waits(trio.current_time()) if _concerns_all(wait)]
            with trio.move_on_at(waits[0].until_s if waits else float("inf")):
                await news.wait()
            if news.is_set():
                self._news = trio.Event()

    async def keep(self) -> None:
        """Store what Telegram asked for; returns never.

        Cancellation: what was not stored yet is forgotten. Whoever comes next asks Telegram once in vain.
        """
        while True:
            await self._unsaved.wait()
            self._unsaved = trio.Event()
            await self._outage.insist("database.save_waits", self._limits.database_s, self._save)

    # ---------------------------------------------------------------- inside

    async def _save(self) -> None:
        now_s = trio.current_time()
        await self._store.save_waits(self._account_id, stored(self._pacing.waits(now_s), now_s))

    async def _is_stranger(self, pulse: Pulse, attempt: Attempt, peer: Peer) -> bool:
        """Whether this would be a first message to a stranger, where that matters. Raises `StoreAway`."""
        if not self._pacing.is_wary():
            return False
        if peer.kind is not PeerKind.USER or peer.is_self or peer.is_contact:
            return False
        if attempt.part > 0 or attempt.conversation_id in self._acquainted:
            return False  # (What came before in the same message is there already.)
        acquainted = await within(
            pulse,
            "database.acquainted",
            self._limits.database_s,
            lambda: self._store.is_acquainted(self._account_id, attempt.conversation_id),
        )
        if acquainted:
            if len(self._acquainted) >= MOST_ACQUAINTED:
                self._acquainted.clear()
            self._acquainted.add(attempt.conversation_id)
        return not acquainted

    def _refuse(self, answer: NotYet, now_s: float) -> Parked | Deferred | Released:
        wait_s = answer.until_s - now_s
        if answer.because is Because.METHOD:
            return Released(answer.reason)
        can_park = self._desk is not None and self._desk.can_park
        if answer.because is Because.CHAT and wait_s <= SHORT_S and can_park:
            return Parked(answer.until_s)
        return Deferred(wait_s, answer.reason)

    def _halt_or_go_on(self) -> None:
        if self._desk is not None:
            self._desk.halt(halted=self.closed() is not None)

    def _standing(self) -> tuple[tuple[AccountState, Wait | None], Standing]:
        now_s = trio.current_time()
        closed = self.closed()
        if closed is not None and closed.until_s - now_s > SHORT_S:
            left_s = closed.until_s - now_s
            words = f"{closed.reason}: Telegram lets this account send nothing until {self._at(left_s)}"
            return (AccountState.WAITING, closed), Standing(
                AccountState.WAITING, f"{words}; what is queued leaves then", left_s
            )
        strangers = self._pacing.strangers(now_s)
        if strangers is not None:
            words = f"{strangers.reason}: Telegram takes no first messages to strangers from this account"
            return (AccountState.ONLINE, strangers), Standing(
                AccountState.ONLINE,
                f"{words}; others go on. Ask @SpamBot; tried again {self._at(strangers.until_s - now_s)}",
            )
        return (AccountState.ONLINE, None), Standing(AccountState.ONLINE)

    def _at(self, in_s: float) -> str:
        at = self._now().astimezone(UTC) + timedelta(seconds=in_s)
        return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _concerns_all(wait: Wait) -> bool:
    return wait.scope.kind is not ScopeKind.CHAT
