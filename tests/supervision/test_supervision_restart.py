"""Crashes and hangs are answered at the exact second, and according to the child's kind."""

import random
from dataclasses import replace

import pytest
import trio

from supervision.supervision_helpers import SEED, child, delays, supervised
from tgworker.supervision import (
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildState,
    Pulse,
    Ready,
    Restart,
    RestartScheduled,
    Silence,
    SupervisorSpec,
    Verdict,
    open_supervisor,
)
from tgworker.supervision.testing import Act, EventRecorder, Hangs, Raises, Returns, Runs, ScriptedChild


async def test_a_child_in_an_endless_sleep_is_cancelled_at_60_s_and_replaced_after_the_seeded_delay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Hangs(), Runs())
    recorder = EventRecorder()
    evidence_at: list[float] = []

    def dump(path: str, task: trio.lowlevel.Task) -> str:
        assert script.running == 1, "evidence is taken before the cancellation"
        evidence_at.append(trio.current_time())
        return f"stacks of {path}"

    spec = SupervisorSpec(
        children=(
            ChildSpec(
                "outbound",
                start=script,
                backoff=Backoff(initial_s=0.5, factor=2, cap_s=60),
                silence=Silence(stall_after_s=60, evidence_after_s=30),
            ),
        ),
    )
    start = trio.current_time()
    [delay_s] = delays(0.5)
    async with open_supervisor(spec, rng=random.Random(SEED), observers=(recorder,), dump=dump) as supervisor:
        await recorder.wait_for(ChildReady, count=2)
        assert script.started_at_s == [start, start + 60 + delay_s]
        assert script.ended_at_s == [start + 60]
        assert evidence_at == [start + 30, start + 60]
        [cancelled] = recorder.of(ChildCancelled)
        assert (cancelled.verdict, cancelled.at_s) == (Verdict.SILENT, start + 60)
        [ended] = recorder.of(ChildEnded)
        assert ended.ending.evidence == "stacks of root.outbound"
        assert (ended.ending.attempt, ended.ending.delay_s) == (1, delay_s)
        [scheduled] = recorder.of(RestartScheduled)
        assert (scheduled.delay_s, scheduled.incarnation) == (delay_s, 2)
        seen = supervisor.snapshot().child("root.outbound")
        assert (seen.restarts, seen.verdict, seen.alive) == (1, Verdict.SILENT, True)
    assert script.most_running == 1
    assert script.running == 0


async def test_the_bound_of_the_delay_doubles_with_each_crash_in_a_row_up_to_the_cap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Raises(OSError("away"), after_s=1))
    spec = replace(child(script), backoff=Backoff(initial_s=1, factor=2, cap_s=5, reset_after_s=100))
    async with supervised(spec) as watched:
        await watched.recorder.wait_for(ChildStarting, count=6)
        scheduled = watched.recorder.of(RestartScheduled)
        assert [event.delay_s for event in scheduled] == delays(1, 2, 4, 5, 5)
        assert [event.attempt for event in scheduled] == [1, 2, 3, 4, 5]
        started = watched.recorder.of(ChildStarting)
        for before, event, after in zip(started, scheduled, started[1:], strict=False):
            assert event.at_s == before.at_s + 1
            assert after.at_s == event.restart_at_s == event.at_s + event.delay_s
            assert after.incarnation == event.incarnation == before.incarnation + 1
        assert {event.ending.verdict for event in watched.recorder.of(ChildEnded)} == {Verdict.RAISED}


async def test_a_stable_run_resets_the_backoff(autojump_clock: trio.testing.MockClock) -> None:
    crash = Raises(OSError())
    script = ScriptedChild(crash, crash, Raises(OSError(), after_s=100), Runs())
    spec = replace(child(script), backoff=Backoff(initial_s=1, factor=2, cap_s=60, reset_after_s=100))
    async with supervised(spec) as watched:
        await watched.recorder.wait_for(ChildReady, count=4)
        assert [event.delay_s for event in watched.recorder.of(RestartScheduled)] == delays(1, 2, 1)


