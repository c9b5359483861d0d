"""What observers are told: frozen values, one class for each thing that happens.

The library logs nothing; it tells observers, which are plain functions called in the task where it happens,
and which must return at once.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import final

from tgworker.supervision._errors import SupervisorFailed
from tgworker.supervision._lag import LagCause
from tgworker.supervision._verdicts import Ending, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        path: Dotted path of the child or supervisor that it is about.
        at_s: When, on trio's clock.
    """

    path: str
    at_s: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarting(Event):
    """An incarnation is about to take its first step."""

    incarnation: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildReady(Event):
    """An incarnation is ready, ``after_s`` seconds after its start."""

    incarnation: int
    after_s: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OperationExpired(Event):
    """A `Pulse.deadline` passed.

    Attributes:
        incarnation: Whose operation it was.
        operation: Its name.
        limit_s: What it was allowed, seconds; after `Deadline.extend`, what it was allowed since then.
        elapsed_s: How long it was open, seconds.
        cut_off: Whether the block was cut off. ``False``: it ended by itself, too late to be cut off, or it
            was being cancelled anyway.
    """

    incarnation: int
    operation: str
    limit_s: float
    elapsed_s: float
    cut_off: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildQuiet(Event):
    """The soft limit of silence has passed: evidence was collected, nothing was cancelled."""

    incarnation: int
    quiet_s: float
    evidence: str | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCancelled(Event):
    """An incarnation was cancelled; it now has ``stop_within_s`` seconds to end.

    Attributes:
        incarnation: Which one.
        verdict: What its ending will be called.
        cause: Why, in one line.
        evidence: Collected before the cancellation; ``None`` where the child was only asked to stop.
        stop_within_s: Its budget.
    """

    incarnation: int
    verdict: Verdict
    cause: str
    evidence: str | None
    stop_within_s: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded(Event):
    """An incarnation is dead: its task and all tasks under it are gone.

    Attributes:
        ending: The record.
        error: What it raised, if it raised. Keep it no longer than needed: it keeps its frames alive.
    """

    ending: Ending
    error: BaseException | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildWedged(Event):
    """A cancelled incarnation did not end within its budget; the supervisor escalates."""

    ending: Ending


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RestartScheduled(Event):
    """A child failed, and a new incarnation will start. Siblings that it concerns: `SiblingsDisturbed`.

    Attributes:
        incarnation: The new one's number.
        attempt: Which restart in a row it is, without a stable run between; the first is 1.
        delay_s: Seconds from the predecessor's death, as the policy drew it.
        restart_at_s: When, on trio's clock: at the earliest, if siblings must be dead before.
    """

    incarnation: int
    attempt: int
    delay_s: float
    restart_at_s: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SiblingsDisturbed(Event):
    """The restart of a child concerns living siblings: they are stopped now, and started again with it.

    Attributes:
        siblings: Their paths, in the order of their start; they are stopped in the reverse order.
    """

    siblings: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStarved(Event):
    """Deadlines passed while the event loop did not turn: that time counts for no limit.

    Failures right after it count for no intensity, unless code caused it. Told once for each gap, by the root
    of the tree (or by the supervisor at ``path`` that was told to `Supervisor.forgive`).

    Attributes:
        late_s: How late the first of them was, seconds. The gap was at least so long.
        cause: Why. `LagCause.BLOCKED`: by code of this program.
    """

    late_s: float
    cause: LagCause


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFinished(Event):
    """A child has ended for good: no further incarnation will start."""

    verdict: Verdict | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorStopping(Event):
    """A supervisor begins to stop its children."""

    cause: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorEscalated(Event):
    """A supervisor gave up: it stops its children, then fails with ``failure``."""

    failure: SupervisorFailed


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorStopped(Event):
    """A supervisor has stopped its children.

    Attributes:
        orphans: Paths of children whose tasks still live (they are wedged); empty in an orderly stop.
    """

    orphans: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged(Event):
    """The event loop was late by more than the limit of the `Canary` at ``path``.

    Attributes:
        lag_s: By how much, seconds: how long the steps of tasks took until the loop turned again; or how late
            it came back from waiting for events.
        cause: Why.
        in_step: Whether it was late because of steps of tasks, or while it waited.
        task: Whose step took most of the time, if that is known: the child's path and the task's name. The
            canary begins to look for it with the first lag that code has caused.
        cpu_s: How much of it the loop's thread computed, seconds.
        others_cpu_s: How much processor time the process's other threads used meanwhile, seconds.
        queued_s: How much of it the loop's thread waited for a processor, seconds; ``None``: unknown.
        suspended_s: How much of it the machine slept, seconds.
    """

    lag_s: float
    cause: LagCause
    in_step: bool
    task: str | None
    cpu_s: float
    others_cpu_s: float
    queued_s: float | None
    suspended_s: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverFailed(Event):
    """An observer (or the injected dump) raised. Told to the other observers only, and never about itself.

    Attributes:
        observer: The ``repr`` of the one that raised.
        error: What it raised.
    """

    observer: str
    error: Exception


#: The catalogue: every event that an observer can receive.
EVENTS: tuple[type[Event], ...] = (
    ChildStarting,
    ChildReady,
    OperationExpired,
    ChildQuiet,
    ChildCancelled,
    ChildEnded,
    ChildWedged,
    RestartScheduled,
    SiblingsDisturbed,
    LoopStarved,
    ChildFinished,
    SupervisorStopping,
    SupervisorEscalated,
    SupervisorStopped,
    LoopLagged,
    ObserverFailed,
)

Observer = Callable[[Event], object]
"""Receives events. A plain function; what it returns is ignored, what it raises harms nobody."""


@final
class Announcer:
    """Tells every observer, and shields the supervisor from what they raise."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    @contextlib.contextmanager
    def joined_by(self, observer: Observer) -> Generator[None]:
        """Tell one more observer for the length of a block: a child that must know what becomes of others."""
        self._observers = (*self._observers, observer)
        try:
            yield
        finally:
            self._observers = tuple(one for one in self._observers if one is not observer)

    def tell(self, event: Event) -> None:
        """Call each observer in order. An `Exception` of one is told to the others as `ObserverFailed`."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 (reported below, as an event)
                self.tell_failed(observer, error, path=event.path, at_s=event.at_s)

    def tell_failed(self, failed: object, error: Exception, *, path: str, at_s: float) -> None:
        """Tell everyone but ``failed`` that it raised ``error``."""
        report = ObserverFailed(path=path, at_s=at_s, observer=repr(failed), error=error)
        for observer in self._observers:
            if observer is failed:
                continue
            # An observer that cannot even hear of failures has nobody left to tell.
            with contextlib.suppress(Exception):
                observer(report)
