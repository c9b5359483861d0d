"""What a supervised tree does, in numbers: an observer for any program that uses `tgworker.supervision`.

It needs no worker; ``prometheus_client`` is imported when somebody reads.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from tgworker.operations.tallies import MOST_NAMES, Counter, Gauge, Histogram, Names, Tally
from tgworker.supervision import (
    ChildEnded,
    ChildQuiet,
    ChildStarting,
    ChildWedged,
    Event,
    LagCause,
    LoopLagged,
    LoopStarved,
    ObserverFailed,
    OperationExpired,
    RestartScheduled,
    SupervisorEscalated,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LAG_BOUNDS_S: Final = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""A `Canary` tells from 0.25 s on, unless it is told else."""

GAP_BOUNDS_S: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

_CAUSES: Final = tuple((cause.value,) for cause in LagCause)


@final
class SupervisionMetrics:
    """Counts what a supervised tree does. Give it to `open_supervisor` as one of the ``observers``.

    Labels have few values: children by their path, operations by their name, both bounded. It never raises
    (unless ``child_of`` does, which harms nobody: supervision shields itself from its observers).

    Args:
        namespace: The first word of every metric's name.
        child_of: What a child is called, by its path. Children that come and go, or whose ids name somebody,
            belong under one name.
        most_names: How many children and how many operations have names of their own; the others are "other".

    Attributes:
        tallies: What is counted.
    """

    def __init__(
        self,
        namespace: str = "tgworker",
        *,
        child_of: Callable[[str], str] = lambda path: path,
        most_names: int = MOST_NAMES,
    ) -> None:
        self._child_of = child_of
        self._children, self._operations = Names(most_names), Names(most_names)
        self._running = Gauge(
            f"{namespace}_children", "Incarnations of children that live, wedged ones included.", ["child"]
        )
        self._endings = Counter(
            f"{namespace}_child_endings_total",
            "Incarnations of children that ended, by verdict.",
            ["child", "verdict"],
        )
        self._restarts = Counter(
            f"{namespace}_child_restarts_total", "Restarts after a child's own failure.", ["child"]
        )
        self._delays = Counter(
            f"{namespace}_child_restart_delay_seconds_total",
            "Time for which backoff delayed these restarts.",
            ["child"],
        )
        self._quiet = Counter(
            f"{namespace}_child_quiet_total",
            "Times that the soft limit of a child's silence passed; nothing was cancelled for that.",
            ["child"],
        )
        self._wedged = Counter(
            f"{namespace}_child_wedged_total",
            "Incarnations that were cancelled and did not end within their budget.",
            ["child"],
        )
        self._expired = Counter(
            f"{namespace}_operations_expired_total", "Deadlines of operations that passed.", ["operation"]
        )
        self._escalations = Counter(
            f"{namespace}_supervisor_escalations_total", "Supervisors that gave up.", ["supervisor"]
        )
        self._lags = Histogram(
            f"{namespace}_loop_lag_seconds",
            "How late the event loop was, each time that the canary told it, by cause.",
            ["cause"],
            bounds=LAG_BOUNDS_S,
            known=_CAUSES,
        )
        self._gaps = Histogram(
            f"{namespace}_loop_gap_seconds",
            "Gaps in which the event loop did not turn, and which counted for no limit, by cause.",
            ["cause"],
            bounds=GAP_BOUNDS_S,
            known=_CAUSES,
        )
        self._observers = Counter(
            f"{namespace}_observer_failures_total",
            "Times that another observer, or the dump of evidence, raised.",
        )
        self.tallies: tuple[Tally, ...] = (
            self._running,
            self._endings,
            self._restarts,
            self._delays,
            self._quiet,
            self._wedged,
            self._expired,
            self._escalations,
            self._lags,
            self._gaps,
            self._observers,
        )

    def __call__(self, event: Event) -> None:
        """Count an event. One that a later release adds counts for nothing."""
        match event:
            case ChildStarting():
                self._running.add(self._child(event), by=1)
            case ChildEnded():
                child = self._child(event)
                self._running.add(child, by=-1)
                self._endings.add(child, event.ending.verdict.value)
            case RestartScheduled():
                child = self._child(event)
                self._restarts.add(child)
                self._delays.add(child, by=event.delay_s)
            case ChildQuiet():
                self._quiet.add(self._child(event))
            case ChildWedged():
                self._wedged.add(self._child(event))
            case OperationExpired():
                self._expired.add(self._operations.of(event.operation))
            case SupervisorEscalated():
                self._escalations.add(self._child(event))
            case LoopLagged():
                self._lags.observe(event.lag_s, event.cause.value)
            case LoopStarved():
                self._gaps.observe(event.late_s, event.cause.value)
            case ObserverFailed():
                self._observers.add()
            case _:
                pass

    def register(self, registry: "CollectorRegistry") -> None:
        """Show the metrics in a registry of ``prometheus_client``, whoever serves that.

        Raises:
            ValueError: The registry has metrics of these names.
        """
        from tgworker.operations.metrics_text import TallyCollector

        registry.register(TallyCollector(self.tallies))

    def _child(self, event: Event) -> str:
        return self._children.of(self._child_of(event.path))
