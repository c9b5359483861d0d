"""The state of one child, and the table of what may follow what. Internal: others see `ChildSnapshot`."""

import contextvars
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, final

import trio

from tgworker.supervision._events import OperationExpired
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._spec import ChildSpec
from tgworker.supervision._verdicts import Ending, Verdict

if TYPE_CHECKING:
    from tgworker.supervision._crew import Crew
    from tgworker.supervision._supervisor import Supervisor


@final
class ChildState(Enum):
    """Where a child stands."""

    WAITING = "waiting"
    """It does not run, and its turn to start has not come: a static child at first, later one whose siblings
    restart with it."""
    STARTING = "starting"
    """It runs and is not ready yet."""
    READY = "ready"
    """It runs."""
    STOPPING = "stopping"
    """It was cancelled and is not dead yet."""
    BACKING_OFF = "backing-off"
    """It is dead; a new incarnation will start."""
    WEDGED = "wedged"
    """It was cancelled and did not end in time; its task still lives."""
    STOPPED = "stopped"
    """It is dead, for good."""


TRANSITIONS: dict[ChildState, frozenset[ChildState]] = {
    ChildState.WAITING: frozenset({ChildState.STARTING, ChildState.STOPPED}),
    ChildState.STARTING: frozenset(
        {
            ChildState.WAITING,  # with its siblings, see Strategy
            ChildState.READY,
            ChildState.STOPPING,
            ChildState.BACKING_OFF,
            ChildState.WEDGED,  # a supervisor below it has a wedged child
            ChildState.STOPPED,
        }
    ),
    ChildState.READY: frozenset(
        {
            ChildState.WAITING,
            ChildState.STOPPING,
            ChildState.BACKING_OFF,
            ChildState.WEDGED,
            ChildState.STOPPED,
        }
    ),
    ChildState.STOPPING: frozenset(
        {ChildState.WAITING, ChildState.BACKING_OFF, ChildState.WEDGED, ChildState.STOPPED}
    ),
    ChildState.BACKING_OFF: frozenset({ChildState.WAITING, ChildState.STARTING, ChildState.STOPPED}),
    ChildState.WEDGED: frozenset({ChildState.STOPPED}),
    ChildState.STOPPED: frozenset(),
}
"""The state machine.

Only BACKING_OFF and WAITING lead to STARTING, and only a dead task leads to them: no overlap. Nothing leads
out of STOPPED: no resurrection.
"""


@final
@dataclass(frozen=True, slots=True)
class Kill:
    """That an incarnation was cancelled, and why."""

    verdict: Verdict
    cause: str
    evidence: str | None
    dead_by_s: float


@final
class Run:
    """One incarnation."""

    __slots__ = (
        "evidence_since_s",
        "kill",
        "number",
        "outcome",
        "over",
        "pulse",
        "ready_at_s",
        "scope",
        "set_aside",
        "started_at_s",
        "task",
    )

    def __init__(self, number: int, pulse: Pulse) -> None:
        self.number = number
        self.pulse = pulse
        # Shielded: a cancellation from outside reaches the supervisor, which then stops its children in order
        # and within their budgets, instead of all at once.
        self.scope = trio.CancelScope(shield=True)
        self.started_at_s = pulse.beat_at_s
        self.ready_at_s: float | None = None
        self.kill: Kill | None = None
        self.task: trio.lowlevel.Task | None = None
        self.evidence_since_s = -math.inf
        """The start of the silence for which evidence was already collected."""
        self.set_aside = False
        """A sibling failed with which it is to be restarted: it is being stopped for that, or will be."""
        self.outcome = trio.Event()
        """It is ready, or over."""
        self.over = trio.Event()
        """Its task and all tasks under it are gone."""

    def stable_for_s(self, ended_at_s: float) -> float:
        """How long it was ready and showed signs of life, seconds; time spent hanging does not count."""
        if self.ready_at_s is None:
            return 0.0
        until_s = ended_at_s if self.kill is None else self.pulse.beat_at_s
        return max(0.0, until_s - self.ready_at_s)


@final
class Child:
    """One child through all its incarnations."""

    __slots__ = (
        "armed_at_s",
        "armed_order",
        "attempt",
        "context",
        "doomed",
        "dynamic",
        "last",
        "nested",
        "number",
        "order",
        "owner",
        "path",
        "ready_once",
        "restart_at_s",
        "run",
        "settled",
        "sheltering",
        "spec",
        "state",
    )

    def __init__(self, spec: ChildSpec, path: str, owner: "Crew", *, dynamic: bool) -> None:
        self.spec = spec
        self.path = path
        self.owner = owner
        self.dynamic = dynamic
        self.state = ChildState.WAITING
        self.number = 0
        """The newest incarnation's number."""
        self.order = -1
        """Which child of its supervisor it was to start, in the order of first starts."""
        self.run: Run | None = None
        """The living incarnation."""
        self.last: Ending | None = None
        self.attempt = 0
        self.restart_at_s = math.inf
        self.armed_at_s = math.inf
        """When the supervisor will look at this child at the latest."""
        self.armed_order = -1
        """Which of the alarm's entries for this child counts."""
        self.doomed = False
        """Told to end for good: whatever its verdict, no incarnation follows."""
        self.nested: Supervisor | None = None
        """The supervisor that its incarnation has opened."""
        self.sheltering = False
        """That supervisor has not stopped its children yet, each of which has a budget of its own."""
        # Every incarnation starts in the context in which the child was added, not in that of whoever
        # restarts it.
        self.context = contextvars.copy_context()
        self.ready_once = trio.Event()
        """It has been ready once, or has ended for good."""
        self.settled = trio.Event()
        """It is dead for good, or wedged."""

    def become(self, state: ChildState) -> None:
        """Go to ``state``, which must be allowed."""
        assert state in TRANSITIONS[self.state], f"{self.path}: {self.state} -> {state}"
        self.state = state

    def operation_expired(self, event: OperationExpired) -> None:
        """Pass on what a pulse reports."""
        self.owner.operation_expired(event)

    def sooner(self, due_s: float) -> None:
        """Be looked at earlier than planned."""
        if due_s < self.armed_at_s:
            self.owner.alarm.arm(self, due_s)
