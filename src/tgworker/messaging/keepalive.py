"""When a line is asked whether it lives: a pure decision, and the loop that executes it.

Telethon notices a black hole after 120 s and says "connected" throughout (measured), so the worker asks by
itself: soon when work is waiting for an answer, seldom on an idle line.
"""

import trio

from tgworker.messaging.desk import Desk
from tgworker.messaging.limits import Limits
from tgworker.messaging.ports import Connection, Pulse


def next_ping_at(*, last_heard_at: float, answered_at: float, busy_since: float, limits: Limits) -> float:
    """When the next ping is due, on trio's clock.

    While a request waits, hearing *something* proves nothing: a line that has died in one direction only
    still brings the server's updates. Only an answer to a ping puts the next one off then.

    Args:
        last_heard_at: When the last packet came in.
        answered_at: When the last ping was answered.
        busy_since: When the oldest request that waits for an answer was sent; infinity if there is none.
        limits: ``ping_busy_s`` and ``ping_idle_s``.
    """
    idle_due = last_heard_at + limits.ping_idle_s
    busy_due = max(answered_at, busy_since) + limits.ping_busy_s
    return min(idle_due, busy_due)


async def keep_alive(pulse: Pulse, connection: Connection, desk: Desk, limits: Limits) -> str:
    """Ask the line whenever it has been silent for too long; returns why it is lost.

    This is also what beats for the account: between two looks the silence is announced.

    Raises:
        TelegramAway: The line broke under the ping.
    """
    answered_at = trio.current_time()  # the line was just made
    while True:
        pulse.beat()
        due = next_ping_at(
            last_heard_at=connection.last_heard_at,
            answered_at=answered_at,
            busy_since=desk.busy_since,
            limits=limits,
        )
        wait_s = due - trio.current_time()
        if wait_s > 0:
            pulse.expect(wait_s)
            with trio.move_on_after(wait_s):
                await desk.wait_work_begins()
            continue
        # On a slow line a ping waits behind the parts of a file, whose own deadline runs meanwhile.
        limit_s = limits.media_s if desk.carries_files else limits.ping_s
        with pulse.deadline("telegram.ping", limit_s) as deadline:
            await connection.ping()
        answered_at = trio.current_time()
        if deadline.expired:
            return f"no answer to a ping within {limit_s:g} s"
