"""OTP's documented rules, one test for each, named after it.

The rules are those of the manual (https://www.erlang.org/doc/apps/stdlib/supervisor.html) and of the
chapter on supervisors in OTP's design principles; the ideas are those of its test suite. "Normally" is
returning; "abnormally" is whatever else a child does by itself or is cancelled for.
"""

import math
from dataclasses import replace

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import Watched, child, supervise_until_it_fails, supervised
from tgworker.supervision import (
    AutoShutdown,
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildWedged,
    DuplicateChild,
    Intensity,
    IntensityExceeded,
    Pulse,
    Restart,
    RestartScheduled,
    Silence,
    SpecError,
    StopOrder,
    Strategy,
    Subtree,
    SupervisorSpec,
    SupervisorStopped,
    SupervisorStopping,
    UnknownChild,
    Verdict,
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

AT_ONCE = Backoff(initial_s=0, factor=1, cap_s=0)
OFTEN = Intensity(restarts=1000, period_s=1)

ONE_FOR_ALL = SupervisorSpec(strategy=Strategy.ONE_FOR_ALL)
REST_FOR_ONE = SupervisorSpec(strategy=Strategy.REST_FOR_ONE)
ANY_SIGNIFICANT = SupervisorSpec(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
ALL_SIGNIFICANT = SupervisorSpec(auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)

NORMAL = Returns(after_s=1)
ABNORMAL: list[Act] = [Raises(OSError(), after_s=1), Hangs()]


def acts(name: str, *script: Act, restart: Restart = Restart.PERMANENT) -> ChildSpec:
    silence = Silence(10) if Hangs() in script else None
    return ChildSpec(name, ScriptedChild(*script), restart=restart, backoff=AT_ONCE, silence=silence)


def significant(name: str, *script: Act, restart: Restart = Restart.TRANSIENT) -> ChildSpec:
    return replace(acts(name, *script, restart=restart), significant=True)


async def runs_of(spec: ChildSpec) -> int:
    """How often a child runs whose first run ends by itself; its second lasts."""
    async with supervised(spec, intensity=OFTEN) as watched:
        await trio.sleep(100)
        return len(watched.recorder.of(ChildStarting))


async def shuts_down_after(*children: ChildSpec, like: SupervisorSpec) -> float | None:
    """When the supervisor shuts itself down, seconds from its start; ``None`` if it does not within 500."""
    start = trio.current_time()
    with trio.move_on_after(500) as patience:
        await supervise_until_it_fails(*children, intensity=OFTEN, like=like)
    return None if patience.cancelled_caught else trio.current_time() - start


def paths(watched: Watched, kind: type[ChildStarting | ChildEnded | ChildCancelled]) -> str:
    """The names of the children that a kind of event was about, in order."""
    return "".join(event.path.removeprefix("root.") for event in watched.recorder.of(kind))


# ---------------------------------------------------------------- restart types


@pytest.mark.parametrize("ending", [NORMAL, *ABNORMAL])
async def test_otp_permanent_child_is_always_restarted(
    ending: Act, autojump_clock: trio.testing.MockClock
) -> None:
    assert await runs_of(acts("x", ending, Runs())) == 2


@pytest.mark.parametrize("ending", ABNORMAL)
async def test_otp_transient_child_is_restarted_if_it_terminates_abnormally(
    ending: Act, autojump_clock: trio.testing.MockClock
) -> None:
    assert await runs_of(acts("x", ending, Runs(), restart=Restart.TRANSIENT)) == 2


async def test_otp_transient_child_is_not_restarted_if_it_terminates_normally(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert await runs_of(acts("x", NORMAL, Runs(), restart=Restart.TRANSIENT)) == 1


@pytest.mark.parametrize("ending", [NORMAL, *ABNORMAL])
async def test_otp_temporary_child_is_never_restarted(
    ending: Act, autojump_clock: trio.testing.MockClock
) -> None:
    assert await runs_of(acts("x", ending, Runs(), restart=Restart.TEMPORARY)) == 1


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_temporary_child_is_not_restarted_even_if_a_siblings_death_terminated_it(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(
        acts("a", Raises(OSError(), after_s=1), Runs()),
        acts("t", Runs(), restart=Restart.TEMPORARY),
        intensity=OFTEN,
        like=like,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "ata"


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_transient_child_that_a_siblings_death_terminated_is_restarted(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(
        acts("a", Raises(OSError(), after_s=1), Runs()),
        acts("t", Runs(), restart=Restart.TRANSIENT),
        intensity=OFTEN,
        like=like,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "atat"


# ---------------------------------------------------------------- order, start and stop


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_otp_children_are_started_from_left_to_right(
    strategy: Strategy, autojump_clock: trio.testing.MockClock
) -> None:
    specs = [replace(acts(name, Runs()), start=ScriptedChild(Runs(), ready_after_s=1)) for name in "abcd"]
    async with supervised(*specs, intensity=OFTEN, like=SupervisorSpec(strategy=strategy)) as watched:
        await watched.supervisor.wait_ready()
        starts = watched.recorder.of(ChildStarting)
        assert [(event.path, event.at_s - starts[0].at_s) for event in starts] == [
            ("root.a", 0),
            ("root.b", 1),
            ("root.c", 2),
            ("root.d", 3),
        ]


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_otp_children_are_terminated_from_right_to_left(
    strategy: Strategy, autojump_clock: trio.testing.MockClock
) -> None:
    specs = [acts(name, Lingers(1)) for name in "abcd"]
    async with supervised(*specs, intensity=OFTEN, like=SupervisorSpec(strategy=strategy)) as watched:
        await watched.supervisor.wait_ready()
        start = trio.current_time()
    assert paths(watched, ChildEnded) == "dcba"
    assert [event.at_s - start for event in watched.recorder.of(ChildEnded)] == [1, 2, 3, 4]


async def test_otp_child_has_its_shutdown_time_to_terminate_after_it_was_told_to(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(replace(acts("x", Lingers(5)), stop_within_s=5), intensity=OFTEN) as watched:
        await watched.supervisor.wait_ready()
    [ended] = watched.recorder.of(ChildEnded)
    assert ended.ending.verdict is Verdict.STOPPED


async def test_otp_child_that_exceeds_its_shutdown_time_would_be_killed_here_it_is_wedged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # OTP kills a process; a task cannot be killed, so nothing replaces it and the supervisor escalates.
    release, recorder = trio.Event(), EventRecorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail_in_peace, acts("x", RefusesToDie(release)), recorder)
        await recorder.wait_for(ChildReady)
        start = trio.current_time()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            wedged = await recorder.wait_for(ChildWedged)
            assert wedged.at_s == start + 5
            release.set()


async def fail_in_peace(spec: ChildSpec, recorder: EventRecorder) -> None:
    with pytest.raises(Exception, match="is wedged"):
        await supervise_until_it_fails(replace(spec, stop_within_s=5), recorder=recorder, intensity=OFTEN)


async def test_otp_shutdown_time_infinity_waits_for_as_long_as_it_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    patient = replace(acts("x", Lingers(80_000)), stop_within_s=math.inf)
    async with supervised(patient, intensity=OFTEN) as watched:
        await watched.supervisor.wait_ready()
        start = trio.current_time()
    assert trio.current_time() == start + 80_000


async def test_otp_child_that_is_a_supervisor_has_ample_time_to_shut_its_own_children_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    inner = SupervisorSpec(children=tuple(acts(name, Lingers(4)) for name in "abc"))
    async with supervised(replace(child(Subtree(inner), "tree"), stop_within_s=1)) as watched:
        await watched.supervisor.wait_ready()
        start = trio.current_time()
    assert trio.current_time() == start + 12
    assert watched.recorder.of(SupervisorStopped)[-1].orphans == ()


async def test_otp_child_whose_start_fails_is_restarted_which_counts_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never_starts(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        raise OSError

    recorder = EventRecorder()
    with pytest.raises(IntensityExceeded):
        await supervise_until_it_fails(
            ChildSpec("x", never_starts, backoff=AT_ONCE), intensity=Intensity(4, 60), recorder=recorder
        )
    assert len(recorder.of(ChildStarting)) == 5


# ---------------------------------------------------------------- strategies


async def test_otp_one_for_one_only_the_terminated_child_is_affected(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        acts("a", Runs()), acts("b", Raises(OSError(), after_s=1), Runs()), acts("c", Runs()), intensity=OFTEN
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abcb"
        assert paths(watched, ChildEnded) == "b"


async def test_otp_one_for_all_terminates_all_others_and_restarts_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        acts("a", Runs()),
        acts("b", Raises(OSError(), after_s=1), Runs()),
        acts("c", Runs()),
        intensity=OFTEN,
        like=ONE_FOR_ALL,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abc" + "abc"
        assert paths(watched, ChildEnded) == "bca"


async def test_otp_rest_for_one_terminates_and_restarts_the_child_and_those_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        acts("a", Runs()),
        acts("b", Raises(OSError(), after_s=1), Runs()),
        acts("c", Runs()),
        acts("d", Runs()),
        intensity=OFTEN,
        like=REST_FOR_ONE,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abcd" + "bcd"
        assert paths(watched, ChildEnded) == "bdc"


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_child_that_is_not_to_be_restarted_affects_no_sibling(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(
        acts("a", NORMAL, restart=Restart.TRANSIENT),
        acts("b", ABNORMAL[0], restart=Restart.TEMPORARY),
        acts("c", Runs()),
        intensity=OFTEN,
        like=like,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abc"
        assert not watched.recorder.of(ChildCancelled)


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_child_that_was_terminated_on_request_affects_no_sibling(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(acts("a", Runs()), acts("b", Runs()), intensity=OFTEN, like=like) as watched:
        await watched.supervisor.wait_ready()
        await watched.supervisor.stop_child("a")
        await trio.sleep(10)
        assert paths(watched, ChildEnded) == "a"
        assert paths(watched, ChildStarting) == "ab"


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_child_whose_start_fails_in_a_group_is_tried_again_with_its_group(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    script = ScriptedChild(Raises(OSError(), after_s=1), Raises(OSError()), Runs())
    async with supervised(
        replace(acts("a", Runs()), start=script), acts("b", Runs()), intensity=OFTEN, like=like
    ) as watched:
        await trio.sleep(10)
        assert len(script.started_at_s) == 3
        assert len(watched.recorder.of(RestartScheduled)) == 2
        assert watched.supervisor.snapshot().child("root.b").alive


async def test_otp_dynamic_children_of_a_group_come_after_the_static_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(
        acts("a", Runs()), acts("b", Raises(OSError(), after_s=5), Runs()), intensity=OFTEN, like=REST_FOR_ONE
    ) as watched:
        watched.supervisor.start_child(acts("d", Runs()))
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abd" + "bd"


# ---------------------------------------------------------------- intensity and period


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_otp_more_restarts_than_the_intensity_within_the_period_terminate_all_and_the_supervisor(
    strategy: Strategy, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = EventRecorder()
    with pytest.raises(IntensityExceeded):
        await supervise_until_it_fails(
            acts("a", Runs()),
            acts("b", Raises(OSError(), after_s=1)),
            intensity=Intensity(restarts=3, period_s=5),
            recorder=recorder,
            like=SupervisorSpec(strategy=strategy),
        )
    assert len(recorder.of(RestartScheduled)) == 3
    assert recorder.of(ChildEnded)[-1].path == "root.a"


async def test_otp_as_many_restarts_as_the_intensity_are_allowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    crash = Raises(OSError(), after_s=1)
    async with supervised(acts("x", crash, crash, crash, Runs()), intensity=Intensity(3, 5)) as watched:
        await trio.sleep(100)
        assert len(watched.recorder.of(ChildStarting)) == 4


@pytest.mark.parametrize(("apart_s", "escalates"), [(5.0, True), (5.25, False)])
async def test_otp_restart_exactly_one_period_ago_still_counts(
    apart_s: float, escalates: bool, autojump_clock: trio.testing.MockClock
) -> None:
    crash = Raises(OSError(), after_s=apart_s)
    start = trio.current_time()
    with trio.move_on_after(100) as patience:
        try:
            await supervise_until_it_fails(acts("x", crash), intensity=Intensity(restarts=1, period_s=5))
        except IntensityExceeded:
            assert trio.current_time() == start + 2 * apart_s
    assert patience.cancelled_caught is not escalates


async def test_otp_intensity_zero_terminates_at_the_first_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    with pytest.raises(IntensityExceeded):
        await supervise_until_it_fails(
            acts("x", Raises(OSError(), after_s=1)), intensity=Intensity(0, 5), recorder=recorder
        )
    assert len(recorder.of(ChildStarting)) == 1


async def test_otp_restarts_of_all_children_count_together(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    with pytest.raises(IntensityExceeded):
        await supervise_until_it_fails(
            acts("a", Raises(OSError(), after_s=2), Runs()),
            acts("b", Raises(OSError(), after_s=3), Runs()),
            intensity=Intensity(restarts=1, period_s=5),
        )
    assert trio.current_time() == start + 3


async def test_otp_normal_end_of_a_permanent_child_counts_as_a_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(IntensityExceeded):
        await supervise_until_it_fails(acts("x", NORMAL), intensity=Intensity(restarts=2, period_s=5))


@pytest.mark.parametrize(
    ("restart", "ending"),
    [(Restart.TRANSIENT, NORMAL), (Restart.TEMPORARY, NORMAL), (Restart.TEMPORARY, ABNORMAL[0])],
)
async def test_otp_child_that_is_not_restarted_does_not_count(
    restart: Restart, ending: Act, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(acts("x", ending, restart=restart), intensity=Intensity(0, 5)) as watched:
        await trio.sleep(10)
        assert not watched.recorder.of(SupervisorStopping)


@pytest.mark.parametrize("like", [ONE_FOR_ALL, REST_FOR_ONE])
async def test_otp_restart_of_a_group_counts_once(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    async with supervised(
        acts("a", Raises(OSError(), after_s=1), Runs()),
        *(acts(name, Runs()) for name in "bcdef"),
        intensity=Intensity(restarts=1, period_s=5),
        like=like,
    ) as watched:
        await trio.sleep(10)
        assert paths(watched, ChildStarting) == "abcdef" * 2


async def test_otp_supervisor_that_gives_up_is_a_terminated_child_of_the_one_above(
    autojump_clock: trio.testing.MockClock,
) -> None:
    crash = Raises(OSError(), after_s=1)
    inner = SupervisorSpec(children=(acts("x", crash, crash, Runs()),), intensity=Intensity(1, 5))
    async with supervised(
        replace(child(Subtree(inner), "tree"), backoff=AT_ONCE), intensity=OFTEN
    ) as watched:
        await trio.sleep(100)
        assert [event.path for event in watched.recorder.of(ChildStarting)] == [
            "root.tree",
            "root.tree.x",
            "root.tree.x",
            "root.tree",
            "root.tree.x",
        ]


# ---------------------------------------------------------------- automatic shutdown


async def test_otp_auto_shutdown_never_refuses_significant_children() -> None:
    with pytest.raises(SpecError, match="auto_shutdown is NEVER"):
        SupervisorSpec(children=(significant("x", Runs()),), intensity=OFTEN)


async def test_otp_significant_child_must_not_be_permanent() -> None:
    with pytest.raises(SpecError, match="cannot be significant"):
        significant("x", Runs(), restart=Restart.PERMANENT)


@pytest.mark.parametrize("like", [ANY_SIGNIFICANT, ALL_SIGNIFICANT])
async def test_otp_normal_end_of_a_significant_transient_child_shuts_the_supervisor_down(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    assert await shuts_down_after(significant("x", NORMAL), acts("y", Runs()), like=like) == 1


@pytest.mark.parametrize("like", [ANY_SIGNIFICANT, ALL_SIGNIFICANT])
@pytest.mark.parametrize("ending", ABNORMAL)
async def test_otp_abnormal_end_of_a_significant_transient_child_only_restarts_it(
    ending: Act, like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    assert await shuts_down_after(significant("x", ending, Runs()), like=like) is None


@pytest.mark.parametrize("like", [ANY_SIGNIFICANT, ALL_SIGNIFICANT])
@pytest.mark.parametrize("ending", [NORMAL, *ABNORMAL])
async def test_otp_any_end_of_a_significant_temporary_child_shuts_the_supervisor_down(
    ending: Act, like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    lone = significant("x", ending, restart=Restart.TEMPORARY)
    assert await shuts_down_after(lone, like=like) == (10 if ending == Hangs() else 1)


@pytest.mark.parametrize("like", [ANY_SIGNIFICANT, ALL_SIGNIFICANT])
async def test_otp_end_of_an_insignificant_child_shuts_nothing_down(
    like: SupervisorSpec, autojump_clock: trio.testing.MockClock
) -> None:
    done = acts("x", NORMAL, restart=Restart.TRANSIENT)
    assert await shuts_down_after(done, significant("y", Runs()), like=like) is None


async def test_otp_any_significant_shuts_down_with_the_first(autojump_clock: trio.testing.MockClock) -> None:
    children = significant("x", Returns(after_s=1)), significant("y", Returns(after_s=7))
    assert await shuts_down_after(*children, like=ANY_SIGNIFICANT) == 1


async def test_otp_all_significant_shuts_down_with_the_last(autojump_clock: trio.testing.MockClock) -> None:
    children = significant("x", Returns(after_s=1)), significant("y", Returns(after_s=7))
    assert await shuts_down_after(*children, like=ALL_SIGNIFICANT) == 7


async def test_otp_termination_of_a_significant_child_on_request_shuts_nothing_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(significant("x", Runs()), intensity=OFTEN, like=ANY_SIGNIFICANT) as watched:
        await watched.supervisor.wait_ready()
        await watched.supervisor.stop_child("x")
        await trio.sleep(10)
        assert not watched.recorder.of(SupervisorStopping)


async def test_otp_termination_of_a_significant_child_for_a_sibling_shuts_nothing_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    like = replace(ANY_SIGNIFICANT, strategy=Strategy.ONE_FOR_ALL)
    async with supervised(
        significant("x", Runs(), restart=Restart.TEMPORARY),
        acts("y", Raises(OSError(), after_s=1), Runs()),
        intensity=OFTEN,
        like=like,
    ) as watched:
        await trio.sleep(10)
        assert not watched.recorder.of(SupervisorStopping)


@pytest.mark.parametrize(("restart", "lives"), [(Restart.PERMANENT, 2), (Restart.TRANSIENT, 1)])
async def test_otp_automatic_shutdown_is_a_normal_end_for_the_supervisor_above(
    restart: Restart, lives: int, autojump_clock: trio.testing.MockClock
) -> None:
    inner = replace(ANY_SIGNIFICANT, children=(significant("x", NORMAL, Runs()),), intensity=OFTEN)
    tree = replace(child(Subtree(inner), "tree"), restart=restart, backoff=AT_ONCE)
    async with supervised(tree, intensity=OFTEN) as watched:
        await trio.sleep(10)
        assert len(watched.recorder.of(ChildStarting, "root.tree")) == lives
        [ended] = watched.recorder.of(ChildEnded, "root.tree")
        assert ended.ending.verdict is Verdict.RETURNED


# ---------------------------------------------------------------- children at run time


async def test_otp_start_child_refuses_an_id_that_is_taken(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(acts("x", Runs()), intensity=OFTEN) as watched:
        with pytest.raises(DuplicateChild):
            watched.supervisor.start_child(acts("x", Runs()))


async def test_otp_terminated_child_of_a_dynamic_supervisor_is_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(intensity=OFTEN) as watched:
        for restart in (Restart.TRANSIENT, Restart.TEMPORARY):
            watched.supervisor.start_child(acts("x", NORMAL, restart=restart))
            await trio.sleep(5)
            assert watched.supervisor.snapshot().children == ()
        with pytest.raises(UnknownChild):
            await watched.supervisor.stop_child("x")


async def test_otp_children_of_a_dynamic_supervisor_are_terminated_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # OTP's simple_one_for_one does so always; here it is said with StopOrder.TOGETHER.
    async with supervised(intensity=OFTEN, like=SupervisorSpec(stop=StopOrder.TOGETHER)) as watched:
        for number in range(100):
            watched.supervisor.start_child(acts(f"x{number}", Lingers(3)))
        await trio.sleep(1)
        start = trio.current_time()
    assert trio.current_time() == start + 3
