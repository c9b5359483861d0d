"""The gate between a desk and its senders: what waits, where it waits, and at which second it leaves."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing

from file_fakes import no_sender
from messaging.messaging_fakes import (
    ANNA,
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
from tgworker.messaging.events import SendFinished, StoreUnavailable, WaitAnnounced
from tgworker.messaging.gate import Gate, Standing
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountState, Attempt, ConversationId, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Outcome, Released, Sent
from tgworker.messaging.pacing import PUBLISHED, SEND, STRANGERS, Rates, Scope, StoredWait
from tgworker.messaging.sender import run_sender

FLOOD = Deferred(30, "FLOOD_WAIT_30", HoldsUp.METHOD)
SLOW = Deferred(60, "SLOWMODE_WAIT_60", HoldsUp.CHAT)
SPAM = Deferred(86_400, "PEER_FLOOD", HoldsUp.STRANGERS)
CLEAR = Standing(AccountState.ONLINE)


@dataclass
class Stage:
    """Senders at a desk behind a gate; what is given back is forgotten at once, as if it were settled."""

    dispatch: Dispatch
    desk: Desk
    gate: Gate
    line: ScriptedConnection
    store: FakeStore
    report: Reports
    told: list[tuple[float, Standing]] = field(default_factory=list[tuple[float, Standing]])
    outcomes: list[tuple[float, str, Outcome]] = field(default_factory=list[tuple[float, str, Outcome]])

    def write(self, count: int, chat_id: int, first: int = 0) -> list[Attempt]:
        """So many messages to one chat, all at the desk at once, as no store would hand them over."""
        kind = PeerKind.USER if chat_id > 0 else PeerKind.CHANNEL
        peer = Peer(chat_id, kind, 5)
        texts = [f"{chat_id}/{n}" for n in range(first, first + count)]
        some = [attempt(text, peer=peer, text=text, chat=str(chat_id)) for text in texts]
        self.dispatch.hand_over(some)
        return some

    def sent_at(self, chat_id: int) -> list[float]:
        return [round(at, 6) for at, to, _, _ in self.line.sent if to == chat_id]

    def filed(self) -> dict[str, Outcome]:
        return {name: outcome for _, name, outcome in self.outcomes}

    async def settle(self) -> None:
        while True:
            await self.dispatch.wait_news()
            settled = self.dispatch.unsettled()
            self.outcomes += [
                (trio.current_time(), item.attempt.message_id, item.outcome) for item in settled
            ]
            self.dispatch.forget(settled)


@asynccontextmanager
async def stage(
    *,
    senders: int = 10,
    slots: int = 20,
    parking: int = 100,
    rates: Rates = PUBLISHED,
    store: FakeStore | None = None,
) -> AsyncGenerator[Stage]:
    dispatch, line, store = Dispatch(slots, parking), ScriptedConnection(), store or FakeStore()
    pulse, report = RecordingPulse(), Reports()
    told: list[tuple[float, Standing]] = []
    gate = gate_of(
        store, report, rates=rates, tell=lambda standing: told.append((trio.current_time(), standing))
    )
    async with trio.open_nursery() as nursery:
        await gate.recall(gate._outage)
        with dispatch.open_desk(ANNA) as desk:
            here = Stage(dispatch, desk, gate, line, store, report, told)
            told.append((trio.current_time(), gate.attach(desk)))
            nursery.start_soon(gate.run)
            nursery.start_soon(gate.keep)
            nursery.start_soon(desk.run_parked)
            nursery.start_soon(here.settle)
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
            yield here
            nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- a chat's own pace


async def test_five_messages_leave_at_once_and_the_next_ones_once_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.write(8, 77)
        await trio.sleep(10)
        assert here.sent_at(77) == [0, 0, 0, 0, 0, 1, 2, 3]
        assert here.report.of(SendFinished)[-1].duration_s == 0, "to wait for its turn is no slow send"
        assert {type(outcome) for outcome in here.filed().values()} == {Sent}


async def test_a_chat_that_waits_delays_no_other(autojump_clock: trio.testing.MockClock) -> None:
    async with stage(senders=1, slots=20) as here:
        here.write(20, 77)
        await trio.sleep(0.5)
        assert here.sent_at(77) == [0] * 5
        assert here.desk.parked == 15
        assert here.dispatch.slots() == {ANNA: 20}, "what is parked takes no slot"
        here.write(5, 78)
        here.write(1, 79)
        await trio.sleep(0.5)
        assert here.sent_at(78) == [0.5] * 5
        assert here.sent_at(79) == [0.54], "one sender, and the account's own pace"


async def test_parked_messages_of_one_chat_keep_their_order(autojump_clock: trio.testing.MockClock) -> None:
    async with stage(senders=1) as here:
        here.write(12, 77)
        await trio.sleep(20)
        assert [text for _, _, text, _ in here.line.sent] == [f"77/{n}" for n in range(12)]


async def test_what_finds_no_room_to_park_is_deferred_with_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(senders=1, parking=2) as here:
        here.write(8, 77)
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert here.desk.parked == 2
        assert here.filed()["77/7"] == Deferred(1, "paced: one message every 1 s here")


async def test_a_desk_with_a_slot_again_because_one_was_parked_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(slots=6) as here:
        here.write(6, 77)
        news = here.dispatch.news
        assert here.dispatch.slots() == {}
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: 6}
        assert news.is_set()


async def test_what_is_parked_is_given_back_when_the_line_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(senders=1) as here:
        here.write(6, 77)
        await trio.testing.wait_all_tasks_blocked()
        assert here.desk.parked == 1
    (settled,) = here.dispatch.unsettled()
    assert (settled.attempt.message_id, settled.outcome) == ("77/5", Released("the account went offline"))
    assert here.dispatch.known() == {"77/5"}


# ---------------------------------------------------------------- the account's pace


async def test_all_chats_together_stay_within_the_accounts_pace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(slots=200) as here:
        for chat_id in range(1, 101):
            here.write(1, chat_id)
        await trio.sleep(10)
        times = sorted(at for at, _, _, _ in here.line.sent)
        assert times[4] == 0
        assert times[5] == pytest.approx(0.04)
        assert times[-1] == pytest.approx(95 * 0.04)
        assert max(sum(start <= at <= start + 1 for at in times) for start in times) <= 30
        assert sorted(to for _, to, _, _ in here.line.sent) == list(range(1, 101))


# ---------------------------------------------------------------- flood waits


async def test_a_flood_wait_stops_the_account_and_nothing_is_asked_in_vain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(senders=1) as here:
        here.line.sends["77/0"] = FLOOD
        here.write(1, 77)
        here.write(3, 78)
        await trio.testing.wait_all_tasks_blocked()
        assert len(here.line.sent) == 1
        assert here.filed() == {
            "77/0": FLOOD,
            "78/0": Released("FLOOD_WAIT_30"),
            "78/1": Released("FLOOD_WAIT_30"),
            "78/2": Released("FLOOD_WAIT_30"),
        }
        assert here.dispatch.slots() == {}, "nothing is claimed meanwhile"
        assert here.report.of(WaitAnnounced) == [WaitAnnounced(ANNA, "method", 30, "FLOOD_WAIT_30")]
        await trio.sleep(29.9)
        assert here.dispatch.slots() == {}
        news = here.dispatch.news
        await trio.sleep(0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: 20}
        assert news.is_set(), "the outbound loop is woken"
        here.write(3, 78, first=3)
        await trio.sleep(1)
        assert here.sent_at(78) == [30, 30.08, 30.16], "at half the pace"


async def test_the_account_says_until_when_it_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        await trio.sleep(2)
        here.line.sends["77/0"] = FLOOD
        here.write(1, 77)
        await trio.sleep(100)
        words = (
            "FLOOD_WAIT_30: Telegram lets this account send nothing until 2026-11-01 12:00:32 UTC;"
            " what is queued leaves then"
        )
        assert here.told == [(0, CLEAR), (2, Standing(AccountState.WAITING, words, 30)), (32, CLEAR)]


async def test_a_wait_of_five_seconds_is_nothing_to_tell(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.sends["77/0"] = Deferred(5, "FLOOD_WAIT_5", HoldsUp.METHOD)
        here.write(1, 77)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {}
        await trio.sleep(5)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: 20}
        assert here.told == [(0, CLEAR)]


async def test_a_longer_flood_wait_takes_the_place_of_a_shorter_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.sends |= {"77/0": FLOOD, "78/0": Deferred(600, "FLOOD_WAIT_600", HoldsUp.METHOD)}
        here.write(1, 77)
        here.write(1, 78)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(599)
        assert here.dispatch.slots() == {}
        assert [standing.retry_in_s for _, standing in here.told] in ([None, 600], [None, 30, 600])
        await trio.sleep(1)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: 20}


async def test_what_was_parked_when_the_flood_came_is_given_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(senders=1) as here:
        here.line.sends["78/0"] = FLOOD
        here.write(6, 77)
        await trio.testing.wait_all_tasks_blocked()
        here.write(1, 78)
        await trio.sleep(2)
        assert here.filed()["77/5"] == Released("FLOOD_WAIT_30")
        assert here.desk.parked == 0


# ---------------------------------------------------------------- slow mode


async def test_slow_mode_holds_up_its_chat_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.sends["-55/0"] = SLOW
        here.write(1, -55)
        await trio.testing.wait_all_tasks_blocked()
        here.write(1, -55, first=1)
        here.write(1, 77)
        await trio.sleep(1)
        assert here.filed()["-55/1"] == Deferred(60, "SLOWMODE_WAIT_60")
        assert here.sent_at(-55) == [0]
        assert here.sent_at(77) == [0]
        assert here.told == [(0, CLEAR)]
        await trio.sleep(59)
        here.write(1, -55, first=2)
        await trio.testing.wait_all_tasks_blocked()
        assert here.sent_at(-55) == [0, 60]


# ---------------------------------------------------------------- strangers


async def test_after_a_peer_flood_strangers_wait_and_acquaintances_do_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.store.acquainted.add(ConversationId("78"))
        here.line.sends["77/0"] = SPAM
        here.write(1, 77)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(100)
        here.write(1, 79)
        here.write(1, 78)
        here.write(1, -55)
        await trio.testing.wait_all_tasks_blocked()
        here.write(1, 78, first=1)
        await trio.sleep(1)
        assert (here.sent_at(79), here.sent_at(78), here.sent_at(-55)) == ([], [100, 100], [100])
        assert here.filed()["79/0"] == Deferred(86_300, "PEER_FLOOD")
        assert here.store.weather.times("is_acquainted") == [100, 100], "asked once for each conversation"
        words = (
            "PEER_FLOOD: Telegram takes no first messages to strangers from this account; others go on."
            " Ask @SpamBot; tried again 2026-11-02 12:00:00 UTC"
        )
        assert here.told == [(0, CLEAR), (0, Standing(AccountState.ONLINE, words))]
        await trio.sleep_until(86_400)
        await trio.testing.wait_all_tasks_blocked()
        assert here.told[-1:] == [(86_400, CLEAR)]
        here.line.sends["79/1"] = None  # nothing is heard of it
        here.write(1, 79, first=1)
        await trio.testing.wait_all_tasks_blocked()
        here.write(1, 80)
        await trio.testing.wait_all_tasks_blocked()
        assert here.sent_at(79) == [86_400], "one of them goes first"
        alone = Deferred(60, "PEER_FLOOD: another first message is tried alone")
        assert here.filed()["80/0"] == alone
        await trio.sleep(60)
        here.write(1, 80, first=1)
        await trio.testing.wait_all_tasks_blocked()
        here.write(1, 81)
        await trio.testing.wait_all_tasks_blocked()
        assert (here.sent_at(80), here.sent_at(81)) == ([86_460], [86_460]), "it went well: so may others"


async def test_a_contact_is_no_stranger_and_the_store_is_not_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.sends["77/0"] = SPAM
        here.write(1, 77)
        await trio.testing.wait_all_tasks_blocked()
        contact = Peer(78, PeerKind.USER, 5, is_contact=True)
        here.dispatch.hand_over([attempt("78/0", peer=contact, text="78/0")])
        await trio.testing.wait_all_tasks_blocked()
        assert here.sent_at(78) == [0]
        assert here.store.weather.times("is_acquainted") == []


async def test_the_second_part_of_a_message_is_no_first_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.sends["77/0"] = SPAM
        here.write(1, 77)
        await trio.testing.wait_all_tasks_blocked()
        text = "a" * 4096 + "the rest"
        part = replace(attempt("78/0", peer=Peer(78, PeerKind.USER, 5), text=text), part=1)
        here.dispatch.hand_over([part])
        await trio.testing.wait_all_tasks_blocked()
        assert here.sent_at(78) == [0]


async def test_nobody_is_asked_who_is_a_stranger_while_it_does_not_matter(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.write(5, 77)
        await trio.sleep(1)
        assert here.store.weather.times("is_acquainted") == []


@pytest.mark.parametrize(("happening", "at_s"), [("away", 0), ("hang", 10)])
async def test_a_store_that_does_not_say_who_is_a_stranger_is_asked_again_later(
    happening: str, at_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with stage() as here:
        here.line.sends["77/0"] = SPAM
        here.write(1, 77)
        await trio.testing.wait_all_tasks_blocked()
        here.store.weather.will("is_acquainted", happening)
        here.write(1, 78)
        await trio.sleep(20)
        (filed,) = [(at, outcome) for at, name, outcome in here.outcomes if name == "78/0"]
        assert filed == (at_s, Deferred(5, "the store did not say whether this would be a stranger"))
        assert [event.operation for event in here.report.of(StoreUnavailable)] == ["database.acquainted"]


# ---------------------------------------------------------------- waits outlive the process


async def test_what_telegram_asks_for_is_stored_with_what_is_left_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.sends |= {"-55/0": SLOW, "77/0": SPAM}
        here.write(1, -55)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(10)
        here.store.weather.will("save_waits", "away", "hang")
        here.write(1, 77)
        await trio.sleep(30)
        assert here.store.saved_waits[0] == (StoredWait(Scope.chat(-55), 60, "SLOWMODE_WAIT_60"),)
        # Asked at 10 s, 11 s (a second's backoff), 23 s (cut off after 10 s, two seconds' backoff).
        assert here.store.saved_waits[1:] == [
            (
                StoredWait(Scope.chat(-55), 37, "SLOWMODE_WAIT_60"),
                StoredWait(STRANGERS, 86_387, "PEER_FLOOD"),
            )
        ]


async def test_a_new_process_waits_for_what_an_earlier_one_was_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.stored_waits = [StoredWait(Scope.method(SEND), 82_800, "FLOOD_WAIT_82800")]
    async with stage(store=store) as here:
        assert here.dispatch.slots() == {}
        assert here.told[0][1].state is AccountState.WAITING
        await trio.sleep(82_799)
        assert here.dispatch.slots() == {}
        await trio.sleep(1)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: 20}
        assert here.told[-1:] == [(82_800, CLEAR)]
        assert here.store.saved_waits == [], "it stands there already"
        assert math.isinf(here.desk.busy_since)
