"""How long a transfer may go without progress. Time in which it waits for our own side does not count."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import trio


class Stall:
    """The patience with one transfer, over all its tries.

    Args:
        limit_s: How long nothing may move, seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._left_s = limit_s
        self._scope: trio.CancelScope | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing has moved for too long."""
        return self._left_s <= 0

    @contextmanager
    def watched(self) -> Generator[trio.CancelScope]:
        """Wait for the other side in here; cut off when patience is over, as the scope says afterwards.

        Time spent here without `moved` is gone for the next try, too.
        """
        with trio.CancelScope(deadline=trio.current_time() + self._left_s) as scope:
            self._scope = scope
            try:
                yield scope
            finally:
                self._scope = None
                if scope.deadline < math.inf:
                    self._left_s = max(0.0, scope.deadline - trio.current_time())

    def moved(self) -> None:
        """Something moved, or the other side is waited for from now on: patience begins anew."""
        self._left_s = self._limit_s
        if self._scope is not None:
            self._scope.deadline = trio.current_time() + self._limit_s

    def our_turn(self) -> None:
        """Until `moved` our own side is waited for, which has deadlines of its own."""
        if self._scope is not None:
            self._scope.deadline = math.inf
