"""The queue between a client's receive loop and its update loop, with an end."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

CAPACITY = 1000
"""Packets of updates. While the store is slow they wait here; Telethon's own queue has no bound."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Telethon's sign for "this date says nothing about the state"."""


class RawUpdates(asyncio.Queue[Any]):
    """Drops what it holds when it is full, and leaves a note to ask Telegram for it.

    The receive loop must not wait for the store: answers and pongs come in over the same line.

    Args:
        on_overflow: Called with the number of packets that were dropped.
        aside: Takes packets that need no queue; returns whether it took one.
        capacity: How many packets are held at most.
    """

    def __init__(
        self,
        on_overflow: Callable[[int], None],
        aside: Callable[[Any], bool] = lambda _packet: False,
        capacity: int = CAPACITY,
    ) -> None:
        super().__init__()
        self._aside = aside
        self._on_overflow = on_overflow
        self._limit = capacity

    def put_nowait(self, item: Any) -> None:
        """Add a packet of updates. Never full, never blocks."""
        if self._aside(item):
            return
        if self.qsize() >= self._limit:
            dropped = [self.get_nowait() for _ in range(self.qsize())]
            channels = {channel for packet in [*dropped, item] for channel in _channels(packet)}
            super().put_nowait(types.UpdatesTooLong())  # Telethon answers with getDifference
            for channel in sorted(channels):
                super().put_nowait(too_long(channel))
            self._on_overflow(len(dropped))
        super().put_nowait(item)


def too_long(channel_id: int) -> Any:
    """A packet that says: ask for this channel's difference."""
    return types.UpdateShort(types.UpdateChannelTooLong(channel_id), _EPOCH)


def packet_of(updates: Sequence[Any]) -> Any:
    """A packet of updates that says nothing of the account's own log."""
    return types.Updates(list(updates), [], [], _EPOCH, 0)


def _channels(packet: Any) -> set[int]:
    updates = getattr(packet, "updates", None) or [getattr(packet, "update", packet)]
    found: set[int] = set()
    for update in updates:
        peer = getattr(getattr(update, "message", None), "peer_id", None)
        channel = getattr(peer, "channel_id", None) or getattr(update, "channel_id", None)
        if isinstance(channel, int):
            found.add(channel)
    return found
