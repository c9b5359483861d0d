"""Stopping: in the reverse order, each child within its own budget, whoever asks for it."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import child, supervise_until_it_fails, supervised
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildQuiet,
    ChildSpec,
    ChildStarting,
    ChildState,
    DuplicateChild,
    Event,
    NotSupervising,
    Pulse,
    Restart,
    RestartScheduled,
    Silence,
    StopOrder,
    SupervisorSpec,
    SupervisorState,
    SupervisorStopped,
    SupervisorStopping,
    UnknownChild,
    Verdict,
    open_supervisor,
)
from tgworker.supervision.testing import (
    Act,
    EventRecorder,
    Hangs,
    Lingers,
    Raises,
    Returns,
    Runs,
    ScriptedChild,
)


def slow_to_stop(name: str, takes_s: float) -> ChildSpec:
    return child(ScriptedChild(Lingers(takes_s)), name)


def endings(recorder: EventRecorder) -> list[tuple[str, float, Verdict]]:
    return [(event.path, event.at_s, event.ending.verdict) for event in recorder.of(ChildEnded)]


async def test_leaving_the_block_stops_the_children_in_reverse_order_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(slow_to_stop("a", 1), slow_to_stop("b", 2), slow_to_stop("c", 3)) as watched:
        await watched.supervisor.wait_ready()
    assert endings(watched.recorder) == [
        ("root.c", start + 3, Verdict.STOPPED),
        ("root.b", start + 5, Verdict.STOPPED),
        ("root.a", start + 6, Verdict.STOPPED),
    ]
    [stopping] = watched.recorder.of(SupervisorStopping)
    assert (stopping.path, stopping.at_s, stopping.cause) == ("root", start, "its block has ended")
    [stopped] = watched.recorder.of(SupervisorStopped)
    assert (stopped.at_s, stopped.orphans) == (start + 6, ())
    assert watched.supervisor.snapshot().state is SupervisorState.STOPPED
    assert await watched.supervisor.wait_stopped() == ()


async def test_children_can_be_stopped_together(autojump_clock: trio.testing.MockClock) -> None:
    recorder = EventRecorder()
    spec = SupervisorSpec(children=(slow_to_stop("a", 1), slow_to_stop("b", 4)), stop=StopOrder.TOGETHER)
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)) as supervisor:
        await supervisor.wait_ready()
        start = trio.current_time()
    assert trio.current_time() == start + 4
    assert [event.path for event in recorder.of(ChildCancelled)] == ["root.b", "root.a"]
    assert endings(recorder) == [
        ("root.a", start + 1, Verdict.STOPPED),
        ("root.b", start + 4, Verdict.STOPPED),
    ]


async def test_an_outer_cancellation_stops_them_in_order_too(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    with trio.move_on_after(10) as outside:
        await supervise_until_it_fails(slow_to_stop("a", 1), slow_to_stop("b", 2), recorder=recorder)
    assert outside.cancelled_caught
    assert endings(recorder) == [
        ("root.b", start + 12, Verdict.STOPPED),
        ("root.a", start + 13, Verdict.STOPPED),
    ]
    [stopping] = recorder.of(SupervisorStopping)
    assert stopping.cause == "it was cancelled from outside"


@pytest.mark.parametrize("error", [ValueError("mine"), ExceptionGroup("mine", [ValueError("one")])])
async def test_an_exception_in_the_block_passes_unchanged_after_an_orderly_stop(
    error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = EventRecorder()
    start = trio.current_time()

    async def fail() -> None:
        children = slow_to_stop("a", 1), slow_to_stop("b", 2)
        async with supervised(*children, recorder=recorder) as watched:
            await watched.supervisor.wait_ready()
            raise error

    with pytest.raises(type(error)) as caught:
        await fail()
    assert caught.value is error
    assert [path for path, _, _ in endings(recorder)] == ["root.b", "root.a"]
    assert trio.current_time() == start + 3
    [stopping] = recorder.of(SupervisorStopping)
    assert stopping.cause == f"its block raised {type(error).__name__}"


async def test_leaving_the_block_while_a_child_is_starting_does_not_wait_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    never = ScriptedChild(Runs())
    async with supervised(
        child(ScriptedChild(Runs(), ready_after_s=20), "slow"), child(never, "never")
    ) as watched:
        await trio.sleep(1)
    assert trio.current_time() == start + 1
    assert never.started_at_s == []
    finished = [(event.path, event.verdict) for event in watched.recorder.of(ChildFinished)]
    assert finished == [("root.never", None), ("root.slow", Verdict.STOPPED)]


async def test_what_crashes_or_waits_for_its_restart_while_the_others_stop_does_not_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        child(ScriptedChild(Raises(OSError(), after_s=2)), "crashes"),
        child(ScriptedChild(Raises(OSError(), after_s=0.9)), "backs-off"),
        slow_to_stop("slow", 4),
    ) as watched:
        await watched.recorder.wait_for(RestartScheduled, "root.backs-off")
        assert watched.supervisor.snapshot().child("root.backs-off").state is ChildState.BACKING_OFF
    after = watched.recorder.events[
        watched.recorder.events.index(watched.recorder.of(SupervisorStopping)[0]) :
    ]
    assert not [event for event in after if isinstance(event, ChildStarting | RestartScheduled)]
    [crashed] = watched.recorder.of(ChildEnded, "root.crashes")
    assert crashed.ending.verdict is Verdict.RAISED
    assert {child.state for child in watched.supervisor.snapshot().children} == {ChildState.STOPPED}


async def test_a_restart_due_at_the_very_moment_of_the_stop_does_not_happen(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for _ in range(20):  # trio runs tasks that are due together in any order
        async with supervised(child(ScriptedChild(Raises(OSError()), Runs()))) as watched:
            scheduled = await watched.recorder.wait_for(RestartScheduled)
            await trio.sleep_until(scheduled.restart_at_s)
        assert len(watched.recorder.of(ChildStarting)) == 1


async def test_a_child_that_raises_while_it_is_stopped_was_stopped_and_the_error_is_recorded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def untidy(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("cannot close")

    async with supervised(child(untidy)) as watched:
        await watched.recorder.wait_for(ChildStarting)
        await trio.sleep(1)
    [ended] = watched.recorder.of(ChildEnded)
    assert ended.ending.verdict is Verdict.STOPPED
    assert (
        ended.ending.cause
        == "its block has ended; while it was being cancelled it raised OSError: cannot close"
    )
    assert ended.ending.stack is not None


async def test_a_child_is_told_who_cancelled_it_and_why(autojump_clock: trio.testing.MockClock) -> None:
    reasons: list[str | None] = []

    async def curious(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            reasons.append(cancelled.reason)
            raise

    async with supervised(child(curious)) as watched:
        await watched.supervisor.wait_ready()
        await trio.sleep(1)
        await watched.supervisor.stop_child("child")
    assert reasons == ["root.child: stopped: root was told to stop it"]


# ---------------------------------------------------------------- one child at run time


async def test_a_child_can_be_added_and_stopped_and_its_id_used_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised() as watched:
        supervisor = watched.supervisor
        supervisor.start_child(slow_to_stop("x", 2))
        assert "x" in supervisor
        await trio.sleep(1)
        await supervisor.stop_child("x")
        assert trio.current_time() == start + 3
        assert "x" not in supervisor
        assert supervisor.snapshot().children == ()
        supervisor.start_child(child(ScriptedChild(Runs()), "x"))
        await trio.sleep(1)
        assert supervisor.snapshot().child("root.x").incarnation == 1


async def test_a_stopped_child_never_comes_back_even_out_of_its_backoff(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Raises(OSError()))
    async with supervised(child(script, "x")) as watched:
        await watched.recorder.wait_for(RestartScheduled)
        before = trio.current_time()
        await watched.supervisor.stop_child("x")
        assert trio.current_time() == before
        await trio.sleep(1000)
        assert len(script.started_at_s) == 1


async def test_a_child_stopped_before_its_first_step_never_takes_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Runs())
    async with supervised() as watched:
        watched.supervisor.start_child(child(script, "x"))
        await watched.supervisor.stop_child("x")
        assert script.started_at_s == []
        [ended] = watched.recorder.of(ChildEnded)
        assert ended.ending.verdict is Verdict.STOPPED


async def test_a_static_child_can_be_stopped_before_its_turn_to_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Runs())
    async with supervised(
        child(ScriptedChild(Runs(), ready_after_s=5), "first"), child(script, "second")
    ) as watched:
        await watched.supervisor.stop_child("second")
        await watched.supervisor.wait_ready()
        assert script.started_at_s == []
        assert [seen.id for seen in watched.supervisor.snapshot().children] == ["first"]


async def test_stopping_a_child_that_is_being_cancelled_for_cause_ends_it_for_good(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(replace(slow_to_stop("x", 3), start_within_s=10)) as watched:

        async def never_ready(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(12)

        start = trio.current_time()
        watched.supervisor.start_child(replace(child(never_ready, "late"), start_within_s=10))
        await trio.sleep(11)
        await watched.supervisor.stop_child("late")
        assert trio.current_time() == start + 12
        await trio.sleep(100)
        [ended] = watched.recorder.of(ChildEnded, "root.late")
        assert ended.ending.verdict is Verdict.START_TIMEOUT
        assert len(watched.recorder.of(ChildStarting, "root.late")) == 1


async def test_a_cancelled_stop_still_stops_the_child(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(slow_to_stop("x", 3)) as watched:
        await watched.supervisor.wait_ready()
        with trio.move_on_after(1):
            await watched.supervisor.stop_child("x")
        assert "x" in watched.supervisor
        await trio.sleep(2.5)
        assert "x" not in watched.supervisor


async def test_several_may_stop_one_child(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(slow_to_stop("x", 3)) as watched:
        await watched.supervisor.wait_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.supervisor.stop_child, "x")
            nursery.start_soon(watched.supervisor.stop_child, "x")
        assert len(watched.recorder.of(ChildEnded)) == 1


async def test_a_child_added_at_run_time_that_ends_for_good_is_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        replace(child(ScriptedChild(Returns()), "static"), restart=Restart.TRANSIENT)
    ) as watched:
        watched.supervisor.start_child(
            replace(child(ScriptedChild(Returns(after_s=1)), "x"), restart=Restart.TRANSIENT)
        )
        await watched.recorder.wait_for(ChildFinished, "root.x")
        assert [seen.id for seen in watched.supervisor.snapshot().children] == ["static"]
        watched.supervisor.start_child(child(ScriptedChild(Runs()), "y"))
    last = {seen.id: seen.state for seen in watched.supervisor.snapshot().children}
    assert last == {"static": ChildState.STOPPED, "y": ChildState.STOPPED}, "the end of a tree stays visible"


async def test_ids_that_are_taken_or_unknown_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(slow_to_stop("x", 3)) as watched:
        supervisor = watched.supervisor
        await supervisor.wait_ready()
        with pytest.raises(DuplicateChild, match="root has a child x"):
            supervisor.start_child(child(ScriptedChild(Runs()), "x"))
        with pytest.raises(UnknownChild, match="root has no child y"):
            await supervisor.stop_child("y")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop_child, "x")
            await trio.sleep(1)
            with pytest.raises(DuplicateChild):
                supervisor.start_child(child(ScriptedChild(Runs()), "x"))
        supervisor.start_child(child(ScriptedChild(Runs()), "x"))


async def test_a_stopping_supervisor_takes_no_children_and_is_not_ready(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        async with supervised(
            slow_to_stop("x", 3), child(ScriptedChild(Hangs(), ready_after_s=9), "y")
        ) as watched:
            supervisor = watched.supervisor
            nursery.start_soon(wait_in_vain, supervisor.wait_ready)
            await trio.sleep(1)
        with pytest.raises(NotSupervising, match="its block has ended"):
            supervisor.start_child(child(ScriptedChild(Runs()), "z"))


async def wait_in_vain(wait_ready: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(NotSupervising, match="its block has ended"):
        await wait_ready()


# ---------------------------------------------------------------- what concerns the whole process


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exit_raised_in_a_child_leaves_after_an_orderly_stop(
    error: BaseException, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = EventRecorder()
    start = trio.current_time()
    exits = child(ScriptedChild(Raises(error, after_s=5)), "exits")
    with pytest.raises(type(error)) as caught:
        await supervise_until_it_fails(slow_to_stop("a", 1), exits, slow_to_stop("b", 2), recorder=recorder)
    assert caught.value is error
    assert endings(recorder) == [
        ("root.exits", start + 5, Verdict.RAISED),
        ("root.b", start + 7, Verdict.STOPPED),
        ("root.a", start + 8, Verdict.STOPPED),
    ]
    assert not recorder.of(RestartScheduled)


async def test_an_exit_inside_a_group_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    group = BaseExceptionGroup("both", [ValueError("one"), BaseExceptionGroup("in", [KeyboardInterrupt()])])
    with pytest.raises(BaseExceptionGroup) as caught:
        await supervise_until_it_fails(child(ScriptedChild(Raises(group))))
    assert caught.value is group


async def test_an_exit_of_a_child_and_an_error_of_the_block_leave_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def raise_mine() -> None:
        raise ValueError("mine")

    with pytest.RaisesGroup(ValueError, KeyboardInterrupt):
        await supervise_until_it_fails(
            child(ScriptedChild(Raises(KeyboardInterrupt()))), at_the_end=raise_mine
        )


async def test_a_stray_cancelled_is_not_swallowed(autojump_clock: trio.testing.MockClock) -> None:
    kept: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            kept.append(cancelled)
            raise
    with pytest.raises(trio.Cancelled) as caught:
        await supervise_until_it_fails(child(ScriptedChild(Raises(kept[0]))))
    assert caught.value is kept[0]


async def test_a_foreign_loops_cancelled_error_is_a_failure_of_the_child_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(child(ScriptedChild(Raises(asyncio.CancelledError()), Runs()))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.ending.verdict, ended.ending.cause) == (Verdict.RAISED, "CancelledError")
        await watched.recorder.wait_for(ChildStarting, count=2)


def interrupted(where: str) -> list[Event]:
    """Events of a run in which Ctrl-C strikes in a child, or in the block."""
    recorder = EventRecorder()

    async def strike(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(5)
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    async def main() -> None:
        struck = child(strike if where == "child" else ScriptedChild(Runs()), "struck")
        spec = SupervisorSpec(children=(slow_to_stop("a", 1), struck, slow_to_stop("b", 2)))
        async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)):
            if where == "block":
                await trio.sleep(5)
                signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return recorder.events


def test_ctrl_c_in_a_child_stops_the_tree_in_order() -> None:
    ended = [event for event in interrupted("child") if isinstance(event, ChildEnded)]
    assert [(event.path, event.at_s) for event in ended] == [("root.struck", 5), ("root.b", 7), ("root.a", 8)]


def test_ctrl_c_in_the_block_stops_the_tree_in_order() -> None:
    ended = [event for event in interrupted("block") if isinstance(event, ChildEnded)]
    assert [(event.path, event.at_s) for event in ended] == [("root.b", 7), ("root.struck", 7), ("root.a", 8)]


@pytest.mark.parametrize(
    ("kind", "act"), [(RestartScheduled, Raises(OSError())), (ChildQuiet, Hangs()), (ChildCancelled, Hangs())]
)
def test_ctrl_c_while_an_observer_is_told_does_not_break_the_supervisor(kind: type[Event], act: Act) -> None:
    recorder = EventRecorder()
    struck: list[Event] = []

    def strike(event: Event) -> None:
        if isinstance(event, kind) and not struck:
            struck.append(event)
            signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        fragile = replace(child(ScriptedChild(act, Runs())), silence=Silence(60, evidence_after_s=30))
        spec = SupervisorSpec(children=(slow_to_stop("a", 1), fragile))
        async with open_supervisor(spec, rng=random.Random(1), observers=(strike, recorder)):
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [event.path for event in recorder.of(ChildFinished)] == ["root.child", "root.a"]
    assert recorder.of(kind)[:1] == struck
