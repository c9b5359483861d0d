"""Many lines that would be made at once, one after the other.

Each handshake and each catching-up takes the event loop for milliseconds. A hundred accounts that start in
one step, or that an outage has synchronised, would starve the loop, and whoever has many accounts behind one
address would look like a flood to Telegram.
"""

import math


class Stagger:
    """Hands out moments that are at least ``every_s`` apart; whoever comes alone waits for nothing.

    Unlike a limit on how many are made at a time, it lets nobody wait for a line that is never made.

    Args:
        every_s: Seconds between two moments; 0: everybody at once.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._free_at_s = -math.inf

    def reserve(self, now_s: float) -> float:
        """Take the next free moment, at ``now_s`` (seconds of any clock) or later, and return it."""
        at_s = max(now_s, self._free_at_s)
        self._free_at_s = at_s + self._every_s
        return at_s
