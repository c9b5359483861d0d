"""Attempts between claim and settle: nothing is forgotten, nothing is in two places."""

import math
from contextlib import ExitStack, suppress
from dataclasses import replace

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.messaging_fakes import ANNA, BERT, SENT, attempt
from tgworker.messaging.desk import Desk, Flight
from tgworker.messaging.dispatch import SLOTS, Dispatch
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Settled, Unknown


def outcomes(dispatch: Dispatch) -> dict[str, Outcome]:
    return {item.attempt.message_id: item.outcome for item in dispatch.unsettled()}


async def test_attempts_are_taken_in_the_order_of_their_hand_over() -> None:
    dispatch = Dispatch(slots=3)
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("1"), attempt("2"), attempt("3")])
        assert [(await desk.take()).message_id for _ in range(3)] == ["1", "2", "3"]


async def test_a_desk_offers_the_slots_that_neither_its_queue_nor_its_flights_take() -> None:
    dispatch = Dispatch(slots=3)
    assert dispatch.slots() == {}
    with dispatch.open_desk(ANNA) as desk:
        assert dispatch.slots() == {ANNA: 3}
        dispatch.hand_over([attempt("1"), attempt("2")])
        assert dispatch.slots() == {ANNA: 1}
        with desk.fly(await desk.take()):
            assert desk.free_slots == 1
            dispatch.hand_over([attempt("3")])
            assert dispatch.slots() == {}, "a full account is not asked for at all"
        assert dispatch.slots() == {ANNA: 1}


async def test_an_attempt_given_to_a_sender_that_has_not_run_yet_takes_a_slot() -> None:
    dispatch = Dispatch(slots=2)
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            nursery.start_soon(desk.take)
            nursery.start_soon(desk.take)
            await trio.testing.wait_all_tasks_blocked()
            dispatch.hand_over([attempt("1"), attempt("2")])
            assert desk.free_slots == 0
            await trio.testing.wait_all_tasks_blocked()


async def test_a_landed_flight_is_filed_with_its_outcome() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("1")])
        with desk.fly(await desk.take()) as flight:
            flight.take_off()
            flight.land(SENT)
        assert dispatch.unsettled() == (Settled(attempt("1"), SENT),)
        assert dispatch.known() == {"1"}, "known until the store has committed the outcome"


async def test_a_flight_that_is_cut_off_is_released_before_bytes_may_have_left_and_unknown_after() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("still here"), attempt("in the air")])
        with trio.CancelScope() as scope, desk.fly(await desk.take()):
            scope.cancel()
            await trio.sleep_forever()
        with trio.CancelScope() as scope, desk.fly(await desk.take()) as flight:
            flight.take_off()
            scope.cancel()
            await trio.sleep_forever()
        assert [type(item.outcome) for item in dispatch.unsettled()] == [Released, Unknown]
        assert desk.in_flight == 0


async def test_a_sender_that_crashes_leaves_an_outcome_behind() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("1")])
        taken = await desk.take()
        with suppress(ZeroDivisionError), desk.fly(taken) as flight:
            flight.take_off()
            raise ZeroDivisionError
        assert outcomes(dispatch) == {"1": Unknown("the send was cut off")}


async def test_what_no_sender_took_is_given_back_when_the_account_goes_offline() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA):
        dispatch.hand_over([attempt("1"), attempt("2")])
        assert dispatch.online() == {ANNA}
    assert dispatch.online() == set()
    assert outcomes(dispatch) == dict.fromkeys("12", Released("the account went offline"))


async def test_what_was_claimed_for_an_account_that_is_gone_is_released() -> None:
    dispatch = Dispatch()
    dispatch.hand_over([attempt("1", BERT)])
    assert outcomes(dispatch) == {"1": Released("the account went offline")}


async def test_more_than_a_desk_takes_is_released_and_never_blocks() -> None:
    dispatch = Dispatch(slots=1)
    with dispatch.open_desk(ANNA):
        dispatch.hand_over([attempt("1"), attempt("2")])
        assert outcomes(dispatch) == {"2": Released("the account's desk is full")}


