"""A piece of code inside a supervised child, as in a service: its pulse is watched, its scope is shielded."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import trio

from tgworker.supervision import (
    ChildSpec,
    Intensity,
    Pulse,
    Restart,
    Silence,
    SupervisorSpec,
    open_supervisor,
)

T = TypeVar("T")


def run_in_child(work: Callable[[Pulse], Awaitable[T]]) -> T:
    """Run ``work`` as the one child of a supervisor, on a trio loop of its own.

    Returns:
        What ``work`` returned.

    Raises:
        IntensityExceeded: It raised, caused by what it raised.
    """
    results: list[T] = []
    done = trio.Event()

    async def child(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        results.append(await work(pulse))
        done.set()

    async def main() -> None:
        spec = ChildSpec("bench", start=child, restart=Restart.TRANSIENT, silence=Silence(3600.0))
        # No second try: a failure of the measurement is to be seen, not healed.
        intensity = Intensity(restarts=0)
        async with open_supervisor(SupervisorSpec(children=(spec,), intensity=intensity), rng=Random(0)):
            await done.wait()

    trio.run(main)
    return results[0]
