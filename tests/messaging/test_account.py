"""One account's child: its states in order, its lines one after the other, what becomes of its attempts."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise
from random import Random

import pytest
import trio
import trio.testing

from file_fakes import no_fetching, no_preparer
from messaging.messaging_fakes import (
    ANNA,
    ME,
    NOON,
    PEER,
    SENT,
    FakeStore,
    FakeVault,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    ScriptedTelegram,
    account,
    attempt,
    batch,
    growing,
)
from tgworker.messaging.account import ANOTHER_USER, run_account
from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.account_states import RULES
from tgworker.messaging.bounded import Delays
from tgworker.messaging.dispatch import SLOTS, Dispatch
from tgworker.messaging.errors import AccountRefused, TelegramAway, TelegramFloods
from tgworker.messaging.events import AccountChanged, AccountIntroduced, StoreBack, StoreUnavailable
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Account, AccountState, Doubt, Position, Recipients, Sought
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Released, Unknown, Unresolved
from tgworker.messaging.pacing import PUBLISHED, SEND, UNPACED, Rates, Scope, StoredWait
from tgworker.messaging.stagger import Stagger
from tgworker.messaging.uploads import Uploads

REFUSED = AccountRefused(AccountState.BANNED, "USER_DEACTIVATED_BAN: ask Telegram")


def lost(why: str | AccountRefused | TelegramFloods) -> ScriptedConnection:
    line = ScriptedConnection()
    line.lose(why)
    return line


LINES: dict[str, Callable[[], ScriptedConnection]] = {
    "well": ScriptedConnection,
    "lost": lambda: lost("the line broke"),
    "never made": lambda: ScriptedConnection(connects=None),
    "away": lambda: ScriptedConnection(connects=TelegramAway("refused")),
    "floods": lambda: ScriptedConnection(connects=TelegramFloods("-429")),
    "lost to a flood": lambda: lost(TelegramFloods("-429")),
    "refused": lambda: ScriptedConnection(connects=REFUSED),
    "refused later": lambda: lost(AccountRefused(AccountState.NEEDS_LOGIN, "SESSION_REVOKED: log in again")),
}


@dataclass
class Child:
    """An account's child that runs, and everything around it."""

    telegram: ScriptedTelegram
    store: FakeStore
    dispatch: Dispatch
    histories: HistoryDesks
    jobs: JobDesks
    pulse: RecordingPulse
    report: Reports
    scope: trio.CancelScope
    ended: trio.Event

    def states(self) -> list[tuple[float, str]]:
        return [(at, event.state.value) for at, event in self.report.at if isinstance(event, AccountChanged)]

    def stored(self) -> list[str]:
        return [state.value for state, _, _ in self.store.states]


@asynccontextmanager
async def child(
    *lines: ScriptedConnection | Exception,
    store: FakeStore | None = None,
    line_delays: Delays = growing,
    limits: Limits | None = None,
    row: Account | None = None,
    in_flight: int = 2,
    stagger: Stagger | None = None,
    rates: Rates = UNPACED,
) -> AsyncGenerator[Child]:
    """Run an account's child for the length of the block; it is never silent for 60 s."""
    here = Child(
        ScriptedTelegram(*lines),
        store or FakeStore(),
        Dispatch(),
        HistoryDesks(),
        JobDesks(),
        RecordingPulse(),
        Reports(),
        trio.CancelScope(),
        trio.Event(),
    )
    context = AccountContext(
        telegram=here.telegram,
        vault=FakeVault(),
        store=here.store,
        dispatch=here.dispatch,
        histories=here.histories,
        jobs=here.jobs,
        limits=limits or Limits(),
        line_delays=line_delays,
        flood_delays=lambda n: 60.0 * n,
        store_delays=growing,
        report=here.report,
        preparer=no_preparer(),
        uploads=Uploads(Random(1)),
        fetching=no_fetching(),
        in_flight=in_flight,
        stagger=stagger or Stagger(0),
        rates=rates,
        now=lambda: NOON + timedelta(seconds=trio.current_time()),
    )

    async def run() -> None:
        with here.scope:
            await run_account(here.pulse, account=row or account(), context=context)
            here.ended.set()
        watching.cancel()

    async def watch() -> None:
        with watching:
            await here.pulse.watch()

    watching = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        yield here
        here.scope.cancel()
        watching.cancel()
    assert here.telegram.open_now == 0, "a line was left open"


