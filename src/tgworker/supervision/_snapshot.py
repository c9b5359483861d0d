"""A frozen picture of a tree, which serialises to JSON."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import final

from tgworker.supervision._child import Child, ChildState
from tgworker.supervision._verdicts import Ending, Verdict


@final
class SupervisorState(Enum):
    """Where a supervisor stands."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """An open `Pulse.deadline` or `Pulse.cycle`.

    Attributes:
        name: What is done.
        limit_s: What it may take, seconds.
        open_for_s: For how long it has been open, seconds.
        remaining_s: How long until it is cut off, seconds; negative if it was and does not end.
    """

    name: str
    limit_s: float
    open_for_s: float
    remaining_s: float

    def to_dict(self) -> dict[str, object]:
        """As JSON-ready values."""
        return {
            "name": self.name,
            "limit_s": _finite(self.limit_s),
            "open_for_s": self.open_for_s,
            "remaining_s": _finite(self.remaining_s),
        }


@final
@dataclass(frozen=True, slots=True)
class ChildSnapshot:
    """One child at one moment.

    Attributes:
        id: Its name among its siblings.
        path: Dotted path.
        state: Where it stands.
        alive: Whether a task of it exists.
        incarnation: The newest one's number; 0 before the first start.
        beat_age_s: Seconds since the living incarnation's last sign of life; ``None`` if none lives.
        expects_within_s: What remains of an announced silence, seconds; ``None`` if none is announced.
        operations: Open operations, the oldest first.
        cycle: The open cycle that is due first; ``None`` if none is open.
        last: How the last incarnation ended; ``None`` if none has.
        attempt: How many restarts in a row, without a stable run between.
        restart_in_s: Seconds until the next incarnation starts; ``None`` if none is scheduled.
        supervisor: The supervisor that it contains; ``None`` if it contains none.
        phase: What the living incarnation set as its `Pulse.phase`.
    """

    id: str
    path: str
    state: ChildState
    alive: bool
    incarnation: int
    beat_age_s: float | None
    expects_within_s: float | None
    operations: tuple[Operation, ...]
    cycle: Operation | None
    last: Ending | None
    attempt: int
    restart_in_s: float | None
    supervisor: "Snapshot | None"
    phase: str | None = None

    @property
    def restarts(self) -> int:
        """How often it was restarted."""
        return max(0, self.incarnation - 1)

    @property
    def operation(self) -> str | None:
        """The name of the operation opened last, if any is open."""
        return self.operations[-1].name if self.operations else None

    @property
    def verdict(self) -> Verdict | None:
        """Why the last incarnation ended, if one has."""
        return self.last.verdict if self.last is not None else None

    def to_dict(self) -> dict[str, object]:
        """As JSON-ready values."""
        return {
            "id": self.id,
            "path": self.path,
            "state": self.state.value,
            "alive": self.alive,
            "incarnation": self.incarnation,
            "restarts": self.restarts,
            "beat_age_s": self.beat_age_s,
            "expects_within_s": _finite(self.expects_within_s),
            "phase": self.phase,
            "operations": [operation.to_dict() for operation in self.operations],
            "cycle": self.cycle.to_dict() if self.cycle is not None else None,
            "last": _ending_to_dict(self.last) if self.last is not None else None,
            "attempt": self.attempt,
            "restart_in_s": self.restart_in_s,
            "supervisor": self.supervisor.to_dict() if self.supervisor is not None else None,
        }


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """A supervisor and everything below it at one moment.

    Attributes:
        path: Dotted path.
        at_s: When, on trio's clock.
        state: Where it stands.
        failure: Why it escalated, in one line; ``None`` if it has not.
        children: In the order of their start.
    """

    path: str
    at_s: float
    state: SupervisorState
    failure: str | None
    children: tuple[ChildSnapshot, ...]

    def walk(self) -> Iterator[ChildSnapshot]:
        """Every child below, each before its own children."""
        for child in self.children:
            yield child
            if child.supervisor is not None:
                yield from child.supervisor.walk()

    def child(self, path: str) -> ChildSnapshot:
        """The child at ``path``.

        Raises:
            KeyError: There is none.
        """
        for child in self.walk():
            if child.path == path:
                return child
        raise KeyError(path)

    def to_dict(self) -> dict[str, object]:
        """As JSON-ready values."""
        return {
            "path": self.path,
            "at_s": self.at_s,
            "state": self.state.value,
            "failure": self.failure,
            "children": [child.to_dict() for child in self.children],
        }


def picture(child: Child, now_s: float) -> ChildSnapshot:
    """What ``child`` looks like at ``now_s``."""
    run = child.run
    beat_age_s: float | None = None
    expects_within_s: float | None = None
    operations: tuple[Operation, ...] = ()
    cycle: Operation | None = None
    if run is not None:
        pulse = run.pulse
        beat_age_s = now_s - pulse.beat_at_s
        if pulse.announced_until_s > now_s:
            expects_within_s = pulse.announced_until_s - now_s
        operations = tuple(
            Operation(one.operation, one.limit_s, now_s - one.opened_at_s, one.expires_at_s - now_s)
            for one in pulse.open
        )
        if pulse.cycles:
            first = min(pulse.cycles, key=lambda one: one.due_s)
            cycle = Operation("cycle", first.limit_s, now_s - first.opened_at_s, first.due_s - now_s)
    return ChildSnapshot(
        id=child.spec.id,
        path=child.path,
        state=child.state,
        alive=run is not None,
        incarnation=child.number,
        beat_age_s=beat_age_s,
        expects_within_s=expects_within_s,
        operations=operations,
        cycle=cycle,
        last=child.last,
        attempt=child.attempt,
        restart_in_s=child.restart_at_s - now_s if child.state is ChildState.BACKING_OFF else None,
        supervisor=child.nested.snapshot() if child.nested is not None else None,
        phase=run.pulse.phase if run is not None else None,
    )


def _ending_to_dict(ending: Ending) -> dict[str, object]:
    return {
        "verdict": ending.verdict.value,
        "cause": ending.cause,
        "incarnation": ending.incarnation,
        "started_at_s": ending.started_at_s,
        "ended_at_s": ending.ended_at_s,
        "evidence": ending.evidence,
        "stack": ending.stack,
        "attempt": ending.attempt,
        "delay_s": ending.delay_s,
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None  # JSON knows no infinity
