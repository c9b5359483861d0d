"""Two sides of a ratio, measured in turns: what disturbs the machine disturbs both."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import final

from benchmarks.line import Json

TimedRun = Callable[[], Awaitable[float]]
"""Does its work once; returns how long that took, seconds."""


@final
@dataclass(frozen=True, slots=True)
class Pairs:
    """What both sides took, seconds, run by run; the runs of one index were neighbours in time."""

    ours_s: tuple[float, ...]
    bare_s: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours ÷ bare, pair by pair."""
        return tuple(ours / bare for ours, bare in zip(self.ours_s, self.bare_s, strict=True))

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return statistics.median(self.ratios)

    def detail(self, *, per_run: int) -> dict[str, Json]:
        """The figures behind `ratio`: medians for one of the ``per_run`` operations of a run, and the spread.

        Args:
            per_run: How many operations each run did.
        """
        return {
            "ours_us": in_us(statistics.median(self.ours_s), per_run),
            "bare_us": in_us(statistics.median(self.bare_s), per_run),
            "ratio_p10": rounded(quantile(self.ratios, 0.1)),
            "ratio_p90": rounded(quantile(self.ratios, 0.9)),
            "pairs": len(self.ours_s),
            "operations_per_run": per_run,
        }


async def interleave(ours: TimedRun, bare: TimedRun, *, pairs: int) -> Pairs:
    """Run both sides ``pairs`` times, in turns; who goes first changes from pair to pair.

    Each side runs once before, unmeasured, so that neither pays for the first use of anything.
    """
    await ours()
    await bare()
    ours_s: list[float] = []
    bare_s: list[float] = []
    for number in range(pairs):
        if number % 2 == 0:
            ours_s.append(await ours())
            bare_s.append(await bare())
        else:
            bare_s.append(await bare())
            ours_s.append(await ours())
    return Pairs(tuple(ours_s), tuple(bare_s))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie: the nearest of them, no interpolation."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def rounded(value: float) -> float:
    """To four significant digits: more would be noise."""
    return float(f"{value:.4g}")


def in_us(seconds: float, operations: int = 1) -> float:
    """Microseconds for each of ``operations``."""
    return rounded(seconds / operations * 1e6)


def in_ms(seconds: float) -> float:
    """Milliseconds."""
    return rounded(seconds * 1e3)
