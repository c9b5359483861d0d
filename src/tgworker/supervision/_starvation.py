"""Times at which the event loop did not run, as far as deadlines passed in them, and whose fault it was."""

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import final

import trio

from tgworker.supervision._lag import Gauges, LagCause, Reading, Spent, classify_lag

_FRESH = 8  # times within what is fair: how old a reading may be to stand for the start of a gap
_REMEMBERED = 100  # gaps: each is longer than is fair, so they reach as far back as any limit that matters
_UNKNOWN = Spent(cpu_s=0.0, others_cpu_s=0.0, queued_s=None, suspended_s=0.0, yields=None)


@final
class Starvation(trio.abc.Instrument):
    """Notices gaps: a deadline of the program, anybody's, passed, and the loop did not turn for too long.

    In a gap nobody could do anything, so it counts for no limit. Whether it excuses failures as well depends
    on whose fault it was. Only the host is an excuse (see `LagCause`): what fails because code of the program
    blocks the loop fails again when it is started again, and that must come to an end.

    A failure in the turn of the loop in whose steps the gap passed is not excused whoever took the time: trio
    hands out deadlines and events between two turns, so the gap cannot have reached the child that failed.

    Costs a microsecond for each turn of the loop. Trio calls the hooks between the steps of tasks.

    Args:
        fair_s: How late is fair, seconds. Failures within as much time after a gap are excused as well.
        gauges: Makes what tells the causes apart. Called in the loop's thread.
        tell: Told of each gap soon after: its end on trio's clock, how late the first deadline in it was
            (seconds), and its cause.

    Attributes:
        turn_began_s: When the present turn of the loop began. What falls due later waits for the next turn:
            before, nobody can tell that the time between passed in a gap.
    """

    def __init__(
        self, fair_s: float, gauges: Callable[[], Gauges], tell: Callable[[float, float, LagCause], None]
    ) -> None:
        self.turn_began_s = self._awake_since_s = self._excused_until_s = -math.inf
        self._gaps: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._long_turn = (-math.inf, -math.inf, LagCause.BLOCKED)
        self._telling_s = 0.0
        self._fair_s = fair_s
        self._fresh_s = fair_s / _FRESH
        self._make_gauges = gauges
        self._tell = tell
        self._untold: deque[tuple[float, float, LagCause]] = deque()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Look out for gaps, for the length of a block inside `trio.run`."""
        self._now_s = trio.lowlevel.current_clock().current_time
        self._token = trio.lowlevel.current_trio_token()
        self._gauges = self._make_gauges()
        self._reading: Reading | None = None
        self.turn_began_s = self._mark_s = self._read_at_s = self._now_s()
        self._read()
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            with suppress(KeyError):  # trio has removed it, should it have raised
                trio.lowlevel.remove_instrument(self)
            self._gauges.close()
            self._tell_all()

    def lost_s(self, since_s: float) -> float:
        """How much of the time since ``since_s`` passed in gaps, seconds."""
        lost_s = 0.0
        for from_s, until_s in reversed(self._gaps):
            if until_s <= since_s:
                break
            lost_s += until_s - max(from_s, since_s)
        return lost_s

    def forgive(self, now_s: float, late_s: float) -> None:
        """The host did not run the process for so long until now, says somebody else."""
        self._lose(now_s, late_s)
        self._excused_until_s = now_s + self._fair_s

    def excuses(self, at_s: float) -> bool:
        """Whether a failure at this time counts for nothing."""
        return at_s <= self._excused_until_s

    def overslept(self, planned_s: float) -> None:
        """What was due at ``planned_s`` is looked at in the present turn: was there a gap between?"""
        late_s = self.turn_began_s - max(planned_s, self._awake_since_s)
        if late_s > self._fair_s:
            # The alarm was no deadline of trio's just then, else `_look` would have found the gap.
            from_s, until_s, cause = self._long_turn
            lost_s = self.turn_began_s - (from_s if until_s > planned_s else planned_s)
            self._found(self.turn_began_s, lost_s, late_s, cause)

    # ------------------------------------------------------------------ called by trio

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 (trio's signature)
        """All steps of this turn are done."""
        now_s = self._now_s()
        # The time that observers took to hear of gaps is lost as any other, but not told, or a slow one would
        # hear of itself without end.
        step_s = now_s - self._mark_s - self._telling_s
        if step_s > self._fair_s:
            self._look(now_s, step_s, in_step=True)
        elif self._telling_s > self._fair_s:
            self._lose(now_s, now_s - self._mark_s)
        elif now_s - self._read_at_s >= self._fresh_s:
            self._refresh(now_s)
        self._mark_s = now_s
        self._telling_s = 0.0

    def after_io_wait(self, timeout: float) -> None:
        """The loop goes on, ``timeout`` seconds after `before_io_wait`, or earlier if something came."""
        now_s = self._now_s()
        late_s = now_s - self._mark_s - timeout
        if late_s > self._fair_s:
            self._look(now_s, late_s, in_step=False)
        elif now_s - self._read_at_s >= self._fresh_s:
            self._refresh(now_s)
        self._mark_s = self.turn_began_s = now_s

    # ------------------------------------------------------------------ what they come to

    def _look(self, now_s: float, passed_s: float, *, in_step: bool) -> None:
        # A mock clock jumps from one deadline to the next, without any step; but then nobody is late.
        overdue_s = -trio.lowlevel.current_statistics().seconds_to_next_deadline
        late_s = min(passed_s, overdue_s)  # a scope may have been given a deadline in the past
        spent, slept_s = self._read()
        cause = classify_lag(passed_s + slept_s, spent, in_step=in_step)
        self._long_turn = (self._mark_s, now_s, cause)
        if late_s + slept_s > self._fair_s:
            # Nobody knows when in a wait the process was stopped: all of it counts as lost, as of a step.
            self._found(now_s, now_s - self._mark_s, late_s + slept_s, cause)

    def _refresh(self, now_s: float) -> None:
        _, slept_s = self._read()
        if slept_s > 0:
            self._found(now_s, 0.0, slept_s, LagCause.SUSPENDED)

    def _found(self, now_s: float, lost_s: float, late_s: float, cause: LagCause) -> None:
        if cause is LagCause.BLOCKED:
            self._lose(now_s, lost_s)
        else:
            self.forgive(now_s, lost_s)
        self._untold.append((now_s, late_s, cause))
        # Observers are called in a task, not here.
        self._token.run_sync_soon(self._tell_all, idempotent=True)

    def _lose(self, now_s: float, lost_s: float) -> None:
        self._gaps.append((max(now_s - lost_s, self._awake_since_s), now_s))
        self._awake_since_s = now_s

    def _tell_all(self) -> None:
        while self._untold:
            began_s = self._now_s()
            self._tell(*self._untold.popleft())
            self._telling_s += self._now_s() - began_s

    def _read(self) -> tuple[Spent, float]:
        """Renew the reading, which costs too much to do it in each turn.

        Returns:
            What was spent since the last; and how long the machine slept, if that was unfair: trio's clock
            need not have counted that.
        """
        self._read_at_s = self._now_s()
        try:
            reading = self._gauges.read()
        except Exception:  # noqa: BLE001 (gauges that break must not take the supervisor's sight away)
            return _UNKNOWN, 0.0
        earlier, self._reading = self._reading, reading
        spent = reading.since(earlier) if earlier is not None else _UNKNOWN
        return spent, spent.suspended_s if spent.suspended_s > self._fair_s else 0.0
