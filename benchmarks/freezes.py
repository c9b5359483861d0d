"""How long a service is without a worker whose interpreter has frozen, and how long its first start takes."""

import os
import signal
import statistics
from time import perf_counter

import trio

from benchmarks.line import Effort, Measured
from benchmarks.pairs import rounded
from benchmarks.place import Place, open_place

LIMIT_S = 1.0
KINDS = {"stopped": signal.SIGSTOP, "holding_the_interpreter": signal.SIGUSR2}


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``freeze_recovery_over_limit_s`` and ``cold_start_s``."""
    rounds = effort.pick(full=5, short=1)
    return trio.run(_measure, rounds)


async def _measure(rounds: int) -> dict[str, Measured]:
    over_s: dict[str, list[float]] = {kind: [] for kind in KINDS}
    online_over_s: list[float] = []
    started_s: list[float] = []
    async with open_place() as place:
        for number in range(rounds):
            for kind, how in KINDS.items():
                taken_s = await _one(place, how, f"{kind} {number}")
                started_s.append(taken_s[0])
                online_over_s.append(taken_s[1] - LIMIT_S)
                over_s[kind].append(taken_s[2] - LIMIT_S)
    medians = {kind: statistics.median(values) for kind, values in over_s.items()}
    return {
        "freeze_recovery_over_limit_s": Measured(
            rounded(max(medians.values())),
            {
                "freeze_after_s": LIMIT_S,
                **{f"{kind}_s": rounded(value) for kind, value in medians.items()},
                "online_s": rounded(statistics.median(online_over_s)),
                "worst_s": rounded(max(max(values) for values in over_s.values())),
                "freezes_of_each_kind": rounds,
            },
        ),
        "cold_start_s": Measured(
            rounded(statistics.median(started_s)),
            {
                "fastest_s": rounded(min(started_s)),
                "slowest_s": rounded(max(started_s)),
                "starts": len(started_s),
            },
        ),
    }


async def _one(place: Place, how: signal.Signals, text: str) -> tuple[float, float, float]:
    """A guard's life with one freeze, the first: there is no backoff. Everything in seconds.

    Returns:
        Its start → the account online; the freeze → the account online again; the freeze → a message that
        was given at once has arrived.
    """
    async with place.guard(freeze_after_s=LIMIT_S) as guard:
        started_s = guard.online_s[0] - guard.began_s
        await place.give(f"before: {text}")
        await place.wait_arrived(f"before: {text}")
        frozen_s = perf_counter()
        os.kill(guard.workers[0], how)
        await place.give(text)
        await place.wait_arrived(text)
        flows_s = perf_counter()
        await guard.wait_online()
        return started_s, guard.online_s[1] - frozen_s, flows_s - frozen_s
