"""Everything that happens in the demo's worker, and waiting for some of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import trio

from tgworker.messaging.events import Event as MessagingEvent
from tgworker.supervision import Event as SupervisionEvent
from tgworker.telegram import TelegramEvent

if TYPE_CHECKING:
    from tgworker.supabase import SupabaseEvent

Happening: TypeAlias = Union[MessagingEvent, SupervisionEvent, TelegramEvent, "SupabaseEvent"]


@dataclass(frozen=True, slots=True)
class Noted:
    """An event, and when it happened on trio's clock."""

    at_s: float
    event: Happening


class Watch:
    """Notes events, and wakes whoever waits for one. Its `note` is an observer of both rooms."""

    def __init__(self) -> None:
        self.notes: list[Noted] = []
        self._news = trio.Event()

    def note(self, event: Happening) -> None:
        """Something happened."""
        self.notes.append(Noted(trio.current_time(), event))
        self._news.set()
        self._news = trio.Event()

    async def wait_next(self) -> None:
        """Wait until anything happens."""
        await self._news.wait()

    async def wait_for(self, wanted: Callable[[Happening], bool], *, since: int, within_s: float) -> bool:
        """Wait until an event that is ``wanted`` has happened.

        Args:
            wanted: Says whether it is the one.
            since: How many events to pass over: ``len(notes)`` at the time from which it counts.
            within_s: How long to wait at most.

        Returns:
            Whether it happened in time.
        """
        seen = since
        with trio.move_on_after(within_s):
            while True:
                for noted in self.notes[seen:]:
                    if wanted(noted.event):
                        return True
                seen = len(self.notes)
                await self.wait_next()
        return False
