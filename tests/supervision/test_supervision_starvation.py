"""A loop that did not turn: limits stand still meanwhile; the host is an excuse for failures, code is not.

Gaps that the host is to blame for are made by `stop_the_host`. `MockClock.jump` in a step of a child is code
that blocks the loop, as `time.sleep` would.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import Host, child, supervise_until_it_fails, supervised
from tgworker.supervision import (
    Backoff,
    Canary,
    ChildCancelled,
    ChildEnded,
    ChildQuiet,
    ChildSpec,
    ChildStarting,
    ChildWedged,
    Event,
    Intensity,
    IntensityExceeded,
    LagCause,
    LoopStarved,
    OperationExpired,
    Pulse,
    Restart,
    RestartScheduled,
    Silence,
    SpecError,
    StartFunction,
    Subtree,
    SupervisorEscalated,
    SupervisorSpec,
    Verdict,
    Wedged,
    open_supervisor,
)
from tgworker.supervision._starvation import Starvation
from tgworker.supervision.testing import EventRecorder, Hangs, Lingers, Raises, ScriptedChild, stop_the_host

AT_ONCE = Backoff(initial_s=0, factor=1, cap_s=0)


async def slow_beater(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    """Beats every 50 s, and must do three things of 1 s each before: a gap leaves it no time for that."""
    task_status.started()
    while True:
        await trio.sleep(47)
        for _ in range(3):
            await trio.sleep(1)
        pulse.beat()


def watched_child(start: StartFunction, name: str = "child", **values: float | None) -> ChildSpec:
    return ChildSpec(name, start, silence=Silence(60, **values))


async def gap(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let ``seconds`` pass in which the process does not run. (Autojump counts idle time; here is none.)"""
    await stop_the_host(clock, seconds)
    for _ in range(5):
        await trio.lowlevel.checkpoint()


async def test_after_a_gap_a_child_has_as_much_time_as_it_had_before_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(watched_child(slow_beater)) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 3600)
        await trio.sleep(1000)
        assert not watched.recorder.of(ChildCancelled)
        # The limit of 30 s for its start was still looked at: late by the rest of the gap.
        [starved] = watched.recorder.of(LoopStarved)
        assert starved == LoopStarved(path="root", at_s=start + 3610, late_s=3580, cause=starved.cause)
        assert starved.cause is not LagCause.BLOCKED


async def test_a_child_that_hangs_is_found_when_it_has_had_its_whole_limit_beside_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    hangs = watched_child(ScriptedChild(Hangs()), evidence_after_s=30)
    async with supervised(hangs) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 100)
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert (cancelled.at_s, cancelled.verdict) == (start + 100 + 60, Verdict.SILENT)
        assert [event.at_s for event in watched.recorder.of(ChildQuiet)] == [start + 100 + 30]


