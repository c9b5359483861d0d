"""A token bucket: so many at once, then one every so many seconds. Pure: time is an argument."""

from dataclasses import dataclass

CLOSE_ENOUGH = 1e-9
"""A token that is complete but for a rounding error is complete: who wakes at its time goes."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast.

    Attributes:
        every_s: Seconds for one token, in the long run; 0: without end.
        burst: So many tokens at most lie ready, after a long rest.

    Raises:
        ValueError: Nothing could ever be taken at such a rate.
    """

    every_s: float
    burst: int

    def __post_init__(self) -> None:
        """Refuse what would never let anything through."""
        if not 0 <= self.every_s < float("inf") or self.burst < 1:
            raise ValueError(f"no rate: one every {self.every_s} s, {self.burst} at once")

    def slower(self, factor: float) -> "Rate":
        """The same burst, and ``factor`` times the seconds for each token after it."""
        return Rate(self.every_s * factor, self.burst)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lay ready at one moment. The rate is not part of it: it may change while the bucket fills.

    Attributes:
        tokens: How many.
        at_s: When.
    """

    tokens: float
    at_s: float

    def level(self, rate: Rate, now_s: float) -> float:
        """How many tokens lie ready now."""
        if rate.every_s == 0:
            return rate.burst
        return min(rate.burst, self.tokens + max(0.0, now_s - self.at_s) / rate.every_s)

    def ready_at(self, rate: Rate, now_s: float) -> float:
        """When a token may be taken: now, or once it is complete."""
        missing = 1 - self.level(rate, now_s)
        return now_s if missing <= CLOSE_ENOUGH else now_s + missing * rate.every_s

    def take(self, rate: Rate, now_s: float) -> "Bucket":
        """The bucket without one token; `ready_at` was asked first."""
        if rate.every_s == 0:
            return self
        return Bucket(max(0.0, self.level(rate, now_s) - 1), now_s)

    def is_full(self, rate: Rate, now_s: float) -> bool:
        """Whether it is as good as a new one."""
        return self.level(rate, now_s) >= rate.burst
