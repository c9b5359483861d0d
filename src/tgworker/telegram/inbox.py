"""What arrives, between the account's asyncio loop and whoever stores it."""

import asyncio
from collections import deque

import trio

from tgworker.messaging.inbound import merged, weight_of
from tgworker.messaging.update_batches import UpdateBatch

CAPACITY = 500
"""Messages, or changes of the same weight, that wait here before the client is made to wait; also the most
that one batch is merged to."""

POSITION_QUIET_S = 1.0
"""A position that comes alone (one after each own send) is handed on this late, or with the next
message. A crash in between costs asking Telegram again for what it has already said, no message."""


class Inbox:
    """Bounded, in order. Small batches that wait are merged, so that a slow store gets few large ones.

    The asyncio side puts batches in and waits while it is full; a trio task, `run`, hands them on. Neither
    side ever waits inside the other's world: each can be cancelled at any moment without the other.

    Attributes:
        updates: Where batches come out. It ends when `run` does.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._waiting: deque[UpdateBatch] = deque()
        self._size = 0
        self._last: UpdateBatch | None = None
        self._handed_on = False
        self._room = asyncio.Event()
        self._something = trio.Event()
        self._send, self.updates = trio.open_memory_channel[UpdateBatch](0)

    async def put_aio(self, batch: UpdateBatch) -> None:
        """Add a batch; waits while the inbox is full. One that says nothing new is dropped.

        Cancellation: the batch is not added.
        """
        if _is_bare(batch):
            if self._last is not None and batch.position == self._last.position:
                return
            if self._waiting and _is_bare(self._waiting[-1]):
                self._last = self._waiting[-1] = batch
                return
        while self.is_full:
            self._room.clear()
            await self._room.wait()
        self._last = batch
        self._waiting.append(batch)
        self._size += _weight(batch)
        self._something.set()

    @property
    def size(self) -> int:
        """Messages that wait here, and changes of the same weight; a batch without any counts as one."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether the client has to wait for the store."""
        return self._size >= self._capacity

    async def run(self) -> None:
        """Hand batches on until cancelled.

        Cancellation: what was not received yet is dropped; its position was not stored, so it comes again.
        """
        with self._send:
            while True:
                await self._something.wait()
                if self._handed_on and all(map(_is_bare, self._waiting)):
                    await self._wait_for_company()
                await self._send.send(self._take())
                self._handed_on = True

    async def _wait_for_company(self) -> None:
        with trio.move_on_after(POSITION_QUIET_S):
            while all(map(_is_bare, self._waiting)):
                self._something = trio.Event()
                await self._something.wait()

    def _take(self) -> UpdateBatch:
        """The oldest batches, merged to at most the capacity."""
        taken = [self._waiting.popleft()]
        weight = weight_of(taken[0])
        while self._waiting and weight + weight_of(self._waiting[0]) <= self._capacity:
            taken.append(self._waiting.popleft())
            weight += weight_of(taken[-1])
        self._size -= sum(map(_weight, taken))
        self._room.set()
        if not self._waiting:
            self._something = trio.Event()
        return merged(*taken)


def _is_bare(batch: UpdateBatch) -> bool:
    return not (batch.messages or batch.peers or batch.sent_ids or batch.gaps or batch.changes)


def _weight(batch: UpdateBatch) -> int:
    return max(1, weight_of(batch))
