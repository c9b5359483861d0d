"""When a line is asked whether it lives, and when it is given up."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from messaging.messaging_fakes import ANNA, RecordingPulse, ScriptedConnection, attempt
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.keepalive import keep_alive, next_ping_at
from tgworker.messaging.limits import Limits

LIMITS = Limits()


@dataclass
class Kept:
    """A line under its keepalive, which is never silent for 60 s."""

    dispatch: Dispatch
    desk: Desk
    line: ScriptedConnection
    pulse: RecordingPulse
    over: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    async def busy(self, for_s: float) -> None:
        """Have a request in flight for so long."""
        self.dispatch.hand_over([attempt(f"at {trio.current_time()}")])
        with self.desk.fly(await self.desk.take()):
            await trio.sleep(for_s)


@asynccontextmanager
async def kept(limits: Limits = LIMITS) -> AsyncGenerator[Kept]:
    dispatch = Dispatch()
    with dispatch.open_desk(ANNA) as desk:
        here = Kept(dispatch, desk, ScriptedConnection(), RecordingPulse())

        async def keep() -> None:
            why = await keep_alive(here.pulse, here.line, desk, limits)
            here.over.append((trio.current_time(), why))
            watching.cancel()

        async def watch() -> None:
            with watching:
                await here.pulse.watch()

        watching = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            yield here
            nursery.cancel_scope.cancel()


async def test_an_idle_line_is_asked_each_60_s(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as here:
        await trio.sleep(200)
        assert here.line.pings == [60, 120, 180]


async def test_what_comes_in_puts_the_question_to_an_idle_line_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as here:
        await trio.sleep(50)
        here.line.hear()
        await trio.sleep(59)
        here.line.hear()
        await trio.sleep(100)
        assert here.line.pings == [169]


async def test_a_line_with_a_request_in_flight_is_asked_each_4_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as here:
        await trio.sleep(7)
        await here.busy(17)
        await trio.sleep(100)
        assert here.line.pings == [11, 15, 19, 23, 83]


async def test_requests_that_are_answered_soon_cost_no_pings(autojump_clock: trio.testing.MockClock) -> None:
    async with kept() as here:
        for _ in range(30):
            await here.busy(3.9)
            here.line.hear()
        assert here.line.pings == []


async def test_a_black_hole_is_noticed_after_9_s_while_work_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as here:
        here.line.silent = True
        await trio.sleep(33)
        await here.busy(20)
        assert here.line.pings == [37]
        assert here.over == [(42, "no answer to a ping within 5 s")]
        (ping,) = here.pulse.named("telegram.ping")
        assert (ping.opened_at, ping.closed_at, ping.expired) == (37, 42, True)


async def test_a_black_hole_is_noticed_within_65_s_on_an_idle_line(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as here:
        here.line.silent = True
        await trio.sleep(100)
        assert here.over == [(65, "no answer to a ping within 5 s")]


async def test_a_line_that_only_speaks_and_never_answers_is_noticed_while_work_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def chatter(line: ScriptedConnection) -> None:
        while True:
            line.hear()
            await trio.sleep(1)

    async with kept() as here, trio.open_nursery() as nursery:
        here.line.silent = True
        nursery.start_soon(chatter, here.line)
        await here.busy(20)
        assert here.over == [(9, "no answer to a ping within 5 s")]
        nursery.cancel_scope.cancel()


async def test_while_files_are_on_their_way_a_ping_may_wait_behind_their_parts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with kept() as here:
        here.line.silent = True
        here.dispatch.hand_over([attempt("a film")])
        with here.desk.fly(await here.desk.take()) as flight:
            flight.carries_files = True
            await trio.sleep(70)
        assert here.over == [(64, "no answer to a ping within 60 s")]
        (ping,) = here.pulse.named("telegram.ping")
        assert (ping.opened_at, ping.limit_s) == (4, 60)


async def test_a_line_that_breaks_under_the_ping_raises(autojump_clock: trio.testing.MockClock) -> None:
    with Dispatch().open_desk(ANNA) as desk:
        line = ScriptedConnection()
        line.lose()
        with pytest.raises(TelegramAway, match="broke under the ping"):
            await keep_alive(RecordingPulse(), line, desk, LIMITS)
        assert trio.current_time() == 60


async def test_with_the_ping_off_a_quiet_line_is_no_hang(autojump_clock: trio.testing.MockClock) -> None:
    async with kept(Limits(ping_idle_s=math.inf, ping_busy_s=math.inf)) as here:
        await here.busy(30)
        await trio.sleep(86_400)  # the watch fails after 60 s of silence
        assert here.line.pings == []


TIMES = st.floats(0, 1e6)


@given(last_heard_at=TIMES, answered_at=TIMES, busy_since=TIMES | st.just(math.inf))
def test_a_line_is_asked_at_the_latest_when_it_was_idle_and_the_sooner_the_longer_work_waits(
    last_heard_at: float, answered_at: float, busy_since: float
) -> None:
    due = next_ping_at(
        last_heard_at=last_heard_at, answered_at=answered_at, busy_since=busy_since, limits=LIMITS
    )
    assert due <= last_heard_at + 60
    assert due == last_heard_at + 60 or due >= max(answered_at, busy_since) + 4
    if busy_since == math.inf:
        assert due == last_heard_at + 60
