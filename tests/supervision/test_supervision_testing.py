"""The tools for tests of supervised services."""

from dataclasses import replace

import pytest
import trio

from supervision.supervision_helpers import child, delays, supervised
from tgworker.supervision import (
    ChildEnded,
    ChildReady,
    ChildStarting,
    Pulse,
    Silence,
    Subtree,
    SupervisorSpec,
    Verdict,
)
from tgworker.supervision.testing import (
    EventRecorder,
    Hangs,
    Raises,
    Runs,
    Saboteur,
    ScriptedChild,
    lone_pulse,
)


async def test_a_child_that_is_made_to_hang_goes_silent_and_is_replaced_by_a_sound_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    script = ScriptedChild(Runs(beat_every_s=10))
    saboteur = Saboteur()
    spec = saboteur.wrap(replace(child(script, "outbound"), silence=Silence(60)))
    async with supervised(spec) as watched:
        await trio.sleep(95)
        saboteur.hang("root.outbound")
        await trio.sleep(0.5)
        assert script.ended_at_s == [start + 95], "the work itself is gone at once"
        assert watched.supervisor.snapshot().child("root.outbound").alive
        assert not saboteur.is_running("root.outbound")
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.verdict) == (start + 90 + 60, Verdict.SILENT)
        ready = await watched.recorder.wait_for(ChildReady, count=2)
        assert ready.at_s == ended.at_s + delays(0.5)[0]
        await trio.sleep(1000)
        assert saboteur.is_running("root.outbound")
        assert len(script.started_at_s) == 2


async def test_a_child_that_is_made_to_crash_raises_what_it_was_told_to(
    autojump_clock: trio.testing.MockClock,
) -> None:
    saboteur = Saboteur()
    error = OSError("sabotage")
    inner = SupervisorSpec(children=(saboteur.wrap(child(ScriptedChild(Runs()), "leaf")),))
    async with supervised(child(Subtree(inner), "branch")) as watched:
        await watched.supervisor.wait_ready()
        saboteur.crash("root.branch.leaf", error)
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.path, ended.error) == ("root.branch.leaf", error)
        await watched.recorder.wait_for(ChildReady, "root.branch.leaf", count=2)


async def test_a_whole_subtree_can_be_made_to_hang(autojump_clock: trio.testing.MockClock) -> None:
    saboteur = Saboteur()
    leaf = ScriptedChild(Runs())
    branch = child(Subtree(SupervisorSpec(children=(child(leaf, "leaf"),))), "branch")
    async with supervised(saboteur.wrap(replace(branch, silence=Silence(60)))) as watched:
        await trio.sleep(30)
        saboteur.hang("root.branch")
        await watched.recorder.wait_for(ChildReady, "root.branch", count=2)
        assert len(leaf.started_at_s) == 2


async def test_only_what_runs_can_be_sabotaged_and_only_once(autojump_clock: trio.testing.MockClock) -> None:
    saboteur = Saboteur()
    async with supervised(saboteur.wrap(child(ScriptedChild(Runs())))) as watched:
        with pytest.raises(LookupError, match=r"root\.child is not running"):
            saboteur.hang("root.child")
        await watched.supervisor.wait_ready()
        saboteur.hang("root.child")
        with pytest.raises(LookupError, match="sabotaged already"):
            saboteur.crash("root.child", OSError())
        with pytest.raises(LookupError):
            saboteur.hang("root.nobody")


async def test_a_child_that_nobody_sabotages_ends_as_it_would(autojump_clock: trio.testing.MockClock) -> None:
    saboteur = Saboteur()
    async with supervised(saboteur.wrap(child(ScriptedChild(Raises(OSError("own")), Runs())))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.cause == "OSError: own"
    assert not saboteur.is_running("root.child")


async def test_a_lone_pulse_serves_a_childs_code_without_a_supervisor(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def turn(pulse: Pulse) -> str:
        with pulse.cycle(10):
            pulse.expect(within_s=5)
            with pulse.deadline("work", 3) as deadline:
                await trio.sleep(4)
            pulse.beat()
        return "late" if deadline.expired else "done"

    assert await turn(lone_pulse()) == "late"


def test_a_scripted_child_needs_an_act() -> None:
    with pytest.raises(ValueError, match="at least one act"):
        ScriptedChild()


async def test_the_recorder_waits_for_the_nth_event_of_a_kind(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    async with supervised(child(ScriptedChild(Raises(OSError(), after_s=10), Hangs())), recorder=recorder):
        second = await recorder.wait_for(ChildStarting, "root.child", count=2)
        assert second.incarnation == 2
        assert trio.current_time() == second.at_s == start + 10 + delays(0.5)[0]
        assert await recorder.wait_for(ChildStarting) is recorder.of(ChildStarting)[0]
        assert recorder.of(ChildStarting, "root.other") == []
