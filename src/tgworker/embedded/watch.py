"""The early wake-up of a file: looks often, because a look costs next to nothing."""

from collections.abc import Callable, Collection
from typing import final

import trio

from tgworker.messaging.models import AccountId
from tgworker.messaging.ports import Work

WAIT_S = 6.0
"""How long one wait lasts at most: less than the loops' deadline of 10 s."""


@final
class FileWatch:
    """Fills `tgworker.messaging.ports.WakeUp`. Get one from `EmbeddedStore.watch`.

    Args:
        has_news: Whether there may be something to send. Asked on the spot, without a thread: it must take
            microseconds.
        has_jobs: The same of jobs.
        every_s: How often it is asked, seconds.
    """

    def __init__(self, has_news: Callable[[], bool], has_jobs: Callable[[], bool], *, every_s: float) -> None:
        self._has_news = has_news
        self._has_jobs = has_jobs
        self._every_s = every_s

    async def wait(self, account_ids: Collection[AccountId], *, jobs_of: Collection[AccountId]) -> Work:
        """See the port. Any news may be theirs."""
        del jobs_of  # a job may be one that needs no account
        until = trio.current_time() + WAIT_S
        while True:
            await trio.sleep(self._every_s)
            messages = Work.MESSAGES if account_ids and self._has_news() else Work.NOTHING
            jobs = Work.JOBS if self._has_jobs() else Work.NOTHING
            work = messages | jobs
            if work or trio.current_time() >= until:
                return work
