"""The early wake-up: it rings, it is never needed, and it never spins. And the pace of looking."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import ANNA, BERT, FakeOutbox, RecordingPulse, Reports, attempt, growing
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.outbound import run_outbound
from tgworker.messaging.pace import Pace, PaceLimits
from tgworker.messaging.ports import Work
from tgworker.messaging.wakeup import run_wakeup

PACE = PaceLimits(fast_s=1, slow_s=5, watched_s=40)


class FakeWakeUp:
    """Fills `ports.WakeUp`: a wait ends when something was rung, or after 6 s."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, frozenset[AccountId]]] = []
        self.away = False
        self.always = Work.NOTHING
        self.rings = Work.MESSAGES
        self._rang = trio.Event()

    def ring(self) -> None:
        self._rang.set()
        self._rang = trio.Event()

    async def wait(self, account_ids: Collection[AccountId], *, jobs_of: Collection[AccountId]) -> Work:
        self.asked.append((trio.current_time(), frozenset(account_ids)))
        self.jobs_of = frozenset(jobs_of)
        await trio.lowlevel.checkpoint()
        if self.away:
            raise StoreAway("no route")
        if self.always:
            return self.always
        with trio.move_on_after(6) as waited:
            await self._rang.wait()
        return Work.NOTHING if waited.cancelled_caught else self.rings


@asynccontextmanager
async def watching(
    store: FakeOutbox,
    wakeup: FakeWakeUp,
    dispatch: Dispatch,
    report: Reports,
    limits_of_pace: PaceLimits = PACE,
) -> AsyncGenerator[Pace]:
    """Both loops, for the length of the block; neither is ever silent for 60 s."""
    pace = Pace(limits_of_pace)
    pulses = RecordingPulse(), RecordingPulse()
    limits = Limits()
    async with trio.open_nursery() as nursery:
        for pulse in pulses:
            nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(
                run_outbound,
                pulses[0],
                store=store,
                dispatch=dispatch,
                pace=pace,
                limits=limits,
                delays=growing,
                report=report,
            )
        )
        await nursery.start(
            partial(
                run_wakeup,
                pulses[1],
                wakeup=wakeup,
                dispatch=dispatch,
                pace=pace,
                limits=limits,
                delays=growing,
                report=report,
            )
        )
        yield pace
        nursery.cancel_scope.cancel(reason="the test is over")


def test_a_look_in_vain_doubles_the_pause_up_to_a_bound_and_a_find_ends_that() -> None:
    pace = Pace(PACE)
    assert [pace.after(found=False) for _ in range(5)] == [2, 4, 5, 5, 5]
    assert pace.after(found=True) == 1
    pace.watch(watched=True)
    assert [pace.after(found=False) for _ in range(7)] == [2, 4, 8, 16, 32, 40, 40]
    pace.watch(watched=False)
    assert pace.after(found=False) == 5
    assert [pace.after(found=False) for _ in range(2000)][-1] == 5


async def test_a_ring_is_a_look_at_once(autojump_clock: trio.testing.MockClock) -> None:
    store, wakeup, dispatch = FakeOutbox(), FakeWakeUp(), Dispatch()
    with dispatch.open_desk(ANNA):
        async with watching(store, wakeup, dispatch, Reports()):
            await trio.sleep(200)
            quiet = len(store.claims)
            await trio.sleep(3)
            assert len(store.claims) == quiet
            store.add(attempt("1"))
            wakeup.ring()
            await trio.testing.wait_all_tasks_blocked()
            assert len(store.claims) > quiet
            assert dispatch.statistics().claimed == 1


async def test_without_it_a_row_is_found_at_the_slow_pace_at_the_latest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, wakeup, dispatch, report = FakeOutbox(), FakeWakeUp(), Dispatch(), Reports()
    wakeup.away = True
    with dispatch.open_desk(ANNA):
        async with watching(store, wakeup, dispatch, report) as pace:
            await trio.sleep(100)
            assert pace.pause_s == 5
            store.add(attempt("1"))
            await trio.sleep(5)
            assert dispatch.statistics().claimed == 1
            assert report.of(StoreUnavailable)
            wakeup.away = False
            await trio.sleep(100)
            assert len(report.of(StoreBack)) == 1
            assert pace.pause_s == 40


