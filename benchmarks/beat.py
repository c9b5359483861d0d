"""What a beat costs: it should be nothing beside the checkpoint that any loop has."""

from time import perf_counter

import trio

from benchmarks.child import run_in_child
from benchmarks.line import Effort, Measured
from benchmarks.pairs import Pairs, interleave, rounded
from tgworker.supervision import Pulse


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``beat_vs_checkpoint``."""
    per_run = effort.pick(full=2_000, short=500)
    turns = effort.pick(full=301, short=11)

    # The cost of the loop itself is on both sides; taking it away would only make the ratio smaller.
    async def work(pulse: Pulse) -> Pairs:
        async def beats() -> float:
            began_s = perf_counter()
            for _ in range(per_run):
                pulse.beat()
            return perf_counter() - began_s

        async def checkpoints() -> float:
            began_s = perf_counter()
            for _ in range(per_run):
                await trio.lowlevel.checkpoint()
            return perf_counter() - began_s

        return await interleave(beats, checkpoints, pairs=turns)

    pairs = run_in_child(work)
    return {"beat_vs_checkpoint": Measured(rounded(pairs.ratio), pairs.detail(per_run=per_run))}
