"""Message jobs between the loop that claims and settles them and the accounts that do them.

What became of a job lies here until the store has committed it; nothing that was claimed is forgotten.
"""

import math
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager

import trio

from tgworker.messaging.job_outcomes import JobOutcome, SettledJob
from tgworker.messaging.models import AccountId, JobId, MessageJob
from tgworker.messaging.outcomes import Released, Unknown

SLOTS = 10
"""So many jobs one account holds at a time."""

MOST_AT_ONCE = 200
"""No desk holds more, whatever a claim has brought."""


SETTLED_S = 0.5
"""So long after messages were settled the store is asked for jobs that waited for them: not for every message
of an account that sends all the time."""


class JobFlight:
    """A job in somebody's hands: `Released` until it has begun, then `Unknown` until its outcome is known."""

    def __init__(self) -> None:
        self.outcome: JobOutcome = Released("it was cut off before anything was asked")

    def begin(self) -> None:
        """Say that Telegram is about to be asked."""
        self.outcome = Unknown("it was cut off")

    def land(self, outcome: JobOutcome) -> None:
        """Say what became of it."""
        self.outcome = outcome


class JobDesk:
    """One online account's jobs.

    Args:
        file: Gets the outcomes.
    """

    def __init__(self, file: Callable[[SettledJob], None]) -> None:
        self._file = file
        self._send, self._receive = trio.open_memory_channel[MessageJob](MOST_AT_ONCE)
        self._held = 0

    @property
    def free(self) -> int:
        """How many more it takes now."""
        return max(0, SLOTS - self._held)

    def hand_over(self, job: MessageJob) -> None:
        """Queue a job; one that there is no room for is given back."""
        try:
            self._send.send_nowait(job)
        except trio.WouldBlock:
            self._file(SettledJob(job, Released("the account's desk is full")))
        else:
            self._held += 1

    async def take(self) -> MessageJob:
        """The next job."""
        return await self._receive.receive()

    @contextmanager
    def hold(self, job: MessageJob) -> Generator[JobFlight]:
        """Hold a job while it is being done; its outcome is filed however the block ends."""
        flight = JobFlight()
        try:
            yield flight
        finally:
            self._put_back(job, flight.outcome)

    def close(self) -> None:
        """Give back what nobody has taken."""
        while True:
            try:
                job = self._receive.receive_nowait()
            except trio.WouldBlock:
                return
            self._put_back(job, Released("the account went offline"))

    def _put_back(self, job: MessageJob, outcome: JobOutcome) -> None:
        self._held -= 1
        self._file(SettledJob(job, outcome))


class JobDesks:
    """The desks of all accounts that are online, and what the store has not been told yet."""

    def __init__(self) -> None:
        self._desks: dict[AccountId, JobDesk] = {}
        self._known: set[JobId] = set()
        self._unsettled: list[SettledJob] = []
        self.some_wait = False
        """Whether the last claim has left jobs that wait for something."""
        self._rung = False
        self._look_at = math.inf
        self._news = trio.Event()

    @contextmanager
    def open(self, account_id: AccountId) -> Generator[JobDesk]:
        """Take jobs for an account while the block runs."""
        desk = self._desks[account_id] = JobDesk(self.file)
        self.ring()
        try:
            yield desk
        finally:
            del self._desks[account_id]
            desk.close()

    def free(self) -> Collection[AccountId]:
        """Accounts that are online and take more jobs."""
        return [account_id for account_id, desk in self._desks.items() if desk.free]

    def known(self) -> Collection[JobId]:
        """Every job that was claimed and is not settled."""
        return frozenset(self._known)

    def hand_over(self, jobs: Iterable[MessageJob]) -> None:
        """Give claimed jobs to their accounts; one whose account is gone is given back."""
        for job in jobs:
            if job.id in self._known:
                continue  # it is being done
            self._known.add(job.id)
            desk = self._desks.get(job.account_id)
            if desk is None:
                self.file(SettledJob(job, Released("the account went offline")))
            else:
                desk.hand_over(job)

    def file(self, settled: SettledJob) -> None:
        """Keep an outcome until the store has committed it."""
        self._unsettled.append(settled)
        self.ring()

    def unsettled(self) -> tuple[SettledJob, ...]:
        """What the store has not committed yet, oldest first."""
        return tuple(self._unsettled)

    def forget(self, settled: tuple[SettledJob, ...]) -> None:
        """The store has committed these: the first of `unsettled`."""
        del self._unsettled[: len(settled)]
        self._known.difference_update(each.job.id for each in settled)

    def ring(self) -> None:
        """Wake who waits: there may be something to claim or to settle."""
        self._rung = True
        self._wake()

    def settled(self) -> None:
        """Messages were sent, or never will be: a job that waits for one of them may go on."""
        if self.some_wait:
            self.look_by(trio.current_time() + SETTLED_S)

    def look_by(self, at_s: float) -> None:
        """Wake who waits at that time of trio's clock, at the latest."""
        if at_s < self._look_at:
            self._look_at = at_s
            self._wake()

    async def wait(self, until_s: float) -> bool:
        """Wait for a ring, or for the first of the times that were named to `look_by`.

        Returns:
            Whether there was one before ``until_s``.
        """
        while not self._rung and trio.current_time() < min(until_s, self._look_at):
            news = self._news
            with trio.move_on_at(min(until_s, self._look_at)):
                await news.wait()
        is_news = self._rung or trio.current_time() >= self._look_at
        self._rung = False
        if trio.current_time() >= self._look_at:
            self._look_at = math.inf
        return is_news

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()
