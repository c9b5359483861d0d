"""What a line is, and what measuring it gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar, assert_never, final

T = TypeVar("T")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@final
class Effort(Enum):
    """How much time may be spent."""

    FULL = "full"
    """As long as it takes for a figure that can be quoted."""
    SHORT = "short"
    """A second or two for each module: shows that the line can be measured, says little about its value."""

    def pick(self, *, full: T, short: T) -> T:
        """One of two values, such as numbers of repetitions."""
        match self:
            case Effort.FULL:
                return full
            case Effort.SHORT:
                return short
            case _:
                assert_never(self)


@final
class Side(Enum):
    """On which side of its limit a goal lies."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@final
@dataclass(frozen=True, slots=True)
class Goal:
    """A limit, in the unit of its line, and the side of it on which the value should be."""

    side: Side
    limit: float

    def met_by(self, value: float) -> bool:
        """Whether ``value`` is on the right side; the limit itself is."""
        match self.side:
            case Side.AT_MOST:
                return value <= self.limit
            case Side.AT_LEAST:
                return value >= self.limit
            case _:
                assert_never(self.side)

    def __str__(self) -> str:
        return f"{'≤' if self.side is Side.AT_MOST else '≥'} {self.limit:g}"


def at_most(limit: float) -> Goal:
    """The less the better."""
    return Goal(Side.AT_MOST, limit)


def at_least(limit: float) -> Goal:
    """The more the better."""
    return Goal(Side.AT_LEAST, limit)


@final
@dataclass(frozen=True, slots=True)
class Line:
    """One figure that the project promises.

    Attributes:
        id: Its name in ``--only``, in the JSON and in the documents.
        what: What the figure is, in one line.
        unit: Of the value and of the goal: ``ratio``, ``ms``, ``%``.
        goal: What the project promises.
        module: Which module measures it. Lines that share one are measured together, in one process.
    """

    id: str
    what: str
    unit: str
    goal: Goal
    module: str


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring a line gave.

    Attributes:
        value: In the line's unit.
        detail: The figures behind it, with their units in their names.
    """

    value: float
    detail: Mapping[str, Json]


@final
@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A line could not be measured.

    Attributes:
        reason: In one line.
    """

    reason: str


class Measure(Protocol):
    """The function ``measure`` of a module that measures lines."""

    def __call__(self, effort: Effort) -> Mapping[str, Measured]:
        """Measure all lines of the module; returns what it found, by ID."""
        ...
