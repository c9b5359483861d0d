"""History jobs between the loop that claims them and the accounts that read.

Nothing is kept for an account that goes offline: its jobs are forgotten, and claimed again when it is back.
"""

from collections import deque
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager

import trio

from tgworker.messaging.models import AccountId, HistoryJob, JobId


class HistoryDesk:
    """One online account's jobs, read one after the other."""

    def __init__(self) -> None:
        self._jobs: deque[HistoryJob] = deque()
        self._work = trio.Event()

    @property
    def jobs(self) -> Collection[HistoryJob]:
        """What it has, the one that is being read included."""
        return tuple(self._jobs)

    def hand_over(self, job: HistoryJob) -> None:
        """Queue a job."""
        self._jobs.append(job)
        self._work.set()

    async def next(self) -> HistoryJob:
        """Wait for a job; it stays here until it is `done`."""
        await self._work.wait()
        return self._jobs[0]

    def done(self, job: HistoryJob) -> None:
        """The job has ended in the store, or is not ours any more."""
        self._jobs.remove(job)
        if not self._jobs:
            self._work = trio.Event()


class HistoryDesks:
    """The desks of all accounts that are online."""

    def __init__(self) -> None:
        self._desks: dict[AccountId, HistoryDesk] = {}
        self._news = trio.Event()

    @contextmanager
    def open(self, account_id: AccountId) -> Generator[HistoryDesk]:
        """Take jobs for an account while the block runs."""
        desk = self._desks[account_id] = HistoryDesk()
        self.ring()
        try:
            yield desk
        finally:
            del self._desks[account_id]

    def idle(self) -> Collection[AccountId]:
        """Accounts that are online and have no job."""
        return [account_id for account_id, desk in self._desks.items() if not desk.jobs]

    def known(self) -> Collection[JobId]:
        """Every job that lies on a desk."""
        return {job.id for desk in self._desks.values() for job in desk.jobs}

    def hand_over(self, jobs: Iterable[HistoryJob]) -> None:
        """Give claimed jobs to their accounts; one whose account is gone is left, to be claimed again."""
        for job in jobs:
            desk = self._desks.get(job.account_id)
            if desk is not None:
                desk.hand_over(job)

    def ring(self) -> None:
        """Wake who waits for news: an account came online, or has done its job."""
        self._news.set()
        self._news = trio.Event()

    @property
    def news(self) -> trio.Event:
        """Set as soon as an account can take a job that could not before; another one from then on."""
        return self._news
