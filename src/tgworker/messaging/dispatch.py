"""Attempts between claim and settle.

`outbound` claims attempts and hands them over; the account's senders take them from their `Desk`; outcomes
lie here until the store has committed them. The dispatch outlives every loop: an `outbound` that is restarted
finds the outcomes of its predecessor, and nothing that was claimed is ever forgotten by this process.
"""

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from tgworker.messaging.desk import Desk
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT
from tgworker.messaging.models import DEFAULT_TEXT_LIMIT, AccountId, Attempt, MessageId
from tgworker.messaging.outcomes import Released, Settled, Unresolved

SLOTS = 50
"""So much one account holds at a time, in flight and queued: neither a claim nor a settle is waited for while
something could be sent. With 20, a message cost the worker a fifth more time on the embedded store, and half
as much again on Supabase."""


@dataclass(frozen=True, slots=True)
class DispatchStatistics:
    """How much lies between claim and settle.

    Attributes:
        online: Accounts that take attempts.
        claimed: Messages that were claimed and are not settled, in whatever state.
        in_flight: Of these, in a sender's hands.
        parked: Of these, waiting a few seconds for their chat's turn.
        unsettled: Of these, with an outcome that the store has not committed.
    """

    online: int
    claimed: int
    in_flight: int
    parked: int
    unsettled: int


class Dispatch:
    """Everything that this process has claimed and the store has not settled.

    Args:
        slots: How many attempts one account may hold at a time, queued and in flight together.
        parking: How many more may wait with it for their chat's turn.
    """

    def __init__(self, slots: int = SLOTS, parking: int = 100) -> None:
        self._slots = slots
        self._parking = parking
        self._desks: dict[AccountId, Desk] = {}
        self._text_limits: dict[AccountId, Callable[[], int]] = {}
        self._caption_limits: dict[AccountId, Callable[[], int]] = {}
        self._seekers: dict[AccountId, Callable[[str], None]] = {}
        self._known: set[MessageId] = set()
        self._unsettled: list[Settled] = []
        self._news = trio.Event()

    @contextmanager
    def open_desk(
        self,
        account_id: AccountId,
        text_limit: Callable[[], int] = lambda: DEFAULT_TEXT_LIMIT,
        caption_limit: Callable[[], int] = lambda: DEFAULT_CAPTION_LIMIT,
    ) -> Generator[Desk]:
        """Take attempts for an account while the block runs: the account is online.

        Args:
            account_id: The account.
            text_limit: How long its server lets one message be, in UTF-16 code units.
            caption_limit: The same of what stands under a file.
        """
        desk = Desk(self._slots, self._parking, file=self.file, ring=self.ring)
        self._desks[account_id] = desk
        self._text_limits[account_id] = text_limit
        self._caption_limits[account_id] = caption_limit
        self.ring()  # an account that came online may have rows waiting
        try:
            yield desk
        finally:
            del self._desks[account_id]
            del self._text_limits[account_id]
            del self._caption_limits[account_id]
            desk.close("the account went offline")

    @contextmanager
    def seeking(self, account_id: AccountId, want: Callable[[str], None]) -> Generator[None]:
        """Tell whom messages of an account are for that wait to be resolved, while the block runs.

        ``want`` hears of each once the store knows that it waits; with a desk or without one. What was stored
        before is for the store to say.
        """
        self._seekers[account_id] = want
        try:
            yield
        finally:
            if self._seekers.get(account_id) is want:
                del self._seekers[account_id]

    def online(self) -> frozenset[AccountId]:
        """The accounts with an open desk."""
        return frozenset(self._desks)

    def slots(self) -> Mapping[AccountId, int]:
        """The free slots of each account that has any: what a claim may ask for."""
        return {account: desk.free_slots for account, desk in self._desks.items() if desk.free_slots > 0}

    def text_limit(self) -> int:
        """How long one message may be, whichever account sends it: they have one Telegram."""
        return min((limit() for limit in self._text_limits.values()), default=DEFAULT_TEXT_LIMIT)

    def caption_limit(self) -> int:
        """How long what stands under a file may be, whichever account sends it."""
        return min((limit() for limit in self._caption_limits.values()), default=DEFAULT_CAPTION_LIMIT)

    def known(self, *, besides: Iterable[Settled] = ()) -> frozenset[MessageId]:
        """Every message that was claimed by this process and is not settled yet.

        Args:
            besides: Not these, which are being settled: should the store have a newer attempt of one, it is
                to hand that over.
        """
        return frozenset(self._known.difference(item.attempt.message_id for item in besides))

    def withdraw(self, message_ids: Iterable[MessageId]) -> None:
        """Give messages back that somebody has cancelled, as far as nothing of them has left."""
        for message_id in message_ids:
            for desk in self._desks.values():
                desk.withdraw(message_id)

    def hand_over(self, attempts: Iterable[Attempt], *, claimed_at: float = math.inf) -> None:
        """Give claimed attempts to their accounts; never blocks.

        What an account that went offline since the claim, or whose desk is full, cannot take is `Released`. A
        message that is here already is left out: an earlier attempt of it is on its way, and one message has
        one outcome. Should the store insist on the newer attempt, it hands it over again once the earlier one
        is settled and no more `known`.

        Args:
            attempts: The attempts.
            claimed_at: Not later than their claim, on trio's clock: from then on they may expire.
        """
        for attempt in attempts:
            if attempt.message_id in self._known:
                continue
            self._known.add(attempt.message_id)
            desk = self._desks.get(attempt.account_id)
            if desk is None:
                self.file(Settled(attempt, Released("the account went offline")))
            elif desk.free_slots < 1:
                self.file(Settled(attempt, Released("the account's desk is full")))
            else:
                desk.hand_over(attempt, claimed_at=claimed_at)

    def file(self, settled: Settled) -> None:
        """Keep an outcome until the store has committed it."""
        self._unsettled.append(settled)
        self.ring()

    def unsettled(self) -> tuple[Settled, ...]:
        """The outcomes that the store has not committed yet, oldest first."""
        return tuple(self._unsettled)

    def forget(self, settled: tuple[Settled, ...]) -> None:
        """The store has committed these: the first ``len(settled)`` of `unsettled`."""
        del self._unsettled[: len(settled)]
        self._known.difference_update(item.attempt.message_id for item in settled)
        for item in settled:
            if isinstance(item.outcome, Unresolved) and item.attempt.account_id in self._seekers:
                self._seekers[item.attempt.account_id](item.attempt.to)

    def statistics(self) -> DispatchStatistics:
        """How much of it there is, now."""
        return DispatchStatistics(
            online=len(self._desks),
            claimed=len(self._known),
            in_flight=sum(desk.in_flight for desk in self._desks.values()),
            parked=sum(desk.parked for desk in self._desks.values()),
            unsettled=len(self._unsettled),
        )

    @property
    def news(self) -> trio.Event:
        """What the next news will set."""
        return self._news

    async def wait_news(self, since: trio.Event | None = None) -> None:
        """Wait for an outcome or for an account that comes online; no wait while outcomes lie here.

        Args:
            since: `news` as it was at some time: what came since then is news, too.
        """
        if self._unsettled:
            await trio.lowlevel.checkpoint()
            return
        await (self._news if since is None else since).wait()

    def ring(self) -> None:
        """Wake whoever waits for news: there may be some."""
        self._news.set()
        self._news = trio.Event()
