"""What the supervision tests share."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from tgworker.supervision import (
    ChildSpec,
    Gauges,
    Intensity,
    Reading,
    StartFunction,
    Supervisor,
    SupervisorSpec,
    ThreadGauges,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder

SEED = 7
LIKE_NOTHING_SPECIAL = SupervisorSpec()


def delays(*bounds_s: float) -> list[float]:
    """The delays that the seeded generator gives for backoffs with these upper bounds, in this order."""
    rng = random.Random(SEED)
    return [rng.uniform(0.0, bound_s) for bound_s in bounds_s]


@dataclass
class Watched:
    """A supervisor and what it said."""

    supervisor: Supervisor
    recorder: EventRecorder


@asynccontextmanager
async def supervised(
    *children: ChildSpec,
    intensity: Intensity | None = None,
    recorder: EventRecorder | None = None,
    like: SupervisorSpec = LIKE_NOTHING_SPECIAL,
    gauges: Callable[[], Gauges] = ThreadGauges,
) -> AsyncGenerator[Watched]:
    """A root supervisor over ``children``, with its events; it never gives up unless told otherwise."""
    recorder = recorder or EventRecorder()
    spec = replace(like, children=children, intensity=intensity or Intensity.unlimited())
    rng = random.Random(SEED)
    async with open_supervisor(spec, rng=rng, observers=(recorder,), gauges=gauges) as supervisor:
        yield Watched(supervisor, recorder)


async def supervise_until_it_fails(
    *children: ChildSpec,
    intensity: Intensity | None = None,
    recorder: EventRecorder | None = None,
    at_the_end: Callable[[], object] = lambda: None,
    like: SupervisorSpec = LIKE_NOTHING_SPECIAL,
    gauges: Callable[[], Gauges] = ThreadGauges,
) -> None:
    """Leave the block only when it is cancelled or an error comes; ``at_the_end`` may raise one more."""
    async with supervised(*children, intensity=intensity, recorder=recorder, like=like, gauges=gauges):
        try:
            await trio.sleep_forever()
        finally:
            at_the_end()


def child(start: StartFunction, name: str = "child") -> ChildSpec:
    """A child with default values."""
    return ChildSpec(name, start=start)


@dataclass
class Host:
    """Scripted gauges: real time passes only where the test says so."""

    now_s: float = 1_000.0
    reading: Reading = field(default_factory=lambda: Reading(0.0, 0.0, 0.0, 0.0, 0))
    closed: int = 0
    reads: int = 0
    broken: bool = False

    def wall_s(self) -> float:
        return self.now_s

    def read(self) -> Reading:
        self.reads += 1
        if self.broken:
            raise OSError("no gauges")
        return self.reading

    def close(self) -> None:
        self.closed += 1

    def passes(
        self,
        wall_s: float,
        *,
        cpu_s: float = 0.0,
        others_cpu_s: float = 0.0,
        queued_s: float = 0.0,
        suspended_s: float = 0.0,
        yields: int = 0,
    ) -> None:
        """Time passes here and now: in a step, if a task says it."""
        now = self.reading
        assert now.queued_s is not None
        assert now.yields is not None
        self.now_s += wall_s
        self.reading = Reading(
            now.cpu_s + cpu_s,
            now.process_cpu_s + cpu_s + others_cpu_s,
            now.queued_s + queued_s,
            now.suspended_s + suspended_s,
            now.yields + yields,
        )
