"""The library's promises, as checks of what happened in a performance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from supervision.supervision_plans import Company, Performance, Plan
from tgworker.supervision import (
    AutoShutdown,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildStarting,
    ChildWedged,
    Event,
    IntensityExceeded,
    Restart,
    RestartScheduled,
    SiblingsDisturbed,
    StopOrder,
    Strategy,
    SupervisorEscalated,
    SupervisorStopped,
    SupervisorStopping,
    Verdict,
)

FOR_A_SIBLING = "to be restarted with "
TOLD = "was told to stop it"
QUIET_S = 2.0
"""Longer than any backoff of a plan."""


@dataclass
class Life:
    """One life of one supervisor: those of nested ones may be many."""

    path: str
    company: Company
    events: list[Event] = field(default_factory=list)
    """About its children and itself, the oldest first."""

    def scenes(self) -> Iterator[tuple[Event, "Scene"]]:
        """Each event, with what was the case just before it."""
        scene = Scene()
        for event in self.events:
            yield event, scene
            scene.take(event)


@dataclass
class Scene:
    """What was the case just before an event."""

    place: dict[str, int] = field(default_factory=dict)
    """Of each child in the order of first starts."""
    alive: dict[str, bool] = field(default_factory=dict)
    """Whether it was ready."""
    leaving: set[str] = field(default_factory=set)
    """Cancelled, and not dead."""
    wedged: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    stopping: SupervisorStopping | None = None
    changed_at_s: float = 0.0
    """When a child was last ready, or ended."""

    def later(self, path: str) -> set[str]:
        """Living siblings that were first started after the child."""
        return {other for other in self.alive if self.place[other] > self.place[path]} - self.wedged

    def take(self, event: Event) -> None:
        if isinstance(event, ChildReady | ChildEnded):
            self.changed_at_s = event.at_s
        match event:
            case ChildStarting(path=path):
                if event.incarnation == 1:  # perhaps again: it was stopped, forgotten, and added
                    self.place.pop(path, None)
                    self.place[path] = max(self.place.values(), default=0) + 1
                    self.finished.discard(path)
                self.alive[path] = False
            case ChildReady(path=path):
                self.alive[path] = True
            case ChildEnded(path=path):
                self.alive.pop(path, None)
                self.leaving.discard(path)
            case ChildCancelled(path=path):
                self.leaving.add(path)
            case ChildWedged(path=path):
                self.wedged.add(path)
            case ChildFinished(path=path):
                self.finished.add(path)
            case SupervisorStopping():
                self.stopping = event
            case _:
                pass


@dataclass
class Story:
    """A performance, told life by life."""

    plan: Plan
    this: Performance
    lives: list[Life]

    def scenes(self) -> Iterator[tuple[Life, Event, Scene]]:
        for life in self.lives:
            for event, scene in life.scenes():
                yield life, event, scene


def tell(plan: Plan, this: Performance) -> Story:
    companies = plan.companies()
    current = {"root": Life("root", companies["root"])}
    lives = [current["root"]]
    for event in this.recorder.events:
        about_itself = isinstance(event, SupervisorStopping | SupervisorStopped | SupervisorEscalated)
        owner = event.path if about_itself else event.path.rpartition(".")[0]
        current[owner].events.append(event)
        if isinstance(event, ChildStarting) and event.path in companies:
            current[event.path] = Life(event.path, companies[event.path])
            lives.append(current[event.path])
    return Story(plan, this, lives)


# ---------------------------------------------------------------- the promises


def never_two_incarnations_at_once(story: Story) -> None:
    for path, script in story.this.scripts.items():
        assert script.most_running <= 1, path
    for _, event, scene in story.scenes():
        if isinstance(event, ChildStarting):
            assert event.path not in scene.alive


def a_stopped_child_never_returns(story: Story) -> None:
    events = story.this.recorder.events
    for path, after in story.this.told_to_stop:
        until = min((at for added, at in story.this.added if added == path and at > after), default=None)
        assert path not in [event.path for event in events[after:until] if isinstance(event, ChildStarting)]
    for _, event, scene in story.scenes():
        if isinstance(event, ChildStarting):
            assert scene.stopping is None
            assert event.incarnation == 1 or event.path not in scene.finished
            assert event.incarnation == 1 or story.plan.spec_of(event.path).restart is not Restart.TEMPORARY
        if isinstance(event, RestartScheduled):
            assert scene.stopping is None


def a_supervisor_that_ended_left_no_task(story: Story) -> None:
    assert story.this.tasks_left == 0
    assert not story.this.broken_off
    assert {path for path, script in story.this.scripts.items() if script.running} == set()
    alive: set[str] = set()
    for event in story.this.recorder.events:
        if isinstance(event, ChildStarting):
            alive.add(event.path)
        elif isinstance(event, ChildEnded):
            assert not {path for path in alive if path.startswith(event.path + ".")}
            alive.remove(event.path)
    assert not alive


def the_budget_of_restarts_is_kept(story: Story) -> None:
    for life in story.lives:
        allowed, period_s = life.company.intensity.restarts, life.company.intensity.period_s
        times = [event.at_s for event in life.events if isinstance(event, RestartScheduled)]
        gave_up = [
            event
            for event in life.events
            if isinstance(event, SupervisorEscalated) and isinstance(event.failure, IntensityExceeded)
        ]
        if allowed is None:
            assert not gave_up
            continue
        for first, at_s in enumerate(times):
            assert len([later for later in times[first:] if later <= at_s + period_s]) <= allowed
        for event in gave_up:  # and not too early
            assert len([at_s for at_s in times if event.at_s <= at_s + period_s]) == allowed


def the_stop_is_in_the_reverse_order_of_the_start(story: Story) -> None:
    for life in story.lives:
        told: list[int] = []
        together = life.company.stop is StopOrder.TOGETHER
        for event, scene in life.scenes():
            if isinstance(event, SiblingsDisturbed | SupervisorStopping | ChildStarting):
                told = []
            if not isinstance(event, ChildCancelled):
                continue
            at_the_end = scene.stopping is not None and event.cause == scene.stopping.cause
            if at_the_end or event.cause.startswith(FOR_A_SIBLING):
                told.append(scene.place[event.path])
                assert told == sorted(told, reverse=True)
                assert together or not scene.later(event.path)


def siblings_are_disturbed_exactly_as_the_strategy_says(story: Story) -> None:
    for life in story.lives:
        strategy = life.company.strategy
        failed: RestartScheduled | None = None
        may_be_stopped: dict[str, str] = {}  # path -> for whose sake
        for event, scene in life.scenes():
            if failed is not None:
                expected = disturbed(strategy, failed.path, scene)
                heard = set(event.siblings) if isinstance(event, SiblingsDisturbed) else set[str]()
                assert heard == expected, (strategy, failed.path)
                failed = None
            match event:
                case RestartScheduled():
                    failed = event
                case SiblingsDisturbed():
                    may_be_stopped |= dict.fromkeys(may_be_stopped, event.path)
                    may_be_stopped |= dict.fromkeys(event.siblings, event.path)
                case ChildEnded(path=path):
                    may_be_stopped.pop(path, None)
                case ChildStarting(path=path):
                    assert not may_be_stopped, "first all make room"
                case ChildCancelled(path=path, cause=cause) if event.verdict is Verdict.STOPPED:
                    asked = TOLD in cause or (scene.stopping is not None and cause == scene.stopping.cause)
                    for_whom = may_be_stopped.get(path)
                    assert asked or (for_whom is not None and cause.startswith(FOR_A_SIBLING + for_whom))
                case SupervisorStopping():
                    may_be_stopped = {}
                case _:
                    pass
        assert failed is None or not disturbed_at_the_end(life, failed)


def disturbed(strategy: Strategy, path: str, scene: Scene) -> set[str]:
    """Whom a restart concerns, told independently of the library."""
    living = set(scene.alive) - {path}
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return set()
        case Strategy.ONE_FOR_ALL:
            return living
        case Strategy.REST_FOR_ONE:
            return {other for other in living if scene.place[other] > scene.place[path]}


def disturbed_at_the_end(life: Life, failed: RestartScheduled) -> set[str]:
    scene = Scene()
    for event in life.events:
        scene.take(event)
    return disturbed(life.company.strategy, failed.path, scene)


def in_groups_children_start_in_order(story: Story) -> None:
    for life, event, scene in story.scenes():
        if life.company.strategy is Strategy.ONE_FOR_ONE or not isinstance(event, ChildStarting):
            continue
        if event.path in scene.place and event.incarnation > 1:
            assert not scene.later(event.path)
        for path, ready in scene.alive.items():
            assert ready or story.plan.spec_of(path).start_within_s is None, f"{path} is not ready"


def restarts_come_when_they_were_announced(story: Story) -> None:
    for life in story.lives:
        announced: dict[str, RestartScheduled] = {}
        for event in life.events:
            if isinstance(event, RestartScheduled):
                announced[event.path] = event
                bound_s = story.plan.spec_of(event.path).backoff.bound_s(event.attempt)
                assert 0 <= event.delay_s <= bound_s
            elif isinstance(event, ChildStarting) and event.path in announced:
                expected = announced.pop(event.path)
                if event.incarnation == 1:
                    continue  # it was stopped, and added again
                assert event.incarnation == expected.incarnation
                if life.company.strategy is Strategy.ONE_FOR_ONE:
                    assert event.at_s == expected.restart_at_s
                else:
                    assert event.at_s >= expected.restart_at_s


def only_who_is_done_or_told_ends_for_good(story: Story) -> None:
    for life in story.lives:
        # Once it is decided that a supervisor stops, nobody restarts; it says so a little later.
        stops_at = [event.at_s for event in life.events if isinstance(event, SupervisorStopping)]
        last: dict[str, ChildEnded] = {}
        for event, scene in life.scenes():
            if isinstance(event, ChildEnded):
                last[event.path] = event
            if not isinstance(event, ChildFinished) or scene.stopping is not None:
                continue
            told = was_told_to_stop(story, event)
            ended = last.get(event.path)
            done = ended is not None and ends_for_good(story, ended)
            temporary = story.plan.spec_of(event.path).restart is Restart.TEMPORARY
            assert told or done or temporary or event.at_s in stops_at


def nobody_is_forgotten(story: Story) -> None:
    """In a supervisor in which nothing has failed for a while, everybody runs who should."""
    for _, event, scene in story.scenes():
        if not isinstance(event, SupervisorStopping):
            continue
        quiet_s = event.at_s - scene.changed_at_s
        if quiet_s > QUIET_S and not scene.leaving and all(scene.alive.values()):
            assert set(scene.place) <= set(scene.alive) | scene.finished


def significant_children_end_their_supervisor(story: Story) -> None:
    for life in story.lives:
        expected: ChildEnded | None = None
        for event, scene in life.scenes():
            if isinstance(event, ChildEnded) and scene.stopping is None and expected is None:
                gone = event.path in scene.finished or ends_for_good(story, event)
                if gone and is_the_end(story, life, event, scene):
                    expected = event
            if isinstance(event, SupervisorStopping):
                says_so = event.cause.startswith("its significant child")
                if says_so:
                    assert expected is not None
                if expected is not None:
                    assert event.at_s == expected.at_s
        told = [event for event in life.events if isinstance(event, SupervisorStopping)]
        assert expected is None or told


def ends_for_good(story: Story, event: ChildEnded) -> bool:
    restart = story.plan.spec_of(event.path).restart
    verdict = event.ending.verdict
    if verdict in (Verdict.STOPPED, Verdict.WEDGED):
        return False
    return restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and verdict is Verdict.RETURNED)


def is_the_end(story: Story, life: Life, event: ChildEnded, scene: Scene) -> bool:
    if not story.plan.spec_of(event.path).significant or was_told_to_stop(story, event):
        return False
    if life.company.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
        return True
    static = list(life.company.members)[: story.plan.static if life.path == "root" else None]
    known = {f"{life.path}.{name}" for name in static} | set(scene.place)
    left = {path for path in known if story.plan.spec_of(path).significant}
    return not left - scene.finished - {event.path}


def was_told_to_stop(story: Story, event: Event) -> bool:
    at = story.this.recorder.events.index(event)
    starts = [
        number
        for number, other in enumerate(story.this.recorder.events[:at])
        if isinstance(other, ChildStarting) and other.path == event.path
    ]
    began = starts[-1] if starts else -1
    return any(path == event.path and began < after <= at for path, after in story.this.told_to_stop)


def failures_are_raised(story: Story) -> None:
    events = story.this.recorder.events
    at_the_root = [e.failure for e in events if isinstance(e, SupervisorEscalated) and e.path == "root"]
    assert story.this.failed is (at_the_root[-1] if at_the_root else None)


PROMISES: tuple[Callable[[Story], None], ...] = (
    never_two_incarnations_at_once,
    a_stopped_child_never_returns,
    a_supervisor_that_ended_left_no_task,
    the_budget_of_restarts_is_kept,
    the_stop_is_in_the_reverse_order_of_the_start,
    siblings_are_disturbed_exactly_as_the_strategy_says,
    in_groups_children_start_in_order,
    restarts_come_when_they_were_announced,
    only_who_is_done_or_told_ends_for_good,
    nobody_is_forgotten,
    significant_children_end_their_supervisor,
    failures_are_raised,
)
