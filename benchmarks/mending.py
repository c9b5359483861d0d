"""How fast an account that crashed is back, and how soon a line that went silent is noticed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import final

import trio

from benchmarks.cloud import Cloud, open_cloud
from benchmarks.inside import WITHIN_S, Watch, open_inside
from benchmarks.line import Effort, Measured
from benchmarks.pairs import in_ms, quantile, rounded
from tgworker.app.parts import LINE_EVERY_S
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState
from tgworker.supervision import Backoff
from tgworker.supervision.testing import Saboteur

BACKOFF = Backoff(initial_s=0.01, cap_s=0.02)
"""It is not measured, and thirty crashes in a row would otherwise wait for a minute each."""


@final
class CrashError(Exception):
    """What the saboteur makes an account raise."""


@final
@dataclass(frozen=True, slots=True)
class Bench:
    """A worker with two accounts, in this process, and Telegram in another."""

    cloud: Cloud
    store: EmbeddedStore
    saboteur: Saboteur
    watch: Watch
    accounts: tuple[AccountId, ...]


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``account_restart_ms`` and both lines of the black hole."""
    limits = effort.pick(full=Limits(), short=Limits(ping_s=0.1, ping_busy_s=0.1, ping_idle_s=0.2))
    holes = effort.pick(full=(3, 1), short=(1, 1))
    return trio.run(_measure, effort.pick(full=30, short=3), *holes, limits)


async def _measure(crashes: int, busy_holes: int, idle_holes: int, limits: Limits) -> dict[str, Measured]:
    async with _open_bench(limits) as bench:
        restarts = [await _restart(bench) for _ in range(crashes)]
        others = sum(1 for _, who, _ in bench.watch.states if who == bench.accounts[1])
        busy = [await _into_the_hole(bench, work=True) for _ in range(busy_holes)]
        idle = [await _into_the_hole(bench, work=False) for _ in range(idle_holes)]
    return {
        "account_restart_ms": Measured(
            in_ms(median(restarts)),
            {
                "p90_ms": in_ms(quantile(restarts, 0.9)),
                "worst_ms": in_ms(max(restarts)),
                "crashes": crashes,
                # Connecting and online, once each: it was never disturbed.
                "changes_of_the_other_account": others,
            },
        ),
        "blackhole_detect_s": Measured(
            rounded(max(busy)), {"median_s": rounded(median(busy)), "times": busy_holes, "work": True}
        ),
        "blackhole_detect_idle_s": Measured(
            rounded(max(idle)), {"median_s": rounded(median(idle)), "times": idle_holes, "work": False}
        ),
    }


async def _restart(bench: Bench) -> float:
    """Seconds from a crash until the account is online again, without the backoff."""
    account = bench.accounts[0]
    await trio.sleep(2 * LINE_EVERY_S)  # lines of one worker do not begin in one step, whoever's they are
    began_s = perf_counter()
    bench.watch.delays_s.clear()
    bench.saboteur.crash(f"root.account.{account}", CrashError())
    online_s = await bench.watch.when(account, AccountState.ONLINE, since_s=began_s)
    return online_s - began_s - sum(bench.watch.delays_s)


async def _into_the_hole(bench: Bench, *, work: bool) -> float:
    """Seconds from when the line goes silent until that is noticed."""
    account, user = bench.accounts[0], bench.cloud.users[0]
    await bench.cloud.blackhole(user)
    began_s = perf_counter()
    if work:
        await bench.store.enqueue(account, str(bench.cloud.users[2].id), ["into the hole"])
    noticed_s = await bench.watch.when(account, AccountState.RECONNECTING, since_s=began_s)
    await bench.cloud.clear()
    await bench.watch.when(account, AccountState.ONLINE, since_s=noticed_s)
    # Or the next message would wait for this one, which is sent again later, and not for the line.
    with trio.fail_after(WITHIN_S):
        waits = True
        while waits:
            await trio.sleep(0.05)
            waits = bool(await bench.store.list_outbox(limit=1))
    return noticed_s - began_s


@asynccontextmanager
async def _open_bench(limits: Limits) -> AsyncGenerator[Bench]:
    saboteur, watch = Saboteur(), Watch()
    async with (
        open_cloud(3) as cloud,
        open_inside(
            cloud,
            cloud.users[:2],
            watch,
            limits=limits,
            adjust=saboteur.wrap,
            restart_backoff=BACKOFF,
        ) as worker,
    ):
        yield Bench(cloud, worker.store, saboteur, watch, worker.accounts)
