"""Trees as data: what a supervisor runs, and how. Validated before anything starts."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, final

from tgworker.supervision._backoff import Backoff, Intensity, ramp_s, require, time_to_escalate_s

if TYPE_CHECKING:
    import trio

    from tgworker.supervision._pulse import Pulse


def _is_id(text: str) -> bool:
    return bool(text) and "." not in text and not any(character.isspace() for character in text)


class StartFunction(Protocol):
    """What a child runs: one incarnation from start to end.

    It is called once for each incarnation, in a task of its own, with a fresh `Pulse`. It calls
    ``task_status.started()`` when it is truly ready (see `Ready`), and returns or raises when it is done.
    It must let `trio.Cancelled` through: a child that does not end within its stop budget is wedged.
    """

    async def __call__(self, pulse: "Pulse", /, *, task_status: "trio.TaskStatus[None]") -> None:
        """Run until done."""
        ...


@final
class Restart(Enum):
    """Which endings of a child are answered with a new incarnation (OTP's vocabulary)."""

    PERMANENT = "permanent"
    """Always: it should run for as long as its supervisor does."""
    TRANSIENT = "transient"
    """After a failure; a child that returns has done its work."""
    TEMPORARY = "temporary"
    """Never."""


@final
class Strategy(Enum):
    """Whom a restart concerns (OTP's vocabulary).

    With `ONE_FOR_ALL` and `REST_FOR_ONE` the living siblings concerned are stopped in the reverse order of
    their start, each within its budget; then all are started again in the order of their start, each when the
    one before is ready. The group comes back when the backoff of the child that failed is over and the
    siblings are dead, whichever is later. It is one failure: restarts of siblings count for nothing. A
    temporary sibling does not come back, nor does a child that has ended for good before (there OTP, which
    starts finished transient children anew, differs). A child added at run time stands last in the order,
    and while a group is being restarted it waits for its turn.
    """

    ONE_FOR_ONE = "one_for_one"
    """Only the child itself."""
    ONE_FOR_ALL = "one_for_all"
    """All children: they can only work together."""
    REST_FOR_ONE = "rest_for_one"
    """The child and those started after it, which build on it."""


@final
class AutoShutdown(Enum):
    """When a supervisor shuts itself down because significant children have ended for good (OTP 24).

    An ending counts if it was the child's own: a transient child returned, a temporary child ended however.
    A child that was told to stop (by `Supervisor.stop_child`, or for the sake of a sibling) shuts nothing
    down, but counts as gone.
    """

    NEVER = "never"
    """Significant children are refused."""
    ANY_SIGNIFICANT = "any_significant"
    """When the first of them has ended."""
    ALL_SIGNIFICANT = "all_significant"
    """When the last of them has ended."""


@final
class Ready(Enum):
    """When a child counts as ready."""

    WHEN_STARTED = "when_started"
    """When it calls ``task_status.started()``, for which it has ``start_within_s``."""
    AT_ONCE = "at_once"
    """From its first step on; ``task_status.started()`` may be called and changes nothing."""


@final
class StopOrder(Enum):
    """How a supervisor stops its children."""

    REVERSE = "reverse"
    """One after the other, the last started first, each with its own budget."""
    TOGETHER = "together"
    """All are told in reverse order, then waited for: for many children that do not build on each other.

    It also holds for siblings that are stopped to be restarted together (see `Strategy`).
    """


@final
@dataclass(frozen=True, slots=True)
class Silence:
    """How long a child may give no sign of life. Open operations and `Pulse.expect` put the limits off.

    Attributes:
        stall_after_s: The hard limit, seconds: the child is cancelled with the verdict ``silent``.
        evidence_after_s: The soft limit, seconds: evidence is collected, nothing is cancelled. ``None`` for
            none.
    """

    stall_after_s: float = 60.0
    evidence_after_s: float | None = None

    def __post_init__(self) -> None:
        require(self.stall_after_s > 0, "silence: stall_after_s must be more than 0")
        if self.evidence_after_s is not None:
            require(
                0 < self.evidence_after_s < self.stall_after_s,
                "silence: evidence_after_s must be more than 0 and less than stall_after_s",
            )


@final
@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor.

    Attributes:
        id: Its name among its siblings: not empty, no dots (dots separate the levels of a path).
        start: What it runs; `Subtree` for a whole supervisor.
        restart: Which endings are answered with a new incarnation.
        backoff: The delay before a new incarnation.
        silence: Limits for giving no sign of life; ``None``: nobody watches.
        ready: When it counts as ready.
        start_within_s: Seconds from start to ready; then the verdict is ``start-timeout``. ``None``: it may
            take any time, and siblings that start after it do not wait for it. Without meaning for
            `Ready.AT_ONCE`.
        stop_within_s: Seconds from being cancelled to being dead; then it is wedged. For a child that
            contains a supervisor they count from when that has stopped its children, which have budgets of
            their own. `math.inf`: however long it takes.
        significant: Whether its end may shut the supervisor down (see `AutoShutdown`). Never that of a
            permanent child, which does not end.
    """

    id: str
    start: StartFunction
    restart: Restart = Restart.PERMANENT
    backoff: Backoff = Backoff()  # noqa: RUF009 (frozen)
    silence: Silence | None = None
    ready: Ready = Ready.WHEN_STARTED
    start_within_s: float | None = 30.0
    stop_within_s: float = 5.0
    significant: bool = False

    def __post_init__(self) -> None:
        require(
            _is_id(self.id), f"child {self.id!r}: an id is not empty and contains neither dots nor spaces"
        )
        require(callable(self.start), f"child {self.id}: start must be callable")
        require(self.stop_within_s > 0, f"child {self.id}: stop_within_s must be more than 0")
        if self.start_within_s is not None:
            require(self.start_within_s > 0, f"child {self.id}: start_within_s must be more than 0")
        require(
            not (self.significant and self.restart is Restart.PERMANENT),
            f"child {self.id}: a permanent child never ends for good, so it cannot be significant",
        )


@final
@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor and its static children.

    Attributes:
        id: Names the root of a tree. Under a parent the path of the child that holds the supervisor counts.
        children: Started in this order.
        intensity: When to escalate.
        stop: How to stop the children.
        strategy: Whom a restart concerns.
        auto_shutdown: Whether the end of significant children ends the supervisor.
        starved_after_s: How late, in seconds, the event loop may be for a deadline (anybody's) and still be
            called fair. If it is later, nothing could run, and the time meanwhile counts for no limit. If the
            host was the cause (a stopped process, a suspended machine, no processor to run on), failures
            within as many seconds after it also count for no intensity; code that blocks the loop is no
            excuse. That of the root counts for the whole tree; below a parent it has no meaning.

    Raises:
        SpecError: Two children share an id; or a child's backoff is so slow that ``intensity`` could not be
            relied on to trip (see `time_to_escalate_s`); or there is neither a limit nor a pause; or a child
            is significant, and nothing follows from it.
    """

    id: str = "root"
    children: tuple[ChildSpec, ...] = ()
    intensity: Intensity = Intensity()  # noqa: RUF009 (frozen)
    stop: StopOrder = StopOrder.REVERSE
    strategy: Strategy = Strategy.ONE_FOR_ONE
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    starved_after_s: float = 1.0

    def __post_init__(self) -> None:
        require(
            _is_id(self.id),
            f"supervisor {self.id!r}: an id is not empty and contains neither dots nor spaces",
        )
        require(self.starved_after_s > 0, f"supervisor {self.id}: starved_after_s must be more than 0")
        seen: set[str] = set()
        for child in self.children:
            require(child.id not in seen, f"supervisor {self.id}: two children have the id {child.id}")
            seen.add(child.id)
            check_child(self, child)


def check_child(supervisor: SupervisorSpec, child: ChildSpec) -> None:
    """Refuse a child that its supervisor could not escalate for, or whose significance means nothing to it.

    Raises:
        SpecError: With the two values that contradict each other.
    """
    require(
        not child.significant or supervisor.auto_shutdown is not AutoShutdown.NEVER,
        f"supervisor {supervisor.id}: the child {child.id} is significant, and auto_shutdown is NEVER",
    )
    intensity = supervisor.intensity
    if child.restart is Restart.TEMPORARY:
        return
    if intensity.restarts is None:
        require(
            child.backoff.bound_s(1) > 0,
            f"supervisor {supervisor.id}: the child {child.id} could be restarted for ever without any pause:"
            " give its backoff an initial_s, or the supervisor an intensity",
        )
        return
    require(
        time_to_escalate_s(child.backoff, intensity) < math.inf,
        f"supervisor {supervisor.id}: {intensity.restarts} restarts in {intensity.period_s:g} s can never be"
        f" relied on to happen to the child {child.id}, whose backoff may spread them over"
        f" {ramp_s(child.backoff, intensity.restarts):g} s: lengthen period_s, shorten the backoff, or say"
        " Intensity.unlimited()",
    )
