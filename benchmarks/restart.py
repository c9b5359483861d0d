"""How long a service is without a child that has crashed, when there is no backoff."""

import statistics
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import final

import trio

from benchmarks.line import Effort, Measured
from benchmarks.pairs import in_ms, quantile
from tgworker.supervision import (
    Backoff,
    ChildSpec,
    Intensity,
    Pulse,
    Restart,
    Silence,
    SupervisorSpec,
    open_supervisor,
)


class Crash(Exception):
    """What the child raises, time and again."""


@final
@dataclass(frozen=True, slots=True)
class Scene:
    """One kind of crash.

    Attributes:
        frames: How many calls deep inside the child it happens: a traceback of so many entries is recorded.
        caused: Whether the exception has another one as its cause, as a translated one has.
        siblings: How many idle children the same supervisor has besides.
    """

    frames: int = 1
    caused: bool = False
    siblings: int = 0


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``restart_ms``."""
    crashes = effort.pick(full=1_000, short=50)
    siblings = effort.pick(full=1_000, short=50)
    rounds = effort.pick(full=3, short=1)
    scenes = {
        "shallow": Scene(),
        "deep": Scene(frames=20, caused=True),
        "among_many": Scene(siblings=siblings),
    }
    taken_s: dict[str, list[float]] = {name: [] for name in scenes}
    for _ in range(rounds):  # in turns, for what disturbs the machine
        for name, scene in scenes.items():
            taken_s[name].extend(trio.run(_restarts, scene, crashes))
    shallow_s = taken_s["shallow"]
    return {
        "restart_ms": Measured(
            in_ms(statistics.median(shallow_s)),
            {
                "p99_ms": in_ms(quantile(shallow_s, 0.99)),
                "20_frames_and_a_cause_ms": in_ms(statistics.median(taken_s["deep"])),
                f"among_{siblings}_siblings_ms": in_ms(statistics.median(taken_s["among_many"])),
                "restarts_of_each": rounds * crashes,
            },
        )
    }


async def _restarts(scene: Scene, crashes: int) -> list[float]:
    """The time from each ``raise`` to the end of ``task_status.started()`` in the replacement, seconds."""
    taken_s: list[float] = []
    raised_at_s: float | None = None
    enough = trio.Event()

    def crash(frames: int) -> None:
        nonlocal raised_at_s
        if frames > 1:
            crash(frames - 1)
        cause = ConnectionResetError("gone") if scene.caused else None
        raised_at_s = perf_counter()
        raise Crash("again") from cause

    async def crashing(_pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        if raised_at_s is not None:
            taken_s.append(perf_counter() - raised_at_s)
        if len(taken_s) == crashes:
            enough.set()
            await trio.sleep_forever()
        # Let everyone else have a turn first: crashes of a service do not come back to back.
        await trio.lowlevel.checkpoint()
        crash(scene.frames)

    async def idle(_pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    watched = Silence(3600.0)
    spec = SupervisorSpec(
        children=(
            *(
                # Temporary, for the intensity below.
                ChildSpec(f"idle-{number}", start=idle, silence=watched, restart=Restart.TEMPORARY)
                for number in range(scene.siblings)
            ),
            ChildSpec("crashing", start=crashing, silence=watched, backoff=Backoff(initial_s=0.0)),
        ),
        # Zero backoff wants a limit. This one is not reached: 50 restarts within a millisecond.
        intensity=Intensity(restarts=50, period_s=0.001),
    )
    async with open_supervisor(spec, rng=Random(0)):
        await enough.wait()
    return taken_s
