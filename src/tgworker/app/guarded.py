"""What a worker does for its guard: its loop's pulse, whose step it runs, and what was committed."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime

import trio

from tgworker.guard import Beat, Committed, Footprints, Held, Link
from tgworker.messaging.accounts import Hold
from tgworker.messaging.models import AccountId, Heartbeat
from tgworker.messaging.ports import HeartbeatWriter
from tgworker.supervision import ChildSpec, Pulse

BEATS_PER_LIMIT = 10
LONGEST_BEAT_S = 1.0

OWNER: ContextVar[int] = ContextVar("OWNER", default=0)
"""The number under which the guard knows the account whose task this is; tasks inherit it."""


async def beat(link: Link, *, freeze_after_s: float) -> None:
    """Show the guard that the event loop turns; returns never.

    Args:
        link: The way to the guard.
        freeze_after_s: Its patience, seconds.
    """
    every_s = min(LONGEST_BEAT_S, freeze_after_s / BEATS_PER_LIMIT)
    while True:
        link.say(Beat())
        await trio.sleep(every_s)


class Steps(trio.abc.Instrument):
    """Leaves the owner of each step where the guard can read it: 0.4 µs each, and at each wait."""

    def __init__(self, footprints: Footprints) -> None:
        self._step = footprints.step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """This task runs now."""
        self._step(task.context.get(OWNER, 0))

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """Nobody runs now."""
        self._step(0)


def leaving_footprints(
    spec: ChildSpec, *, footprints: Footprints, account_of: Callable[[str], str | None]
) -> ChildSpec:
    """The same child, but the steps of an account's tasks are known as the account's.

    Args:
        spec: The child.
        footprints: Shared with the guard.
        account_of: The account that a child belongs to, by the child's path; ``None`` for none.
    """

    async def start(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        account = account_of(pulse.path)
        if account is None:
            await spec.start(pulse, task_status=task_status)
            return
        number = footprints.enter(account)
        OWNER.set(number)  # of this incarnation's own context: nothing to set back
        footprints.step(number)  # this very step
        try:
            await spec.start(pulse, task_status=task_status)
        finally:
            footprints.leave(number)

    return replace(spec, start=start)


class Told:
    """A heartbeat writer that tells the guard of each heartbeat that it has committed.

    Args:
        writer: Writes.
        link: The way to the guard.
    """

    def __init__(self, writer: HeartbeatWriter, link: Link) -> None:
        self._writer = writer
        self._link = link

    @property
    def name(self) -> str:
        """The writer's."""
        return self._writer.name

    async def write(self, heartbeat: Heartbeat) -> None:
        """Write, and tell. Raises, and is cancelled, as the writer."""
        await self._writer.write(heartbeat)
        self._link.say(Committed(self.name, heartbeat))


def holds(held: Mapping[str, Held], *, start_last_s: float, now: datetime) -> Mapping[AccountId, Hold]:
    """What the guard says of accounts, on trio's clock. To be called inside the loop.

    Args:
        held: Accounts that may not start with the others.
        start_last_s: How long after the others those start that are only to start last, seconds.
        now: The calendar's time, aware.
    """
    return {
        AccountId(account): _hold(how, start_last_s, now, trio.current_time())
        for account, how in held.items()
    }


def _hold(how: Held, start_last_s: float, now: datetime, now_s: float) -> Hold:
    if not how.reason:
        return Hold(now_s + start_last_s, None)
    until = datetime.fromtimestamp(how.until_s, UTC)
    return Hold(
        now_s + (until - now).total_seconds(),
        f"{how.reason}; tried again at {until:%Y-%m-%d %H:%M} UTC",
    )