async def test_from_when_it_is_lost_a_row_is_found_at_the_slow_pace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, wakeup, dispatch = FakeOutbox(), FakeWakeUp(), Dispatch()
    with dispatch.open_desk(ANNA):
        async with watching(store, wakeup, dispatch, Reports()) as pace:
            await trio.sleep(201)
            assert pace.pause_s == 40
            wakeup.away = True
            await trio.sleep(6)  # the wait that is under way ends
            store.add(attempt("1"))
            await trio.sleep(5)
            assert dispatch.statistics().claimed == 1


async def test_one_that_always_rings_does_not_spin(autojump_clock: trio.testing.MockClock) -> None:
    store, wakeup, dispatch = FakeOutbox(), FakeWakeUp(), Dispatch()
    wakeup.always = Work.MESSAGES
    with dispatch.open_desk(ANNA):
        async with watching(store, wakeup, dispatch, Reports()):
            await trio.sleep(100)
            assert len(wakeup.asked) < 110


async def test_where_a_look_is_cheap_the_pause_after_one_in_vain_stays_short(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, wakeup, dispatch = FakeOutbox(), FakeWakeUp(), Dispatch()
    wakeup.always = Work.MESSAGES
    limits = PaceLimits(fast_s=1, slow_s=5, watched_s=40, hush_s=0.1)
    with dispatch.open_desk(ANNA):
        async with watching(store, wakeup, dispatch, Reports(), limits):
            await trio.sleep(100.04)
            pauses = {round(later - at, 6) for (at, _), (later, _) in pairwise(wakeup.asked)}
    assert pauses == {0.05, 0.1}


async def test_only_accounts_with_a_free_slot_are_watched(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, wakeup, dispatch = FakeOutbox(attempt("1"), attempt("b", BERT)), FakeWakeUp(), Dispatch(slots=1)
    async with watching(store, wakeup, dispatch, Reports()):
        await trio.sleep(30)
        assert wakeup.asked == [(6.0 * n, frozenset()) for n in range(5)], "work that needs no account"
        with dispatch.open_desk(ANNA):
            await trio.sleep(30)
            asked = len(wakeup.asked)
            with dispatch.open_desk(BERT):
                await trio.sleep(30)
    assert {accounts for _, accounts in wakeup.asked[6:asked]} <= {frozenset({ANNA})}
    assert all(accounts <= {BERT} for _, accounts in wakeup.asked[asked:])


async def test_a_job_rings_those_who_look_for_jobs_and_does_not_spin(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wakeup, dispatch, rung = FakeWakeUp(), Dispatch(), list[float]()
    wakeup.always = Work.JOBS
    with dispatch.open_desk(ANNA):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                partial(
                    run_wakeup,
                    RecordingPulse(),
                    wakeup=wakeup,
                    dispatch=dispatch,
                    pace=Pace(PACE),
                    limits=Limits(),
                    delays=growing,
                    report=Reports(),
                    ring_jobs=lambda: rung.append(trio.current_time()),
                )
            )
            await trio.sleep(3.6)
            nursery.cancel_scope.cancel()
    assert rung == pytest.approx([0, 0.05, 0.15, 0.35, 0.75, 1.55, 2.55, 3.55])


async def test_an_account_that_may_send_nothing_is_watched_for_jobs_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, wakeup, dispatch = FakeOutbox(), FakeWakeUp(), Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        desk.halt(halted=True)
        async with watching(store, wakeup, dispatch, Reports()):
            await trio.sleep(4)
            nobody, anna = frozenset[AccountId](), frozenset([ANNA])
            assert (wakeup.asked, wakeup.jobs_of) == ([(0.0, nobody)], anna)
            desk.halt(halted=False)
            await trio.testing.wait_all_tasks_blocked()
            assert wakeup.asked[1:] == [(4.0, anna)]  # at once
            desk.halt(halted=True)
            wakeup.away = True
            await trio.sleep(10)
            assert len(wakeup.asked) > 3  # an outage is outlasted