async def test_each_gap_is_forgiven_and_none_puts_off_the_day_of_reckoning_by_more_than_its_length(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(watched_child(ScriptedChild(Hangs()))) as watched:
        for _ in range(5):
            await trio.sleep(10)
            await gap(autojump_clock, 100)
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.at_s == start + 5 * 100 + 60
        assert len(watched.recorder.of(LoopStarved)) == 5


@pytest.mark.parametrize(("late_s", "forgiven"), [(1.0, False), (1.25, True)])
async def test_a_loop_that_is_a_little_late_changes_nothing(
    late_s: float, forgiven: bool, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    async with supervised(watched_child(ScriptedChild(Hangs()))) as watched:
        await trio.sleep(59)
        await gap(autojump_clock, 1 + late_s)
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.at_s == start + 60 + late_s + (1 if forgiven else 0)
        assert len(watched.recorder.of(LoopStarved)) == forgiven


async def test_how_late_is_fair_can_be_said(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    like = SupervisorSpec(starved_after_s=10)
    async with supervised(watched_child(ScriptedChild(Hangs())), like=like) as watched:
        await trio.sleep(59)
        await gap(autojump_clock, 11)
        assert (await watched.recorder.wait_for(ChildCancelled)).at_s == start + 70
    with pytest.raises(SpecError, match="starved_after_s must be more than 0"):
        SupervisorSpec(starved_after_s=0)


async def test_a_cycle_has_its_whole_limit_beside_the_gap(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(120):
            await trio.sleep_forever()

    async with supervised(child(loop)) as watched:
        await trio.sleep(100)
        await gap(autojump_clock, 1000)
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s - start, ended.ending.verdict) == (1000 + 120, Verdict.DEADLINE)


async def test_a_starting_child_has_its_whole_start_limit_beside_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def never_ready(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async with supervised(replace(child(never_ready), start_within_s=30)) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 1000)
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s - start, ended.ending.verdict) == (1000 + 30, Verdict.START_TIMEOUT)


async def test_a_child_that_is_being_stopped_has_its_whole_budget_beside_the_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def tidy(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(4):  # four steps of 1 s, and a gap in the second
                    await trio.sleep(1)

    async with supervised(replace(child(tidy), stop_within_s=5)) as watched:
        await watched.supervisor.wait_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.supervisor.stop_child, "child")
            await trio.sleep(1.5)
            await gap(autojump_clock, 1000)
        assert not watched.recorder.of(ChildWedged)
        assert watched.recorder.of(LoopStarved)


async def test_a_child_that_does_not_die_is_wedged_when_it_has_had_its_budget(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    async with trio.open_nursery() as nursery:
        with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="is wedged"), allow_unwrapped=True):
            async with supervised(
                replace(child(ScriptedChild(Lingers(2000))), stop_within_s=5), recorder=recorder
            ) as watched:
                await watched.supervisor.wait_ready()
                nursery.start_soon(gap_after, autojump_clock, 2, 1000)
        [wedged] = recorder.of(ChildWedged)
        assert wedged.at_s == start + 1000 + 5


async def gap_after(clock: trio.testing.MockClock, wait_s: float, seconds: float) -> None:
    await trio.sleep(wait_s)
    await gap(clock, seconds)


async def test_a_gap_is_forgiven_in_the_whole_tree_and_told_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(75):
            await trio.sleep_forever()

    inner = SupervisorSpec(children=(watched_child(ScriptedChild(Hangs()), "leaf"),))
    async with supervised(child(loop, "loop"), child(Subtree(inner), "branch")) as watched:
        await trio.sleep(50)
        await gap(autojump_clock, 20)  # only the leaf's limit, at 60, falls into it
        [starved] = watched.recorder.of(LoopStarved)
        assert (starved.path, starved.at_s, starved.late_s) == ("root", start + 70, 10)
        await watched.recorder.wait_for(ChildCancelled, count=2)
        assert [(event.path, event.at_s - start) for event in watched.recorder.of(ChildCancelled)] == [
            ("root.branch.leaf", 20 + 60),
            ("root.loop", 20 + 75),
        ]


async def test_an_operation_that_expired_in_a_gap_is_an_event_and_the_gap_is_no_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def hangs_after_sending(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.deadline("send", 30):
            await trio.sleep_forever()
        pulse.beat_at_s = start  # it gave no sign of life: only the gap counts
        await trio.sleep_forever()

    async with supervised(watched_child(hangs_after_sending)) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 500)
        [expired] = watched.recorder.of(OperationExpired)
        assert (expired.at_s, expired.elapsed_s) == (start + 510, 510)
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.at_s == start + 500 + 60


async def test_a_wedged_child_that_ends_long_after_its_supervisor_has_stopped_is_no_sign_of_a_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    spec = replace(child(ScriptedChild(Lingers(100))), stop_within_s=5)
    with pytest.raises(Wedged):
        async with supervised(spec, recorder=recorder) as watched:
            await watched.supervisor.wait_ready()
    assert recorder.of(ChildWedged)
    assert not recorder.of(LoopStarved)


# ---------------------------------------------------------------- failures that count for nothing


def fragile(name: str, fails_after_s: float) -> ChildSpec:
    """Raises when a time-out of its own passes. Nobody watches it: no limit of its supervisor can be late."""

    async def fail_after(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        pulse.beat()
        with trio.fail_after(fails_after_s):
            await trio.sleep_forever()

    return ChildSpec(name, fail_after, backoff=AT_ONCE, start_within_s=None)


async def test_failures_that_a_gap_caused_count_for_no_intensity(
    autojump_clock: trio.testing.MockClock,
) -> None:
    children = [fragile(f"c{number}", 15) for number in range(5)]
    async with supervised(*children, intensity=Intensity(restarts=0, period_s=60)) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 100)
        assert len(watched.recorder.of(RestartScheduled)) == 5
        assert {event.ending.cause for event in watched.recorder.of(ChildEnded)} == {"TooSlowError"}


@pytest.mark.parametrize(("fails_after_s", "counts"), [(0.0, False), (1.0, False), (1.25, True)])
async def test_shortly_after_a_gap_failures_count_for_nothing_and_later_they_do(
    fails_after_s: float, counts: bool, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = EventRecorder()
    wakes = trio.Event()

    async def fails_when_woken(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await wakes.wait()
        await trio.sleep(fails_after_s)
        raise OSError

    spec = replace(watched_child(fails_when_woken), backoff=Backoff(initial_s=30, cap_s=30))

    async def run() -> None:
        await supervise_until_it_fails(spec, intensity=Intensity(restarts=0, period_s=60), recorder=recorder)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, run, IntensityExceeded if counts else None)
        await trio.sleep(10)
        await gap(autojump_clock, 100)
        await recorder.wait_for(LoopStarved)
        wakes.set()
        await recorder.wait_for(ChildEnded)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert bool(recorder.of(RestartScheduled)) is not counts


async def expect(run: Callable[[], Awaitable[None]], error: type[Exception] | None) -> None:
    if error is None:
        await run()
    else:
        with pytest.raises(error):
            await run()


async def test_a_gap_in_which_no_deadline_passed_can_be_forgiven_by_whoever_knows_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        watched_child(ScriptedChild(Hangs())), intensity=Intensity(restarts=1, period_s=60)
    ) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 20)
        assert not watched.recorder.of(LoopStarved)
        watched.supervisor.forgive(20)
        [starved] = watched.recorder.of(LoopStarved)
        assert (starved.path, starved.late_s) == ("root", 20)
        assert (await watched.recorder.wait_for(ChildCancelled)).at_s == start + 20 + 60