# ---------------------------------------------------------------- lines


async def test_an_account_comes_online_from_where_its_updates_were_committed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.stored_position = Position(7, 0, 0, 0)
    store.saved_peers = [ME]
    async with child(store=store) as here:
        assert here.telegram.lines[0].asked == [(Position(7, 0, 0, 0), (ME,))]
        assert here.states() == [(0, "connecting"), (0, "online")]
        assert here.store.states[-1] == (AccountState.ONLINE, None, ME.chat_id)
        assert here.dispatch.online() == {ANNA}
        assert "session" not in repr(here.telegram.sessions)


async def test_lost_lines_are_made_again_after_exactly_the_delays_that_the_backoff_gives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    away = [ScriptedConnection(connects=TelegramAway("connection refused")) for _ in range(3)]
    async with child(*away, line_delays=lambda n: (0.5, 3, 7.25)[n - 1]) as here:
        await trio.sleep(20)
        assert here.telegram.opened_at == [0, 0.5, 3.5, 10.75]
        assert here.states() == [
            (0, "connecting"),
            (0, "reconnecting"),
            (0.5, "reconnecting"),
            (3.5, "reconnecting"),
            (10.75, "online"),
        ]
        changes = here.report.of(AccountChanged)[1:4]
        assert [(each.reason, each.retry_in_s) for each in changes] == [
            ("connection refused", 0.5),
            ("connection refused", 3),
            ("connection refused", 7.25),
        ]


async def test_a_connection_that_is_not_made_within_30_s_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child(ScriptedConnection(connects=None)) as here:
        await trio.sleep(40)
        assert here.states() == [(0, "connecting"), (30, "reconnecting"), (31, "online")]
        assert here.report.of(AccountChanged)[1].reason == "no connection within 30 s"
        (operation, _) = here.pulse.named("telegram.connect")
        assert (operation.closed_at, operation.expired) == (30, True)


async def test_ten_minutes_without_telegram_are_waited_out_and_the_line_is_made_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    away = [ScriptedConnection(connects=TelegramAway("connection refused")) for _ in range(14)]
    async with child(*away, line_delays=lambda n: min(2.0**n, 60)) as here:
        await trio.sleep(600)
        assert here.states()[-1] == (542, "reconnecting")
        await trio.sleep(60)
        assert here.states()[-1][1] == "online"
        assert here.dispatch.online() == {ANNA}
        gaps = [b - a for a, b in pairwise(here.telegram.opened_at)]
        assert gaps == [2, 4, 8, 16, 32, *[60] * 9]


async def test_a_telegram_that_takes_no_connections_is_left_alone_for_minutes_in_a_class_of_its_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    floods = TelegramFloods("-429")
    lines = [
        ScriptedConnection(connects=floods),
        lost(floods),
        ScriptedConnection(connects=TelegramAway("refused")),
    ]
    async with child(*lines) as here:
        await trio.sleep(200)
        assert here.telegram.opened_at == [0, 60, 180, 181]
        assert here.states() == [
            (0, "connecting"),
            (0, "waiting"),
            (60, "online"),
            (60, "waiting"),
            (180, "reconnecting"),
            (181, "online"),
        ]
        assert [event.retry_in_s for event in here.report.of(AccountChanged)][1::2] == [60, 120, None]


