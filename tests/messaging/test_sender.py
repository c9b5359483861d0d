"""A sender: what becomes of an attempt, at which second, whatever happens to it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import pytest
import trio
import trio.testing

from file_fakes import no_sender
from messaging.messaging_fakes import (
    ANNA,
    PEER,
    SENT,
    FakeStore,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    attempt,
    format_text,
    gate_of,
)
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import SendFinished
from tgworker.messaging.formatted import Entity, EntityKind
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Attempt, Copy, Doubt, Look, Owned
from tgworker.messaging.outcomes import (
    Deferred,
    Outcome,
    Refused,
    Released,
    Sent,
    Settled,
    Unknown,
    Unresolved,
    Unsure,
)
from tgworker.messaging.pacing import UNPACED, Rate, Rates
from tgworker.messaging.sender import ASKED, run_sender


@dataclass
class Stage:
    """Senders at a desk."""

    dispatch: Dispatch
    desk: Desk
    line: ScriptedConnection
    store: FakeStore
    pulse: RecordingPulse
    report: Reports
    senders: trio.CancelScope
    settled: Settled | None = None

    async def outcome_of(self, one: Attempt) -> tuple[float, Outcome]:
        """Hand one attempt over, and wait for what becomes of it and when."""
        self.dispatch.hand_over([one])
        await self.dispatch.wait_news()
        (settled,) = self.dispatch.unsettled()
        assert settled.attempt.message_id == one.message_id
        self.settled = settled
        self.dispatch.forget((settled,))
        return trio.current_time(), settled.outcome


@asynccontextmanager
async def stage(senders: int = 1, *, rates: Rates = UNPACED) -> AsyncGenerator[Stage]:
    dispatch, line, store = Dispatch(), ScriptedConnection(), FakeStore()
    pulse, report = RecordingPulse(), Reports()
    gate = gate_of(store, report, rates=rates)
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            for _ in range(senders):
                nursery.start_soon(
                    partial(
                        run_sender,
                        pulse,
                        desk=desk,
                        gate=gate,
                        connection=line,
                        store=store,
                        limits=Limits(),
                        report=report,
                        format_text=format_text,
                        files=no_sender(line, gate, store),
                    )
                )
            await trio.testing.wait_all_tasks_blocked()
            yield Stage(dispatch, desk, line, store, pulse, report, nursery.cancel_scope)
            nursery.cancel_scope.cancel()


OUTCOMES = [
    SENT,
    Sent(None),
    Deferred(17, "FLOOD_WAIT_17"),
    Refused("CHAT_WRITE_FORBIDDEN"),
    Unknown("the line broke"),
    Released("the line was gone"),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
async def test_what_telegram_says_is_filed_and_reported(
    outcome: Outcome, autojump_clock: trio.testing.MockClock
) -> None:
    async with stage() as here:
        here.line.sends["hello"] = outcome
        assert await here.outcome_of(attempt("1")) == (0, outcome)
        await trio.testing.wait_all_tasks_blocked()
        assert here.line.sent == [(0, PEER.chat_id, "hello", attempt("1").random_id)]
        reason = None if isinstance(outcome, Sent) else outcome.reason
        name = type(outcome).__name__.lower()
        assert here.report.of(SendFinished) == [
            SendFinished(ANNA, attempt("1").message_id, 1, name, 0, reason)
        ]


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
async def test_a_message_without_text_is_refused_before_anything_is_sent(text: str) -> None:
    async with stage() as here:
        _, outcome = await here.outcome_of(attempt("1", text=text, peer=None))
        assert outcome == Refused("the message has no text")
        assert here.line.sent == []


# ------------------------------------------------ formatted and long texts


async def test_markup_is_read_and_sent_as_formatting() -> None:
    async with stage() as here:
        marked = replace(attempt("1", text="*hello*"), parse_mode="stars")
        assert (await here.outcome_of(marked))[1] == SENT
        assert [text for _, _, text, _ in here.line.sent] == ["hello"]
        assert here.line.entities == [(Entity(EntityKind.BOLD, 0, 5),)]
        assert here.settled is not None
        assert here.settled.attempt.parts == 1


async def test_markup_that_nobody_knows_is_refused_before_anything_is_sent() -> None:
    async with stage() as here:
        _, outcome = await here.outcome_of(replace(attempt("1"), parse_mode="bbcode"))
        assert outcome == Refused("parse_mode bbcode")
        assert here.line.sent == []


@pytest.mark.parametrize(("part", "text"), [(0, "0123456789"), (1, "abcdefghij"), (2, "ABCDEFGHIJ")])
async def test_of_a_long_text_the_part_that_was_claimed_is_sent(part: int, text: str) -> None:
    async with stage() as here:
        long = replace(attempt("1", text="0123456789 abcdefghij ABCDEFGHIJ"), text_limit=16, part=part)
        assert (await here.outcome_of(long))[1] == SENT
        assert [sent for _, _, sent, _ in here.line.sent] == [text]
        assert here.settled is not None
        assert here.settled.attempt.parts == 3


async def test_a_part_that_telegram_has_is_not_sent_again() -> None:
    async with stage() as here:
        long = replace(attempt("1", text="0123456789 0123456789"), text_limit=16, known_id=55)
        assert (await here.outcome_of(long))[1] == Sent(55)
        assert here.line.sent == []
        assert here.settled is not None
        assert here.settled.attempt.parts == 2


async def test_a_part_that_there_is_no_more_ends_the_message() -> None:
    """Another release of the worker had cut the same text into more."""
    async with stage() as here:
        _, outcome = await here.outcome_of(replace(attempt("1"), part=2))
        assert outcome == Sent(None)
        assert here.line.sent == []


async def test_a_send_without_an_answer_is_cut_at_exactly_30_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.sends["hello"] = None
        assert await here.outcome_of(attempt("1")) == (30, Unknown("no answer within 30 s"))
        await trio.testing.wait_all_tasks_blocked()
        assert here.report.of(SendFinished)[0].duration_s == 30
        (operation,) = here.pulse.named("telegram.send")
        assert (operation.closed_at, operation.expired) == (30, True)
        assert await here.outcome_of(attempt("2", text="well")) == (30, SENT), "the sender goes on"


@pytest.mark.parametrize("to", ["77", "@anna", "+49151123456"])
async def test_nothing_is_resolved_where_it_is_sent(to: str) -> None:
    async with stage() as here:
        _, outcome = await here.outcome_of(attempt("1", peer=None, to=to))
        assert outcome == Unresolved(ASKED)
        assert (here.line.resolved, here.line.sent) == ([], [])
        await trio.testing.wait_all_tasks_blocked()
        assert [event.outcome for event in here.report.of(SendFinished)] == ["unresolved"]


async def test_a_send_that_is_cancelled_is_unknown(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.sends["hello"] = None
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(1)
        here.senders.cancel()
    assert here.dispatch.unsettled() == (Settled(attempt("1"), Unknown("the send was cut off")),)
    assert here.report.of(SendFinished) == []


SLOW = replace(UNPACED, account=Rate(every_s=5.0, burst=1))
"""The second message waits 5 s in a sender's hands."""


