"""one_for_all and rest_for_one: who is stopped, who comes back, in which order, and when."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import Watched, child, delays, supervise_until_it_fails, supervised
from tgworker.supervision import (
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildState,
    Ending,
    Intensity,
    IntensityExceeded,
    Pulse,
    Restart,
    RestartScheduled,
    SiblingsDisturbed,
    Silence,
    StopOrder,
    Strategy,
    Subtree,
    SupervisorSpec,
    SupervisorStopped,
    Verdict,
    Wedged,
)
from tgworker.supervision.testing import (
    Act,
    EventRecorder,
    Hangs,
    Lingers,
    Raises,
    RefusesToDie,
    Returns,
    Runs,
    ScriptedChild,
)

ALL = SupervisorSpec(strategy=Strategy.ONE_FOR_ALL)
REST = SupervisorSpec(strategy=Strategy.REST_FOR_ONE)
AT_ONCE = Backoff(initial_s=0, factor=1, cap_s=0)
OFTEN = Intensity(restarts=1000, period_s=1e7)
"""For children without backoff."""


def acts(name: str, *script: Act, ready_after_s: float = 0.0) -> ChildSpec:
    """A child that plays a script, and comes back at once."""
    return replace(child(ScriptedChild(*script, ready_after_s=ready_after_s), name), backoff=AT_ONCE)


def story(watched: Watched | EventRecorder, start: float) -> list[tuple[str, str, float]]:
    """Who was started, told to stop, and ended, in which order and when."""
    recorder = watched.recorder if isinstance(watched, Watched) else watched
    words: dict[type, str] = {ChildStarting: "starts", ChildCancelled: "is stopped", ChildEnded: "ends"}
    return [
        (event.path.removeprefix("root."), words[type(event)], event.at_s - start)
        for event in recorder.events
        if type(event) in words
    ]


async def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Lingers(1)),
        acts("b", Raises(OSError("down"), after_s=10), Runs()),
        acts("c", Lingers(2)),
        intensity=OFTEN,
        like=ALL,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.c", count=2)
        assert story(watched, start) == [
            ("a", "starts", 0),
            ("b", "starts", 0),
            ("c", "starts", 0),
            ("b", "ends", 10),
            ("c", "is stopped", 10),
            ("c", "ends", 12),
            ("a", "is stopped", 12),
            ("a", "ends", 13),
            ("a", "starts", 13),
            ("b", "starts", 13),
            ("c", "starts", 13),
        ]
        [disturbed] = watched.recorder.of(SiblingsDisturbed)
        assert (disturbed.path, disturbed.siblings) == ("root.b", ("root.a", "root.c"))
        assert {event.cause for event in watched.recorder.of(ChildCancelled)} == {
            "to be restarted with root.b, whose end was: raised"
        }
        assert [event.path for event in watched.recorder.of(RestartScheduled)] == ["root.b"]
        assert not watched.recorder.of(ChildFinished)
        seen = watched.supervisor.snapshot().child("root.a")
        assert (seen.restarts, seen.attempt, seen.verdict) == (1, 0, Verdict.STOPPED)
        assert isinstance(seen.last, Ending)
        assert seen.last.delay_s is None


async def test_rest_for_one_disturbs_only_those_started_after_the_child_that_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Runs()),
        acts("b", Raises(OSError(), after_s=10), Runs()),
        acts("c", Lingers(1)),
        acts("d", Lingers(2)),
        intensity=OFTEN,
        like=REST,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.d", count=2)
        assert story(watched, start)[4:] == [
            ("b", "ends", 10),
            ("d", "is stopped", 10),
            ("d", "ends", 12),
            ("c", "is stopped", 12),
            ("c", "ends", 13),
            ("b", "starts", 13),
            ("c", "starts", 13),
            ("d", "starts", 13),
        ]
        [disturbed] = watched.recorder.of(SiblingsDisturbed)
        assert disturbed.siblings == ("root.c", "root.d")


async def test_the_last_child_of_rest_for_one_disturbs_nobody(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Runs()), acts("b", Raises(OSError(), after_s=10), Runs()), intensity=OFTEN, like=REST
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.b", count=2)
        assert story(watched, start)[2:] == [("b", "ends", 10), ("b", "starts", 10)]
        assert not watched.recorder.of(SiblingsDisturbed)


@pytest.mark.parametrize(("lingers_s", "waits_for"), [(0.25, "the backoff"), (30, "the sibling")])
async def test_a_group_comes_back_when_the_backoff_is_over_and_the_siblings_are_dead(
    lingers_s: float, waits_for: str, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    [delay_s] = delays(8)
    fails = replace(acts("b", Raises(OSError(), after_s=10), Runs()), backoff=Backoff(initial_s=8, cap_s=8))
    lingers = replace(acts("a", Lingers(lingers_s)), stop_within_s=60)
    async with supervised(lingers, fails, intensity=Intensity(restarts=1, period_s=60), like=ALL) as watched:
        back = await watched.recorder.wait_for(ChildStarting, "root.a", count=2)
        assert back.at_s == start + 10 + (delay_s if waits_for == "the backoff" else lingers_s)
        [scheduled] = watched.recorder.of(RestartScheduled)
        assert (scheduled.path, scheduled.restart_at_s) == ("root.b", start + 10 + delay_s)
        assert (await watched.recorder.wait_for(ChildStarting, "root.b", count=2)).at_s == back.at_s


async def test_while_a_group_is_down_the_snapshot_says_who_backs_off_and_who_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fails = replace(acts("b", Raises(OSError(), after_s=10), Runs()), backoff=Backoff(initial_s=8, cap_s=8))
    async with supervised(acts("a", Runs()), fails, acts("c", Lingers(3)), like=ALL, intensity=OFTEN) as it:
        scheduled = await it.recorder.wait_for(RestartScheduled)
        assert scheduled.delay_s > 1
        await trio.sleep(1)
        states = {seen.id: (seen.state, seen.alive) for seen in it.supervisor.snapshot().children}
        assert states == {
            "a": (ChildState.READY, True),
            "b": (ChildState.BACKING_OFF, False),
            "c": (ChildState.STOPPING, True),
        }
        await it.recorder.wait_for(ChildEnded, "root.a")
        states = {seen.id: (seen.state, seen.alive) for seen in it.supervisor.snapshot().children}
        assert states["a"] == (ChildState.WAITING, False)


async def test_a_group_starts_each_child_when_the_one_before_is_ready(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Runs(), ready_after_s=3),
        acts("b", Runs(), ready_after_s=4),
        acts("c", Raises(OSError(), after_s=10), Runs()),
        intensity=OFTEN,
        like=ALL,
    ) as watched:
        await watched.recorder.wait_for(ChildStarting, "root.c", count=2)
        starts = [(name, at_s) for name, what, at_s in story(watched, start) if what == "starts"]
        assert starts == [("a", 0), ("b", 3), ("c", 7), ("a", 17), ("b", 20), ("c", 24)]


async def test_a_sibling_without_a_start_limit_holds_the_group_up_no_more_than_at_the_first_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    slow = replace(acts("a", Runs(), ready_after_s=1000), start_within_s=None)
    async with supervised(
        slow, acts("b", Raises(OSError(), after_s=10), Runs()), intensity=OFTEN, like=ALL
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.b", count=2)
        assert trio.current_time() == start + 10


# ---------------------------------------------------------------- who comes back


@pytest.mark.parametrize("like", [ALL, REST])
async def test_stopped_siblings_come_back_unless_they_are_temporary(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(
        acts("fails", Raises(OSError(), after_s=10), Runs()),
        *(replace(acts(kind.value, Runs()), restart=kind) for kind in Restart),
        intensity=OFTEN,
        like=like,
    ) as watched:
        await trio.sleep(20)
        seen = {one.id: (one.state, one.incarnation) for one in watched.supervisor.snapshot().children}
        assert seen == {
            "fails": (ChildState.READY, 2),
            "permanent": (ChildState.READY, 2),
            "transient": (ChildState.READY, 2),
            "temporary": (ChildState.STOPPED, 1),
        }
        [finished] = watched.recorder.of(ChildFinished)
        assert (finished.path, finished.verdict) == ("root.temporary", Verdict.STOPPED)


async def test_a_child_that_has_done_its_work_does_not_come_back_with_its_siblings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    done = replace(acts("done", Returns(after_s=1)), restart=Restart.TRANSIENT)
    async with supervised(
        done, acts("fails", Raises(OSError(), after_s=10), Runs()), intensity=OFTEN, like=ALL
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.fails", count=2)
        assert len(watched.recorder.of(ChildStarting, "root.done")) == 1


@pytest.mark.parametrize(
    ("restart", "act", "comes_back"),
    [
        (Restart.PERMANENT, Returns(after_s=11), True),
        (Restart.PERMANENT, Raises(OSError(), after_s=11), True),
        (Restart.TRANSIENT, Returns(after_s=11), False),
        (Restart.TRANSIENT, Raises(OSError(), after_s=11), True),
        (Restart.TEMPORARY, Raises(OSError(), after_s=11), False),
    ],
)
async def test_a_sibling_that_ends_by_itself_before_its_turn_to_stop_is_no_second_failure(
    restart: Restart, act: Act, comes_back: bool, autojump_clock: trio.testing.MockClock
) -> None:
    early = replace(acts("early", act, Runs()), restart=restart)
    async with supervised(
        early,
        acts("fails", Raises(OSError(), after_s=10), Runs()),
        acts("last", Lingers(3)),
        intensity=Intensity(restarts=1, period_s=60),
        like=ALL,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.last", count=2)
        assert len(watched.recorder.of(ChildStarting, "root.early")) == 1 + comes_back
        assert [event.path for event in watched.recorder.of(RestartScheduled)] == ["root.fails"]
        assert not watched.recorder.of(ChildCancelled, "root.early")


async def test_a_sibling_that_hangs_while_it_waits_for_its_turn_to_stop_comes_back_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        replace(acts("hangs", Hangs(), Runs()), silence=Silence(12)),
        acts("fails", Raises(OSError(), after_s=10), Runs()),
        acts("last", Lingers(3)),
        intensity=Intensity(restarts=1, period_s=60),
        like=ALL,
    ) as watched:
        ended = await watched.recorder.wait_for(ChildEnded, "root.hangs")
        assert (ended.at_s, ended.ending.verdict) == (start + 12, Verdict.SILENT)
        assert (await watched.recorder.wait_for(ChildReady, "root.hangs", count=2)).at_s == start + 13


async def test_a_child_stopped_for_good_while_its_group_is_down_does_not_come_back_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slow = Backoff(initial_s=8, cap_s=8)
    fails = replace(acts("fails", Raises(OSError(), after_s=10), Runs()), backoff=slow)
    async with supervised(acts("a", Runs()), fails, acts("c", Runs()), like=ALL, intensity=OFTEN) as watched:
        await watched.recorder.wait_for(ChildEnded, "root.a")
        await watched.supervisor.stop_child("c")
        await watched.recorder.wait_for(ChildReady, "root.fails", count=2)
        await trio.sleep(100)
        assert len(watched.recorder.of(ChildStarting, "root.c")) == 1
        assert "c" not in watched.supervisor


async def test_when_the_child_that_failed_is_stopped_for_good_its_group_comes_back_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slow = Backoff(initial_s=1000, cap_s=1000)
    fails = replace(acts("fails", Raises(OSError(), after_s=10)), backoff=slow)
    async with supervised(acts("a", Runs()), fails, acts("c", Runs()), like=ALL, intensity=OFTEN) as watched:
        await watched.recorder.wait_for(ChildEnded, "root.a")
        await watched.supervisor.stop_child("fails")
        before = trio.current_time()
        assert (await watched.recorder.wait_for(ChildReady, "root.c", count=2)).at_s == before


# ---------------------------------------------------------------- failures one after the other


async def test_a_group_restart_is_one_failure_and_a_failure_while_it_starts_is_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    with pytest.raises(IntensityExceeded, match=r"3 failures within 60 s, the last of root\.b"):
        await supervise_until_it_fails(
            acts("a", Runs()),
            acts("b", Raises(OSError(), after_s=10)),
            acts("c", Runs()),
            intensity=Intensity(restarts=2, period_s=60),
            recorder=recorder,
            like=ALL,
        )
    assert [len(recorder.of(ChildStarting, f"root.{name}")) for name in "abc"] == [3, 3, 3]
    assert recorder.of(SupervisorStopped)[0].orphans == ()


async def test_a_child_that_fails_before_it_is_ready_in_a_group_begins_the_group_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    runs = 0

    async def fails_twice(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal runs
        runs += 1
        await trio.sleep(1)
        if runs < 3:
            raise OSError
        task_status.started()
        await trio.sleep_forever()

    async with supervised(
        acts("a", Runs()),
        replace(child(fails_twice, "b"), backoff=AT_ONCE),
        acts("c", Runs()),
        intensity=OFTEN,
        like=ALL,
    ) as watched:
        await watched.supervisor.wait_ready()
        assert story(watched, start) == [
            ("a", "starts", 0),
            ("b", "starts", 0),
            ("b", "ends", 1),
            ("a", "is stopped", 1),
            ("a", "ends", 1),
            ("a", "starts", 1),
            ("b", "starts", 1),
            ("b", "ends", 2),
            ("a", "is stopped", 2),
            ("a", "ends", 2),
            ("a", "starts", 2),
            ("b", "starts", 2),
            ("c", "starts", 3),
        ]


async def test_an_earlier_child_that_fails_while_a_group_is_down_makes_the_group_larger(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    slow = Backoff(initial_s=8, cap_s=8)
    [first_s, _] = delays(8, 0)
    async with supervised(
        acts("a", Raises(OSError(), after_s=12), Runs()),
        acts("b", Lingers(1)),
        replace(acts("c", Raises(OSError(), after_s=10), Runs()), backoff=slow),
        acts("d", Lingers(3)),
        intensity=OFTEN,
        like=REST,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.d", count=2)
        assert story(watched, start)[4:] == [
            ("c", "ends", 10),
            ("d", "is stopped", 10),
            ("a", "ends", 12),
            ("d", "ends", 13),
            ("b", "is stopped", 13),
            ("b", "ends", 14),
            ("a", "starts", 14),
            ("b", "starts", 14),
            ("c", "starts", max(14, 10 + first_s)),
            ("d", "starts", max(14, 10 + first_s)),
        ]


async def test_two_that_fail_at_the_same_instant_are_one_failure_of_one_for_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for _ in range(10):  # trio runs tasks that are due together in any order
        async with supervised(
            acts("a", Raises(OSError(), after_s=10), Runs()),
            acts("b", Raises(OSError(), after_s=10), Runs()),
            intensity=Intensity(restarts=1, period_s=60),
            like=ALL,
        ) as watched:
            await watched.recorder.wait_for(ChildReady, "root.b", count=2)
            assert len(watched.recorder.of(RestartScheduled)) == 1
            assert len(watched.recorder.of(ChildStarting)) == 4


async def test_trouble_in_the_very_instant_in_which_the_next_would_start_starts_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    for _ in range(10):
        async with supervised(
            acts("a", Raises(OSError(), after_s=5), Runs()),
            acts("b", Runs(), ready_after_s=5),  # ready when a fails
            acts("c", Runs()),
            intensity=OFTEN,
            like=ALL,
        ) as watched:
            start = trio.current_time()
            await watched.recorder.wait_for(ChildReady, "root.c")
            starts = [name for name, what, _ in story(watched, start) if what == "starts"]
            assert starts in (["a", "b", "a", "b", "c"], ["a", "b", "c", "a", "b", "c"])
            running = {one.id: one.state for one in watched.supervisor.snapshot().children}
            assert running == dict.fromkeys("abc", ChildState.READY) or starts.count("c") == 1


# ---------------------------------------------------------------- stopping


async def test_a_sibling_that_does_not_make_room_is_wedged_and_nobody_starts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    release = trio.Event()

    async def run() -> None:
        with pytest.raises(Wedged, match=r"root\.c is wedged: did not end within 5 s"):
            await supervise_until_it_fails(
                acts("a", Runs()),
                acts("b", Raises(OSError(), after_s=10), Runs()),
                acts("c", RefusesToDie(release)),
                recorder=recorder,
                intensity=OFTEN,
                like=ALL,
            )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        stopped = await recorder.wait_for(SupervisorStopped)
        assert (stopped.at_s, stopped.orphans) == (start + 15, ("root.c",))
        await trio.sleep(100)
        release.set()
    assert len(recorder.of(ChildStarting)) == 3


async def test_siblings_can_be_stopped_together(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Lingers(3)),
        acts("b", Lingers(2)),
        acts("c", Raises(OSError(), after_s=10), Runs()),
        intensity=OFTEN,
        like=replace(ALL, stop=StopOrder.TOGETHER),
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.c", count=2)
        assert story(watched, start)[3:] == [
            ("c", "ends", 10),
            ("b", "is stopped", 10),
            ("a", "is stopped", 10),
            ("b", "ends", 12),
            ("a", "ends", 13),
            ("a", "starts", 13),
            ("b", "starts", 13),
            ("c", "starts", 13),
        ]


@pytest.mark.parametrize("leaves_after_s", [10.5, 11, 12, 13.5])
async def test_a_supervisor_that_stops_while_a_group_is_down_starts_nobody_again(
    leaves_after_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    slow = Backoff(initial_s=1000, cap_s=1000)
    async with supervised(
        acts("a", Lingers(1)),
        replace(acts("b", Raises(OSError(), after_s=10)), backoff=slow),
        acts("c", Lingers(2)),
        intensity=OFTEN,
        like=ALL,
    ) as watched:
        await trio.sleep(leaves_after_s)
    assert len(watched.recorder.of(ChildStarting)) == 3
    assert {event.path for event in watched.recorder.of(ChildFinished)} == {"root.a", "root.b", "root.c"}
    assert {seen.state for seen in watched.supervisor.snapshot().children} == {ChildState.STOPPED}


async def test_a_subtree_is_stopped_in_order_for_a_sibling_and_comes_back_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    inner = SupervisorSpec(children=(acts("x", Lingers(1)), acts("y", Lingers(1))))
    async with supervised(
        replace(acts("tree", Runs()), start=Subtree(inner)),
        acts("fails", Raises(OSError(), after_s=10), Runs()),
        intensity=OFTEN,
        like=ALL,
    ) as watched:
        await watched.recorder.wait_for(ChildReady, "root.fails", count=2)
        assert trio.current_time() == start + 12
        assert [event.path for event in watched.recorder.of(ChildEnded)] == [
            "root.fails",
            "root.tree.y",
            "root.tree.x",
            "root.tree",
        ]
        assert watched.supervisor.snapshot().child("root.tree.y").alive


# ---------------------------------------------------------------- children added at run time


async def test_a_child_added_at_run_time_stands_last_and_is_disturbed_like_any_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(
        acts("a", Raises(OSError(), after_s=10), Runs()), acts("b", Runs()), intensity=OFTEN, like=REST
    ) as watched:
        await watched.supervisor.wait_ready()
        watched.supervisor.start_child(acts("new", Lingers(1)))
        await watched.recorder.wait_for(ChildReady, "root.new", count=2)
        assert story(watched, start)[3:] == [
            ("a", "ends", 10),
            ("new", "is stopped", 10),
            ("new", "ends", 11),
            ("b", "is stopped", 11),
            ("b", "ends", 11),
            ("a", "starts", 11),
            ("b", "starts", 11),
            ("new", "starts", 11),
        ]


@pytest.mark.parametrize("added_after_s", [1, 12])
async def test_a_child_added_while_others_wait_for_their_turn_waits_for_its_own(
    added_after_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    fails = replace(acts("a", Raises(OSError(), after_s=8), Runs(), ready_after_s=2), backoff=AT_ONCE)
    async with supervised(fails, acts("b", Lingers(3)), intensity=OFTEN, like=ALL) as watched:
        await trio.sleep(added_after_s)
        watched.supervisor.start_child(acts("new", Runs()))
        assert watched.supervisor.snapshot().child("root.new").state is ChildState.WAITING
        await watched.recorder.wait_for(ChildReady, "root.new")
        assert trio.current_time() == start + (2 if added_after_s == 1 else 15)


async def test_children_added_at_one_instant_start_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with supervised(acts("a", Runs()), intensity=OFTEN, like=REST) as watched:
        await trio.sleep(10)
        for name in "bcd":
            watched.supervisor.start_child(acts(name, Runs(), ready_after_s=2))
        await watched.recorder.wait_for(ChildReady, "root.d")
        starts = [(name, at_s) for name, what, at_s in story(watched, start) if what == "starts"]
        assert starts == [("a", 0), ("b", 10), ("c", 12), ("d", 14)]
