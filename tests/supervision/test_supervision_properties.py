"""Whatever is planned, the promises hold: plans are generated, each is played in one trio run."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tgworker.supervision import (
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildSpec,
    ChildStarting,
    Event,
    Intensity,
    IntensityExceeded,
    Restart,
    RestartScheduled,
    Silence,
    StopOrder,
    Supervisor,
    SupervisorEscalated,
    SupervisorFailed,
    SupervisorSpec,
    SupervisorStopping,
    Wedged,
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

STOP_WITHIN_S = 5.0
INTENSITIES = [Intensity.unlimited(), Intensity(0, 5), Intensity(2, 5), Intensity(5, 20)]

seconds = st.integers(0, 8).map(lambda quarters: quarters / 4)
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Runs, st.sampled_from([0.5, 3.0])),
    st.builds(Returns, seconds),
    st.builds(Raises, st.builds(OSError, st.just("planned")), seconds),
    st.just(Hangs()),
    st.builds(Lingers, st.sampled_from([0.0, 0.25, 4.75, 5.0, 5.25, 9.0])),
)


@dataclass(frozen=True)
class Player:
    """One child of the plan."""

    acts: tuple[Act, ...]
    ready_after_s: float
    restart: Restart
    backoff: Backoff
    silence: Silence | None
    start_within_s: float | None

    def spec(self, name: str, script: ScriptedChild) -> ChildSpec:
        return ChildSpec(
            name,
            start=script,
            restart=self.restart,
            backoff=self.backoff,
            silence=self.silence,
            start_within_s=self.start_within_s,
            stop_within_s=STOP_WITHIN_S,
        )


@dataclass(frozen=True)
class Step:
    """After ``wait_s`` stop the child, or add it if it is not there."""

    wait_s: float
    name: str


@dataclass(frozen=True)
class Plan:
    """What is to happen."""

    players: dict[str, Player]
    static: int
    intensity: Intensity
    stop: StopOrder
    steps: tuple[Step, ...]
    cancelled_after_s: float | None
    seed: int


players = st.builds(
    Player,
    acts=st.lists(acts, min_size=1, max_size=3).map(tuple),
    ready_after_s=st.sampled_from([0.0, 0.0, 0.5, 2.5]),
    restart=st.sampled_from(Restart),
    backoff=st.sampled_from([Backoff(0.25, 1, 0.25, 2), Backoff(0.25, 2, 1, 3)]),
    silence=st.sampled_from([None, Silence(2), Silence(4, evidence_after_s=1)]),
    start_within_s=st.sampled_from([None, 1.0, 30.0]),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    chosen = draw(st.lists(players, min_size=1, max_size=4))
    by_name = {f"c{number}": player for number, player in enumerate(chosen)}
    return Plan(
        players=by_name,
        static=draw(st.integers(0, len(by_name))),
        intensity=draw(
            st.sampled_from([Intensity.unlimited(), Intensity(0, 5), Intensity(2, 5), Intensity(5, 20)])
        ),
        stop=draw(st.sampled_from(StopOrder)),
        steps=tuple(draw(st.lists(st.builds(Step, seconds, st.sampled_from(sorted(by_name))), max_size=8))),
        cancelled_after_s=draw(st.none() | st.integers(0, 40).map(lambda quarters: quarters / 4)),
        seed=draw(st.integers(0, 3)),
    )


@dataclass
class Performance:
    """What did happen."""

    recorder: EventRecorder = field(default_factory=EventRecorder)
    scripts: dict[str, ScriptedChild] = field(default_factory=dict)
    stopped: list[tuple[str, int]] = field(default_factory=list)
    """Which child was stopped, after how many events."""
    added: list[tuple[str, int]] = field(default_factory=list)
    tasks_left: int = 0
    raised: SupervisorFailed | None = None


async def play(plan: Plan) -> Performance:
    this = Performance(
        scripts={
            name: ScriptedChild(*player.acts, ready_after_s=player.ready_after_s)
            for name, player in plan.players.items()
        }
    )
    specs = {name: player.spec(name, this.scripts[name]) for name, player in plan.players.items()}
    this.scripts["calm"] = calm = ScriptedChild(Runs())
    spec = SupervisorSpec(
        children=(ChildSpec("calm", start=calm), *list(specs.values())[: plan.static]),
        intensity=plan.intensity,
        stop=plan.stop,
    )
    tasks_before = trio.lowlevel.current_statistics().tasks_living
    with trio.CancelScope() as outside:
        if plan.cancelled_after_s is not None:
            outside.deadline = trio.current_time() + plan.cancelled_after_s
        try:
            async with open_supervisor(
                spec, rng=random.Random(plan.seed), observers=(this.recorder,)
            ) as supervisor:
                for step in plan.steps:
                    await trio.sleep(step.wait_s)
                    await take(step, specs, supervisor, this)
                await trio.sleep(3)
        except SupervisorFailed as failure:
            this.raised = failure
    this.tasks_left = trio.lowlevel.current_statistics().tasks_living - tasks_before
    return this


async def take(step: Step, specs: dict[str, ChildSpec], supervisor: Supervisor, this: Performance) -> None:
    if step.name not in supervisor:
        this.added.append((step.name, len(this.recorder.events)))
        supervisor.start_child(specs[step.name])
        return
    try:
        await supervisor.stop_child(step.name)
    except Wedged:
        await trio.sleep_forever()  # the block is being cancelled
    this.stopped.append((step.name, len(this.recorder.events)))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(plan=plans())
def test_the_promises_hold_for_any_plan(plan: Plan) -> None:
    this = trio.run(play, plan, clock=trio.testing.MockClock(autojump_threshold=0))
    events = this.recorder.events
    never_two_incarnations_at_once(this)
    a_stopped_child_never_returns(this)
    no_task_is_left(this)
    the_budget_of_restarts_is_kept(plan, events)
    the_stop_is_in_reverse_order(events)
    siblings_are_left_alone(this, events)
    restarts_come_when_they_were_announced(plan, events)
    failures_are_raised(this)


def never_two_incarnations_at_once(this: Performance) -> None:
    for name, script in this.scripts.items():
        assert script.most_running <= 1, name
    alive: set[str] = set()
    for event in this.recorder.events:
        if isinstance(event, ChildStarting):
            assert event.path not in alive
            alive.add(event.path)
        elif isinstance(event, ChildEnded):
            alive.remove(event.path)
    assert not alive


def a_stopped_child_never_returns(this: Performance) -> None:
    events = this.recorder.events
    for name, after in this.stopped:
        until = min((at for added, at in this.added if added == name and at >= after), default=None)
        assert f"root.{name}" not in [e.path for e in events[after:until] if isinstance(e, ChildStarting)]
    [stopping] = [at for at, event in enumerate(events) if isinstance(event, SupervisorStopping)]
    assert not [event for event in events[stopping:] if isinstance(event, ChildStarting | RestartScheduled)]


def no_task_is_left(this: Performance) -> None:
    assert this.tasks_left == 0
    assert {name: script.running for name, script in this.scripts.items() if script.running} == {}


def the_budget_of_restarts_is_kept(plan: Plan, events: list[Event]) -> None:
    allowed, period_s = plan.intensity.restarts, plan.intensity.period_s
    if allowed is None:
        assert not [
            e
            for e in events
            if isinstance(e, SupervisorEscalated) and isinstance(e.failure, IntensityExceeded)
        ]
        return
    times = [event.at_s for event in events if isinstance(event, RestartScheduled)]
    for first, at_s in enumerate(times):
        assert len([later for later in times[first:] if later <= at_s + period_s]) <= allowed


def the_stop_is_in_reverse_order(events: list[Event]) -> None:
    at = next(number for number, event in enumerate(events) if isinstance(event, SupervisorStopping))
    stopping = events[at]
    assert isinstance(stopping, SupervisorStopping)
    first_started: dict[str, int] = {}
    for number, event in enumerate(events[:at]):
        if isinstance(event, ChildStarting) and event.incarnation == 1:
            first_started[event.path] = number
    told = [
        event.path
        for event in events[at:]
        if isinstance(event, ChildCancelled) and event.cause == stopping.cause
    ]
    assert told == sorted(told, key=lambda path: -first_started[path])


def siblings_are_left_alone(this: Performance, events: list[Event]) -> None:
    assert len(this.scripts["calm"].started_at_s) <= 1
    ended = [event for event in events if isinstance(event, ChildEnded) and event.path == "root.calm"]
    assert Counter(event.ending.verdict.value for event in ended) in (Counter(), Counter({"stopped": 1}))


def restarts_come_when_they_were_announced(plan: Plan, events: list[Event]) -> None:
    announced: dict[str, RestartScheduled] = {}
    for event in events:
        if isinstance(event, RestartScheduled):
            announced[event.path] = event
            bound_s = plan.players[event.path.removeprefix("root.")].backoff.bound_s(event.attempt)
            assert 0 <= event.delay_s <= bound_s
        elif isinstance(event, ChildStarting) and event.incarnation > 1:
            expected = announced.pop(event.path)
            assert (event.at_s, event.incarnation) == (expected.restart_at_s, expected.incarnation)


def failures_are_raised(this: Performance) -> None:
    escalated = [event.failure for event in this.recorder.events if isinstance(event, SupervisorEscalated)]
    assert this.raised is (escalated[-1] if escalated else None)
