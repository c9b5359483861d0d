"""The soft memory limit: a worker above it ends in order, before the kernel ends it in the middle of work."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from tgworker.supervision import Pulse

EVERY_S: Final = 5.0
"""Between two looks: a worker that grows by 100 MiB a second is 500 MiB above its limit at most."""
MEBIBYTE: Final = 1024 * 1024

STATM: Final = Path("/proc/self/statm")


def resident_mb() -> float | None:
    """What of this process is in memory, MiB (proc(5): statm's second number); ``None`` outside Linux."""
    try:
        return int(STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE
    except FileNotFoundError:
        return None


async def watch_memory(
    pulse: Pulse,
    *,
    limit_mb: Callable[[], int | None],
    over: Callable[[float, int], object],
    used_mb: Callable[[], float | None] = resident_mb,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Compare the process's memory with its limit every `EVERY_S` seconds; a child, returns never.

    Args:
        pulse: The child's sign of life.
        limit_mb: The limit in MiB as it is now; ``None``: none.
        over: Told the memory in use and the limit, both in MiB, at each look above it.
        used_mb: What is in use.
        task_status: Started at once.
    """
    task_status.started()
    while True:
        # Before the first look, too: a worker whose limit is too low for it works a little each time.
        pulse.beat()
        pulse.expect(EVERY_S)
        await trio.sleep(EVERY_S)
        limit, used = limit_mb(), used_mb()
        if limit is not None and used is not None and used > limit:
            over(used, limit)