async def test_a_message_that_is_claimed_twice_has_one_flight_and_one_outcome() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("1")])
        dispatch.hand_over([attempt("1", number=2)])
        with desk.fly(await desk.take()) as flight:
            dispatch.hand_over([attempt("1", number=3)])
            flight.land(SENT)
        dispatch.hand_over([attempt("1", number=4)])
        assert dispatch.unsettled() == (Settled(attempt("1"), SENT),)
        dispatch.forget(dispatch.unsettled())
        assert dispatch.statistics().claimed == 0
        dispatch.hand_over([attempt("1", number=5)])
        assert (await desk.take()).number == 5, "settled and no more known: the store may insist"


async def test_outcomes_that_come_while_others_are_being_settled_stay() -> None:
    dispatch = Dispatch()
    dispatch.hand_over([attempt("1"), attempt("2")])
    settled = dispatch.unsettled()
    dispatch.hand_over([attempt("3")])
    dispatch.forget(settled)
    assert set(outcomes(dispatch)) == {"3"} == dispatch.known()


async def test_busy_since_is_the_start_of_the_oldest_flight(autojump_clock: trio.testing.MockClock) -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        assert desk.busy_since == math.inf
        dispatch.hand_over([attempt("1"), attempt("2")])
        with ExitStack() as newer:
            with desk.fly(await desk.take()):
                await trio.sleep(3)
                newer.enter_context(desk.fly(await desk.take()))
                await trio.sleep(4)
                assert desk.busy_since == 0
            assert desk.busy_since == 3
        assert desk.busy_since == math.inf


async def test_what_is_withdrawn_from_the_queue_is_given_back_and_the_rest_keeps_its_order() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over(map(attempt, "12345"))
        dispatch.withdraw([MessageId("2"), MessageId("4"), MessageId("nobody")])
        assert set(outcomes(dispatch)) == {"2", "4"}
        assert all(isinstance(item.outcome, Released) for item in dispatch.unsettled())
        assert [(await desk.take()).message_id for _ in range(3)] == ["1", "3", "5"]
        assert desk.free_slots == SLOTS - 3


async def test_what_is_withdrawn_while_parked_is_given_back() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over(map(attempt, "12"))
        for _ in range(2):
            with desk.fly(await desk.take()) as flight:
                flight.park(1000)
        dispatch.withdraw([MessageId("1")])
        assert set(outcomes(dispatch)) == {"1"}
        assert desk.parked == 1


async def test_a_flight_that_is_withdrawn_does_not_take_off() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over(map(attempt, "12"))
        with desk.fly(await desk.take()) as flight:
            dispatch.withdraw([MessageId("1")])
            kept = Released("it was cancelled before anything was sent")
            assert flight.take_off() == kept
            flight.land(kept)
        with desk.fly(await desk.take()) as flight:
            assert flight.take_off() is None
            dispatch.withdraw([MessageId("2")])
            flight.land(SENT)
        assert outcomes(dispatch) == {"1": kept, "2": SENT}, "what has left has left"


async def test_a_flight_that_is_withdrawn_is_not_parked() -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        dispatch.hand_over([attempt("1")])
        with desk.fly(await desk.take()) as flight:
            dispatch.withdraw([MessageId("1")])
            flight.park(1000)
        assert isinstance(outcomes(dispatch)[MessageId("1")], Released)
        assert desk.parked == 0


async def test_what_a_sender_was_just_given_is_withdrawn_as_well() -> None:
    dispatch = Dispatch()
    kept: list[Released | None] = []

    async def sender(desk: Desk) -> None:
        with desk.fly(await desk.take()) as flight:
            kept.append(flight.take_off())

    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            nursery.start_soon(sender, desk)
            await trio.testing.wait_all_tasks_blocked()
            dispatch.hand_over([attempt("1")])  # the sender has it, and has not run
            dispatch.withdraw([MessageId("1")])
            await trio.testing.wait_all_tasks_blocked()
    assert kept == [Released("it was cancelled before anything was sent")]


