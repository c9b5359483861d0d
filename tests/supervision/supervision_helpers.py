"""What the supervision tests share."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from tgworker.supervision import (
    ChildSpec,
    Intensity,
    StartFunction,
    Supervisor,
    SupervisorSpec,
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
) -> AsyncGenerator[Watched]:
    """A root supervisor over ``children``, with its events; it never gives up unless told otherwise."""
    recorder = recorder or EventRecorder()
    spec = replace(like, children=children, intensity=intensity or Intensity.unlimited())
    async with open_supervisor(spec, rng=random.Random(SEED), observers=(recorder,)) as supervisor:
        yield Watched(supervisor, recorder)


async def supervise_until_it_fails(
    *children: ChildSpec,
    intensity: Intensity | None = None,
    recorder: EventRecorder | None = None,
    at_the_end: Callable[[], object] = lambda: None,
    like: SupervisorSpec = LIKE_NOTHING_SPECIAL,
) -> None:
    """Leave the block only when it is cancelled or an error comes; ``at_the_end`` may raise one more."""
    async with supervised(*children, intensity=intensity, recorder=recorder, like=like):
        try:
            await trio.sleep_forever()
        finally:
            at_the_end()


def child(start: StartFunction, name: str = "child") -> ChildSpec:
    """A child with default values."""
    return ChildSpec(name, start=start)
