"""How soon, and how often, to try again: backoff and intensity, and whether the two fit together."""

import math
from dataclasses import dataclass
from typing import final

from tgworker.supervision._errors import SpecError


def require(holds: bool, otherwise: str) -> None:
    """Refuse a value of a spec, saying why.

    Raises:
        SpecError: ``holds`` is false.
    """
    if not holds:
        raise SpecError(otherwise)


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
        require(0 <= self.initial_s < math.inf, "backoff: initial_s must be 0 or more, and finite")
        require(1 <= self.factor < math.inf, "backoff: factor must be 1 or more, and finite")
        require(
            self.initial_s <= self.cap_s < math.inf, "backoff: cap_s must be initial_s or more, and finite"
        )
        require(self.reset_after_s >= 0, "backoff: reset_after_s must be 0 or more")

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
        require(self.restarts is None or self.restarts >= 0, "intensity: restarts must be 0 or more")
        require(self.period_s > 0, "intensity: period_s must be more than 0")

    @classmethod
    def unlimited(cls) -> "Intensity":
        """Never give up: failures are retried for ever, at the backoff's cap in the long run."""
        return cls(restarts=None, period_s=math.inf)


def time_to_escalate_s(backoff: Backoff, intensity: Intensity, *, fails_after_s: float = 0.0) -> float:
    """The longest time from a child's first start to its supervisor's escalation, if every run fails alike.

    It assumes the longest delay that the jitter allows before each restart; any luckier draw is sooner.
    Where a restart concerns siblings, add to ``fails_after_s`` what they take to stop and to be ready again.

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
        span_s = ramp_s(backoff, restarts) + restarts * fails_after_s
    return fails_after_s + span_s if span_s <= intensity.period_s else math.inf


def ramp_s(backoff: Backoff, restarts: int) -> float:
    """The longest time that ``restarts`` delays in a row can take, seconds."""
    return math.fsum(backoff.bound_s(attempt) for attempt in range(1, restarts + 1))