async def test_lines_of_many_accounts_begin_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stagger = Stagger(0.05)
    never = ScriptedConnection(connects=None)
    async with (
        child(never, stagger=stagger) as one,
        child(stagger=stagger) as two,
        child(stagger=stagger) as three,
    ):
        await trio.sleep(1)
        assert one.telegram.opened_at == [0]
        assert two.telegram.opened_at == [0.05]
        assert three.telegram.opened_at == [0.1]
        assert three.states()[-1] == (0.1, "online")


@pytest.mark.parametrize("second", LINES)
@pytest.mark.parametrize("first", LINES)
async def test_the_states_follow_one_another_as_the_table_says(
    autojump_clock: trio.testing.MockClock, first: str, second: str
) -> None:
    store = FakeStore()
    async with child(LINES[first](), LINES[second](), store=store) as here:
        await trio.sleep(300)
        states = [AccountState(state) for _, state in here.states()]
        assert all(later in RULES[earlier].next for earlier, later in pairwise(states)), states
        final = [state for state in states if RULES[state].for_a_person]
        assert final in ([], states[-1:])
        assert here.ended.is_set() is bool(final)
        if final:
            lines = len(here.telegram.opened_at)
            await trio.sleep(3600)
            assert len(here.telegram.opened_at) == lines  # never tried again by itself


async def test_a_line_that_is_lost_again_at_once_is_made_ever_more_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lines = [ScriptedConnection() for _ in range(5)]
    for line in lines:
        line.lose()
    async with child(*lines) as here:
        await trio.sleep(20)
        assert here.telegram.opened_at == [0, 1, 3, 6, 10, 15]


async def test_a_line_that_was_held_for_a_minute_ends_a_series_of_losses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first = [ScriptedConnection(connects=TelegramAway("refused")) for _ in range(3)]
    async with child(*first) as here:  # online at 1 + 2 + 3
        await trio.sleep(6 + 59.5)
        here.telegram.lines[-1].lose()  # held for less: the fourth of the series
        await trio.sleep(4 + 60)
        here.telegram.lines[-1].lose()
        await trio.sleep(10)
        assert here.telegram.opened_at == [0, 1, 3, 6, 69.5, 130.5]


async def test_a_line_that_was_held_long_ago_does_not_hurry_the_attempts_to_replace_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    away = [ScriptedConnection(connects=TelegramAway("refused")) for _ in range(3)]
    async with child(ScriptedConnection(), *away) as here:
        await trio.sleep(100)
        here.telegram.lines[0].lose()
        await trio.sleep(20)
        assert here.telegram.opened_at == [0, 101, 103, 106, 110]


async def test_a_black_hole_under_a_send_is_noticed_and_cured(autojump_clock: trio.testing.MockClock) -> None:
    async with child() as here:
        line = here.telegram.lines[0]
        line.silent = True
        line.sends["hello"] = None
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(20)
        assert here.states() == [(0, "connecting"), (0, "online"), (9, "reconnecting"), (10, "online")]
        assert here.report.of(AccountChanged)[2].reason == "no answer to a ping within 5 s"
        (settled,) = here.dispatch.unsettled()
        assert settled.outcome == Unknown("the send was cut off")


async def test_an_account_waits_for_a_store_that_is_away_at_its_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("position", "away", "hang")
    store.weather.will("peers", "away")
    async with child(store=store) as here:
        await trio.sleep(20)
        # position: 0, then 1, cut at 11, then 13; peers: 13, then 14
        assert here.states() == [(0, "connecting"), (14, "online")]
        assert [event.operation for event in here.report.of(StoreBack)] == [
            "database.position",
            "database.peers",
        ]


# ---------------------------------------------------------------- attempts


