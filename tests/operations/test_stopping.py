"""Ending in order: who asks, what it may take, and what a second signal does."""

import os
import signal
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from tgworker.operations.stopping import StopRequest, StopSwitch, run_until_stopped, stop_signals


@dataclass
class Told:
    """What a process does when it is to end."""

    stops: list[StopRequest] = field(default_factory=list[StopRequest])
    overdue: list[tuple[float, StopRequest]] = field(default_factory=list[tuple[float, StopRequest]])
    codes: list[int] = field(default_factory=list[int])

    def note_overdue(self, request: StopRequest) -> None:
        self.overdue.append((trio.current_time(), request))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def switch(told: Told) -> Generator[StopSwitch]:
    switch = StopSwitch()
    with stop_signals(switch, end_at_once=told.codes.append):
        yield switch


async def run(
    serve: Callable[[], Awaitable[object]], switch: StopSwitch, told: Told, *, within_s: float = 25
) -> int:
    return await run_until_stopped(
        serve, switch, within_s=within_s, on_stop=told.stops.append, on_overdue=told.note_overdue
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_cancels_what_runs_and_lets_it_say_goodbye(
    number: signal.Signals, switch: StopSwitch, told: Told
) -> None:
    farewell: list[str] = []

    async def serve() -> None:
        os.kill(os.getpid(), number)
        try:
            await trio.sleep_forever()
        finally:
            farewell.append("goodbye")

    assert await run(serve, switch, told) == 0
    assert told.stops == [StopRequest(number.name, 0, 128 + number)]
    assert farewell == ["goodbye"]
    assert told.codes == []


async def test_a_signal_that_came_before_the_loop_ran_is_not_lost(switch: StopSwitch, told: Told) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert await run(trio.sleep_forever, switch, told) == 0
    assert [request.reason for request in told.stops] == ["SIGTERM"]


async def test_what_ends_by_itself_ends_with_0(switch: StopSwitch, told: Told) -> None:
    assert await run(trio.lowlevel.checkpoint, switch, told) == 0
    assert told == Told()


async def test_an_error_arrives_as_it_is_and_not_in_a_group(switch: StopSwitch, told: Told) -> None:
    async def serve() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        await run(serve, switch, told)


async def test_who_holds_the_switch_gives_the_exit_code_and_the_first_one_counts(
    switch: StopSwitch, told: Told
) -> None:
    async def serve() -> None:
        switch.request("recycled", exit_code=75)
        switch.request("another", exit_code=3)
        await trio.sleep_forever()

    assert await run(serve, switch, told) == 75
    assert told.stops == [StopRequest("recycled", 75, 75)]


async def test_a_signal_counts_for_more_than_a_restart(switch: StopSwitch, told: Told) -> None:
    """Who says stop while the worker recycles itself does not want it back."""

    async def serve() -> None:
        switch.request("recycled", exit_code=75)
        try:
            await trio.sleep_forever()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    assert await run(serve, switch, told) == 0
    assert told.codes == []


async def test_a_restart_counts_for_less_than_a_signal(switch: StopSwitch, told: Told) -> None:
    async def serve() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        switch.request("recycled", exit_code=75)
        await trio.sleep_forever()

    assert await run(serve, switch, told) == 0


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
async def test_a_second_signal_ends_the_process_at_once(
    second: signal.Signals, code: int, switch: StopSwitch, told: Told
) -> None:
    async def serve() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            os.kill(os.getpid(), second)  # served before the next line, and no turn of the loop is needed
            assert told.codes == [code]

    assert await run(serve, switch, told) == 0


async def test_what_does_not_end_within_its_budget_is_waited_for_no_longer(
    autojump_clock: trio.testing.MockClock, switch: StopSwitch, told: Told
) -> None:
    async def serve() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep(30)

    await run(serve, switch, told)
    assert told.overdue == [(35, StopRequest("SIGTERM", 0, 143))]


async def test_the_budget_of_a_restart_is_not_begun_anew_by_a_signal(
    autojump_clock: trio.testing.MockClock, switch: StopSwitch, told: Told
) -> None:
    async def serve() -> None:
        switch.request("recycled", exit_code=75)
        with trio.CancelScope(shield=True):
            await trio.sleep(20)
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep(20)

    assert await run(serve, switch, told) == 0
    assert told.overdue == [(25, StopRequest("SIGINT", 0, 130))]


async def test_who_asks_first_arms_the_last_resort(told: Told) -> None:
    armed: list[str] = []
    own = StopSwitch(on_throw=lambda: armed.append("armed"))
    with stop_signals(own, end_at_once=told.codes.append):
        os.kill(os.getpid(), signal.SIGTERM)  # in the handler: no loop turns meanwhile
        assert armed == ["armed"]
        own.request("recycled", exit_code=75)
    assert armed == ["armed"]


def test_handlers_are_as_before_afterwards(told: Told) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_signals(StopSwitch(), end_at_once=told.codes.append):
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
