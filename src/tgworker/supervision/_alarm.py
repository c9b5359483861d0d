"""The one sleeper of a supervisor."""

import heapq
import math
from itertools import count
from typing import final

import trio

from tgworker.supervision._child import Child

_SLACK = 16  # entries: a small heap is not worth tidying


@final
class Alarm:
    """A heap of times at which children must be looked at, and one task that sleeps until the earliest.

    It is re-armed lazily: a beat moves nothing here. The alarm rings when something could be due by what was
    known before; whoever it wakes computes what is really due, and arms it again.
    """

    __slots__ = ("_heap", "_order", "_scope", "_tidy_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Child]] = []
        self._order = count()  # children of one time are looked at in the order of arming
        self._scope = trio.CancelScope()
        self._tidy_at = _SLACK

    def __len__(self) -> int:
        """How many entries the heap has, stale ones included."""
        return len(self._heap)

    @property
    def due_s(self) -> float:
        """When it rings next, trio's clock; `math.inf` for never. In the past: it should have rung."""
        return self._heap[0][0] if self._heap else math.inf

    def arm(self, child: Child, due_s: float) -> None:
        """Ring for the child at ``due_s``, or earlier if it was armed for earlier."""
        if due_s >= child.armed_at_s:
            return
        child.armed_at_s = due_s
        child.armed_order = next(self._order)
        heapq.heappush(self._heap, (due_s, child.armed_order, child))
        if due_s < self._scope.deadline:
            self._scope.deadline = due_s
        if len(self._heap) > self._tidy_at:
            self._tidy()

    def forget(self, child: Child) -> None:
        """The child is gone; what was armed for it is stale."""
        child.armed_at_s = math.inf
        child.armed_order = -1

    async def wait(self) -> None:
        """Sleep until the earliest time. Cancellation: nothing is lost."""
        self._scope = trio.CancelScope(deadline=self.due_s)
        with self._scope:
            await trio.sleep_forever()

    def take_due(self, now_s: float) -> list[Child]:
        """The children whose time has come; each must be armed again if anything else can become due."""
        due: list[Child] = []
        while self._heap and self._heap[0][0] <= now_s:
            _, order, child = heapq.heappop(self._heap)
            if order == child.armed_order:  # else it is stale: the child was armed for an earlier time since
                self.forget(child)
                due.append(child)
        return due

    def _tidy(self) -> None:
        # Whenever more than half of the heap is stale, so that it costs each `arm` a constant, and children
        # that come and go, or open cycles all the time, do not make it grow.
        self._heap = [entry for entry in self._heap if entry[1] == entry[2].armed_order]
        heapq.heapify(self._heap)
        self._tidy_at = 2 * len(self._heap) + _SLACK
