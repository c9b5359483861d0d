"""Calls to the store under their deadline, and loops that outlast its outages."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Report, StoreBack, StoreUnavailable
from tgworker.messaging.models import AccountId
from tgworker.messaging.ports import Pulse

T = TypeVar("T")

Delays = Callable[[int], float]
"""Seconds to wait before try ``n`` (from 1) is repeated: capped backoff with jitter, given by `app`."""


async def within(pulse: Pulse, operation: str, limit_s: float, call: Callable[[], Awaitable[T]]) -> T:
    """Run one call to the store under its deadline.

    Args:
        pulse: The caller's pulse; the operation shows in its snapshot while it runs.
        operation: What the call is, for people: ``database.claim``.
        limit_s: The deadline in seconds.
        call: The call; it must be safe to repeat, because one that was cut off may still commit.

    Raises:
        StoreAway: The store said so, or did not answer within ``limit_s``.
    """
    with pulse.deadline(operation, limit_s):
        return await call()
    raise StoreAway(f"no answer within {limit_s:g} s")


class Outage:
    """One loop's view of the store: when it went away, and how long to wait before asking again.

    Args:
        pulse: The loop's pulse: the wait is announced silence.
        report: Hears of the outage and of its end.
        delays: The backoff.
        account: Whose loop it is, if an account's.
    """

    def __init__(
        self, pulse: Pulse, report: Report, delays: Delays, *, account: AccountId | None = None
    ) -> None:
        self._pulse = pulse
        self._report = report
        self._delays = delays
        self._account = account
        self._since: float | None = None
        self._tries = 0

    def over(self, operation: str) -> None:
        """The store answered."""
        if self._since is not None:
            self._report(StoreBack(operation, trio.current_time() - self._since, self._account))
        self._since, self._tries = None, 0

    async def insist(self, operation: str, limit_s: float, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the store, each time under the deadline, until it answers."""
        while True:
            try:
                answer = await within(self._pulse, operation, limit_s, call)
            except StoreAway as error:
                await self.wait(operation, error)
            else:
                self.over(operation)
                return answer

    async def wait(self, operation: str, error: StoreAway) -> None:
        """The store did not answer: report it and wait before it is asked again."""
        if self._since is None:
            self._since = trio.current_time()
        self._tries += 1
        delay_s = self._delays(self._tries)
        self._report(StoreUnavailable(operation, str(error), delay_s, self._account))
        self._pulse.beat()
        self._pulse.expect(delay_s)
        await trio.sleep(delay_s)
        self._pulse.beat()
