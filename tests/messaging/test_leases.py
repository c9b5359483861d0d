"""Leases: renewed in time, and whoever holds an account is ended before its lease runs out."""

import math
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio
import trio.testing

from messaging.messaging_fakes import ANNA, BERT, FakeStore, RecordingPulse, Reports, account, growing
from messaging.test_accounts import FakeChildren
from tgworker.messaging.accounts import run_accounts
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.leases import LOST, RUN_OUT, Nudge, run_leases
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState

TTL_S = 60.0


@dataclass
class FakeLeases:
    """Fills `ports.Leases` in memory; ``away`` says whether anybody answers."""

    until_s: dict[AccountId, float] = field(default_factory=dict[AccountId, float])
    others: dict[AccountId, float] = field(default_factory=dict[AccountId, float])
    calls: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    away: bool = False
    _lost: set[AccountId] = field(default_factory=set[AccountId])
    _loss: trio.Event = field(default_factory=trio.Event)

    async def _face(self, call: str) -> None:
        self.calls.append((trio.current_time(), call))
        await trio.lowlevel.checkpoint()
        if self.away:
            raise StoreAway("no route")

    async def acquire(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, float]:
        await self._face("acquire")
        for account_id in set(account_ids) - self.others.keys():
            self.until_s[account_id] = trio.current_time() + TTL_S
            self._lost.discard(account_id)
        return {each: self.others[each] for each in account_ids if each in self.others}

    async def renew(self) -> None:
        await self._face("renew")
        for account_id in self.until_s:
            self.until_s[account_id] = trio.current_time() + TTL_S

    async def release(self, account_ids: Collection[AccountId]) -> None:
        await self._face(f"release {', '.join(sorted(account_ids))}")
        for account_id in account_ids:
            self.until_s.pop(account_id, None)

    def left_s(self, account_id: AccountId) -> float:
        return max(0.0, self.until_s.get(account_id, -math.inf) - trio.current_time())

    def held(self) -> Collection[AccountId]:
        return tuple(self.until_s)

    async def wait_lost(self) -> Collection[AccountId]:
        while not self._lost:
            await self._loss.wait()
        return tuple(self._lost)

    def lose(self, account_id: AccountId) -> None:
        del self.until_s[account_id]
        self.others[account_id] = 30
        self._lost.add(account_id)
        self._loss.set()
        self._loss = trio.Event()

    def times(self, call: str) -> list[float]:
        return [at_s for at_s, called in self.calls if called == call]


@dataclass
class Keeping:
    """A keeper and an account sync that run."""

    leases: FakeLeases
    store: FakeStore
    children: FakeChildren
    report: Reports

    def states(self) -> list[tuple[AccountId, AccountState, str | None]]:
        return [(event.account, event.state, event.reason) for event in self.report.of(AccountChanged)]


@asynccontextmanager
async def keeping(leases: FakeLeases, store: FakeStore) -> AsyncGenerator[Keeping]:
    """Run both for the length of the block; neither is ever silent for 60 s."""
    here = Keeping(leases, store, FakeChildren(), Reports())
    nudge = Nudge()
    pulses = RecordingPulse(), RecordingPulse()
    limits = Limits()
    async with trio.open_nursery() as nursery:
        for pulse in pulses:
            nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(
                run_leases,
                pulses[0],
                leases=leases,
                children=here.children,
                nudge=nudge,
                limits=limits,
                delays=growing,
                report=here.report,
            )
        )
        await nursery.start(
            partial(
                run_accounts,
                pulses[1],
                store=store,
                dispatch=Dispatch(),
                synced=trio.Event(),
                leases=leases,
                nudge=nudge,
                children=here.children,
                limits=limits,
                delays=growing,
                report=here.report,
            )
        )
        yield here
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_leases_are_taken_before_the_start_and_renewed_every_15_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with keeping(FakeLeases(), FakeStore(account(ANNA), account(BERT))) as here:
        await trio.sleep(50)
        assert here.leases.times("acquire") == [0]
        assert here.leases.times("renew") == [0, 15, 30, 45]
        assert here.children.log == [(0, "start", ANNA), (0, "start", BERT)]


async def test_an_account_is_ended_before_its_lease_runs_out_and_started_when_the_store_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with keeping(FakeLeases(), FakeStore(account(ANNA))) as here:
        await trio.sleep(16)
        here.leases.away = True
        await trio.sleep(100 - 16)
        # Renewed last at 15: it would run out at 75, 10 s before that it is ended, which takes a second.
        assert here.children.log == [(0, "start", ANNA), (66, "stop", ANNA)]
        assert here.states() == [(ANNA, AccountState.WAITING, RUN_OUT)]
        here.leases.away = False
        await trio.sleep(30)
        assert here.children.log[2:] == [(here.leases.times("acquire")[-1], "start", ANNA)]
        assert here.leases.left_s(ANNA) > 0


async def test_a_short_outage_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with keeping(FakeLeases(), FakeStore(account(ANNA))) as here:
        await trio.sleep(16)
        here.leases.away = True
        await trio.sleep(30)
        here.leases.away = False
        await trio.sleep(200)
        assert here.children.log == [(0, "start", ANNA)]


async def test_an_account_whose_lease_is_lost_is_ended_at_once_and_its_neighbour_is_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with keeping(FakeLeases(), FakeStore(account(ANNA), account(BERT))) as here:
        await trio.sleep(20)
        here.leases.lose(ANNA)
        await trio.sleep(10)
        assert here.children.log[2:] == [(21, "stop", ANNA)]
        assert here.states() == [(ANNA, AccountState.ELSEWHERE, LOST)] * 2  # by the keeper, and by the sync
        await trio.sleep(100)
        assert set(here.children.running()) == {BERT}


async def test_an_account_that_another_worker_holds_is_asked_for_again_and_started_once_it_is_free(
    autojump_clock: trio.testing.MockClock,
) -> None:
    leases = FakeLeases(others={ANNA: 7})
    async with keeping(leases, FakeStore(account(ANNA))) as here:
        await trio.sleep(20)
        assert leases.times("acquire") == [0, 7, 14]
        assert here.children.log == []
        assert here.states() == [(ANNA, AccountState.ELSEWHERE, LOST)]
        leases.others.clear()
        await trio.sleep(10)
        assert here.children.log == [(21, "start", ANNA)]


async def test_an_account_that_is_no_longer_active_is_given_back_once_it_is_dead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with keeping(FakeLeases(), FakeStore(account(ANNA), account(BERT))) as here:
        await trio.sleep(1)
        here.store.accounts = [account(BERT)]
        await trio.sleep(70)
        assert here.children.log[2:] == [(61, "stop", ANNA)]
        assert here.leases.times(f"release {ANNA}") == [61]
        assert here.leases.held() == (BERT,)