async def test_what_is_cancelled_while_its_turn_is_waited_for_is_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(rates=SLOW) as here:
        assert (await here.outcome_of(attempt("0")))[1] == SENT
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(1)
        here.dispatch.withdraw([attempt("1").message_id])
        await trio.sleep(5)
        (settled,) = here.dispatch.unsettled()
        assert settled.outcome == Released("it was cancelled before anything was sent")
        assert len(here.line.sent) == 1


async def test_what_expires_while_its_turn_is_waited_for_is_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(rates=SLOW) as here:
        assert (await here.outcome_of(attempt("0")))[1] == SENT
        expiring = replace(attempt("1"), expires_in_s=5)
        here.dispatch.hand_over([expiring], claimed_at=trio.current_time())
        await trio.sleep(10)
        (settled,) = here.dispatch.unsettled()
        assert settled.outcome == Released("it expired before it was sent")
        assert len(here.line.sent) == 1


async def test_an_attempt_that_is_cancelled_before_its_send_is_released(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(rates=SLOW) as here:
        assert (await here.outcome_of(attempt("0")))[1] == SENT
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(1)
        here.senders.cancel()
    (settled,) = here.dispatch.unsettled()
    assert settled.outcome == Released("it was cut off before anything was sent")


async def test_an_attempt_that_is_handed_over_in_the_step_of_the_cancellation_is_released() -> None:
    async with stage() as here:
        here.dispatch.hand_over([attempt("1"), attempt("2")])
        here.senders.cancel()
    assert [type(item.outcome) for item in here.dispatch.unsettled()] == [Released, Released]
    assert here.line.sent == []
    assert here.dispatch.known() == {"1", "2"}


async def test_a_chat_that_waits_delays_no_other(autojump_clock: trio.testing.MockClock) -> None:
    async with stage(senders=2) as here:
        here.line.sends["slow"] = None
        here.dispatch.hand_over([attempt("slow", text="slow"), *map(attempt, "1234")])
        await trio.sleep(1)
        assert [item.attempt.message_id for item in here.dispatch.unsettled()] == list("1234")
        assert here.desk.in_flight == 1


async def test_as_many_attempts_are_in_flight_as_there_are_senders(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(senders=3) as here:
        here.line.sends["hello"] = None
        here.dispatch.hand_over(map(attempt, "12345"))
        await trio.sleep(1)
        assert here.desk.in_flight == 3
        await trio.sleep(30)
        assert {item.attempt.message_id for item in here.dispatch.unsettled()} == set("123")
        assert here.desk.in_flight == 2, "the queue moves up in its order"


async def test_a_sender_takes_one_attempt_at_a_time_in_the_order_of_the_claims() -> None:
    names = [f"{n:02}" for n in range(20)]
    async with stage() as here:
        here.dispatch.hand_over(attempt(name, text=name) for name in names)
        await trio.testing.wait_all_tasks_blocked()
        assert [text for _, _, text, _ in here.line.sent] == names
        assert {item.attempt.account_id for item in here.dispatch.unsettled()} == {AccountId("anna")}


# ------------------------------------------------ in doubt

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
COPY = Look((Copy(70, NOON),), whole=True)
LONG_AGO = Doubt(1801, top_id=42)


async def test_a_message_in_doubt_is_repeated_within_the_window_without_a_look() -> None:
    async with stage() as here:
        _, outcome = await here.outcome_of(attempt("1", doubt=Doubt(1800, 42)))
        assert outcome == SENT
        assert here.line.looked == []


async def test_beyond_the_window_it_is_found_and_not_repeated(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.looks = COPY
        assert await here.outcome_of(attempt("1", doubt=LONG_AGO)) == (0, Sent(70, NOON))
        assert here.line.looked == [(0, PEER.chat_id, "hello", 42)]
        assert here.line.sent == []


async def test_what_is_not_found_is_left_to_a_person_and_not_repeated() -> None:
    async with stage() as here:
        _, outcome = await here.outcome_of(attempt("1", doubt=LONG_AGO))
        assert isinstance(outcome, Unsure)
        here.line.looks = COPY
        here.store.belongings = Owned(frozenset({70}), rivals=False)
        _, outcome = await here.outcome_of(attempt("22", doubt=LONG_AGO))
        assert isinstance(outcome, Unsure)
        here.line.looks = Refused("CHANNEL_PRIVATE")
        _, outcome = await here.outcome_of(attempt("333", doubt=LONG_AGO))
        assert isinstance(outcome, Unsure)
        assert "CHANNEL_PRIVATE" in outcome.reason
        assert here.line.sent == []


async def test_while_nobody_can_look_nothing_is_decided(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.looks = Deferred(9, "FLOOD_WAIT_9")
        assert await here.outcome_of(attempt("1", doubt=LONG_AGO)) == (0, Deferred(9, "FLOOD_WAIT_9"))
        here.line.looks = TelegramAway("the line broke")
        assert await here.outcome_of(attempt("22", doubt=LONG_AGO)) == (0, Released("the line broke"))
        here.line.looks = None
        at, outcome = await here.outcome_of(attempt("333", doubt=LONG_AGO))
        assert (at, isinstance(outcome, Unknown)) == (30, True)
        here.line.looks = COPY
        here.store.weather.will("owned", "hang")
        at, outcome = await here.outcome_of(attempt("4444", doubt=LONG_AGO))
        assert (at, isinstance(outcome, Released)) == (40, True)
        assert here.line.sent == []


async def test_a_look_that_is_cut_off_leaves_the_doubt_as_it_was() -> None:
    async with stage() as here:
        here.line.looks = None
        here.dispatch.hand_over([attempt("1", doubt=LONG_AGO)])
        await trio.testing.wait_all_tasks_blocked()
        here.senders.cancel()
    (settled,) = here.dispatch.unsettled()
    assert isinstance(settled.outcome, Released)


@pytest.mark.parametrize(
    ("looks", "becomes"),
    [(COPY, Sent(70, NOON)), (Look((), whole=True), Refused("USER_IS_BLOCKED"))],
    ids=["sent", "refused"],
)
async def test_a_refusal_of_a_message_in_doubt_says_nothing_about_the_attempt_before(
    looks: Look, becomes: Outcome
) -> None:
    async with stage() as here:
        here.line.sends["hello"] = Refused("USER_IS_BLOCKED")
        here.line.looks = looks
        _, outcome = await here.outcome_of(attempt("1", doubt=Doubt(5, 42)))
        assert outcome == becomes
        assert len(here.line.sent) == 1


async def test_a_refusal_of_a_first_attempt_needs_no_look() -> None:
    async with stage() as here:
        here.line.sends["hello"] = Refused("USER_IS_BLOCKED")
        _, outcome = await here.outcome_of(attempt("1"))
        assert outcome == Refused("USER_IS_BLOCKED")
        assert here.line.looked == []
