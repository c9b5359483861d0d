"""What watching an operation costs, on top of the scope that any timeout needs."""

from time import perf_counter

import trio

from benchmarks.child import run_in_child
from benchmarks.line import Effort, Measured
from benchmarks.pairs import Pairs, interleave, rounded
from tgworker.supervision import Pulse


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``deadline_vs_move_on_after``."""
    per_run = effort.pick(full=1_000, short=200)
    turns = effort.pick(full=301, short=11)

    # Empty blocks: whatever stood in them would cost both sides the same, and make the ratio smaller.
    async def work(pulse: Pulse) -> Pairs:
        async def deadlines() -> float:
            began_s = perf_counter()
            for _ in range(per_run):
                with pulse.deadline("bench.nothing", 30):
                    pass
            took_s = perf_counter() - began_s
            await trio.lowlevel.checkpoint()
            return took_s

        async def bare_scopes() -> float:
            began_s = perf_counter()
            for _ in range(per_run):
                with trio.move_on_after(30):  # noqa: ASYNC100 (its cost is the subject)
                    pass
            took_s = perf_counter() - began_s
            await trio.lowlevel.checkpoint()
            return took_s

        return await interleave(deadlines, bare_scopes, pairs=turns)

    pairs = run_in_child(work)
    return {"deadline_vs_move_on_after": Measured(rounded(pairs.ratio), pairs.detail(per_run=per_run))}
