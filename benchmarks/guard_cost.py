"""What the guard itself costs while all is well, under the default limits."""

from pathlib import Path
from time import perf_counter

import trio

from benchmarks.line import Effort, Measured
from benchmarks.pairs import rounded
from benchmarks.place import open_place
from benchmarks.processes import cpu_s

FREEZE_AFTER_S = 10.0


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``guard_idle_cpu_percent`` and ``guard_memory_mb``."""
    # Two heartbeats of the worker, which the guard is told of, and a beat each second.
    return trio.run(_measure, effort.pick(full=31.0, short=1.0))


async def _measure(window_s: float) -> dict[str, Measured]:
    async with open_place() as place, place.guard(freeze_after_s=FREEZE_AFTER_S) as guard:
        await trio.sleep(min(2.0, window_s))  # for the start to be over
        pid, worker = guard.process.pid, guard.workers[0]
        began_s, used_s = perf_counter(), cpu_s(pid)
        await trio.sleep(window_s)
        percent = 100 * (cpu_s(pid) - used_s) / (perf_counter() - began_s)
        mine, its = _memory_mb(pid), _memory_mb(worker)
        return {
            "guard_idle_cpu_percent": Measured(
                rounded(percent), {"window_s": window_s, "freeze_after_s": FREEZE_AFTER_S}
            ),
            "guard_memory_mb": Measured(
                rounded(mine["Pss"]),
                {
                    "rss_mb": rounded(mine["Rss"]),
                    "private_mb": rounded(mine["Private_Dirty"] + mine["Private_Clean"]),
                    "worker_pss_mb": rounded(its["Pss"]),
                    "worker_rss_mb": rounded(its["Rss"]),
                },
            ),
        }


def _memory_mb(pid: int) -> dict[str, float]:
    """What the kernel counts of a process's memory, MiB; ``Pss`` shares shared pages out."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name.rstrip(":"): int(kb) / 1024 for name, kb, _ in (row.split() for row in rows)}
