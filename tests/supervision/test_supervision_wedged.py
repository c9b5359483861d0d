"""A task that does not end: nothing replaces it, all else is stopped, and the process is told to end."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio

from supervision.supervision_helpers import SEED, child
from tgworker.supervision import (
    ChildEnded,
    ChildSpec,
    ChildStarting,
    ChildState,
    ChildWedged,
    Intensity,
    Pulse,
    Silence,
    Subtree,
    Supervisor,
    SupervisorEscalated,
    SupervisorFailed,
    SupervisorSpec,
    SupervisorStopped,
    Verdict,
    Wedged,
    open_nested,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Lingers, RefusesToDie, Runs, ScriptedChild


@dataclass
class Case:
    """A tree with a child that refuses to die, observed from outside the block."""

    release: trio.Event = field(default_factory=trio.Event)
    recorder: EventRecorder = field(default_factory=EventRecorder)
    on_wedged: list[tuple[float, str]] = field(default_factory=list)
    supervisor: Supervisor | None = None
    raised: BaseException | None = None
    left: trio.Event = field(default_factory=trio.Event)

    async def run(self, spec: SupervisorSpec, block: Callable[[Supervisor], Awaitable[object]]) -> None:
        try:
            async with open_supervisor(
                spec,
                rng=random.Random(SEED),
                observers=(self.recorder,),
                on_wedged=lambda failure: self.on_wedged.append((trio.current_time(), failure.path)),
            ) as self.supervisor:
                await block(self.supervisor)
        except Wedged as error:
            self.raised = error
        self.left.set()


@asynccontextmanager
async def case(
    make: Callable[[ScriptedChild], SupervisorSpec],
    block: Callable[[Supervisor], Awaitable[object]] = Supervisor.wait_stopped,
) -> AsyncGenerator[Case]:
    this = Case()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(this.run, make(ScriptedChild(RefusesToDie(this.release))), block)
        yield this
        this.release.set()
        await this.left.wait()


def deaf(start: ScriptedChild, name: str = "deaf") -> ChildSpec:
    return replace(child(start, name), silence=Silence(stall_after_s=60), stop_within_s=5)


async def test_a_silent_child_that_does_not_die_is_wedged_and_never_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    def make(script: ScriptedChild) -> SupervisorSpec:
        return SupervisorSpec(children=(deaf(script), child(ScriptedChild(Runs()), "other")))

    async with case(make) as this:
        wedged = await this.recorder.wait_for(ChildWedged)
        assert wedged.at_s == start + 65
        assert wedged.ending.verdict is Verdict.WEDGED
        assert wedged.ending.cause == "did not end within 5 s (no sign of life for 60 s)"
        assert wedged.ending.evidence is not None
        assert "_play" in wedged.ending.evidence

        await trio.sleep(10_000)
        assert len(this.recorder.of(ChildStarting, "root.deaf")) == 1
        [stopped] = this.recorder.of(SupervisorStopped)
        assert (stopped.at_s, stopped.orphans) == (start + 65, ("root.deaf",))
        assert this.on_wedged == [(start + 65, "root.deaf")]
        assert this.supervisor is not None
        seen = this.supervisor.snapshot().child("root.deaf")
        assert (seen.state, seen.alive, seen.verdict) == (ChildState.WEDGED, True, Verdict.WEDGED)
        assert this.supervisor.snapshot().child("root.other").state is ChildState.STOPPED
        assert not this.left.is_set()
    assert isinstance(this.raised, Wedged)
    assert (this.raised.path, str(this.raised)) == (
        "root.deaf",
        "root.deaf is wedged: did not end within 5 s (no sign of life for 60 s)",
    )
    [ended] = this.recorder.of(ChildEnded, "root.deaf")
    assert ended.ending.verdict is Verdict.WEDGED


async def test_several_wedged_children_are_all_named_and_the_process_is_told_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    def make(script: ScriptedChild) -> SupervisorSpec:
        return SupervisorSpec(children=tuple(deaf(script, name) for name in ("one", "two", "three")))

    async with case(make) as this:
        stopped = await this.recorder.wait_for(SupervisorStopped)
        assert (stopped.at_s, set(stopped.orphans)) == (start + 65, {"root.one", "root.two", "root.three"})
        [escalated] = this.recorder.of(SupervisorEscalated)
        await trio.sleep(1000)
        assert this.on_wedged == [(start + 65, escalated.failure.path)]


async def test_without_anybody_to_tell_the_supervisor_waits_for_the_wedged_child(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    release = trio.Event()
    spec = SupervisorSpec(children=(deaf(ScriptedChild(RefusesToDie(release))),))

    async def run() -> None:
        with pytest.raises(Wedged):
            await run_until_it_fails(spec)
        assert trio.current_time() == start + 500

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(500)
        release.set()


async def run_until_it_fails(spec: SupervisorSpec) -> None:
    async with open_supervisor(spec, rng=random.Random(SEED)):
        await trio.sleep_forever()


async def test_somebody_outside_the_block_learns_of_it_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    learned: list[tuple[float, SupervisorFailed]] = []

    async def wait(supervisor: Supervisor) -> None:
        learned.append((trio.current_time(), await supervisor.wait_failed()))
        learned.append((trio.current_time(), learned[0][1]))

    def make(script: ScriptedChild) -> SupervisorSpec:
        return SupervisorSpec(children=(deaf(script),))

    async with case(make) as this, trio.open_nursery() as nursery:
        await this.recorder.wait_for(ChildStarting)
        assert this.supervisor is not None
        nursery.start_soon(wait, this.supervisor)
        assert await this.supervisor.wait_stopped() == ("root.deaf",)
        assert trio.current_time() == start + 65
        this.release.set()
    assert [at_s for at_s, _ in learned] == [start, start + 65]
    assert isinstance(learned[1][1], Wedged)


async def test_the_others_are_still_stopped_in_order_before_the_process_is_told_to_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    second_release = trio.Event()

    def make(script: ScriptedChild) -> SupervisorSpec:
        slow = replace(child(ScriptedChild(RefusesToDie(second_release)), "slow"), stop_within_s=20)
        return SupervisorSpec(children=(slow, deaf(script)))

    async with case(make) as this:
        await trio.sleep(75)
        assert this.on_wedged == []
        second_release.set()
        await trio.sleep(1)
        assert this.on_wedged == [(start + 75, "root.deaf")]


async def test_a_child_that_does_not_die_when_the_block_ends_is_named_and_the_others_are_stopped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    def make(script: ScriptedChild) -> SupervisorSpec:
        first, last = (child(ScriptedChild(Runs()), name) for name in ("first", "last"))
        return SupervisorSpec(children=(first, deaf(script), last))

    async with case(make, block=Supervisor.wait_ready) as this:
        stopped = await this.recorder.wait_for(SupervisorStopped)
        assert (stopped.at_s, stopped.orphans) == (start + 5, ("root.deaf",))
        assert [event.path for event in this.recorder.of(ChildEnded)] == ["root.last", "root.first"]
        await trio.sleep(1)
        assert this.on_wedged == [(start + 5, "root.deaf")]
    assert isinstance(this.raised, Wedged)


async def test_a_child_that_does_not_die_of_a_cancellation_from_outside_is_wedged_in_time_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    this = Case()
    spec = SupervisorSpec(children=(deaf(ScriptedChild(RefusesToDie(this.release))),))

    async def cancelled_after_10_s() -> None:
        with trio.move_on_after(10):
            await this.run(spec, Supervisor.wait_failed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled_after_10_s)
        stopped = await this.recorder.wait_for(SupervisorStopped)
        assert (stopped.at_s, stopped.orphans) == (start + 15, ("root.deaf",))
        await trio.sleep(100)
        assert not this.left.is_set()
        this.release.set()
    assert this.on_wedged == [(start + 15, "root.deaf")]
    assert isinstance(this.raised, Wedged)


async def test_stopping_a_child_that_does_not_die_raises_and_the_supervisor_escalates(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    async with case(lambda script: SupervisorSpec(children=(deaf(script),))) as this:
        await this.recorder.wait_for(ChildStarting)
        await trio.sleep(1)
        assert this.supervisor is not None
        with pytest.raises(Wedged, match=r"root\.deaf is wedged"):
            await this.supervisor.stop_child("deaf")
        assert trio.current_time() == start + 6
        [escalated] = this.recorder.of(SupervisorEscalated)
        assert isinstance(escalated.failure, Wedged)
        assert escalated.failure.cause == "did not end within 5 s (root was told to stop it)"


async def test_a_child_that_dies_at_the_very_end_of_its_budget_is_not_wedged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()
    spec = SupervisorSpec(children=(replace(child(ScriptedChild(Lingers(5))), stop_within_s=5),))
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)) as supervisor:
        await supervisor.wait_ready()
    assert not recorder.of(ChildWedged)
    [ended] = recorder.of(ChildEnded)
    assert ended.ending.verdict is Verdict.STOPPED


async def test_a_wedged_child_deep_in_the_tree_wedges_everything_above_it_from_below(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    def make(script: ScriptedChild) -> SupervisorSpec:
        sibling = child(ScriptedChild(Runs()), "sibling")
        inner = SupervisorSpec(children=(sibling, deaf(script)), intensity=Intensity.unlimited())
        subtree = replace(child(Subtree(inner), "accounts"), stop_within_s=100)
        return SupervisorSpec(children=(child(ScriptedChild(Runs()), "heartbeat"), subtree))

    async with case(make) as this:
        await trio.sleep(70)
        assert this.on_wedged == [(start + 65, "root.accounts.deaf")]
        assert [(event.path, event.orphans) for event in this.recorder.of(SupervisorStopped)] == [
            ("root.accounts", ("root.accounts.deaf",)),
            ("root", ("root.accounts",)),
        ]
        assert [event.path for event in this.recorder.of(ChildWedged)] == [
            "root.accounts.deaf",
            "root.accounts",
        ]
        assert this.supervisor is not None
        snapshot = this.supervisor.snapshot()
        assert snapshot.child("root.accounts").state is ChildState.WEDGED
        assert snapshot.child("root.heartbeat").alive is False
    assert isinstance(this.raised, Wedged)
    assert this.raised.path == "root.accounts.deaf"


async def test_the_budget_of_a_child_that_contains_a_supervisor_begins_when_that_has_stopped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    recorder = EventRecorder()
    lingering = [replace(child(ScriptedChild(Lingers(4)), name)) for name in "abc"]
    branch = replace(child(Subtree(SupervisorSpec(children=tuple(lingering))), "branch"), stop_within_s=1)
    spec = SupervisorSpec(children=(branch,))
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)) as supervisor:
        await supervisor.wait_ready()
        await supervisor.stop_child("branch")
    assert trio.current_time() == start + 12
    assert not recorder.of(ChildWedged)


async def test_a_child_whose_supervisor_has_stopped_is_wedged_if_it_does_not_end_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    this = Case()

    async def deaf_block(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        inner = SupervisorSpec(children=(child(ScriptedChild(Lingers(4)), "leaf"),))
        async with open_nested(inner, pulse) as supervisor:
            await supervisor.wait_ready()
            task_status.started()
            with trio.CancelScope(shield=True):
                await this.release.wait()

    spec = SupervisorSpec(children=(replace(child(deaf_block, "branch"), stop_within_s=5),))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(this.run, spec, Supervisor.wait_ready)
        wedged = await this.recorder.wait_for(ChildWedged)
        assert (wedged.path, wedged.at_s) == ("root.branch", start + 4 + 5)
        await trio.sleep(1)
        assert this.on_wedged == [(start + 9, "root.branch")]
        this.release.set()
    assert isinstance(this.raised, Wedged)


async def test_a_wedged_child_below_is_reported_however_small_the_budget_above(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    def make(script: ScriptedChild) -> SupervisorSpec:
        inner = SupervisorSpec(children=(replace(deaf(script), stop_within_s=50, silence=None),))
        return SupervisorSpec(children=(replace(child(Subtree(inner), "branch"), stop_within_s=10),))

    async with case(make) as this:
        assert (await this.recorder.wait_for(ChildStarting, "root.branch.deaf")).at_s == start
        await trio.sleep(1)
        assert this.supervisor is not None
        with pytest.raises(Wedged, match=r"root\.branch is wedged"):
            await this.supervisor.stop_child("branch")
        assert trio.current_time() == start + 51
        await trio.sleep(100)
        assert this.on_wedged == [(start + 51, "root.branch.deaf")]


async def test_a_wedged_child_outweighs_an_earlier_failure(autojump_clock: trio.testing.MockClock) -> None:
    async def crash(pulse: object, *, task_status: trio.TaskStatus[None]) -> None:
        raise OSError

    def make(script: ScriptedChild) -> SupervisorSpec:
        return SupervisorSpec(
            children=(deaf(script), child(crash, "crash")), intensity=Intensity(restarts=0, period_s=60)
        )

    async with case(make) as this:
        await trio.sleep(10)
        assert [type(event.failure).__name__ for event in this.recorder.of(SupervisorEscalated)] == [
            "IntensityExceeded",
            "Wedged",
        ]
    assert isinstance(this.raised, Wedged)