async def test_beside_a_canary_no_gap_goes_unnoticed(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    async with supervised(watched_child(ScriptedChild(Hangs())), child(Canary(), "canary")) as watched:
        await trio.sleep(10.5)
        await gap(autojump_clock, 20)
        [starved] = watched.recorder.of(LoopStarved)
        assert (starved.at_s, starved.late_s) == (start + 30.5, 19.5)
        assert (await watched.recorder.wait_for(ChildCancelled)).at_s == start + 20 + 60


async def test_backoff_goes_on_as_ever_after_a_gap(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(
        replace(fragile("c", 15), backoff=Backoff(initial_s=4, cap_s=60)),
        child(ScriptedChild(Raises(OSError(), after_s=1000)), "other"),
    ) as watched:
        await trio.sleep(10)
        await gap(autojump_clock, 100)
        await watched.recorder.wait_for(ChildStarting, "root.c", count=2)
        [scheduled] = watched.recorder.of(RestartScheduled)
        assert scheduled.attempt == 1


# ---------------------------------------------------------------- whose fault a gap was


async def ticks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    """Has a deadline each second, so that every gap passes one."""
    task_status.started()
    while True:
        await trio.sleep(1)


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_a_crash_loop_whose_own_code_blocks_the_loop_escalates_as_any_other(
    turns: int, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    recorder = EventRecorder()

    async def blocks_and_raises(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(0.5)
        autojump_clock.jump(5)
        for _ in range(turns):  # not in the same step: then everybody has heard of the gap
            await trio.lowlevel.checkpoint()
        raise OSError("again")

    bad = ChildSpec("bad", blocks_and_raises, backoff=AT_ONCE)
    with pytest.raises(IntensityExceeded, match="4 failures within 60 s"):
        await supervise_until_it_fails(
            child(ticks, "ticks"), bad, intensity=Intensity(restarts=3, period_s=60), recorder=recorder
        )
    assert [event.at_s - start for event in recorder.of(ChildEnded, "root.bad")] == [5.5, 11, 16.5, 22]
    assert [(event.at_s - start, event.cause) for event in recorder.of(LoopStarved)] == [
        (at_s, LagCause.BLOCKED) for at_s in (5.5, 11, 16.5, 22)
    ]


async def test_a_timeout_that_a_childs_own_blocking_used_up_is_a_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def too_slow_by_itself(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with trio.fail_after(15):
            await trio.sleep(10)
            autojump_clock.jump(30)
            await trio.sleep(1)

    spec = ChildSpec("bad", too_slow_by_itself, backoff=AT_ONCE)
    recorder = EventRecorder()
    with pytest.raises(IntensityExceeded, match="TooSlowError"):
        await supervise_until_it_fails(spec, intensity=Intensity(restarts=1, period_s=60), recorder=recorder)
    assert [event.at_s - start for event in recorder.of(ChildEnded)] == [40, 80]


async def test_who_only_suffers_from_blocking_code_has_its_whole_limits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def blocks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(59)
        autojump_clock.jump(100)
        await trio.sleep_forever()

    async with supervised(watched_child(ScriptedChild(Hangs())), child(blocks, "bad")) as watched:
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.at_s == start + 100 + 60


async def test_what_falls_due_while_another_child_blocks_in_the_turn_of_the_alarm_is_not_judged_in_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The limits of `first` and `second` are 60 and 62, and at 60 somebody blocks for five seconds."""
    start = trio.current_time()

    async def blocks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(60)
        await trio.lowlevel.checkpoint()  # trio shuffles: before or after the timekeeper's step
        autojump_clock.jump(5)
        await trio.sleep_forever()

    first = replace(watched_child(ScriptedChild(Hangs()), "first"), restart=Restart.TEMPORARY)
    second = ChildSpec("second", ScriptedChild(Hangs()), silence=Silence(62), restart=Restart.TEMPORARY)
    async with supervised(first, second, child(blocks, "bad")) as watched:
        await watched.recorder.wait_for(ChildCancelled, "root.second")
        [cancelled] = watched.recorder.of(ChildCancelled, "root.second")
        assert cancelled.at_s == start + 5 + 62


@pytest.mark.parametrize(
    ("in_step", "spent", "cause"),
    [
        pytest.param(False, {}, LagCause.SUSPENDED, id="the process was stopped"),
        pytest.param(False, {"queued_s": 100.0}, LagCause.STARVED, id="no processor for it, between steps"),
        pytest.param(True, {"queued_s": 100.0}, LagCause.STARVED, id="no processor for it, within a step"),
        pytest.param(True, {"suspended_s": 100.0}, LagCause.SUSPENDED, id="the machine slept, within a step"),
        pytest.param(True, {}, LagCause.BLOCKED, id="a blocking call"),
        pytest.param(True, {"cpu_s": 100.0}, LagCause.BLOCKED, id="a long computation"),
        pytest.param(
            False, {"others_cpu_s": 100.0}, LagCause.BLOCKED, id="a thread that kept the interpreter"
        ),
    ],
)
async def test_only_the_host_is_an_excuse(
    in_step: bool, spent: dict[str, float], cause: LagCause, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    host = Host()
    recorder = EventRecorder()

    async def gap_at_10() -> None:
        await trio.sleep(10)
        host.passes(0.0, **spent)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # no yields
        if in_step:
            autojump_clock.jump(100)
        else:
            await stop_the_host(autojump_clock, 100)

    async def run() -> None:
        await supervise_until_it_fails(
            fragile("c", 15),
            intensity=Intensity(restarts=0, period_s=60),
            recorder=recorder,
            gauges=lambda: host,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gap_at_10)
        nursery.start_soon(expect, run, IntensityExceeded)
        ended = await recorder.wait_for(ChildEnded)
        assert ended.at_s == start + 110
        await trio.sleep(1)
        [starved] = recorder.of(LoopStarved)
        assert (starved.at_s, starved.cause) == (start + 110, cause)
        excused = cause is not LagCause.BLOCKED
        assert bool(recorder.of(ChildStarting, "root.c")[1:]) is excused
        # The next time-out is the child's own, with nobody to blame.
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert [event.at_s for event in recorder.of(SupervisorEscalated)] == [start + (125 if excused else 110)]
    assert host.closed == 1


@pytest.mark.parametrize(("in_step", "cause"), [(True, LagCause.BLOCKED), (False, LagCause.STARVED)])
async def test_gauges_that_break_leave_what_the_turns_of_the_loop_say(
    in_step: bool, cause: LagCause, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    hangs = watched_child(ScriptedChild(Hangs()))
    async with supervised(hangs, gauges=lambda: Host(broken=True)) as watched:
        await trio.sleep(59)
        if in_step:
            autojump_clock.jump(100)
        else:
            await stop_the_host(autojump_clock, 100)
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.at_s == start + 100 + 60
        assert [event.cause for event in watched.recorder.of(LoopStarved)] == [cause]


async def test_the_sleep_of_a_machine_that_no_clock_of_the_loop_shows_is_an_excuse(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    host = Host()
    recorder = EventRecorder()

    async def line_is_dead(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(10)
        raise OSError("reset by peer")

    async def the_lid_is_closed() -> None:
        await trio.sleep(9.5)
        host.passes(0.0, suspended_s=3600)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(the_lid_is_closed)
        with pytest.raises(IntensityExceeded):
            await supervise_until_it_fails(
                replace(child(line_is_dead), backoff=AT_ONCE),
                intensity=Intensity(restarts=0, period_s=60),
                recorder=recorder,
                gauges=lambda: host,
            )
    assert recorder.of(LoopStarved) == [
        # The gauges are not read in every turn: here next when the child wakes up.
        LoopStarved(path="root", at_s=start + 10, late_s=3600, cause=LagCause.SUSPENDED)
    ]
    assert [event.at_s - start for event in recorder.of(ChildEnded)] == [10, 20]


async def test_a_slow_observer_of_gaps_is_not_told_of_itself_without_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    told: list[LoopStarved] = []

    def slow(event: Event) -> None:
        if isinstance(event, LoopStarved):
            told.append(event)
            autojump_clock.jump(5)

    spec = SupervisorSpec(children=(child(ticks),))
    async with open_supervisor(spec, rng=random.Random(1), observers=(slow,)):
        await trio.sleep(10)
        await gap(autojump_clock, 100)
        await trio.sleep(100)
    assert [event.late_s for event in told] == [99]


async def test_a_gap_in_the_last_turn_is_still_told(autojump_clock: trio.testing.MockClock) -> None:
    told: list[float] = []
    starvation = Starvation(1.0, Host, lambda at_s, late_s, cause: told.append(late_s))
    with trio.move_on_after(10), starvation.watching(), trio.CancelScope(shield=True):
        await stop_the_host(autojump_clock, 100)
    assert told == [90]


async def test_without_blocking_code_and_with_a_host_that_runs_it_no_jump_of_the_mock_clock_is_a_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(watched_child(slow_beater)) as watched:
        await trio.sleep(80_000)
    assert not watched.recorder.of(LoopStarved)


# ---------------------------------------------------------------- a process that is really stopped

PROGRAM = """
import random, sys, trio
from tgworker.supervision import *

async def beats(pulse, *, task_status):
    task_status.started()
    while True:  # needs several turns of the loop for each beat
        for _ in range(10):
            await trio.sleep(0.01)
        pulse.beat()
        print("beat", flush=True)

spec = SupervisorSpec(
    children=(ChildSpec("beats", beats, silence=Silence(1.5)),),
    intensity=Intensity(restarts=0, period_s=60),
    starved_after_s=0.3,
)

def show(event):
    print(type(event).__name__, flush=True)

async def main():
    async with open_supervisor(spec, rng=random.Random(1), observers=(show,)):
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.slow
def test_a_process_that_was_stopped_and_continued_goes_on_as_if_nothing_had_happened() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while process.stdout.readline() != "beat\n":
                pass
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)  # the process's own clock goes on: there is no virtual time for this
            process.send_signal(signal.SIGCONT)
            after: list[str] = []
            while "LoopStarved" not in after or after[-15:].count("beat") < 12:
                after.append(process.stdout.readline().strip())
                assert len(after) < 40, after
            assert set(after) == {"beat", "LoopStarved"}
        finally:
            process.kill()
