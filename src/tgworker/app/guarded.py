"""What a worker does for its guard: its loop's pulse, whose step it runs, and what was committed."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from typing import final
from uuid import UUID, uuid4

import trio

from tgworker.guard import Beat, Committed, Fault, Footprints, Held, Link, Quiet, Ready
from tgworker.messaging.accounts import Hold
from tgworker.messaging.models import AccountId, Heartbeat
from tgworker.messaging.store_ports import HeartbeatWriter
from tgworker.supervision import ChildSpec, Pulse

BEATS_PER_LIMIT = 10
LONGEST_BEAT_S = 1.0

OPENING_S = 300.0
"""For so long the guard expects no beat while the store is opened: that may upgrade it, and blocks."""

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


class NoGuard:
    """A worker that nobody guards: there is nothing to do."""

    holds_folder = True
    """Whether the worker has to take the data folder itself."""
    instruments: Sequence[trio.abc.Instrument] = ()
    """What watches its event loop."""
    renews = False
    """Whether a new worker follows one that asks for it."""

    def __init__(self, holder: UUID | None = None) -> None:
        self.holder = uuid4() if holder is None else holder
        """Whose the accounts' leases are: that of whoever starts the next worker after this one."""

    async def show_life(self) -> None:
        """Show that the loop turns, until cancelled."""

    def quiet(self) -> AbstractContextManager[None]:
        """Within it the loop may stand still for a while: the store is opened, and perhaps upgraded."""
        return nullcontext()

    def ready(self) -> None:
        """The worker has started."""

    def wedged(self, account: AccountId) -> None:
        """The process is about to end because a task of this account does not die."""

    def told(self, writers: Sequence[HeartbeatWriter]) -> Sequence[HeartbeatWriter]:
        """The writers of heartbeats, with whoever has to hear of them told."""
        return writers

    def adjusted(self, spec: ChildSpec) -> ChildSpec:
        """A child, with what belongs around it."""
        return spec

    def holds(self, *, start_last_s: float, now: datetime) -> Mapping[AccountId, Hold]:  # noqa: ARG002 - for others
        """Which accounts may not start yet, on trio's clock. To be called inside the loop.

        Args:
            start_last_s: How long after the others those start that are only to start last, seconds.
            now: The calendar's time, aware.
        """
        return {}


@final
class UnderGuard(NoGuard):
    """A worker whose guard waits for signs of life.

    Args:
        link: The way to the guard.
        held: Accounts that may not start with the others.
        freeze_after_s: The guard's patience, seconds.
        account_of: The account that a child belongs to, by the child's path; ``None`` for none.
        holder: Whose the accounts' leases are: the same for all workers of one guard.
    """

    holds_folder = False
    renews = True

    def __init__(
        self,
        link: Link,
        held: Mapping[str, Held],
        *,
        freeze_after_s: float,
        account_of: Callable[[str], AccountId | None],
        holder: UUID | None = None,
    ) -> None:
        super().__init__(holder)
        self.instruments = (Steps(link.footprints),)
        self._link = link
        self._held = held
        self._freeze_after_s = freeze_after_s
        self._account_of = account_of

    async def show_life(self) -> None:
        """Show that the loop turns, until cancelled."""
        await beat(self._link, freeze_after_s=self._freeze_after_s)

    @contextmanager
    def quiet(self) -> Generator[None]:
        """Within it the loop may stand still for a while; from its end on it may not."""
        self._link.say(Quiet(OPENING_S))
        try:
            yield
        finally:
            self._link.say(Beat())  # now: who freezes before its next beat would be waited for as announced

    def ready(self) -> None:
        """The worker has started."""
        self._link.say(Ready())

    def wedged(self, account: AccountId) -> None:
        """The process is about to end because a task of this account does not die."""
        self._link.say(Fault(account))

    def told(self, writers: Sequence[HeartbeatWriter]) -> Sequence[HeartbeatWriter]:
        """The writers, which tell the guard what they have committed."""
        return [Told(writer, self._link) for writer in writers]

    def adjusted(self, spec: ChildSpec) -> ChildSpec:
        """A child whose steps the guard can tell from others'."""
        return leaving_footprints(spec, footprints=self._link.footprints, account_of=self._account_of)

    def holds(self, *, start_last_s: float, now: datetime) -> Mapping[AccountId, Hold]:
        """Which accounts may not start yet."""
        now_s = trio.current_time()
        return {
            AccountId(account): _hold(how, start_last_s, now, now_s) for account, how in self._held.items()
        }


def _hold(how: Held, start_last_s: float, now: datetime, now_s: float) -> Hold:
    if not how.reason:
        return Hold(now_s + start_last_s, None)
    until = datetime.fromtimestamp(how.until_s, UTC)
    return Hold(
        now_s + (until - now).total_seconds(),
        f"{how.reason}; tried again at {until:%Y-%m-%d %H:%M} UTC",
    )
