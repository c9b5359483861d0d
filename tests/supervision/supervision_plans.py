"""Plans: trees with what their children will do, generated; and their performance in one trio run each."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import trio
import trio.testing
from hypothesis import strategies as st

from tgworker.supervision import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Intensity,
    Restart,
    Silence,
    StopOrder,
    Strategy,
    Subtree,
    Supervisor,
    SupervisorFailed,
    SupervisorSpec,
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
AT_THE_END_S = 6.0
"""How long the block goes on after the last step."""
PATIENCE_S = 2000.0
"""When a performance is broken off: only that of a broken supervisor."""


@dataclass(frozen=True)
class Leaf:
    """A child that plays a script."""

    acts: tuple[Act, ...]
    ready_after_s: float
    restart: Restart
    backoff: Backoff
    silence: Silence | None
    start_within_s: float | None
    wants_significance: bool


@dataclass(frozen=True)
class Branch:
    """A child that contains a supervisor."""

    restart: Restart
    backoff: Backoff
    company: "Company"


@dataclass(frozen=True)
class Company:
    """A supervisor and its children, by id."""

    members: dict[str, Leaf | Branch]
    strategy: Strategy
    intensity: Intensity
    stop: StopOrder
    auto_shutdown: AutoShutdown


@dataclass(frozen=True)
class Step:
    """After ``wait_s`` stop the child of the root, or add it if it is not there."""

    wait_s: float
    name: str


@dataclass(frozen=True)
class Plan:
    """What is to happen. Members of the root that are not static are there for the steps to add."""

    root: Company
    static: int
    steps: tuple[Step, ...]
    cancelled_after_s: float | None
    seed: int

    def companies(self) -> dict[str, Company]:
        """Every supervisor, by path."""
        return dict(_companies("root", self.root))

    def spec_of(self, path: str) -> ChildSpec:
        """The spec of a child, without what it runs."""
        parent, _, name = path.rpartition(".")
        company = self.companies()[parent]
        return member_spec(name, company.members[name], company, path, {})


def _companies(path: str, company: Company) -> Iterator[tuple[str, Company]]:
    yield path, company
    for name, member in company.members.items():
        if isinstance(member, Branch):
            yield from _companies(f"{path}.{name}", member.company)


def member_spec(
    name: str, member: Leaf | Branch, company: Company, path: str, scripts: dict[str, ScriptedChild]
) -> ChildSpec:
    """The member as a child; what its leaves play is noted in ``scripts``, by path."""
    if isinstance(member, Branch):
        inner = company_spec(member.company, path, scripts)
        start = Subtree(inner)
        return ChildSpec(name, start, member.restart, member.backoff, start_within_s=None)
    # One script for all incarnations, also of the supervisor above: it knows whether two run at once.
    script = scripts.setdefault(path, ScriptedChild(*member.acts, ready_after_s=member.ready_after_s))
    may_be_significant = (
        company.auto_shutdown is not AutoShutdown.NEVER and member.restart is not Restart.PERMANENT
    )
    return ChildSpec(
        name,
        start=script,
        restart=member.restart,
        backoff=member.backoff,
        silence=member.silence,
        start_within_s=member.start_within_s,
        stop_within_s=STOP_WITHIN_S,
        significant=member.wants_significance and may_be_significant,
    )


def company_spec(
    company: Company, path: str, scripts: dict[str, ScriptedChild], *, only: int | None = None
) -> SupervisorSpec:
    """The supervisor with its first ``only`` members (all of them, if ``None``)."""
    members = list(company.members.items())[:only]
    return SupervisorSpec(
        children=tuple(
            member_spec(name, member, company, f"{path}.{name}", scripts) for name, member in members
        ),
        intensity=company.intensity,
        stop=company.stop,
        strategy=company.strategy,
        auto_shutdown=company.auto_shutdown,
    )


# ---------------------------------------------------------------- generating

seconds = st.integers(0, 8).map(lambda quarters: quarters / 4)
acts: st.SearchStrategy[Act] = st.one_of(
    st.builds(Runs, st.sampled_from([0.5, 3.0])),
    st.builds(Returns, seconds),
    st.builds(Raises, st.builds(OSError, st.just("planned")), seconds),
    st.just(Hangs()),
    st.builds(Lingers, st.sampled_from([0.0, 0.25, 1.0, 4.75, 5.0, 5.25, 9.0])),
)
backoffs = st.sampled_from([Backoff(0.25, 1, 0.25, 2), Backoff(0.25, 2, 1, 3)])
leaves = st.builds(
    Leaf,
    acts=st.one_of(
        st.lists(acts, min_size=1, max_size=3).map(tuple),
        acts.map(lambda first: (first, Runs(0.5))),
    ),
    ready_after_s=st.sampled_from([0.0, 0.0, 0.5, 2.5]),
    restart=st.sampled_from(Restart),
    backoff=backoffs,
    silence=st.sampled_from([None, Silence(2), Silence(4, evidence_after_s=1)]),
    start_within_s=st.sampled_from([None, 1.0, 30.0]),
    wants_significance=st.booleans(),
)
INTENSITIES = [Intensity.unlimited(), Intensity(0, 5), Intensity(2, 5), Intensity(5, 20)]


def companies(members: st.SearchStrategy[Leaf | Branch], most: int) -> st.SearchStrategy[Company]:
    return st.builds(
        Company,
        members=st.lists(members, min_size=1, max_size=most).map(
            lambda chosen: {f"c{number}": member for number, member in enumerate(chosen)}
        ),
        strategy=st.sampled_from(Strategy),
        intensity=st.sampled_from(INTENSITIES),
        stop=st.sampled_from(StopOrder),
        auto_shutdown=st.sampled_from(AutoShutdown),
    )


branches = st.builds(Branch, st.sampled_from(Restart), backoffs, companies(leaves, most=3))
deep_branches = st.builds(Branch, st.sampled_from(Restart), backoffs, companies(leaves | branches, most=2))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    root = draw(companies(leaves | leaves | branches | deep_branches, most=4))
    names = sorted(root.members)
    return Plan(
        root=root,
        static=draw(st.integers(0, len(names))),
        steps=tuple(draw(st.lists(st.builds(Step, seconds, st.sampled_from(names)), max_size=8))),
        cancelled_after_s=draw(st.none() | st.integers(0, 40).map(lambda quarters: quarters / 4)),
        seed=draw(st.integers(0, 3)),
    )


# ---------------------------------------------------------------- playing


@dataclass
class Performance:
    """What did happen."""

    recorder: EventRecorder = field(default_factory=EventRecorder)
    scripts: dict[str, ScriptedChild] = field(default_factory=dict)
    told_to_stop: list[tuple[str, int]] = field(default_factory=list)
    """Which child of the root was told to stop, after how many events."""
    added: list[tuple[str, int]] = field(default_factory=list)
    tasks_left: int = 0
    failed: SupervisorFailed | None = None
    broken_off: bool = False


def perform(plan: Plan) -> Performance:
    """Play the plan, on a clock of its own."""
    return trio.run(_perform, plan, clock=trio.testing.MockClock(autojump_threshold=0))


async def _perform(plan: Plan) -> Performance:
    this = Performance()
    spec = company_spec(plan.root, "root", this.scripts, only=plan.static)
    tasks_before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(PATIENCE_S) as patience, trio.CancelScope() as outside:
        if plan.cancelled_after_s is not None:
            outside.deadline = trio.current_time() + plan.cancelled_after_s
        try:
            async with open_supervisor(
                spec, rng=random.Random(plan.seed), observers=(this.recorder,)
            ) as supervisor:
                for step in plan.steps:
                    await trio.sleep(step.wait_s)
                    await _take(step, plan, supervisor, this)
                await trio.sleep(AT_THE_END_S)
        except SupervisorFailed as failure:
            this.failed = failure
    this.broken_off = patience.cancelled_caught
    this.tasks_left = trio.lowlevel.current_statistics().tasks_living - tasks_before
    return this


async def _take(step: Step, plan: Plan, supervisor: Supervisor, this: Performance) -> None:
    path = f"root.{step.name}"
    after = len(this.recorder.events)
    if step.name not in supervisor:
        this.added.append((path, after))
        member = plan.root.members[step.name]
        supervisor.start_child(member_spec(step.name, member, plan.root, path, this.scripts))
        return
    this.told_to_stop.append((path, after))
    try:
        await supervisor.stop_child(step.name)
    except Wedged:
        await trio.sleep_forever()  # the block is being cancelled
