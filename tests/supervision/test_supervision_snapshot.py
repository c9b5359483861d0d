"""The snapshot: frozen, whole, and ready for JSON."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
import trio

from supervision.supervision_helpers import child, delays, supervised
from tgworker.supervision import (
    Backoff,
    ChildReady,
    ChildSnapshot,
    ChildState,
    Operation,
    Pulse,
    RestartScheduled,
    Subtree,
    SupervisorSpec,
    SupervisorState,
    Verdict,
)
from tgworker.supervision.testing import Raises, Runs, ScriptedChild


async def busy(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    with pulse.cycle(120):
        await trio.sleep(5)
        with pulse.deadline("store.claim", 10):
            await trio.sleep(1)
            with pulse.deadline("telegram.send", math.inf):
                await trio.sleep(2)
                pulse.expect(within_s=math.inf)
                await trio.sleep_forever()


async def test_it_shows_what_a_child_is_doing(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(child(busy)) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.sleep(11)
        seen = watched.supervisor.snapshot().child("root.child")
        assert seen == ChildSnapshot(
            id="child",
            path="root.child",
            state=ChildState.READY,
            alive=True,
            incarnation=1,
            beat_age_s=3,
            expects_within_s=math.inf,
            operations=(
                Operation("store.claim", limit_s=10, open_for_s=6, remaining_s=4),
                Operation("telegram.send", limit_s=math.inf, open_for_s=5, remaining_s=math.inf),
            ),
            cycle=Operation("cycle", limit_s=120, open_for_s=11, remaining_s=109),
            last=None,
            attempt=0,
            restart_in_s=None,
            supervisor=None,
        )
        assert (seen.operation, seen.restarts, seen.verdict) == ("telegram.send", 0, None)
        decoded = json.loads(json.dumps(seen.to_dict(), allow_nan=False))
        assert decoded["operations"][1] == {
            "name": "telegram.send",
            "limit_s": None,
            "open_for_s": 5.0,
            "remaining_s": None,
        }
        assert decoded["expects_within_s"] is None


async def test_it_shows_a_child_that_waits_for_its_restart_and_why(
    autojump_clock: trio.testing.MockClock,
) -> None:
    spec = replace(
        child(ScriptedChild(Raises(OSError("away"), after_s=5), Runs())),
        backoff=Backoff(initial_s=8, cap_s=60),
    )
    [delay_s] = delays(8)
    async with supervised(spec) as watched:
        scheduled = await watched.recorder.wait_for(RestartScheduled)
        await trio.sleep(delay_s / 2)
        seen = watched.supervisor.snapshot().child("root.child")
        assert (seen.state, seen.alive, seen.beat_age_s) == (ChildState.BACKING_OFF, False, None)
        assert seen.restart_in_s == pytest.approx(delay_s / 2)
        assert (seen.attempt, seen.restarts, seen.incarnation) == (1, 0, 1)
        assert seen.last is not None
        assert (seen.last.verdict, seen.last.cause) == (Verdict.RAISED, "OSError: away")
        assert (seen.last.started_at_s, seen.last.ended_at_s) == (scheduled.at_s - 5, scheduled.at_s)
        assert (seen.last.attempt, seen.last.delay_s) == (1, delay_s)
        decoded = json.loads(json.dumps(watched.supervisor.snapshot().to_dict(), allow_nan=False))
        assert decoded["children"][0]["last"]["verdict"] == "raised"
        assert decoded["children"][0]["state"] == "backing-off"


async def test_it_shows_the_tree_below(autojump_clock: trio.testing.MockClock) -> None:
    inner = SupervisorSpec(children=(child(ScriptedChild(Runs()), "leaf"),))
    async with supervised(child(Subtree(inner), "branch"), child(ScriptedChild(Runs()), "last")) as watched:
        await watched.supervisor.wait_ready()
        snapshot = watched.supervisor.snapshot()
        assert [seen.path for seen in snapshot.walk()] == ["root.branch", "root.branch.leaf", "root.last"]
        assert snapshot.child("root.branch.leaf").state is ChildState.READY
        branch = snapshot.child("root.branch").supervisor
        assert branch is not None
        assert (branch.path, branch.state, branch.failure) == ("root.branch", SupervisorState.RUNNING, None)
        decoded = json.loads(json.dumps(snapshot.to_dict(), allow_nan=False))
        assert decoded["children"][0]["supervisor"]["children"][0]["path"] == "root.branch.leaf"
        with pytest.raises(KeyError, match=r"root\.nobody"):
            snapshot.child("root.nobody")


async def test_it_does_not_change_afterwards(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(child(busy)) as watched:
        await watched.recorder.wait_for(ChildReady)
        before = watched.supervisor.snapshot()
        decoded = json.dumps(before.to_dict())
        await trio.sleep(7)
        assert json.dumps(before.to_dict()) == decoded
        assert watched.supervisor.snapshot() != before
        with pytest.raises(FrozenInstanceError):
            before.children[0].state = ChildState.STOPPED  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] # the point


async def test_it_shows_the_phase_that_the_living_incarnation_has_set(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def phased(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        if pulse.incarnation == 1:
            pulse.phase = "catching up"
            await trio.sleep(10)
            raise OSError
        await trio.sleep_forever()

    async with supervised(child(phased)) as watched:
        await watched.recorder.wait_for(ChildReady)
        await trio.sleep(5)
        seen = watched.supervisor.snapshot().child("root.child")
        assert (seen.phase, seen.beat_age_s) == ("catching up", 5), "a phase is no sign of life"
        assert seen.to_dict()["phase"] == "catching up"
        await watched.recorder.wait_for(RestartScheduled)
        assert watched.supervisor.snapshot().child("root.child").phase is None
        await watched.recorder.wait_for(ChildReady, count=2)
        assert watched.supervisor.snapshot().child("root.child").phase is None
