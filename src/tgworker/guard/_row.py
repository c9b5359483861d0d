"""When the guard writes a heartbeat itself: pure. One row for each store."""

import math
from typing import Final, final

SLACK_S: Final = 1.0
"""How much later than due the worker's heartbeat may come before the guard writes one."""
AGAIN_S: Final = 2.0
"""After one that could not be written: the store may be well again."""


@final
class HeartbeatRow:
    """The heartbeat's row in one store, as far as the guard knows.

    Args:
        every_s: How often the worker writes it, seconds.
        now_s: The guard's clock.

    Attributes:
        late: The worker's own heartbeat is overdue.
    """

    def __init__(self, *, every_s: float, now_s: float) -> None:
        self._every_s = every_s
        self._due_s = self._late_at_s = now_s + every_s + SLACK_S
        self._busy = self._changed = False

    def is_late(self, now_s: float) -> bool:
        """Whether the worker's own heartbeat is overdue."""
        return now_s >= self._late_at_s

    def committed(self, now_s: float) -> None:
        """The worker has written it."""
        self._due_s = self._late_at_s = now_s + self._every_s + SLACK_S

    def changed(self, now_s: float) -> None:
        """What it says is no longer true, and the worker cannot say so."""
        self._due_s = now_s
        self._changed = self._busy

    @property
    def next_s(self) -> float:
        """When the guard has to write; `math.inf` while it does."""
        return math.inf if self._busy else self._due_s

    def begun(self) -> None:
        """The guard is writing it."""
        self._busy = True

    def ended(self, now_s: float, *, written: bool) -> None:
        """The guard has written it, or could not."""
        self._busy = False
        if self._changed:
            self._changed = False
            self._due_s = now_s
        else:
            self._due_s = now_s + (self._every_s if written else min(AGAIN_S, self._every_s))
