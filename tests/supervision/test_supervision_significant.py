"""Significant children: a supervisor that shuts itself down when there is nothing left to do."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import child, supervise_until_it_fails, supervised
from tgworker.supervision import (
    AutoShutdown,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildState,
    Pulse,
    Restart,
    Silence,
    SpecError,
    Strategy,
    Subtree,
    SupervisorSpec,
    SupervisorStopping,
    Verdict,
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

ANY = SupervisorSpec(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
ALL = SupervisorSpec(auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)


def significant(name: str, *acts: Act, restart: Restart = Restart.TRANSIENT) -> ChildSpec:
    return ChildSpec(name, ScriptedChild(*acts), restart=restart, significant=True, silence=Silence(60))


async def seconds_until_the_end(*children: ChildSpec, like: SupervisorSpec) -> float | None:
    """After how many seconds the supervisor shuts itself down; ``None`` if it does not within 500."""
    start = trio.current_time()
    with trio.move_on_after(500) as patience:
        await supervise_until_it_fails(*children, like=like)
    return None if patience.cancelled_caught else trio.current_time() - start


async def test_the_block_ends_without_an_error_after_an_orderly_stop(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    await supervise_until_it_fails(
        child(ScriptedChild(Lingers(1)), "a"),
        significant("import", Returns(after_s=10)),
        child(ScriptedChild(Lingers(2)), "b"),
        recorder=recorder,
        like=ANY,
    )
    assert trio.current_time() == start + 13
    assert [event.path for event in recorder.of(ChildFinished)] == ["root.import", "root.b", "root.a"]
    [stopping] = recorder.of(SupervisorStopping)
    assert stopping.cause == "its significant child root.import has ended (returned)"


@pytest.mark.parametrize(
    ("restart", "act", "ends_after_s"),
    [
        (Restart.TRANSIENT, Returns(after_s=10), 10),
        (Restart.TRANSIENT, Raises(OSError(), after_s=10), None),
        (Restart.TRANSIENT, Hangs(), None),
        (Restart.TEMPORARY, Returns(after_s=10), 10),
        (Restart.TEMPORARY, Raises(OSError(), after_s=10), 10),
        (Restart.TEMPORARY, Hangs(), 60),
    ],
)
async def test_only_an_end_for_good_counts(
    restart: Restart, act: Act, ends_after_s: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    for like in (ANY, ALL):
        lone = significant("only", act, Runs(), restart=restart)
        assert await seconds_until_the_end(lone, like=like) == ends_after_s


@pytest.mark.parametrize(("like", "ends_after_s"), [(ANY, 10), (ALL, 30)])
async def test_any_is_the_first_and_all_is_the_last_to_end(
    like: SupervisorSpec, ends_after_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    children = [
        significant("a", Returns(after_s=30)),
        significant("b", Returns(after_s=10)),
        significant("c", Raises(OSError(), after_s=20), restart=Restart.TEMPORARY),
        replace(significant("d", Returns(after_s=5)), significant=False),
    ]
    assert await seconds_until_the_end(*children, like=like) == ends_after_s


async def test_a_significant_child_that_waits_for_its_turn_or_its_restart_has_not_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    late = ChildSpec("late", ScriptedChild(Returns(after_s=5)), restart=Restart.TRANSIENT, significant=True)
    slow = child(ScriptedChild(Runs(), ready_after_s=20), "slow")
    first = significant("first", Returns(after_s=1))
    assert await seconds_until_the_end(first, slow, late, like=ALL) == 25

    again = significant("again", Raises(OSError(), after_s=1), Returns(after_s=50))
    ended_after_s = await seconds_until_the_end(significant("first", Returns(after_s=1)), again, like=ALL)
    assert ended_after_s is not None
    assert 51 <= ended_after_s <= 51.5


async def test_a_child_that_was_told_to_stop_shuts_nothing_down_but_counts_as_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        significant("a", Runs()), significant("b", Returns(after_s=10)), like=ANY
    ) as watched:
        await watched.supervisor.wait_ready()
        await watched.supervisor.stop_child("a")
        await trio.sleep(5)
        assert not watched.recorder.of(SupervisorStopping)

    start = trio.current_time()
    with trio.move_on_after(500) as patience:
        async with supervised(
            significant("a", Runs()), significant("b", Returns(after_s=10)), like=ALL
        ) as watched:
            await watched.supervisor.wait_ready()
            await watched.supervisor.stop_child("a")
            await trio.sleep_forever()
    assert not patience.cancelled_caught
    assert trio.current_time() == start + 10


async def test_a_temporary_child_that_is_stopped_for_a_sibling_shuts_nothing_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    like = replace(ANY, strategy=Strategy.ONE_FOR_ALL)
    async with supervised(
        significant("a", Runs(), restart=Restart.TEMPORARY),
        child(ScriptedChild(Raises(OSError(), after_s=10), Runs()), "b"),
        like=like,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.b", count=2)
        await trio.sleep(100)
        assert watched.supervisor.snapshot().child("root.a").state is ChildState.STOPPED
        assert not watched.recorder.of(SupervisorStopping)


async def test_a_significant_child_that_returns_while_its_siblings_make_room_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    children = [
        significant("a", Returns(after_s=11)),
        child(ScriptedChild(Raises(OSError(), after_s=10), Runs()), "b"),
        child(ScriptedChild(Lingers(3)), "c"),
    ]
    ends_after_s = await seconds_until_the_end(*children, like=replace(ANY, strategy=Strategy.ONE_FOR_ALL))
    assert ends_after_s == 13, "at 11 it is decided; c is being stopped until 13"


async def test_a_subtree_that_shuts_itself_down_returns(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    inner = replace(ANY, children=(significant("work", Returns(after_s=10)), child(ScriptedChild(Runs()))))
    transient = replace(child(Subtree(inner), "session"), restart=Restart.TRANSIENT)
    async with supervised(transient) as watched:
        ended = await watched.recorder.wait_for(ChildEnded, "root.session")
        assert (ended.at_s, ended.ending.verdict) == (start + 10, Verdict.RETURNED)
        await trio.sleep(100)
        assert watched.supervisor.snapshot().child("root.session").state is ChildState.STOPPED


async def test_a_permanent_subtree_that_shuts_itself_down_begins_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    inner = replace(ANY, children=(significant("work", Returns(after_s=10)),))
    async with supervised(child(Subtree(inner), "session")) as watched:
        await watched.recorder.wait_for(ChildStarting, "root.session.work", count=3)
        endings = watched.recorder.of(ChildEnded, "root.session")
        assert {event.ending.verdict for event in endings} == {Verdict.RETURNED}


async def test_a_subtree_whose_work_is_done_before_it_is_ready_returns_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def at_once(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        pass

    for _ in range(10):  # trio runs tasks that are due together in any order
        work = ChildSpec("work", at_once, restart=Restart.TRANSIENT, significant=True)
        transient = replace(
            child(Subtree(replace(ANY, children=(work,))), "session"), restart=Restart.TRANSIENT
        )
        async with supervised(transient) as watched:
            ended = await watched.recorder.wait_for(ChildEnded, "root.session")
            assert (ended.ending.verdict, ended.ending.cause) == (Verdict.RETURNED, "returned")


async def test_ctrl_c_in_a_significant_child_is_not_taken_for_the_end_of_its_work(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    struck = significant("a", Raises(KeyboardInterrupt(), after_s=1), restart=Restart.TEMPORARY)
    with pytest.raises(KeyboardInterrupt):
        await supervise_until_it_fails(struck, recorder=recorder, like=ANY)
    [stopping] = recorder.of(SupervisorStopping)
    assert stopping.cause == "root.a raised KeyboardInterrupt"


async def test_significance_that_could_mean_nothing_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(SpecError, match="child a: a permanent child never ends for good"):
        significant("a", Runs(), restart=Restart.PERMANENT)
    with pytest.raises(SpecError, match="the child a is significant, and auto_shutdown is NEVER"):
        SupervisorSpec(children=(significant("a", Runs()),))
    async with supervised() as watched:
        with pytest.raises(SpecError, match="the child a is significant, and auto_shutdown is NEVER"):
            watched.supervisor.start_child(significant("a", Runs()))


async def test_a_significant_child_can_be_added_at_run_time(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def run() -> None:
        async with supervised(like=ALL) as watched:
            await trio.sleep(5)
            watched.supervisor.start_child(significant("a", Returns(after_s=5)))
            watched.supervisor.start_child(significant("b", Returns(after_s=10)))
            await trio.sleep_forever()

    await run()
    assert trio.current_time() == start + 15