async def test_what_is_queued_is_released_and_what_flies_is_unknown_when_the_line_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child(in_flight=2) as here:
        line = here.telegram.lines[0]
        line.sends["hello"] = None
        here.dispatch.hand_over(map(attempt, "1234"))
        await trio.sleep(1)
        line.lose()
        await trio.sleep(0.5)
        assert here.dispatch.online() == set()
        assert {item.attempt.message_id: item.outcome for item in here.dispatch.unsettled()} == {
            **dict.fromkeys("12", Unknown("the send was cut off")),
            **dict.fromkeys("34", Released("the account went offline")),
        }
        assert here.dispatch.known() == set("1234")
        await trio.sleep(1)
        assert here.dispatch.slots() == {ANNA: SLOTS}, "the next line begins with an empty desk"


async def test_a_cancelled_child_leaves_an_outcome_for_each_attempt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child(in_flight=1) as here:
        here.telegram.lines[0].sends["hello"] = None
        here.dispatch.hand_over([attempt("1"), attempt("2")])
        await trio.sleep(1)
        here.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        outcomes = [type(item.outcome) for item in here.dispatch.unsettled()]
        assert outcomes == [Unknown, Released]
        assert here.dispatch.online() == set()
        assert here.telegram.open_now == 0
        assert trio.current_time() == 1


# ---------------------------------------------------------------- updates


async def test_what_arrives_while_the_store_is_away_is_committed_after_the_line_is_made_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("ingest", "ok", "away", "hang")
    async with child(store=store) as here:
        await here.telegram.lines[0].inbox.send(batch(1, pts=11))
        await trio.sleep(1)
        await here.telegram.lines[0].inbox.send(batch(2, pts=12))
        await trio.sleep(3)
        here.telegram.lines[0].lose()
        await trio.sleep(2)
        again = here.telegram.lines[1]
        assert again.asked[0][0] == Position(11, 0, 0, 0), "what was not committed is asked for again"
        await again.inbox.send(batch(2, pts=12))
        await trio.sleep(10)
        assert store.ingested() == [1, 2]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("by_connect", [True, False], ids=["by connect", "by what opens the line"])
async def test_a_refused_account_ends_its_child(*, by_connect: bool) -> None:
    async with child(ScriptedConnection(connects=REFUSED) if by_connect else REFUSED) as here:
        await here.ended.wait()
        assert [state for _, state in here.states()] == ["connecting", "banned"]
        assert here.store.states[-1] == (AccountState.BANNED, "USER_DEACTIVATED_BAN: ask Telegram", None)


async def test_an_account_that_is_refused_while_it_is_online_ends_its_child_with_its_attempts_filed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child() as here:
        here.telegram.lines[0].sends["hello"] = None
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(5)
        here.telegram.lines[0].lose(REFUSED)
        await here.ended.wait()
        assert here.states() == [(0, "connecting"), (0, "online"), (5, "banned")]
        assert len(here.dispatch.unsettled()) == 1
        assert len(here.telegram.opened_at) == 1


