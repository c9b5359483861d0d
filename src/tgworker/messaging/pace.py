"""How often the outbox is asked: fast while there is work, slow while there is none, both bounded.

Polling is the truth. Somebody who watches the outbox (`tgworker.messaging.wakeup`) may ring earlier; while
somebody does, an idle outbox is asked more rarely still. Without a watcher, or should he sleep, only latency
changes.
"""

from dataclasses import dataclass

import trio


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLimits:
    """Seconds between two looks.

    Attributes:
        fast_s: Right after there was something; each look in vain doubles it.
        slow_s: At most, while nobody watches.
        watched_s: At most, while somebody does.
        hush_s: At most between a ring that made nobody find anything and the next: what was seen is not for
            us, or not yet.
    """

    fast_s: float
    slow_s: float
    watched_s: float
    hush_s: float = 1.0


class Pace:
    """Shared between who looks and who watches.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: PaceLimits) -> None:
        self._limits = limits
        self._in_vain = 0
        self._watched = False
        self._looked = _Look()

    def after(self, *, found: bool) -> float:
        """Somebody looked; returns how long to wait before the next look, unless somebody rings.

        Args:
            found: Whether there was anything.
        """
        self._in_vain = 0 if found else self._in_vain + 1
        look, self._looked = self._looked, _Look()
        look.found = found
        look.event.set()
        return self.pause_s

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        limits = self._limits
        most_s = limits.watched_s if self._watched else limits.slow_s
        return min(limits.fast_s * 2.0 ** min(self._in_vain, 30), most_s)

    @property
    def limits(self) -> PaceLimits:
        """The bounds."""
        return self._limits

    def watch(self, *, watched: bool) -> bool:
        """Say whether somebody watches; returns whether that is news."""
        news, self._watched = watched is not self._watched, watched
        return news

    async def wait_looked(self) -> bool:
        """Wait for the next look; returns whether it found anything."""
        look = self._looked
        await look.event.wait()
        return look.found


class _Look:
    """A look that is to come."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.found = False
