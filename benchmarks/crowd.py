"""Many children: what starting and stopping them in order costs, beside a nursery that does the same.

Times are CPU times: neither side ever waits, and runs of a second or two are long enough to be disturbed.
"""

import gc
import statistics
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from time import process_time
from typing import final

import trio
import trio.testing

from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import in_us, interleave, rounded
from tgworker.supervision import ChildSpec, Pulse, SupervisorSpec, open_supervisor


@final
@dataclass(frozen=True, slots=True)
class Crowd:
    """What one crowd took, seconds of CPU."""

    start_s: float
    stop_s: float

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.start_s + self.stop_s


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``children_start_stop_vs_nursery``."""
    many = effort.pick(full=10_000, short=200)
    turns = effort.pick(full=5, short=1)
    return {"children_start_stop_vs_nursery": trio.run(_compare, many, turns)}


async def _compare(many: int, turns: int) -> Measured:
    ours: list[Crowd] = []
    bare: list[Crowd] = []
    added: list[Crowd] = []

    async def supervised() -> float:
        ours.append(await _supervised(many))
        return ours[-1].total_s

    async def supervised_once() -> float:
        return (await _supervised(many)).total_s

    async def in_a_nursery() -> float:
        bare.append(await _in_a_nursery(many))
        return bare[-1].total_s

    async def ten_small_crowds() -> float:
        return sum([(await _supervised(many // 10)).total_s for _ in range(10)])

    async def ten_small_nurseries() -> float:
        return sum([(await _in_a_nursery(many // 10)).total_s for _ in range(10)])

    async def added_at_run_time() -> float:
        added.append(await _added_at_run_time(many))
        return added[-1].total_s

    versus_nursery = await interleave(supervised, in_a_nursery, pairs=turns)
    fewer = (turns + 1) // 2  # for what is not the line's value
    linearity = await interleave(supervised, ten_small_crowds, pairs=fewer)
    with _without_collector():
        uncollected = await interleave(supervised_once, ten_small_crowds, pairs=fewer)
    bare_linearity = await interleave(in_a_nursery, ten_small_nurseries, pairs=fewer)
    versus_added = await interleave(added_at_run_time, in_a_nursery, pairs=fewer)
    return Measured(
        rounded(versus_nursery.ratio),
        {
            **versus_nursery.detail(per_run=many),
            **_halves("ours", ours, many),
            **_halves("bare", bare, many),
            f"per_child_at_{many}_vs_at_{many // 10}": rounded(linearity.ratio),
            f"without_collector_per_child_at_{many}_vs_at_{many // 10}": rounded(uncollected.ratio),
            f"bare_per_child_at_{many}_vs_at_{many // 10}": rounded(bare_linearity.ratio),
            "added_at_run_time_vs_nursery": rounded(versus_added.ratio),
            **_halves("added_at_run_time", added, many),
        },
    )


def _halves(side: str, crowds: list[Crowd], number: int) -> dict[str, Json]:
    return {
        f"{side}_start_us": in_us(statistics.median(crowd.start_s for crowd in crowds), number),
        f"{side}_stop_us": in_us(statistics.median(crowd.stop_s for crowd in crowds), number),
    }


@contextmanager
def _without_collector() -> Generator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _clean_start_s() -> float:
    # The garbage of one side must not be collected in the other's time. (Collections that a side's own
    # children cause are its own.)
    gc.collect()
    return process_time()


async def _idle(_pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


async def _supervised(number: int) -> Crowd:
    """Static children: each starts when the one before is ready, and stops when the one after is dead."""
    spec = SupervisorSpec(children=tuple(ChildSpec(f"child-{n}", start=_idle) for n in range(number)))
    began_s = _clean_start_s()
    async with open_supervisor(spec, rng=Random(0)) as supervisor:
        await supervisor.wait_ready()
        ready_s = process_time()
    return Crowd(ready_s - began_s, process_time() - ready_s)


async def _added_at_run_time(number: int) -> Crowd:
    """The same through `Supervisor.start_child`, which waits for nobody."""
    specs = [ChildSpec(f"child-{n}", start=_idle) for n in range(number)]
    began_s = _clean_start_s()
    async with open_supervisor(SupervisorSpec(), rng=Random(0)) as supervisor:
        for spec in specs:
            supervisor.start_child(spec)
        await trio.testing.wait_all_tasks_blocked()
        ready_s = process_time()
    return Crowd(ready_s - began_s, process_time() - ready_s)


async def _in_a_nursery(number: int) -> Crowd:
    """The least that starts tasks one after the other, and stops them in reverse, waiting for each."""

    async def child(dead: trio.Event, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.sleep_forever()
        dead.set()

    children: list[tuple[trio.CancelScope, trio.Event]] = []
    began_s = _clean_start_s()
    async with trio.open_nursery() as nursery:
        for _ in range(number):
            dead = trio.Event()
            scope: trio.CancelScope = await nursery.start(child, dead)
            children.append((scope, dead))
        ready_s = process_time()
        for scope, dead in reversed(children):
            scope.cancel()
            await dead.wait()
    return Crowd(ready_s - began_s, process_time() - ready_s)