async def test_a_refusal_outweighs_a_ping_that_breaks_in_the_same_step(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for _ in range(10):  # trio shuffles the tasks of one step
        async with child() as here:
            await trio.sleep(60)
            here.telegram.lines[0].lose(REFUSED)  # the ping of second 60 finds the line broken
            await trio.testing.wait_all_tasks_blocked()
            assert [state for _, state in here.states()] == ["connecting", "online", "banned"]


async def test_the_final_state_is_stored_however_long_the_store_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child() as here:
        await trio.sleep(5)
        here.store.weather.will("record_account", *["away"] * 30)
        here.telegram.lines[0].lose(REFUSED)
        await here.ended.wait()
        assert trio.current_time() == 5 + sum(range(31))
        assert here.stored()[-1] == "banned"
        assert here.telegram.opened_at == [0]


async def test_a_session_that_cannot_be_read_needs_a_login_and_opens_no_line(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("record_account", "away", "away", "hang")
    async with child(row=account(token="under a lost key"), store=store) as here:
        await here.ended.wait()
        # away at 0 and 1, cut at 13, stored at 16
        assert trio.current_time() == 16
        assert here.stored() == ["needs_login"]
        reason = store.states[0][1]
        assert reason is not None
        assert "ENCRYPTION_KEY" in reason
        assert here.telegram.opened_at == []


# ---------------------------------------------------------------- states in the store


async def test_a_store_that_hangs_delays_no_line_and_gets_the_latest_state_in_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("record_account", "hang", "hang", "away")
    refused = ScriptedConnection(connects=TelegramAway("refused"))
    async with child(refused, store=store) as here:
        await trio.sleep(100)
        assert here.states() == [(0, "connecting"), (0, "reconnecting"), (1, "online")]
        # cut at 10, after 1 s again, cut at 21, after 2 s again, away, after 3 s
        assert store.weather.times("record_account") == [0, 11, 23, 26]
        assert store.states == [(AccountState.ONLINE, None, ME.chat_id)]
        assert [event.operation for event in here.report.of(StoreUnavailable)] == [
            "database.record_account"
        ] * 3


async def test_the_accounts_own_user_is_stored_although_the_line_was_lost_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("record_account", "hang")
    away = ScriptedConnection(connects=TelegramAway("refused"))
    async with child(ScriptedConnection(), away, store=store, line_delays=lambda _: 50) as here:
        await trio.sleep(5)
        here.telegram.lines[0].lose("the line broke")
        await trio.sleep(10)
        assert store.states == [(AccountState.RECONNECTING, "the line broke", ME.chat_id)]


# ---------------------------------------------------------------- signs of life


async def test_a_busy_hour_and_an_idle_one_are_no_hang(autojump_clock: trio.testing.MockClock) -> None:
    async with child() as here:
        line = here.telegram.lines[0]
        for n in range(100):
            here.dispatch.hand_over([attempt(str(n))])
            await line.inbox.send(batch(n, pts=n))
            await trio.sleep(36.1)
            here.dispatch.forget(here.dispatch.unsettled())
        await trio.sleep(3600)
        assert here.states() == [(0, "connecting"), (0, "online")]
        assert here.store.ingested() == list(range(100))


async def test_an_update_or_a_send_does_not_end_the_silence_that_the_keepalive_announced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with child() as here:
        await trio.sleep(1)
        here.store.weather.will("ingest", "away", "ok")
        await here.telegram.lines[0].inbox.send(batch(1, pts=1))
        await trio.sleep(4)
        assert here.store.ingested() == [1]
        assert here.pulse.silent_since() >= 60, "an idle line was announced at 0"
        here.dispatch.hand_over([attempt("1", doubt=Doubt(7200, 0, expired=False))])
        await trio.sleep(1)
        assert len(here.dispatch.unsettled()) == 1
        assert here.pulse.silent_since() == 9, "a look at the line, 4 s after the send began"


async def test_waiting_for_the_next_line_is_announced(autojump_clock: trio.testing.MockClock) -> None:
    refused = [ScriptedConnection(connects=TelegramAway("refused")) for _ in range(2)]
    async with child(*refused, line_delays=partial(float.__mul__, 1000.0)) as here:
        await trio.sleep(3100)  # the watch in `child` fails after 60 s of silence
        assert here.telegram.opened_at == [0, 1000, 3000]


# ---------------------------------------------------------------- waits


async def test_an_announced_wait_of_23_hours_is_no_hang(autojump_clock: trio.testing.MockClock) -> None:
    line = ScriptedConnection()
    line.sends["hello"] = Deferred(82_800, "FLOOD_WAIT_82800", HoldsUp.METHOD)
    async with child(line) as here:  # which fails as soon as the child is silent for 60 s
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(82_799)
        assert here.dispatch.slots() == {}
        assert here.dispatch.online() == {ANNA}, "it has a line, and receives"
        assert here.telegram.opened_at == [0]
        await trio.sleep(2)
        assert here.dispatch.slots() == {ANNA: SLOTS}
        assert here.states() == [(0, "connecting"), (0, "online"), (0, "waiting"), (82_800, "online")]
        words = (
            "FLOOD_WAIT_82800: Telegram lets this account send nothing until 2026-11-02 11:00:00 UTC;"
            " what is queued leaves then"
        )
        assert here.store.states[-2:] == [
            (AccountState.WAITING, words, ME.chat_id),
            (AccountState.ONLINE, None, ME.chat_id),
        ]
        waiting = here.report.of(AccountChanged)[2]
        assert (waiting.reason, waiting.retry_in_s) == (words, 82_800)


async def test_a_wait_outlives_the_line_on_which_it_was_announced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = ScriptedConnection()
    line.sends["hello"] = Deferred(100, "FLOOD_WAIT_100", HoldsUp.METHOD)
    async with child(line) as here:
        here.dispatch.hand_over([attempt("1")])
        await trio.sleep(50)
        line.lose()
        await trio.sleep(2)
        assert here.dispatch.slots() == {}
        assert [state for _, state in here.states()][-2:] == ["reconnecting", "waiting"]
        await trio.sleep(48)
        await trio.testing.wait_all_tasks_blocked()
        assert here.dispatch.slots() == {ANNA: SLOTS}
        assert here.states()[-1:] == [(100, "online")]


async def test_waits_are_read_once_however_many_lines_there_are(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("waits", "away", "hang", "ok")
    store.stored_waits = [StoredWait(Scope.method(SEND), 100, "FLOOD_WAIT_100")]
    away = [ScriptedConnection(connects=TelegramAway("connection refused")) for _ in range(3)]
    async with child(*away, store=store) as here:
        await trio.sleep(30)
        # Asked at 0 s, 1 s (a second's backoff), 13 s (cut off after 10 s, two seconds' backoff).
        assert store.weather.times("waits") == [0, 1, 13]
        assert here.telegram.opened_at[0] == 0
        assert here.states()[-1:] == [(19, "waiting")]
        await trio.sleep(85)
        assert here.states()[-1:] == [(113, "online")]


async def test_an_account_that_is_stopped_in_the_middle_of_a_wait_gives_everything_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = ScriptedConnection()
    async with child(line, rates=PUBLISHED, in_flight=1) as here:
        some = [attempt(f"{n}", chat="one") for n in range(8)]
        here.dispatch.hand_over(some)
        await trio.sleep(0.5)
        assert here.dispatch.statistics().parked == 3
        here.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        outcomes = [item.outcome for item in here.dispatch.unsettled()]
        assert outcomes == [SENT] * 5 + [Released("the account went offline")] * 3


async def test_a_session_of_another_user_begins_anew(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.stored_position = Position(10, 0, 0, 0, user_id=99)
    store.saved_peers.append(PEER)
    store.weather.will("forget_user", "away")
    async with child(store=store) as here:
        await trio.sleep(10)
        first, second = here.telegram.lines
        assert first.asked == [(Position(10, 0, 0, 0), (PEER,))]
        assert second.asked == [(None, ())]
        assert store.batches == []
    reasons = [event.reason for event in here.report.of(AccountChanged)]
    assert ANOTHER_USER in reasons
    assert here.states()[-1][1] == "online"


async def test_a_session_of_the_same_user_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.stored_position = Position(10, 0, 0, 0, user_id=ME.chat_id)
    async with child(store=store) as here:
        await trio.sleep(10)
        assert len(here.telegram.lines) == 1
        assert store.weather.times("forget_user") == []


# ---------------------------------------------------------------- whom it knows


def unknown() -> FakeStore:
    """A store that has met the account for the first time."""
    store = FakeStore()
    store.whom = Recipients(introduced=False, sought=())
    return store


async def test_whom_an_account_knows_is_read_once_before_anything_is_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = ScriptedConnection()
    line.meets.extend([[PEER], Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD), [ME]])
    async with child(line, store=unknown()) as here:
        assert here.dispatch.online() == {ANNA}
        await trio.sleep(8)
        assert here.dispatch.slots() == {}, "nothing is claimed for it"
        assert here.store.saved_peers == [PEER], "rows for those who are known may be claimed already"
        await trio.sleep(2)
        assert ANNA in here.dispatch.slots()
        assert (here.store.saved_peers, here.store.introduced_at) == ([PEER, ME], [9])
        assert here.report.of(AccountIntroduced) == [AccountIntroduced(ANNA, 2, 9)]


async def test_an_account_with_very_many_chats_sends_after_30_s_while_reading_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = ScriptedConnection()
    line.meets.extend([[PEER], Deferred(3600, "FLOOD_WAIT_3600", HoldsUp.METHOD), [ME]])
    async with child(line, store=unknown()) as here:
        await trio.sleep(29.5)
        assert here.dispatch.slots() == {}
        await trio.sleep(1)
        assert ANNA in here.dispatch.slots()
        assert here.store.introduced_at == []
        line.hear()
        while trio.current_time() < 3700:
            await trio.sleep(10)
            line.hear()
        assert here.store.introduced_at == [3600]


async def test_an_introduction_that_a_lost_line_cut_off_begins_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first, second = ScriptedConnection(), ScriptedConnection()
    first.meets.extend([[PEER], TelegramAway("the line broke")])
    second.meets.extend([[PEER], [ME]])
    async with child(first, second, store=unknown()) as here:
        await trio.sleep(5)
        assert here.states()[:4] == [(0, "connecting"), (0, "online"), (0, "reconnecting"), (1, "online")]
        assert here.store.saved_peers == [PEER, PEER, ME]
        assert here.store.introduced_at == [1]


async def test_lists_that_telegram_refuses_hold_up_nothing(autojump_clock: trio.testing.MockClock) -> None:
    line = ScriptedConnection()
    line.meets.append(Refused("METHOD_INVALID"))
    async with child(line, store=unknown()) as here:
        await trio.sleep(1)
        assert ANNA in here.dispatch.slots()
        assert here.report.of(AccountIntroduced) == [AccountIntroduced(ANNA, 0, 0, "METHOD_INVALID")]


async def test_an_account_that_was_introduced_reads_no_lists(autojump_clock: trio.testing.MockClock) -> None:
    line = ScriptedConnection()
    async with child(line) as here:
        assert ANNA in here.dispatch.slots()
        await trio.sleep(1)
        assert line.met_at == []
        assert here.store.weather.times("recipients") == [0]


async def test_whom_rows_wait_for_is_looked_for_with_each_line_and_when_the_store_knows_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.whom = Recipients(introduced=True, sought=(Sought("@anna"),))
    line = ScriptedConnection()
    async with child(line, store=store) as here:
        await trio.sleep(1)
        assert store.recorded == [(0, {"@anna": PEER})]
        here.dispatch.hand_over([attempt("1", peer=None, to="@Bert")])
        await trio.sleep(1)
        (settled,) = here.dispatch.unsettled()
        assert isinstance(settled.outcome, Unresolved)
        assert line.resolved == [(0, "@anna")], "the store has not heard of it yet"
        here.dispatch.forget((settled,))
        await trio.sleep(1)
        assert line.resolved == [(0, "@anna"), (2, "@bert")]


async def test_a_row_of_which_the_store_hears_between_two_lines_is_looked_for_over_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first, second = ScriptedConnection(), ScriptedConnection()
    async with child(first, second) as here:
        here.dispatch.hand_over([attempt("1", peer=None, to="@bert")])
        await trio.testing.wait_all_tasks_blocked()
        settled = here.dispatch.unsettled()
        first.lose()
        await trio.sleep(0.5)
        here.dispatch.forget(settled)
        await trio.sleep(1)
        assert (first.resolved, second.resolved) == ([], [(1, "@bert")])
