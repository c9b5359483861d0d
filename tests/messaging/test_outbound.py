"""The outbound loop: what it asks of the store, when, and that it loses nothing between claim and settle."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio
import trio.testing

from messaging.messaging_fakes import (
    ANNA,
    BERT,
    SENT,
    FakeOutbox,
    RecordingPulse,
    Reports,
    attempt,
    growing,
    no_delay,
)
from tgworker.messaging.bounded import Delays
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import SLOTS, Dispatch
from tgworker.messaging.events import StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import MessageId
from tgworker.messaging.outbound import run_outbound
from tgworker.messaging.outcomes import Outcome, Released, Settled, Unknown

SELDOM = Limits(outbound_every_s=50)
"""Whatever happens earlier has another cause than the poll."""


@asynccontextmanager
async def outbound(
    store: FakeOutbox,
    dispatch: Dispatch,
    *,
    limits: Limits = SELDOM,
    delays: Delays = growing,
    report: Reports | None = None,
) -> AsyncGenerator[trio.CancelScope]:
    """Run the loop for the length of the block, and see to it that it is never silent for 60 s."""
    pulse = RecordingPulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(
                run_outbound,
                pulse,
                store=store,
                dispatch=dispatch,
                limits=limits,
                delays=delays,
                report=report or Reports(),
            )
        )
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()


async def send(desk: Desk, *, after_s: float = 0, outcome: Outcome = SENT) -> None:
    """A sender that takes one attempt."""
    with desk.fly(await desk.take()) as flight:
        await trio.sleep(after_s)
        flight.land(outcome)


async def test_only_the_free_slots_of_accounts_that_are_online_are_claimed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*map(attempt, "12345"), attempt("b", BERT)), Dispatch(slots=3)
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch):
                await trio.sleep(1)
                assert [claim.slots for claim in store.claims] == [{ANNA: 3}]
                nursery.start_soon(partial(send, desk, after_s=1))
                await trio.sleep(1.5)
                assert [claim.slots for claim in store.claims[1:]] == [{ANNA: 1}], (
                    "one landed, two are queued"
                )
                assert store.claims[1].known == {"2", "3"}
    assert store.states()["b"] == "waiting"


async def test_what_is_claimed_fits_into_the_messages_of_every_account(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(), Dispatch()
    async with outbound(store, dispatch, limits=Limits(outbound_every_s=1)):
        with dispatch.open_desk(ANNA, lambda: 4096, lambda: 1024):
            with dispatch.open_desk(BERT, lambda: 1000, lambda: 2048):
                await trio.sleep(0.5)
            await trio.sleep(1)
    assert store.text_limits == [1000, 4096]
    assert store.caption_limits == [1024, 1024]


async def test_what_somebody_cancels_is_taken_off_the_desk_also_while_every_desk_is_full(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*map(attempt, "123")), Dispatch(slots=2)
    with dispatch.open_desk(ANNA) as desk:
        async with outbound(store, dispatch, limits=Limits(outbound_every_s=1)):
            await trio.sleep(1.5)
            assert dispatch.known() == {"1", "2"}
            store.cancelled.add(MessageId("2"))
            await trio.sleep(1)
            assert [type(row.outcomes[-1]) for row in store.rows.values() if row.outcomes] == [Released]
            assert dispatch.known() == {"1", "3"}, "its slot is free again"
            assert [(await desk.take()).message_id for _ in range(2)] == ["1", "3"]


async def test_what_is_claimed_may_expire_from_the_moment_that_it_was_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(replace(attempt("1"), expires_in_s=3)), Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        async with outbound(store, dispatch):
            one = await desk.take()
            await trio.sleep(3)
            with desk.fly(one) as flight:
                assert isinstance(flight.take_off(), Released)


async def test_nothing_is_claimed_while_no_account_is_online(autojump_clock: trio.testing.MockClock) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    async with outbound(store, dispatch, limits=Limits()):
        await trio.sleep(5)
    assert store.claims == []
    assert store.settles == []


async def test_an_idle_outbox_is_asked_each_tenth_of_a_second(autojump_clock: trio.testing.MockClock) -> None:
    store, dispatch = FakeOutbox(), Dispatch()
    with dispatch.open_desk(ANNA):
        async with outbound(store, dispatch, limits=Limits(outbound_every_s=0.125)):
            await trio.sleep(0.8)
    assert [claim.at for claim in store.claims] == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75]


async def test_the_loop_announces_how_long_it_sleeps(autojump_clock: trio.testing.MockClock) -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA):
        async with outbound(FakeOutbox(), dispatch, limits=Limits(outbound_every_s=300)):
            await trio.sleep(1000)  # the watch in `outbound` fails after 60 s of silence


async def test_a_backlog_is_worked_off_without_waiting_for_a_poll(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*map(attempt, "1234")), Dispatch(slots=2)

    async def senders(desk: Desk) -> None:
        while True:
            await send(desk)

    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            nursery.start_soon(senders, desk)
            async with outbound(store, dispatch):
                await trio.sleep(0.01)
                assert set(store.states().values()) == {"done"}
        nursery.cancel_scope.cancel()


async def test_outcomes_that_come_together_are_settled_in_one_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*map(attempt, "12345")), Dispatch()
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch):
                for _ in range(5):
                    nursery.start_soon(partial(send, desk, after_s=3))
                await trio.sleep(4)
    assert [(at, len(settled)) for at, settled in store.settles] == [(3, 5)]
    assert set(store.states().values()) == {"done"}
    assert dispatch.known() == set()


async def test_an_outcome_wakes_the_loop_before_its_poll_is_due(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch):
                nursery.start_soon(partial(send, desk, after_s=0.25))
                await trio.sleep(2)
    assert [at for at, _ in store.settles] == [0.25]


async def test_an_account_that_comes_online_wakes_the_loop(autojump_clock: trio.testing.MockClock) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    async with outbound(store, dispatch):
        await trio.sleep(7)
        with dispatch.open_desk(ANNA):
            await trio.sleep(1)
    assert [claim.at for claim in store.claims] == [7]


async def test_a_settle_that_fails_is_repeated_with_the_same_outcomes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch, report = FakeOutbox(attempt("1")), Dispatch(), Reports()
    store.weather.will("turn", "ok", "away", "hang", "lost", "ok")
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch, report=report):
                nursery.start_soon(send, desk)
                await trio.sleep(100)
    # away: says so at 0, repeated after 1; hangs until 11, + 2; committed but not answered until 23, + 3.
    assert [at for at, _ in store.settles] == [0, 1, 13, 26]
    assert {settled for _, settled in store.settles} == {(Settled(attempt("1"), SENT),)}
    assert store.rows[attempt("1").message_id].outcomes == [SENT], "an outcome counts once"
    assert dispatch.known() == set()
    assert [(event.reason, event.retry_in_s) for event in report.of(StoreUnavailable)] == [
        ("it is away", 1),
        ("no answer within 10 s", 2),
        ("no answer within 10 s", 3),
    ]
    assert report.of(StoreBack) == [StoreBack("outbound", 26)]


async def test_outcomes_that_come_during_an_outage_are_settled_with_the_first_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(attempt("1"), attempt("2")), Dispatch()
    store.weather.will("turn", "ok", "hang")
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch):
                await send(desk)
                nursery.start_soon(partial(send, desk, after_s=5))
                await trio.sleep(20)
    assert [(at, [item.attempt.message_id for item in items]) for at, items in store.settles] == [
        (0, ["1"]),
        (11, ["1", "2"]),
    ]


async def test_a_claim_whose_answer_was_lost_is_handed_over_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    store.weather.will("turn", "lost")
    with dispatch.open_desk(ANNA) as desk:
        async with outbound(store, dispatch):
            taken = await desk.take()
            assert (trio.current_time(), taken.number) == (11, 2)
            assert taken.random_id == attempt("1").random_id


async def test_nothing_is_lost_by_a_cancellation_between_the_claims_commit_and_the_hand_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    store.weather.will("turn", "lost")
    with dispatch.open_desk(ANNA) as desk:
        async with outbound(store, dispatch):
            await trio.sleep(2)
        assert store.states() == {"1": "sending"}
        assert dispatch.known() == set()
        async with outbound(store, dispatch):
            assert (await desk.take()).number == 2
            assert trio.current_time() == 2


async def test_the_outcomes_of_a_cancelled_incarnation_are_settled_by_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*map(attempt, "123")), Dispatch()
    store.weather.will("turn", "ok", "lost")
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            async with outbound(store, dispatch):
                await send(desk)
                nursery.start_soon(partial(send, desk, after_s=3))
                await trio.sleep(2)
            await trio.sleep(3)
            assert dispatch.known() == {"1", "2", "3"}
            async with outbound(store, dispatch):
                await trio.sleep(1)
                assert dispatch.known() == {"3"}, (
                    "queued at its desk: a restart of the loop takes nothing away"
                )
                assert desk.free_slots == SLOTS - 1
    assert [item.attempt.message_id for item in store.settles[-1][1]] == ["1", "2"]
    assert [len(row.outcomes) for row in store.rows.values()] == [1, 1, 0]


async def test_a_store_that_is_away_for_an_hour_stops_nothing_for_good(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch, report = FakeOutbox(attempt("1")), Dispatch(), Reports()
    store.weather.will("turn", *["away"] * 60)
    with dispatch.open_desk(ANNA) as desk:
        async with outbound(store, dispatch, delays=lambda _: 60, report=report):
            assert (await desk.take()).number == 1
            assert trio.current_time() == 3600
            assert report.of(StoreBack) == [StoreBack("outbound", 3600)]


async def test_backoff_begins_anew_after_each_outage(autojump_clock: trio.testing.MockClock) -> None:
    store, dispatch, report = FakeOutbox(), Dispatch(), Reports()
    store.weather.will("turn", "away", "away", "ok", "away", "ok")
    with dispatch.open_desk(ANNA):
        async with outbound(store, dispatch, limits=Limits(outbound_every_s=5), report=report):
            await trio.sleep(10)
    assert [event.retry_in_s for event in report.of(StoreUnavailable)] == [1, 2, 1]
    assert [event.away_s for event in report.of(StoreBack)] == [3, 1]


async def test_attempts_of_an_account_that_went_offline_meanwhile_are_given_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(attempt("1")), Dispatch()
    with dispatch.open_desk(ANNA):
        async with outbound(store, dispatch, delays=no_delay):
            await trio.sleep(1)
    async with outbound(store, dispatch):
        await trio.sleep(1)
    row = store.rows[attempt("1").message_id]
    assert (row.state, row.outcomes) == ("waiting", [Released("the account went offline")])


async def test_messages_of_one_chat_are_sent_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, dispatch = FakeOutbox(*(attempt(n, chat="one") for n in "123")), Dispatch()
    order: list[tuple[float, str]] = []

    async def sender(desk: Desk) -> None:
        while True:
            with desk.fly(await desk.take()) as flight:
                await trio.sleep(1)
                known = flight.attempt.message_id == "2" and flight.attempt.number == 1
                flight.land(Unknown("?") if known else SENT)
                order.append((trio.current_time(), flight.attempt.message_id))

    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            for _ in range(3):
                nursery.start_soon(sender, desk)
            async with outbound(store, dispatch):
                await trio.sleep(10)
            nursery.cancel_scope.cancel()
    assert order == [(1, "1"), (2, "2"), (3, "2"), (4, "3")]
