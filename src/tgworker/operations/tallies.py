"""What is counted, in plain Python: counters, gauges and histograms, with the labels that they may have.

Nothing here imports ``prometheus_client``, for which a start would wait, and whose own metrics write a second
series, ``_created``, for each of theirs, unless the whole process is told else. A tally is turned into its
words when somebody asks: `tgworker.operations.metrics_text`. One thread writes; another may read meanwhile.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

Labels = tuple[str, ...]
"""The values of a tally's labels, in the order of their names."""

OTHER: Final = "other"
"""What a name is called beyond those that a label may have."""

MOST_NAMES: Final = 64
"""How many names a label may have, unless its tally says else: each is a series for ever."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")


@final
class Names:
    """The values that a label may have: the first ones that come, and "other" for those that come later.

    What does not look like a name in a program (a text, a phone number) is "other" as well.

    Args:
        most: How many.
    """

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known = {OTHER}

    def of(self, name: str) -> str:
        """The name itself, or "other"."""
        if name in self._known:
            return name
        if len(self._known) > self._most or not _NAME.fullmatch(name):
            return OTHER
        self._known.add(name)
        return name


@final
class Counter:
    """A number that only grows.

    Args:
        name: With its unit; ends in ``_total``.
        meaning: One sentence.
        labels: The labels' names.
        known: Values of labels that are shown from the start, with 0: what never happened can be told from
            what is not counted.
    """

    kind: Final = "counter"

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, known: Sequence[Labels] = ()
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = tuple(labels)
        self._values: dict[Labels, float] = dict.fromkeys(known if labels else [()], 0)

    def add(self, *labels: str, by: float = 1) -> None:
        """Count."""
        self._values[labels] = self._values.get(labels, 0) + by

    def now(self) -> list[tuple[Labels, float]]:
        """What was counted, by the labels' values."""
        return list(self._values.items())


@final
class Gauge:
    """A number that is what it is now.

    Args:
        name: With its unit.
        meaning: One sentence.
        labels: The labels' names.
        read: Says what it is, where nobody sets it.
    """

    kind: Final = "gauge"

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        *,
        read: Callable[[], Mapping[Labels, float]] | None = None,
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = tuple(labels)
        self._values: dict[Labels, float] = {}
        self._read = read

    def set(self, *labels: str, to: float) -> None:
        """It is so much now."""
        self._values[labels] = to

    def add(self, *labels: str, by: float) -> None:
        """It is so much more."""
        self._values[labels] = self._values.get(labels, 0) + by

    def now(self) -> list[tuple[Labels, float]]:
        """What it is, by the labels' values."""
        return list((self._values if self._read is None else self._read()).items())


@final
class Histogram:
    """How often something was how large.

    Args:
        name: With its unit.
        meaning: One sentence.
        labels: The labels' names.
        bounds: The upper bounds of its buckets, in order; one without a bound follows.
        known: Values of labels that are shown from the start.
    """

    kind: Final = "histogram"

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        known: Sequence[Labels] = (),
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self._cells = {values: self._empty() for values in (known if labels else [()])}

    def observe(self, value: float, *labels: str) -> None:
        """It was so large this time."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = self._empty()
        cell[bisect_left(self.bounds, value)] += 1
        cell[-1] += value

    def now(self) -> list[tuple[Labels, list[float], float]]:
        """By the labels' values: how many in each bucket alone, and the sum of all that was observed."""
        return [(labels, cell[:-1], cell[-1]) for labels, cell in list(self._cells.items())]

    def _empty(self) -> list[float]:
        return [0.0] * (len(self.bounds) + 2)


Tally = Counter | Gauge | Histogram
