"""The canary: how late the event loop runs, whose fault it is, and who is told."""

import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervision.supervision_helpers import Host, child, supervised
from tgworker.supervision import (
    Canary,
    ChildEnded,
    ChildReady,
    ChildSpec,
    Event,
    LagCause,
    LoopLagged,
    Pulse,
    Silence,
    Spent,
    SupervisorSpec,
    ThreadGauges,
    Verdict,
    classify_lag,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Runs, ScriptedChild, lone_pulse

BLOCKED, STARVED, SUSPENDED = LagCause.BLOCKED, LagCause.STARVED, LagCause.SUSPENDED


def spent(
    cpu_s: float = 0.0,
    *,
    others_cpu_s: float = 0.0,
    queued_s: float | None = 0.0,
    suspended_s: float = 0.0,
    yields: int | None = 0,
) -> Spent:
    return Spent(cpu_s, others_cpu_s, queued_s, suspended_s, yields)


# ---------------------------------------------------------------- whose fault it is (pure)


@pytest.mark.parametrize(
    ("case", "in_step", "cause"),
    [
        pytest.param(spent(0.9, queued_s=0.1), True, BLOCKED, id="a step computes"),
        pytest.param(spent(0.01, yields=1), True, BLOCKED, id="a step calls time.sleep"),
        pytest.param(spent(0.01, others_cpu_s=0.9, yields=200), True, BLOCKED, id="a step waits for the GIL"),
        pytest.param(spent(0.3, queued_s=0.7), True, STARVED, id="a step waits for a processor"),
        pytest.param(spent(0.4, queued_s=0.35), True, BLOCKED, id="a step computes on a busy host"),
        pytest.param(spent(0.01, suspended_s=0.99), True, SUSPENDED, id="the machine sleeps during a step"),
        pytest.param(spent(0.01, suspended_s=0.99), False, SUSPENDED, id="the machine sleeps"),
        pytest.param(spent(0.01, queued_s=0.9), False, STARVED, id="the loop waits for a processor"),
        pytest.param(spent(0.01), False, SUSPENDED, id="the process is stopped"),
        pytest.param(spent(0.01, others_cpu_s=0.9), False, BLOCKED, id="another thread keeps the GIL"),
        pytest.param(
            spent(0.01, others_cpu_s=0.2), False, SUSPENDED, id="others computed a little, then stopped"
        ),
        pytest.param(spent(0.8), False, BLOCKED, id="whoever hosts the loop computes (guest mode)"),
        pytest.param(spent(0.01, queued_s=None), True, STARVED, id="unknown queue, never gave way"),
        pytest.param(spent(0.01, queued_s=None, yields=1), True, BLOCKED, id="unknown queue, gave way"),
        pytest.param(spent(0.01, queued_s=None, yields=None), True, BLOCKED, id="all unknown, in a step"),
        pytest.param(
            spent(0.01, queued_s=None, yields=None), False, STARVED, id="all unknown, between steps"
        ),
        pytest.param(spent(0.9, queued_s=None), True, BLOCKED, id="unknown queue, a step computes"),
        pytest.param(spent(0.5, queued_s=0.5), True, STARVED, id="a tie is the host's"),
        pytest.param(spent(0.0, queued_s=0.5, suspended_s=0.5), True, SUSPENDED, id="a tie of two hosts"),
    ],
)
def test_the_largest_part_of_a_lag_decides_whose_fault_it_was(
    case: Spent, in_step: bool, cause: LagCause
) -> None:
    assert classify_lag(1.0, case, in_step=in_step) is cause


seconds = st.floats(0, 1_000)


@given(
    st.floats(0.001, 1_000),
    st.builds(
        Spent,
        cpu_s=seconds,
        others_cpu_s=seconds,
        queued_s=st.none() | seconds,
        suspended_s=seconds,
        yields=st.none() | st.integers(0, 9),
    ),
    st.booleans(),
)
def test_code_is_blamed_for_what_it_computed_and_the_host_for_what_it_withheld(
    lag_s: float, case: Spent, in_step: bool
) -> None:
    cause = classify_lag(lag_s, case, in_step=in_step)
    host_s = (case.queued_s or 0.0) + case.suspended_s
    if case.cpu_s > max(lag_s / 2, host_s):
        assert cause is BLOCKED
    if max(case.queued_s or 0.0, case.suspended_s) > max(lag_s, case.cpu_s):
        assert cause is not BLOCKED
    if case.suspended_s == 0 and case.queued_s is not None and case.queued_s < lag_s / 8 and in_step:
        assert cause is BLOCKED, "a step that neither waited for a processor nor was suspended"


# ---------------------------------------------------------------- the gauges of this thread


def test_the_gauges_of_a_thread_tell_computing_from_sleeping() -> None:
    gauges = ThreadGauges()
    start_s, first = gauges.wall_s(), gauges.read()
    while time.thread_time() - first.cpu_s < 0.05:
        pass
    second, middle_s = gauges.read(), gauges.wall_s()
    time.sleep(0.05)
    third, end_s = gauges.read(), gauges.wall_s()
    gauges.close()
    gauges.close()  # as often as one likes

    computed, slept = second.since(first), third.since(second)
    # The two clocks may run at slightly different rates: NTP slews the wall's by up to 0.05 %.
    assert 0.05 <= computed.cpu_s <= (middle_s - start_s) * 1.001
    assert slept.cpu_s < 0.025
    assert slept.yields is not None
    assert slept.yields >= 1
    assert end_s - middle_s >= 0.05
    for part in computed, slept:
        assert part.queued_s is not None
        assert part.queued_s >= 0
        assert part.suspended_s < 0.5, "this machine did not sleep"
        assert part.others_cpu_s >= 0


def test_what_other_threads_computed_is_told_apart() -> None:
    def compute() -> None:
        while time.thread_time() < 0.05:
            pass

    gauges = ThreadGauges()
    first = gauges.read()
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    part = gauges.read().since(first)
    gauges.close()
    assert part.others_cpu_s >= 0.045
    assert part.cpu_s < part.others_cpu_s


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_gauges_stay_those_of_their_thread_and_leave_no_file_open() -> None:
    before = open_files()
    gauges = ThreadGauges()
    assert open_files() == before + 1
    gauges.close()
    assert open_files() == before


def test_what_the_platform_does_not_measure_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        gauges = ThreadGauges()
    reading = gauges.read()
    gauges.close()
    assert reading.queued_s is None
    assert reading.since(reading).queued_s is None
    assert replace(reading, yields=None).since(reading).yields is None


@pytest.mark.parametrize(
    ("interrupted", "difference_s"),
    [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.5)],
    ids=["never", "once", "twice", "always"],
)
def test_an_interruption_between_two_clocks_is_no_suspension(
    interrupted: int, difference_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read as (monotonic, boot, monotonic), three times at most.
    script = iter([1.0, 1.5, 1.5] * interrupted + [2.0, 2.0, 2.0])
    gauges = ThreadGauges()
    with monkeypatch.context() as patch:
        patch.setattr(time, "clock_gettime", lambda _clock: next(script))
        reading = gauges.read()
    gauges.close()
    assert reading.suspended_s == difference_s


# ---------------------------------------------------------------- a host that does as it is told


@dataclass(eq=False)
class BetweenSteps(trio.abc.Instrument):
    """Lets time pass while the loop waits for events (added after the canary's, so called after it)."""

    host: Host
    next: list[dict[str, float]] = field(default_factory=list)
    planned_s: float = 0.0

    def before_io_wait(self, timeout: float) -> None:
        if self.next and timeout >= self.planned_s:
            self.host.passes(**self.next.pop(0))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # yields: int


def canary_child(canary: Canary) -> ChildSpec:
    return child(canary, "canary")


async def turn() -> None:
    """Let the loop turn, so that the canary can tell what it found."""
    await trio.testing.wait_all_tasks_blocked()


async def test_a_lag_is_told_with_its_length_its_cause_and_what_it_was_spent_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    host = Host()
    canary = Canary(0.25, gauges=lambda: host)
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.sleep(5)
        host.passes(0.25, cpu_s=0.2, queued_s=0.05, yields=3)
        lagged = await watched.recorder.wait_for(LoopLagged)
    assert lagged == LoopLagged(
        path="root.canary",
        at_s=start + 5,
        lag_s=0.25,
        cause=BLOCKED,
        in_step=True,
        task=None,
        cpu_s=0.2,
        others_cpu_s=0.0,
        queued_s=0.05,
        suspended_s=0.0,
    )
    assert host.closed == 1
    assert len(watched.recorder.of(LoopLagged)) == 1


async def test_what_stays_below_the_limit_is_in_the_statistics_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    canary = Canary(0.25, every_s=1.0, gauges=lambda: host)
    assert canary.statistics().to_dict() == {
        "lag_s": 0.0,
        "worst_s": 0.0,
        "turns": 0,
        "lags": {"blocked": 0, "starved": 0, "suspended": 0},
        "lagged_s": {"blocked": 0.0, "starved": 0.0, "suspended": 0.0},
    }
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        for lag_s in (0.1, 0.24, 0.05):
            await trio.sleep(0.1)
            host.passes(lag_s, cpu_s=lag_s)
        await trio.sleep(1)
        assert canary.statistics().lag_s == pytest.approx(0.24)
        await trio.sleep(1)
        statistics = canary.statistics()
        assert statistics.lag_s == 0.0, "the interval in which it was late is past"
        assert statistics.worst_s == pytest.approx(0.24)
        assert statistics.turns > 5
        assert statistics.lags == {BLOCKED: 0, STARVED: 0, SUSPENDED: 0}
    assert not watched.recorder.of(LoopLagged)


async def test_time_lost_between_the_steps_is_the_hosts(autojump_clock: trio.testing.MockClock) -> None:
    host = Host()
    canary = Canary(0.25, gauges=lambda: host)
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        between = BetweenSteps(host)
        trio.lowlevel.add_instrument(between)
        between.next.append({"wall_s": 0.4, "queued_s": 0.35})
        starved = await watched.recorder.wait_for(LoopLagged)
        between.next.append({"wall_s": 3.0, "cpu_s": 0.001})
        stopped = await watched.recorder.wait_for(LoopLagged, count=2)
        between.next.append({"wall_s": 0.5, "others_cpu_s": 0.5})
        gil = await watched.recorder.wait_for(LoopLagged, count=3)
        trio.lowlevel.remove_instrument(between)
    assert [event.cause for event in (starved, stopped, gil)] == [STARVED, SUSPENDED, BLOCKED]
    assert not any(event.in_step for event in (starved, stopped, gil))
    assert [event.lag_s for event in (starved, stopped, gil)] == pytest.approx([0.4, 3.0, 0.5])
    assert gil.others_cpu_s == pytest.approx(0.5)
    statistics = canary.statistics()
    assert statistics.lags == {BLOCKED: 1, STARVED: 1, SUSPENDED: 1}
    assert statistics.lagged_s == {
        BLOCKED: pytest.approx(0.5),
        STARVED: pytest.approx(0.4),
        SUSPENDED: pytest.approx(3.0),
    }


async def test_waiting_as_long_as_planned_is_no_lag() -> None:
    # On the real clock, for only there the loop knows how long it wants to wait.
    host = Host()
    canary = Canary(0.01, gauges=lambda: host)
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        between = BetweenSteps(host, planned_s=0.04)
        trio.lowlevel.add_instrument(between)
        between.next.append({"wall_s": 0.05})
        await trio.sleep(0.05)
        assert not between.next
        assert not watched.recorder.of(LoopLagged)
        between.next.append({"wall_s": 0.08})
        await trio.sleep(0.05)
        lagged = await watched.recorder.wait_for(LoopLagged)
        trio.lowlevel.remove_instrument(between)
    assert lagged.lag_s == pytest.approx(0.03, abs=0.01)
    assert len(watched.recorder.of(LoopLagged)) == 1


async def test_a_machine_that_slept_is_noticed_although_no_clock_of_the_loop_shows_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    canary = Canary(0.25, gauges=lambda: host)
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        host.passes(0.01, suspended_s=3_600)
        host.passes(0.1)
        slept = await watched.recorder.wait_for(LoopLagged)
        assert (slept.cause, slept.lag_s, slept.suspended_s) == (SUSPENDED, 3_600, 3_600)
        between = BetweenSteps(host)
        trio.lowlevel.add_instrument(between)
        between.next.append({"wall_s": 0.1, "suspended_s": 60})
        slept = await watched.recorder.wait_for(LoopLagged, count=2)
        trio.lowlevel.remove_instrument(between)
        assert (slept.cause, slept.in_step, slept.lag_s) == (SUSPENDED, False, 60)
    assert canary.statistics().worst_s == 3_600


async def test_what_was_spent_before_a_lag_is_not_counted_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    canary = Canary(0.25, gauges=lambda: host)
    async with supervised(canary_child(canary)) as watched:
        await watched.recorder.wait_for(ChildReady)
        for _ in range(10):  # a busy loop on a busy host, but no turn is long
            await trio.lowlevel.checkpoint()
            host.passes(0.2, cpu_s=0.1, queued_s=0.1)
        await trio.lowlevel.checkpoint()
        host.passes(0.3, yields=1)
        lagged = await watched.recorder.wait_for(LoopLagged)
    assert (lagged.cause, lagged.cpu_s, lagged.queued_s) == (BLOCKED, 0.0, 0.0)


async def test_a_loop_of_short_turns_is_hardly_ever_read(autojump_clock: trio.testing.MockClock) -> None:
    host = Host()
    async with supervised(canary_child(Canary(0.25, gauges=lambda: host))) as watched:
        await watched.recorder.wait_for(ChildReady)
        before = host.reads
        for _ in range(1_000):
            await trio.lowlevel.checkpoint()
            host.passes(0.001)
    assert host.reads - before <= 1_000 * 0.001 / (0.25 / 8) + 2


async def test_the_task_that_blocks_the_loop_is_named_from_the_second_time_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()

    async def regex() -> None:
        while True:
            await trio.sleep(10)
            host.passes(0.5, cpu_s=0.5)

    async def parser(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(regex, name="regex")
            await trio.sleep_forever()

    async def busy() -> None:
        while True:
            await trio.sleep(1)
            host.passes(0.01, cpu_s=0.01)

    async with (
        supervised(canary_child(Canary(gauges=lambda: host)), child(parser, "parser")) as watched,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(busy)
        await watched.recorder.wait_for(LoopLagged, count=3)
        nursery.cancel_scope.cancel()
    tasks = [event.task for event in watched.recorder.of(LoopLagged)]
    assert tasks == [None, "root.parser: regex", "root.parser: regex"]


async def test_the_own_task_of_a_child_goes_by_the_childs_path_and_strangers_by_their_name(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()

    async def blocks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(10)
        host.passes(0.5, cpu_s=0.5)
        await trio.sleep_forever()

    async def stranger() -> None:
        await trio.sleep(20)
        host.passes(0.5, cpu_s=0.5)

    async with (
        supervised(canary_child(Canary(gauges=lambda: host)), child(blocks, "blocks")) as watched,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(stranger, name="stranger")
        await trio.sleep(1)
        host.passes(0.5, cpu_s=0.5)
        await watched.recorder.wait_for(LoopLagged, count=3)
    tasks = [event.task for event in watched.recorder.of(LoopLagged)]
    assert tasks == [None, "root.blocks", "stranger"]


async def test_many_short_steps_that_make_one_long_turn_are_nobodys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()

    async def short() -> None:
        await trio.sleep(10)
        host.passes(0.05, cpu_s=0.05)

    async with supervised(canary_child(Canary(gauges=lambda: host))) as watched:
        await trio.sleep(1)
        host.passes(0.5, cpu_s=0.5)
        await watched.recorder.wait_for(LoopLagged)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(short)
        lagged = await watched.recorder.wait_for(LoopLagged, count=2)
    assert lagged.lag_s == pytest.approx(0.5)
    assert lagged.task is None


async def test_steps_are_watched_for_five_minutes_after_the_last_lag_that_code_caused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    timed = 0

    def wall_s() -> float:
        nonlocal timed
        timed += 1
        return host.now_s

    class Counting(Host):
        def wall_s(self) -> float:
            return wall_s()

    host = Counting()

    async def reads_of(steps: int) -> int:
        before = timed
        async with trio.open_nursery() as nursery:
            for _ in range(steps):
                nursery.start_soon(trio.sleep, 0.5)
        return timed - before

    async with supervised(canary_child(Canary(gauges=lambda: host))) as watched:
        await trio.sleep(1)
        assert await reads_of(1_000) < 100, "two for each turn"
        host.passes(0.3, queued_s=0.3)
        await watched.recorder.wait_for(LoopLagged)
        assert await reads_of(1_000) < 100, "the host was late: no step is to blame"
        host.passes(0.3, cpu_s=0.3)
        await watched.recorder.wait_for(LoopLagged, count=2)
        assert await reads_of(1_000) > 1_000, "one for each step"
        await trio.sleep(200)
        host.passes(0.3, cpu_s=0.3)
        await watched.recorder.wait_for(LoopLagged, count=3)
        await trio.sleep(298)
        assert await reads_of(1_000) > 1_000
        await trio.sleep(2)
        assert await reads_of(1_000) < 100


async def test_a_slow_observer_is_not_told_of_itself_without_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    recorder = EventRecorder()

    def slow(event: Event) -> None:
        if isinstance(event, LoopLagged):
            host.passes(2.0, cpu_s=2.0)

    spec = SupervisorSpec(children=(canary_child(Canary(gauges=lambda: host)),))
    async with open_supervisor(spec, rng=random.Random(1), observers=(slow, recorder)):
        await recorder.wait_for(ChildReady)
        host.passes(0.3, cpu_s=0.3)
        await trio.sleep(100)
        assert [event.lag_s for event in recorder.of(LoopLagged)] == [pytest.approx(0.3)]
        host.passes(0.4, cpu_s=0.4)
        await trio.sleep(100)
        assert [event.lag_s for event in recorder.of(LoopLagged)[1:]] == [pytest.approx(0.4)]


async def test_the_canary_is_a_child_like_any_other_and_beats(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hosts: list[Host] = []

    def gauges() -> Host:
        hosts.append(Host())
        return hosts[-1]

    canary = Canary(every_s=5, gauges=gauges)
    spec = replace(canary_child(canary), silence=Silence(stall_after_s=6))
    async with supervised(spec, child(ScriptedChild(Runs()))) as watched:
        await trio.sleep(1_000)
        assert not watched.recorder.of(ChildEnded)
        await watched.supervisor.stop_child("canary")
        turns = canary.statistics().turns
        assert turns > 0
        watched.supervisor.start_child(spec)
        await trio.sleep(1_000)
        assert canary.statistics().turns > turns, "what was counted before is kept"
    assert [host.closed for host in hosts] == [1, 1]
    host = hosts[-1]
    before = host.reads
    host.passes(10)
    await turn()
    assert host.reads == before, "nothing watches any more"


async def test_a_canary_whose_gauges_break_does_not_go_blind_in_silence(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    hosts: list[Host] = []

    def gauges() -> Host:
        hosts.append(Host())
        return hosts[-1]

    async with supervised(canary_child(Canary(gauges=gauges))) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.sleep(10)
        hosts[0].broken = True
        hosts[0].passes(1.0)
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.verdict is Verdict.RAISED
        assert "trio has switched the canary off" in ended.ending.cause
        await watched.recorder.wait_for(ChildReady, count=2)
        hosts[1].passes(0.5, cpu_s=0.5)
        await watched.recorder.wait_for(LoopLagged)
    assert "Instrument has been disabled" in caplog.text
    assert [host.closed for host in hosts] == [1, 1]


async def test_without_a_supervisor_it_keeps_its_statistics_and_tells_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host = Host()
    canary = Canary(gauges=lambda: host)
    async with trio.open_nursery() as nursery:
        await nursery.start(canary, lone_pulse())
        host.passes(0.5, cpu_s=0.5)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert canary.statistics().lags[BLOCKED] == 1


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_numbers_out_of_their_range_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="limit_s must be more than 0"):
        Canary(wrong)
    with pytest.raises(ValueError, match="every_s must be more than 0"):
        Canary(every_s=wrong)


# ---------------------------------------------------------------- for real


async def real_lag(block: Callable[[], object]) -> list[LoopLagged]:
    async with supervised(canary_child(Canary(0.2))) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.sleep(0.1)
        block()
        await trio.sleep(0.05)
    return watched.recorder.of(LoopLagged)


@pytest.mark.slow
async def test_a_real_blocking_call_on_the_loop_is_seen_and_blamed() -> None:
    # (A busy machine may make it late at other times, too.)
    lags = [event for event in await real_lag(lambda: time.sleep(0.3)) if event.lag_s >= 0.29]
    lagged = max((event for event in lags if event.in_step), key=lambda event: event.lag_s)
    assert lagged.cpu_s < 0.1
    if lagged.lag_s < 0.55:  # else this machine withheld the processor for nearly as long as the call took
        assert lagged.cause is BLOCKED


@pytest.mark.slow
async def test_real_computing_on_the_loop_is_seen_and_blamed() -> None:
    def compute() -> None:
        until_s = time.thread_time() + 0.3
        while time.thread_time() < until_s:
            pass

    lags = [event for event in await real_lag(compute) if event.lag_s >= 0.29]
    lagged = max((event for event in lags if event.in_step), key=lambda event: event.lag_s)
    assert lagged.cpu_s >= 0.29
    if lagged.lag_s < 0.55:  # else this machine withheld the processor for longer than the step computed
        assert lagged.cause is BLOCKED


@pytest.mark.slow
async def test_a_real_thread_that_keeps_the_gil_is_seen_and_blamed() -> None:
    def hold_the_gil() -> None:
        re.match(r"(a+)+$", "a" * 24 + "b")

    async with supervised(canary_child(Canary(0.2, every_s=0.05))) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.to_thread.run_sync(hold_the_gil)
        await trio.sleep(0.05)
    lagged = max(watched.recorder.of(LoopLagged), key=lambda event: event.lag_s)
    assert lagged.others_cpu_s > 0.2
    # A busy machine may withhold the processor from the other thread as well: then that is what it was.
    if lagged.others_cpu_s > lagged.lag_s * 0.75:
        assert lagged.cause is BLOCKED


@pytest.mark.slow
def test_a_process_that_was_really_stopped_says_so() -> None:
    program = Path(__file__).with_name("canary_program.py")
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            seen: list[list[str]] = []
            # On a busy machine it may be late before; and it may be stopped while it waits for a processor in
            # the middle of a step, which cannot be told from a blocking call.
            while not seen or (seen[-1][:2] != ["suspended", "False"] and len(seen) < 5):
                time.sleep(0.2)
                process.send_signal(signal.SIGSTOP)
                time.sleep(1.0)
                process.send_signal(signal.SIGCONT)
                seen.append(process.stdout.readline().split())
                while float(seen[-1][2]) < 0.9:
                    seen[-1] = process.stdout.readline().split()
        finally:
            process.kill()
    assert seen[-1][:2] == ["suspended", "False"], seen


HOG = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + 20
while time.monotonic() < end: pass
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="needs Linux's scheduler")
def test_a_process_that_the_host_really_does_not_schedule_says_so() -> None:
    # All on one processor: the canary runs only when the others do not want to, and they always do.
    program = Path(__file__).with_name("canary_program.py")
    [cpu, *_] = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.sched_setaffinity(process.pid, {cpu})
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        for _ in range(3):
            hog = stack.enter_context(subprocess.Popen([sys.executable, "-c", HOG, str(cpu)]))
            stack.callback(hog.kill)
        causes: list[str] = []
        while causes.count("starved") < 2 and len(causes) < 6:  # others may disturb the machine, too
            causes.append(process.stdout.readline().split()[0])
    assert causes.count("starved") == 2, causes
