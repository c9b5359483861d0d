"""A supervisor gives up where it was told to, and nowhere else."""

from dataclasses import replace

import pytest
import trio

from supervision.supervision_helpers import child, delays, supervise_until_it_fails, supervised
from tgworker.supervision import (
    Backoff,
    ChildEnded,
    ChildReady,
    ChildStarting,
    Intensity,
    IntensityExceeded,
    Pulse,
    RestartScheduled,
    SpecError,
    Subtree,
    SupervisorEscalated,
    SupervisorSpec,
    SupervisorStopped,
    Verdict,
    open_nested,
)
from tgworker.supervision.testing import EventRecorder, Raises, Runs, ScriptedChild

AT_ONCE = Backoff(initial_s=0, factor=1, cap_s=0)


async def test_one_failure_more_than_the_intensity_allows_stops_everything_and_raises(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    calm = ScriptedChild(Runs())
    error = OSError("down")
    wild = replace(child(ScriptedChild(Raises(error, after_s=2)), "wild"), backoff=AT_ONCE)
    recorder = EventRecorder()
    block_cancelled_at: list[float] = []
    with pytest.raises(IntensityExceeded) as caught:
        await supervise_until_it_fails(
            child(calm, "calm"),
            wild,
            intensity=Intensity(restarts=3, period_s=10),
            recorder=recorder,
            at_the_end=lambda: block_cancelled_at.append(trio.current_time()),
        )
    assert trio.current_time() == start + 8
    assert block_cancelled_at == [start + 8]
    assert str(caught.value) == "root: 4 failures within 10 s, the last of root.wild (raised: OSError: down)"
    assert (caught.value.path, caught.value.cause) == ("root.wild", "OSError: down")
    assert caught.value.__cause__ is error
    assert calm.ended_at_s == [start + 8]
    [escalated] = recorder.of(SupervisorEscalated)
    assert escalated.failure is caught.value
    assert len(recorder.of(ChildStarting, "root.wild")) == 4
    assert recorder.of(SupervisorStopped)[0].orphans == ()


async def test_failures_that_are_far_enough_apart_never_escalate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wild = replace(child(ScriptedChild(Raises(OSError(), after_s=4)), "wild"), backoff=AT_ONCE)
    async with supervised(wild, intensity=Intensity(restarts=3, period_s=10)) as watched:
        await trio.sleep(199)
        assert len(watched.recorder.of(ChildEnded)) == 49


async def test_the_failures_of_all_children_count_together(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    children = [
        replace(child(ScriptedChild(Raises(OSError(), after_s=after_s)), f"c{after_s}"), backoff=AT_ONCE)
        for after_s in (3, 4, 5)
    ]
    with pytest.raises(IntensityExceeded, match=r"3 failures within 10 s, the last of root\.c5"):
        await supervise_until_it_fails(*children, intensity=Intensity(restarts=2, period_s=10))
    assert trio.current_time() == start + 5


async def test_without_a_limit_an_outage_is_outlasted_at_the_longest_backoff(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def needs_the_network(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        if trio.current_time() < start + 3600:
            raise OSError("away")
        task_status.started()
        await trio.sleep_forever()

    async with supervised(child(needs_the_network)) as watched:
        ready = await watched.recorder.wait_for(ChildReady)
        assert start + 3600 <= ready.at_s <= start + 3600 + 60
        scheduled = watched.recorder.of(RestartScheduled)
        bounds = [min(60, 0.5 * 2**attempt) for attempt in range(len(scheduled))]
        assert [event.delay_s for event in scheduled] == delays(*bounds)


async def test_an_error_of_the_block_that_meets_a_failure_leaves_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.RaisesGroup(ValueError, IntensityExceeded):
        await supervise_until_it_fails(
            child(ScriptedChild(Raises(OSError()))),
            intensity=Intensity(restarts=0, period_s=1),
            at_the_end=raise_mine,
        )


def raise_mine() -> None:
    raise ValueError("mine")


async def test_an_escalation_below_counts_as_one_failure_above(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    wild = ScriptedChild(Raises(OSError("down"), after_s=1))
    inner = SupervisorSpec(
        children=(replace(child(wild, "wild"), backoff=AT_ONCE),),
        intensity=Intensity(restarts=1, period_s=10),
    )
    with pytest.raises(
        IntensityExceeded, match=r"^root: 2 failures within 30 s, the last of root\.inner"
    ) as caught:
        await supervise_until_it_fails(
            replace(child(Subtree(inner), "inner"), backoff=AT_ONCE),
            intensity=Intensity(restarts=1, period_s=30),
            recorder=recorder,
        )
    assert isinstance(caught.value.__cause__, IntensityExceeded)
    assert caught.value.__cause__.path == "root.inner.wild"
    assert len(wild.started_at_s) == 4
    endings = recorder.of(ChildEnded, "root.inner")
    assert [event.ending.verdict for event in endings] == [Verdict.RAISED, Verdict.RAISED]


async def test_a_child_added_at_run_time_must_fit_the_intensity_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(intensity=Intensity(restarts=5, period_s=10)) as watched:
        with pytest.raises(SpecError, match="5 restarts in 10 s"):
            watched.supervisor.start_child(child(ScriptedChild(Runs()), "slow"))
        assert "slow" not in watched.supervisor


# ---------------------------------------------------------------- supervisors inside children


async def test_a_child_can_hold_a_supervisor_and_add_children_to_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = ScriptedChild(Raises(OSError(), after_s=1), Runs())

    async def accounts(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_nested(SupervisorSpec(intensity=Intensity.unlimited()), pulse) as supervisor:
            assert supervisor.path == "root.accounts"
            supervisor.start_child(child(script, "1234"))
            task_status.started()
            await trio.sleep_forever()

    async with supervised(child(accounts, "accounts")) as watched:
        await watched.recorder.wait_for(ChildReady, "root.accounts.1234", count=2)
        seen = watched.supervisor.snapshot().child("root.accounts.1234")
        assert (seen.id, seen.restarts, seen.alive) == ("1234", 1, True)
        assert [one.path for one in watched.supervisor.snapshot().walk()] == [
            "root.accounts",
            "root.accounts.1234",
        ]
        assert watched.recorder.of(RestartScheduled)[0].delay_s == delays(0.5)[0]
    assert script.running == 0
    assert [event.path for event in watched.recorder.of(SupervisorStopped)] == ["root.accounts", "root"]


async def test_a_subtree_is_ready_when_all_its_children_are(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    inner = SupervisorSpec(
        children=tuple(child(ScriptedChild(Runs(), ready_after_s=3), name) for name in "ab")
    )
    async with supervised(child(Subtree(inner), "inner")) as watched:
        assert (await watched.recorder.wait_for(ChildReady, "root.inner")).at_s == start + 6


async def test_a_child_holds_one_supervisor_at_a_time_and_only_while_it_lives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulses: list[Pulse] = []

    async def holder(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        pulses.append(pulse)
        async with open_nested(SupervisorSpec(), pulse):
            with pytest.raises(RuntimeError, match=r"root\.holder already contains a supervisor"):
                open_nested(SupervisorSpec(), pulse)
        async with open_nested(SupervisorSpec(), pulse):
            pass
        task_status.started()
        raise OSError

    async with supervised(child(holder, "holder")) as watched:
        await watched.recorder.wait_for(RestartScheduled)
        with pytest.raises(RuntimeError, match=r"root\.holder: this pulse belongs to no running child"):
            open_nested(SupervisorSpec(), pulses[0])
