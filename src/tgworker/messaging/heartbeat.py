"""The heartbeat: what the worker is, written every 15 s, whatever the loops do.

It waits for nothing but the clock and its writers, and for those only until the next heartbeat is due. Who
looks at the row sees what is true, not what was true up to 15 s ago.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from tgworker.messaging.bounded import within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import HeartbeatMissed, HeartbeatWritten, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Heartbeat, LoopStatus, WorkerStatus
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import HeartbeatWriter

LOOK_EVERY_S = 1.0
"""How often it is looked whether what the last heartbeat said still holds."""

STALLED_VERDICTS = frozenset({"silent", "deadline", "wedged", "start-timeout"})
"""How a loop ended that hung, in supervision's words."""


def worker_status(loops: Mapping[str, LoopStatus], *, accounts_away: int) -> WorkerStatus:
    """What the worker as a whole is: a pure decision.

    Args:
        loops: The loops as they are now.
        accounts_away: How many accounts should be online and are not.
    """
    down = [loop for loop in loops.values() if not loop.alive]
    if any(loop.verdict in STALLED_VERDICTS for loop in down):
        return WorkerStatus.STALLED
    if down or accounts_away:
        return WorkerStatus.DEGRADED
    return WorkerStatus.ONLINE


async def run_heartbeat(
    pulse: Pulse,
    *,
    writers: Sequence[HeartbeatWriter],
    compose: Callable[[], Heartbeat],
    status: Callable[[], WorkerStatus],
    limits: Limits,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Write a heartbeat every ``limits.heartbeat_every_s`` seconds, on the second; returns never.

    In between, a status that has changed is written within `LOOK_EVERY_S`.

    Args:
        pulse: This loop's sign of life.
        writers: Where it goes; one that hangs delays neither the others nor the next heartbeat.
        compose: Makes the next heartbeat. It counts them, because the numbers must go on growing when this
            loop is restarted: a store takes a smaller one for an old one, and ignores it.
        status: What the worker is now.
        limits: The interval, and the database deadline.
        report: Hears of every heartbeat, written or missed.
        task_status: Started at once: a writer that hangs holds up nobody's start.
    """
    task_status.started()
    every_s = limits.heartbeat_every_s
    due = trio.current_time()
    while True:
        # What a sleeping machine missed is not made up for: one heartbeat, and the next on the old grid.
        due += every_s * max(0, (trio.current_time() - due) // every_s)
        due += every_s
        heartbeat = compose()
        await _write_to_all(pulse, writers, heartbeat, min(limits.database_s, every_s), report)
        while (left_s := due - trio.current_time()) > 0:
            pulse.beat()
            await trio.sleep(min(left_s, LOOK_EVERY_S))
            left_s = due - trio.current_time()
            if left_s > 0 and status() is not heartbeat.status:
                heartbeat = compose()
                await _write_to_all(pulse, writers, heartbeat, min(limits.database_s, left_s), report)


async def _write_to_all(
    pulse: Pulse,
    writers: Sequence[HeartbeatWriter],
    heartbeat: Heartbeat,
    limit_s: float,
    report: Report,
) -> None:
    """Give one heartbeat to all writers at once, each for ``limit_s`` seconds at most."""
    async with trio.open_nursery() as nursery:
        for writer in writers:
            nursery.start_soon(_write, pulse, writer, heartbeat, limit_s, report)


async def _write(
    pulse: Pulse, writer: HeartbeatWriter, heartbeat: Heartbeat, limit_s: float, report: Report
) -> None:
    started_at = trio.current_time()
    try:
        await within(pulse, f"heartbeat.{writer.name}", limit_s, partial(writer.write, heartbeat))
    except StoreAway as error:
        report(HeartbeatMissed(writer.name, heartbeat.seq, str(error)))
    else:
        took_s = trio.current_time() - started_at
        report(HeartbeatWritten(writer.name, heartbeat.seq, heartbeat.status.value, took_s))
