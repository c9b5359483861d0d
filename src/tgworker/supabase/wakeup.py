"""The early wake-up: a call that the database answers when there is work."""

from collections.abc import Collection
from typing import Final

from tgworker.messaging.models import AccountId
from tgworker.messaging.ports import Work
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row

WAIT_S: Final = 6.0
"""How long one call waits, at most. Shorter than Supabase's statement timeout of 8 s, and than the loops' own
10 s; where the statement timeout is shorter still, the database ends the wait in time by itself."""


class _Waited(Row):
    work: bool
    jobs: bool


class LongPoll:
    """Fills `tgworker.messaging.ports.WakeUp`; cancelling a wait closes its connection.

    Args:
        rest: The project's REST API, over a connection that nobody else waits for.
        wait_s: How long one call waits, seconds.
    """

    def __init__(self, rest: Rest, *, wait_s: float = WAIT_S) -> None:
        self._rest = rest
        self._wait_s = wait_s

    async def wait(self, account_ids: Collection[AccountId], *, jobs_of: Collection[AccountId]) -> Work:
        """See the port. Raises: as `Rest`."""
        answer = await self._rest.call(
            "tgworker_wait",
            {
                "p_accounts": sorted(account_ids),
                "p_timeout_s": self._wait_s,
                "p_jobs_of": sorted(jobs_of),
            },
            _Waited,
        )
        return (Work.MESSAGES if answer.work else Work.NOTHING) | (Work.JOBS if answer.jobs else Work.NOTHING)