async def test_what_expires_in_hand_does_not_take_off(autojump_clock: trio.testing.MockClock) -> None:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        claimed_at = trio.current_time()
        await trio.sleep(1)  # the store's answer took so long
        one = replace(attempt("1"), expires_in_s=10)
        two = replace(attempt("2"), expires_in_s=10)
        dispatch.hand_over([one, two], claimed_at=claimed_at)
        await trio.sleep(8.5)
        with desk.fly(await desk.take()) as flight:
            assert flight.take_off() is None
            flight.land(SENT)
        await trio.sleep(0.5)
        with desk.fly(await desk.take()) as flight:
            assert flight.take_off() == Released("it expired before it was sent")


async def test_news_are_an_outcome_and_an_account_that_comes_online(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dispatch = Dispatch()
    heard: list[float] = []

    async def listen() -> None:
        while True:
            await dispatch.wait_news()
            heard.append(trio.current_time())
            dispatch.forget(dispatch.unsettled())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await trio.sleep(1)
        with dispatch.open_desk(ANNA) as desk:
            await trio.sleep(1)
            dispatch.hand_over([attempt("1")])
            await trio.sleep(1)
            with desk.fly(await desk.take()):
                await trio.sleep(1)
            await trio.sleep(1)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert heard == [1, 4], "not: a claim, or an account that goes offline with nothing in hand"


async def test_waiting_for_news_returns_at_once_while_outcomes_lie_here() -> None:
    dispatch = Dispatch()
    dispatch.hand_over([attempt("1")])
    with trio.testing.assert_checkpoints():
        await dispatch.wait_news()


# ---------------------------------------------------------------- properties

ACCOUNTS = (ANNA, BERT)
NAMES = (
    "online",
    "offline",
    "hand-over",
    "withdraw",
    "take",
    "take-off",
    "land",
    "cut-off",
    "begin-to-settle",
    "committed",
)
STEPS = st.tuples(
    st.sampled_from((*NAMES, "hand-over", "take")),
    st.lists(st.integers(0, 15), min_size=1, max_size=5),
)
OUTCOMES: tuple[Outcome, ...] = (SENT, Deferred(3, "FLOOD_WAIT_3"), Refused("no"), Unknown("?"))


class World:
    """A dispatch, its desks and flights, beside a model of where each attempt must be."""

    def __init__(self) -> None:
        self.dispatch = Dispatch(slots=3)
        self.desks: dict[AccountId, tuple[Desk, ExitStack]] = {}
        self.flights: list[tuple[Flight, ExitStack]] = []
        self.settling: tuple[Settled, ...] = ()
        self.claimed: set[MessageId] = set()
        self.committed: set[MessageId] = set()

    async def step(self, name: str, numbers: list[int]) -> None:
        """Do something, if it can be done now. The first number says to whom."""
        account_id = ACCOUNTS[numbers[0] % 2]
        online = account_id in self.desks
        chosen = numbers[0] % len(self.flights) if self.flights else None
        match name:
            case "online" if not online:
                stack = ExitStack()
                self.desks[account_id] = stack.enter_context(self.dispatch.open_desk(account_id)), stack
            case "offline" if online:
                # As in an account's child: its senders have ended before its desk is closed.
                for flight, flown in [one for one in self.flights if one[0].attempt.account_id == account_id]:
                    self.flights.remove((flight, flown))
                    flown.close()
                self.desks.pop(account_id)[1].close()
            case "hand-over":
                claimed = [attempt(str(n), ACCOUNTS[n % 2]) for n in numbers]
                self.claimed.update(one.message_id for one in claimed)
                self.committed.difference_update(one.message_id for one in claimed)
                self.dispatch.hand_over(claimed)
            case "withdraw":
                self.dispatch.withdraw(MessageId(str(n)) for n in numbers)
            case "take" if online and self.queued(account_id):
                desk = self.desks[account_id][0]
                stack = ExitStack()
                self.flights.append((stack.enter_context(desk.fly(await desk.take())), stack))
            case "take-off" if chosen is not None:
                self.flights[chosen][0].take_off()
            case "land" if chosen is not None:
                flight, stack = self.flights.pop(chosen)
                flight.land(OUTCOMES[numbers[-1] % len(OUTCOMES)])
                stack.close()
            case "cut-off" if chosen is not None:
                self.flights.pop(chosen)[1].close()
            case "begin-to-settle":
                self.settling = self.dispatch.unsettled()
            case "committed":
                self.dispatch.forget(self.settling)
                self.committed.update(item.attempt.message_id for item in self.settling)
                self.settling = ()
            case _:
                pass

    def queued(self, account_id: AccountId) -> int:
        desk, _ = self.desks[account_id]
        return 3 - desk.free_slots - desk.in_flight

    def check(self) -> None:
        dispatch = self.dispatch
        queued = sum(map(self.queued, self.desks))
        flying = {flight.attempt.message_id for flight, _ in self.flights}
        unsettled = [item.attempt.message_id for item in dispatch.unsettled()]
        assert len(set(unsettled)) == len(unsettled), "two outcomes for one message"
        assert not flying & set(unsettled), "in two places at once"
        assert flying | set(unsettled) <= dispatch.known()
        # With the two above: each known attempt is in exactly one place, and none is in no place.
        assert len(dispatch.known()) == queued + len(flying) + len(unsettled)
        assert self.claimed == dispatch.known() | self.committed, "forgotten without a commit"
        assert all(0 <= desk.free_slots <= 3 for desk, _ in self.desks.values())
        statistics = dispatch.statistics()
        assert (statistics.claimed, statistics.in_flight) == (len(dispatch.known()), len(flying))
        assert (statistics.unsettled, statistics.online) == (len(unsettled), len(self.desks))


@settings(max_examples=300, deadline=None)
@given(plan=st.lists(STEPS, max_size=40))
def test_each_claimed_attempt_is_in_exactly_one_place_until_its_outcome_is_committed(
    plan: list[tuple[str, list[int]]],
) -> None:
    async def live() -> None:
        world = World()
        for name, numbers in [*plan, ("offline", [0]), ("offline", [1])]:
            await world.step(name, numbers)
            world.check()
        assert {item.attempt.message_id for item in world.dispatch.unsettled()} == world.dispatch.known()

    trio.run(live)


async def test_a_parked_attempt_takes_no_slot_and_comes_back_at_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dispatch = Dispatch(slots=1)
    with dispatch.open_desk(ANNA) as desk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.run_parked)
            for name, until in (("1", 3.0), ("2", 1.0), ("3", 1.0)):
                dispatch.hand_over([attempt(name)])
                with desk.fly(await desk.take()) as flight:
                    flight.park(until)
                assert dispatch.slots() == {ANNA: 1}
            assert (desk.parked, dispatch.statistics().parked) == (3, 3)
            assert dispatch.known() == {"1", "2", "3"}
            assert dispatch.unsettled() == (), "a parked flight has no outcome"
            back = [((await desk.take()).message_id, trio.current_time()) for _ in range(3)]
            assert back == [("2", 1), ("3", 1), ("1", 3)], "in the order of their times, then as they came"
            assert desk.parked == 0
            nursery.cancel_scope.cancel()