async def test_a_run_that_hung_for_longer_than_the_reset_time_was_not_stable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Hangs(), Hangs(), Runs())
    spec = replace(
        child(script),
        backoff=Backoff(initial_s=1, factor=2, cap_s=60, reset_after_s=50),
        silence=Silence(stall_after_s=60),
    )
    async with supervised(spec) as watched:
        await watched.recorder.wait_for(ChildReady, count=3)
        assert [event.delay_s for event in watched.recorder.of(RestartScheduled)] == delays(1, 2)


@pytest.mark.parametrize(
    ("restart", "act", "comes_back"),
    [
        (Restart.PERMANENT, Returns(), True),
        (Restart.PERMANENT, Raises(OSError()), True),
        (Restart.PERMANENT, Hangs(), True),
        (Restart.TRANSIENT, Returns(), False),
        (Restart.TRANSIENT, Raises(OSError()), True),
        (Restart.TRANSIENT, Hangs(), True),
        (Restart.TEMPORARY, Returns(), False),
        (Restart.TEMPORARY, Raises(OSError()), False),
        (Restart.TEMPORARY, Hangs(), False),
    ],
)
async def test_what_comes_back_is_what_its_kind_says(
    restart: Restart, act: Act, comes_back: bool, autojump_clock: trio.testing.MockClock
) -> None:
    script = ScriptedChild(act, Runs())
    spec = replace(child(script), restart=restart, silence=Silence(stall_after_s=60))
    async with supervised(spec) as watched:
        await trio.sleep(100)
        seen = watched.supervisor.snapshot().child("root.child")
        if comes_back:
            assert (seen.state, seen.incarnation, seen.alive) == (ChildState.READY, 2, True)
            assert not watched.recorder.of(ChildFinished)
        else:
            assert (seen.state, seen.incarnation, seen.alive) == (ChildState.STOPPED, 1, False)
            [finished] = watched.recorder.of(ChildFinished)
            assert finished.verdict is seen.verdict is not None


async def test_a_child_that_is_not_ready_in_time_is_cancelled_and_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    script = ScriptedChild(Runs(), ready_after_s=31)
    spec = replace(child(script), start_within_s=30)
    async with supervised(spec) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.at_s == start + 30
        assert ended.ending.verdict is Verdict.START_TIMEOUT
        assert ended.ending.evidence is not None
        assert ended.ending.delay_s == delays(0.5)[0]
        assert not watched.recorder.of(ChildReady)


async def test_a_child_that_is_ready_at_the_last_moment_is_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        replace(child(ScriptedChild(Runs(), ready_after_s=30)), start_within_s=30)
    ) as watched:
        ready = await watched.recorder.wait_for(ChildReady)
        assert (ready.at_s, ready.after_s) == (start + 30, 30)
        await trio.sleep(1)
        assert not watched.recorder.of(ChildCancelled)


async def test_a_child_without_a_start_limit_may_take_any_time_and_holds_nobody_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    slow = replace(child(ScriptedChild(Runs(), ready_after_s=1_000), "slow"), start_within_s=None)
    async with supervised(slow, child(ScriptedChild(Runs()), "next")) as watched:
        assert (await watched.recorder.wait_for(ChildReady, "root.next")).at_s == start
        assert (await watched.recorder.wait_for(ChildReady, "root.slow")).at_s == start + 1_000
        await watched.supervisor.wait_ready()


async def test_children_start_in_order_each_when_the_one_before_is_ready(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        child(ScriptedChild(Runs(), ready_after_s=3), "first"),
        child(ScriptedChild(Raises(OSError(), after_s=2), ready_after_s=4), "second"),
        child(ScriptedChild(Runs()), "third"),
    ) as watched:
        assert watched.supervisor.snapshot().child("root.third").state is ChildState.WAITING
        await watched.supervisor.wait_ready()
        assert trio.current_time() == start + 7
        first_steps = {event.path: event.at_s for event in reversed(watched.recorder.of(ChildStarting))}
        assert first_steps == {"root.first": start, "root.second": start + 3, "root.third": start + 7}


