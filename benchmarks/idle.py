"""What a crowd costs that does nothing: nobody must look at children for whom nothing can be due."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from time import perf_counter, process_time

import trio
import trio.testing

from benchmarks.line import Effort, Measured
from benchmarks.pairs import rounded
from tgworker.supervision import ChildSpec, Pulse, Silence, SupervisorSpec, open_supervisor

START_WITHIN_S = 2.0
STALL_AFTER_S = 60.0  # the limit of silence that the worker's loops have
ANNOUNCED_S = 3_600.0  # none of them is expected to beat before


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``idle_children_cpu_percent``."""
    children = effort.pick(full=10_000, short=200)
    # A whole limit of silence: what happens once in it is not missed.
    window_s = effort.pick(full=STALL_AFTER_S + 1.0, short=0.5)
    short_window_s = effort.pick(full=10.0, short=0.2)
    used = trio.run(_cpu_percent, children, Silence(STALL_AFTER_S), window_s)
    unannounced = trio.run(_cpu_percent, children, Silence(ANNOUNCED_S), short_window_s)
    unwatched = trio.run(_cpu_percent, children, None, short_window_s)
    return {
        "idle_children_cpu_percent": Measured(
            rounded(used),
            {
                "children": children,
                "window_s": window_s,
                "silence_limit_s": STALL_AFTER_S,
                "limit_of_an_hour_percent": rounded(unannounced),
                "unwatched_percent": rounded(unwatched),
            },
        )
    }


async def _cpu_percent(children: int, silence: Silence | None, window_s: float) -> float:
    """CPU time of the process ÷ real time, while the children do nothing."""
    async with _idle_crowd(children, silence):
        began_s, used_s = perf_counter(), process_time()
        await trio.sleep(window_s)
        return 100 * (process_time() - used_s) / (perf_counter() - began_s)


@asynccontextmanager
async def _idle_crowd(children: int, silence: Silence | None) -> AsyncGenerator[None]:
    async def idle(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        pulse.expect(within_s=ANNOUNCED_S)
        task_status.started()
        await trio.sleep_forever()

    specs = tuple(
        ChildSpec(f"idle-{number}", start=idle, silence=silence, start_within_s=START_WITHIN_S)
        for number in range(children)
    )
    async with open_supervisor(SupervisorSpec(children=specs), rng=Random(0)) as supervisor:
        await supervisor.wait_ready()
        # Until nobody is looked at any more for having to be ready: that happens once, idle is what follows.
        await trio.sleep(START_WITHIN_S)
        await trio.testing.wait_all_tasks_blocked()
        yield
