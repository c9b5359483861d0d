"""What an account costs that does nothing, with hundreds of them in one process."""

import trio

from benchmarks.cloud import Cloud, CloudUser, open_cloud
from benchmarks.line import Effort, Measured
from benchmarks.pairs import rounded
from benchmarks.processes import cpu_s, resident_kb
from benchmarks.service import open_service

SETTLED_S = 10.0


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``idle_account_kb`` and ``idle_500_cpu_percent``."""
    return trio.run(_measure, effort.pick(full=500, short=12), effort.pick(full=61.0, short=0.5))


async def _measure(accounts: int, window_s: float) -> dict[str, Measured]:
    async with open_cloud(accounts + 1, strangers=True) as cloud:  # or each would have 500 contacts
        one, _ = await _idle(cloud, cloud.users[:1], 0.1)
        many, cpu_percent = await _idle(cloud, cloud.users[1:], window_s)
    detail = {"accounts": accounts, "window_s": window_s, "one_account_kb": one, "all_accounts_kb": many}
    return {
        "idle_account_kb": Measured(rounded((many - one) / (accounts - 1)), detail),
        "idle_500_cpu_percent": Measured(rounded(cpu_percent), detail),
    }


async def _idle(cloud: Cloud, users: list[CloudUser], window_s: float) -> tuple[int, float]:
    """Resident memory in KiB, and the processor time of all threads in percent of one core."""
    async with open_service(cloud, users) as service, service.worker() as process:
        await service.wait_online()
        await trio.sleep(min(SETTLED_S, window_s))
        before_s, began_s = cpu_s(process.pid), trio.current_time()
        await trio.sleep(window_s)
        used_s = cpu_s(process.pid) - before_s
        return resident_kb(process.pid), 100 * used_s / (trio.current_time() - began_s)
