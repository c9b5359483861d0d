"""Trees as data: what a supervisor runs, and how. Validated before anything starts."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, final

from tgworker.supervision._errors import SpecError

if TYPE_CHECKING:
    import trio

    from tgworker.supervision._pulse import Pulse


def _is_id(text: str) -> bool:
    return bool(text) and "." not in text and not any(character.isspace() for character in text)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SpecError(otherwise)


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
    """All are told in reverse order, then waited for: for many children that do not build on each other."""


@final
@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart: exponential, with full jitter, reset after a stable run.

    The n-th restart in a row waits for a time drawn evenly between zero and
    ``min(cap_s, initial_s * factor**(n-1))``. Full jitter (rather than a few per cent) is what keeps many
    children that failed together from coming back together: https://aws.amazon.com/builders-library/
    "Timeouts, retries, and backoff with jitter".

    Attributes:
        initial_s: Upper bound of the first delay, seconds, 0 or more. 0 with any factor means "at once,
            always".
        factor: By how much the bound grows with each restart in a row, 1 or more.
        cap_s: The bound never exceeds this, seconds.
        reset_after_s: A run that was ready and gave signs of life for so long, in seconds, was stable: the
            next delay starts at ``initial_s`` again.
    """

    initial_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0
    reset_after_s: float = 120.0

    def __post_init__(self) -> None:
        _require(0 <= self.initial_s < math.inf, "backoff: initial_s must be 0 or more, and finite")
        _require(1 <= self.factor < math.inf, "backoff: factor must be 1 or more, and finite")
        _require(
            self.initial_s <= self.cap_s < math.inf, "backoff: cap_s must be initial_s or more, and finite"
        )
        _require(self.reset_after_s >= 0, "backoff: reset_after_s must be 0 or more")

    def bound_s(self, attempt: int) -> float:
        """The longest delay, in seconds, before restart number ``attempt`` in a row (the first is 1)."""
        if self.initial_s == 0:
            return 0.0
        try:
            growth = self.factor ** (attempt - 1)
        except OverflowError:  # an outage that was retried a thousand times
            return self.cap_s
        return min(self.cap_s, self.initial_s * growth)


@final
@dataclass(frozen=True, slots=True)
class Intensity:
    """How many restarts a supervisor puts up with: it escalates after more than that within a period.

    The restarts of all its children count together, as in OTP. `Intensity.unlimited` never escalates.

    Attributes:
        restarts: Allowed within any ``period_s``, 0 or more; ``None`` for no limit.
        period_s: Seconds, more than 0.
    """

    restarts: int | None = 3
    period_s: float = 60.0

    def __post_init__(self) -> None:
        _require(self.restarts is None or self.restarts >= 0, "intensity: restarts must be 0 or more")
        _require(self.period_s > 0, "intensity: period_s must be more than 0")

    @classmethod
    def unlimited(cls) -> "Intensity":
        """Never give up: failures are retried for ever, at the backoff's cap in the long run."""
        return cls(restarts=None, period_s=math.inf)


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
        _require(self.stall_after_s > 0, "silence: stall_after_s must be more than 0")
        if self.evidence_after_s is not None:
            _require(
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
    """

    id: str
    start: StartFunction
    restart: Restart = Restart.PERMANENT
    backoff: Backoff = Backoff()
    silence: Silence | None = None
    ready: Ready = Ready.WHEN_STARTED
    start_within_s: float | None = 30.0
    stop_within_s: float = 5.0

    def __post_init__(self) -> None:
        _require(
            _is_id(self.id), f"child {self.id!r}: an id is not empty and contains neither dots nor spaces"
        )
        _require(callable(self.start), f"child {self.id}: start must be callable")
        _require(self.stop_within_s > 0, f"child {self.id}: stop_within_s must be more than 0")
        if self.start_within_s is not None:
            _require(self.start_within_s > 0, f"child {self.id}: start_within_s must be more than 0")


@final
@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor (one_for_one: a child that ends concerns no sibling) and its static children.

    Attributes:
        id: Names the root of a tree. Under a parent the path of the child that holds the supervisor counts.
        children: Started in this order.
        intensity: When to escalate.
        stop: How to stop the children.

    Raises:
        SpecError: Two children share an id; or a child's backoff is so slow that ``intensity`` could not be
            relied on to trip (see `time_to_escalate_s`); or there is neither a limit nor a pause.
    """

    id: str = "root"
    children: tuple[ChildSpec, ...] = ()
    intensity: Intensity = Intensity()
    stop: StopOrder = StopOrder.REVERSE

    def __post_init__(self) -> None:
        _require(
            _is_id(self.id),
            f"supervisor {self.id!r}: an id is not empty and contains neither dots nor spaces",
        )
        seen: set[str] = set()
        for child in self.children:
            _require(child.id not in seen, f"supervisor {self.id}: two children have the id {child.id}")
            seen.add(child.id)
            check_child(self, child)


def check_child(supervisor: SupervisorSpec, child: ChildSpec) -> None:
    """Refuse a child that its supervisor could not escalate for.

    Raises:
        SpecError: With the two times that contradict each other.
    """
    intensity = supervisor.intensity
    if child.restart is Restart.TEMPORARY:
        return
    if intensity.restarts is None:
        _require(
            child.backoff.cap_s > 0,
            f"supervisor {supervisor.id}: the child {child.id} could be restarted for ever without any pause:"
            " give its backoff a cap_s, or the supervisor an intensity",
        )
        return
    _require(
        time_to_escalate_s(child.backoff, intensity) < math.inf,
        f"supervisor {supervisor.id}: {intensity.restarts} restarts in {intensity.period_s:g} s can never be"
        f" relied on to happen to the child {child.id}, whose backoff may spread them over"
        f" {_ramp_s(child.backoff, intensity.restarts):g} s: lengthen period_s, shorten the backoff, or say"
        " Intensity.unlimited()",
    )


def time_to_escalate_s(backoff: Backoff, intensity: Intensity, *, fails_after_s: float = 0.0) -> float:
    """The longest time from a child's first start to its supervisor's escalation, if every run fails alike.

    It assumes the longest delay that the jitter allows before each restart; any luckier draw is sooner.

    Args:
        backoff: The child's.
        intensity: The supervisor's.
        fails_after_s: How long each run lasts, seconds: 0 for a child that fails as it starts,
            ``stall_after_s`` for one that hangs.

    Returns:
        Seconds; `math.inf` if with those delays the restarts never crowd into one period, or without a limit.
    """
    if intensity.restarts is None:
        return math.inf
    # Failure number restarts+1 within one period trips it; between the first and that one lie `restarts`
    # delays and as many runs. The delays only grow, so if the first restarts do not fit, later ones do not
    # either.
    restarts = intensity.restarts
    if fails_after_s >= backoff.reset_after_s:
        span_s = restarts * (backoff.bound_s(1) + fails_after_s)
    else:
        span_s = _ramp_s(backoff, restarts) + restarts * fails_after_s
    return fails_after_s + span_s if span_s <= intensity.period_s else math.inf


def _ramp_s(backoff: Backoff, restarts: int) -> float:
    return math.fsum(backoff.bound_s(attempt) for attempt in range(1, restarts + 1))
