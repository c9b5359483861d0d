"""How long each turn of the event loop takes: instruments that trio calls between the steps of tasks."""

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import trio

from tgworker.supervision._lag import Gauges, Spent

_FRESH = 8  # times within the limit: how old a reading may be to stand for the start of a lag


@final
@dataclass(frozen=True, slots=True)
class Lapse:
    """A lag beyond the limit."""

    at_s: float
    lag_s: float
    in_step: bool
    spent: Spent
    task: trio.lowlevel.Task | None


@final
class TurnWatch(trio.abc.Instrument):
    """Measures each turn of the loop. Trio calls the hooks between the steps of tasks."""

    def __init__(self, gauges: Gauges, limit_s: float, token: trio.lowlevel.TrioToken) -> None:
        self.wall_s = gauges.wall_s
        self.found: deque[Lapse] = deque()
        self.turns = 0
        self.longest_s = 0.0
        self.steps: StepWatch | None = None
        self.name_until_s = -math.inf
        self._gauges = gauges
        self._limit_s = limit_s
        self._fresh_s = limit_s / _FRESH
        self._token = token
        self._news = trio.Event()
        self._now_s = trio.lowlevel.current_clock().current_time
        self._mark_s = self._read_at_s = self.wall_s()
        self._reading = gauges.read()

    async def wait(self) -> None:
        """Wait until something was found."""
        await self._news.wait()
        self._news = trio.Event()

    @contextmanager
    def not_measuring(self) -> Generator[None]:
        """Within one step: the time that the block takes is no lag."""
        began_s = self.wall_s()
        try:
            yield
        finally:
            self._mark_s += self.wall_s() - began_s

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 (trio's signature)
        """All steps of this turn are done."""
        wall_s = self.wall_s()
        step_s = wall_s - self._mark_s
        self.turns += 1
        if step_s > self.longest_s:
            self.longest_s = step_s
        task: trio.lowlevel.Task | None = None
        if self.steps is not None:
            task = self.steps.finish(wall_s, at_least_s=step_s / 2)
        if step_s >= self._limit_s:
            self._found(wall_s, step_s, in_step=True, task=task)
        elif wall_s - self._read_at_s >= self._fresh_s:
            self._read(wall_s, in_step=True)
        if self.found:
            # The loop has already decided how long it waits now. Something to do brings it back at once.
            self._token.run_sync_soon(_nothing, idempotent=True)
        self._mark_s = wall_s

    def after_io_wait(self, timeout: float) -> None:
        """The loop goes on, ``timeout`` seconds after `before_io_wait`, or earlier if something came."""
        wall_s = self.wall_s()
        late_s = wall_s - self._mark_s - timeout
        if late_s > self.longest_s:
            self.longest_s = late_s
        if late_s >= self._limit_s:
            self._found(wall_s, late_s, in_step=False, task=None)
        elif wall_s - self._read_at_s >= self._fresh_s:
            self._read(wall_s, in_step=False)
        if self.found:
            self._news.set()
        self._mark_s = wall_s
        if self.steps is not None:
            self.steps.begin(wall_s)

    def _read(self, wall_s: float, *, in_step: bool) -> None:
        """Renew the reading, which costs too much to do it in each turn; notice if the machine slept."""
        reading = self._gauges.read()
        suspended_s = reading.suspended_s - self._reading.suspended_s
        if suspended_s >= self._limit_s:
            self._found(wall_s, 0.0, in_step=in_step, task=None)
        else:
            self._reading = reading
            self._read_at_s = wall_s

    def _found(self, wall_s: float, lag_s: float, *, in_step: bool, task: trio.lowlevel.Task | None) -> None:
        earlier, self._reading = self._reading, self._gauges.read()
        self._read_at_s = wall_s
        spent = self._reading.since(earlier)
        # Real time does not count while the machine sleeps, but everybody else's does.
        lag_s += max(0.0, spent.suspended_s)
        self.longest_s = max(self.longest_s, lag_s)
        self.found.append(Lapse(self._now_s(), lag_s, in_step, spent, task))


def _nothing() -> None:
    pass


@final
class StepWatch(trio.abc.Instrument):
    """Finds the longest step of a turn."""

    def __init__(self, wall_s: Callable[[], float]) -> None:
        self._wall_s = wall_s
        self._task: trio.lowlevel.Task | None = None
        self._longest: trio.lowlevel.Task | None = None
        self._longest_s = 0.0
        self._began_s = math.inf  # until a turn begins that is watched from its start

    def begin(self, wall_s: float) -> None:
        """The loop turns."""
        self._began_s = wall_s
        self._longest_s = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A step ends and the next begins."""
        self._end_step(self._wall_s())
        self._task = task

    def finish(self, wall_s: float, *, at_least_s: float) -> trio.lowlevel.Task | None:
        """The last step of the turn has ended: whose was the longest, if it took ``at_least_s`` seconds?"""
        self._end_step(wall_s)
        longest, self._longest, self._task = self._longest, None, None  # keep no task alive
        return longest if self._longest_s >= at_least_s else None

    def _end_step(self, wall_s: float) -> None:
        took_s = wall_s - self._began_s
        if took_s > self._longest_s:
            self._longest_s, self._longest = took_s, self._task
        self._began_s = wall_s
