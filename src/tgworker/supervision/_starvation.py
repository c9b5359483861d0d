"""Times at which the event loop did not run, as far as the supervisors of one tree noticed."""

import math
from typing import final


@final
class Starvation:
    """Remembers when the process last went on after it had not run: nobody is to be blamed for the gap.

    A gap is noticed by a timer that rings late; so it stays unnoticed while nothing is due.

    Attributes:
        awake_since_s: When the loop went on after the last gap, trio's clock; `-math.inf` if there was none.
    """

    __slots__ = ("_excused_until_s", "awake_since_s")

    def __init__(self) -> None:
        self.awake_since_s = -math.inf
        self._excused_until_s = -math.inf

    def notice(self, *, planned_s: float, now_s: float, starved_after_s: float) -> float | None:
        """Compare when the loop should have woken a supervisor with when it does.

        Args:
            planned_s: When it should have, trio's clock.
            now_s: When it does.
            starved_after_s: How much later is fair, seconds. Failures within as much time after a gap are
                excused as well.

        Returns:
            How late it is, seconds, if that is a gap which was not noticed before.
        """
        late_s = now_s - planned_s
        if late_s <= starved_after_s or planned_s < self.awake_since_s:
            return None
        self.forgive(now_s, starved_after_s)
        return late_s

    def forgive(self, now_s: float, starved_after_s: float) -> None:
        """The loop goes on now, after a gap."""
        self.awake_since_s = now_s
        self._excused_until_s = now_s + starved_after_s

    def excuses(self, at_s: float) -> bool:
        """Whether a failure at this time counts for nothing."""
        return self.awake_since_s <= at_s <= self._excused_until_s
