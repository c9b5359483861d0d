"""How much slower than the published numbers something is done: learned from Telegram's answers. Pure.

The published numbers are those of bots; what a user account may do depends on its age, its contacts and what
Telegram thinks of it, and is published nowhere (https://core.telegram.org/api/errors, ``FLOOD_WAIT_X``). So a
flood wait doubles the seconds between two requests, and a while without one takes a little of that back. It
never becomes faster than the published numbers: there is nothing to gain there that is worth a flood wait.
"""

import math
from dataclasses import dataclass

SLOWER = 2.0
"""What one flood wait makes of the seconds between two requests."""

SLOWEST = 32.0
"""Never slower than this many times the published numbers: about one message a second for a whole account."""

FASTER = 0.8
"""What a quiet time makes of them: seven of them undo two flood waits."""

QUIET_S = 300.0
"""A quiet time: so long without a flood wait."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """What was learned so far.

    Attributes:
        slowness: How many times the published seconds, at ``since_s``; 1: as published.
        since_s: Since when it has been quiet: the end of the last wait.
    """

    slowness: float = 1.0
    since_s: float = 0.0

    def slowness_at(self, now_s: float) -> float:
        """How many times the published seconds now; at least 1."""
        if self.slowness <= 1:
            return 1.0
        quiet_times = max(0.0, now_s - self.since_s) // QUIET_S
        return max(1.0, self.slowness * math.pow(FASTER, quiet_times))

    def flooded(self, now_s: float, until_s: float) -> "Tempo":
        """Telegram asked for a wait until then. What overlaps an earlier wait is the same flood."""
        if now_s < self.since_s:
            return Tempo(self.slowness, max(self.since_s, until_s))
        return Tempo(min(SLOWEST, self.slowness_at(now_s) * SLOWER), until_s)