async def test_an_attempt_that_comes_back_to_a_full_desk_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dispatch = Dispatch(slots=2, parking=2)
    with dispatch.open_desk(ANNA) as desk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.run_parked)
            dispatch.hand_over([attempt("1"), attempt("2")])
            for _ in range(2):
                with desk.fly(await desk.take()) as flight:
                    assert desk.can_park
                    flight.park(1)
            assert not desk.can_park
            dispatch.hand_over([attempt("3"), attempt("4"), attempt("5")])
            await trio.sleep(2)
            assert dispatch.slots() == {}, "more than full is full"
            nursery.cancel_scope.cancel()
    assert outcomes(dispatch) == {
        "5": Released("the account's desk is full"),
        **dict.fromkeys("3412", Released("the account went offline")),
    }


async def test_a_halted_desk_takes_nothing_and_rings_when_it_goes_on() -> None:
    dispatch = Dispatch(slots=2)
    with dispatch.open_desk(ANNA) as desk:
        desk.halt(halted=True)
        assert dispatch.slots() == {}
        assert dispatch.online() == {ANNA}
        dispatch.hand_over([attempt("1")])  # claimed a moment before
        assert outcomes(dispatch) == {"1": Released("the account's desk is full")}
        news = dispatch.news
        desk.halt(halted=True)
        assert not news.is_set(), "nothing changed"
        desk.halt(halted=False)
        assert news.is_set()
        assert dispatch.slots() == {ANNA: 2}
