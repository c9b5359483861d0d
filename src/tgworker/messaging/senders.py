"""As many senders as there is work for. An account that idles has one: hundreds of accounts may idle."""

from collections.abc import Awaitable, Callable

import trio

from tgworker.messaging.desk import Desk
from tgworker.messaging.models import Attempt

Take = Callable[[], Awaitable[Attempt | None]]
"""Waits for the next attempt; ``None``: this sender is not needed any more."""


async def run_senders(desk: Desk, most: int, sender: Callable[[Take], Awaitable[None]]) -> None:
    """Run senders until cancelled; one always waits for work, as long as fewer than ``most`` are busy.

    Attempts that are parked at the desk are queued again for them at their time.

    Args:
        desk: Where attempts come from.
        most: How many there are at most: to so many chats is sent at the same time.
        sender: Sends what it takes until there is nothing for it.

    Cancellation: each sender files what it has in hand.
    """
    async with trio.open_nursery() as nursery:
        _Crew(desk, most, sender, nursery).grow()
        await desk.run_parked()


class _Crew:
    def __init__(
        self, desk: Desk, most: int, sender: Callable[[Take], Awaitable[None]], nursery: trio.Nursery
    ) -> None:
        self._desk = desk
        self._most = most
        self._sender = sender
        self._nursery = nursery
        self._there = self._waiting = 0

    def grow(self) -> None:
        """One more."""
        self._there += 1
        self._nursery.start_soon(self._run, name="sender")

    async def _run(self) -> None:
        try:
            await self._sender(self._take)
        finally:
            self._there -= 1

    async def _take(self) -> Attempt | None:
        if self._waiting and not self._desk.queued:
            return None  # somebody else waits already
        self._waiting += 1
        try:
            attempt = await self._desk.take()
        finally:
            self._waiting -= 1
        if not self._waiting:
            # As many as are queued, and one that waits. What was handed over together then leaves together:
            # many in one packet cost the worker, the line and the server less than each in its own.
            for _ in range(min(self._desk.queued + 1, self._most - self._there)):
                self.grow()
        return attempt