async def test_a_child_whose_first_run_fails_before_it_is_ready_does_not_hold_up_its_siblings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def broken(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(2)
        raise OSError

    async with supervised(child(broken, "broken"), child(ScriptedChild(Runs()), "next")) as watched:
        assert (await watched.recorder.wait_for(ChildReady, "root.next")).at_s == start + 2


async def test_a_child_that_reports_no_readiness_can_count_as_ready_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def silent(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep_forever()

    async def polite(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    start = trio.current_time()
    specs = [replace(child(fn, fn.__name__), ready=Ready.AT_ONCE) for fn in (silent, polite)]
    async with supervised(*specs) as watched:
        await watched.supervisor.wait_ready()
        assert trio.current_time() == start
        await trio.sleep(100)
        assert len(watched.recorder.of(ChildReady)) == 2
        assert not watched.recorder.of(ChildCancelled)


async def test_saying_started_twice_is_an_error_of_the_child(autojump_clock: trio.testing.MockClock) -> None:
    async def twice(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        task_status.started()

    async with supervised(child(twice)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.cause == "RuntimeError: called 'started' twice on the same task status"


async def test_a_crash_disturbs_no_sibling(autojump_clock: trio.testing.MockClock) -> None:
    calm = ScriptedChild(Runs())
    wild = ScriptedChild(Raises(OSError(), after_s=1))
    async with supervised(child(calm, "calm"), child(wild, "wild")):
        await trio.sleep(1000)
        assert len(calm.started_at_s) == 1
        assert len(wild.started_at_s) > 5


async def test_an_ending_says_what_was_raised_in_one_line_and_where(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def crash(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, "two\nlines")
            nursery.start_soon(fail, "")

    async def fail(message: str) -> None:
        raise ValueError(message)

    async with supervised(child(crash)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
    assert ended.ending.cause in ("ValueError: two lines; ValueError", "ValueError; ValueError: two lines")
    assert ended.ending.stack is not None
    assert "in fail" in ended.ending.stack
    assert isinstance(ended.error, ExceptionGroup)
    assert ended.ending.evidence is None


async def test_one_exception_raised_again_and_again_does_not_make_the_records_grow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(child(ScriptedChild(Raises(OSError("the same"))))) as watched:
        await watched.recorder.wait_for(ChildEnded, count=100)
    first, *_, last = [event.ending.stack for event in watched.recorder.of(ChildEnded)]
    assert first is not None
    assert last is not None
    assert first.endswith("OSError: the same\n")
    assert last.endswith("OSError: the same\n")
    assert "^^^" not in last
    assert last.count(", in ") <= 30


async def test_a_stack_is_never_longer_than_a_few_pages(autojump_clock: trio.testing.MockClock) -> None:
    error: Exception = ValueError("innermost")
    for depth in range(200):
        outer = ValueError(f"at depth {depth} " + "x" * 200)
        outer.__cause__ = error
        error = outer
    async with supervised(child(ScriptedChild(Raises(error)))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
    assert ended.ending.stack is not None
    assert len(ended.ending.stack) == 20_000
    assert ended.ending.stack.endswith("x\n")


async def test_an_exception_that_cannot_be_shown_harms_nobody(autojump_clock: trio.testing.MockClock) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("broken")

    async with supervised(child(ScriptedChild(Raises(Unshowable()), Runs()))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.cause == "Unshowable: (its message cannot be shown)"
        await watched.recorder.wait_for(ChildReady, count=2)


async def test_a_very_long_cause_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(child(ScriptedChild(Raises(ValueError("x" * 5000))))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
    assert len(ended.ending.cause) == 300
    assert ended.ending.cause.endswith("…")
