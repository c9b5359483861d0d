"""The canary: a child that says how late the event loop runs, and why."""

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import final

import trio

from tgworker.supervision._child import Child
from tgworker.supervision._events import LoopLagged
from tgworker.supervision._lag import Gauges, LagCause, Spent, ThreadGauges, classify
from tgworker.supervision._pulse import Pulse

_FRESH = 8  # times within the limit: how old a reading may be to stand for the start of a lag
_NAME_FOR_S = 300.0  # after a lag that code caused: how long to look for whose steps are long


@final
@dataclass(frozen=True, slots=True)
class LagStatistics:
    """How late the event loop was, as a `Canary` saw it.

    Attributes:
        lag_s: The longest lag of the last full interval, seconds: of all turns, not only of those beyond the
            limit; 0 before the first interval is over.
        worst_s: The longest of all, seconds.
        turns: How often the loop turned.
        lags: How many lags were beyond the limit, for each cause.
        lagged_s: How long they took together, seconds, for each cause. The sums only grow: their growth
            between two moments says what the host or the code has cost meanwhile.
    """

    lag_s: float
    worst_s: float
    turns: int
    lags: dict[LagCause, int]
    lagged_s: dict[LagCause, float]

    def to_dict(self) -> dict[str, object]:
        """As JSON-ready values."""
        return {
            "lag_s": self.lag_s,
            "worst_s": self.worst_s,
            "turns": self.turns,
            "lags": {cause.value: number for cause, number in self.lags.items()},
            "lagged_s": {cause.value: seconds for cause, seconds in self.lagged_s.items()},
        }


@final
class Canary:
    """Says how late the event loop runs: a child, as ``ChildSpec("canary", start=Canary())``.

    It watches every turn of the loop, not samples of them: how long the steps of all tasks took until the
    loop turned again, and how much later than planned the loop came back from waiting for events. A lag
    beyond the limit is told to observers as `LoopLagged`, with its cause (see `classify`), once it is over:
    while the loop is late nobody on it can tell. Time that the observers themselves take to hear of it is
    not measured, or a slow one would be told of itself without end.

    A lag that the host caused, and which is beyond the ``starved_after_s`` of the supervisor above, is
    forgiven there (`Supervisor.forgive`).

    It costs about a microsecond for each turn of the loop. The first lag that code causes makes it look for
    the task whose step took so long, for five minutes, which costs about as much for each step.

    Trio does not say when an event came that the loop was waiting for, so a host that runs the process late
    is noticed while the loop waits for a time; ``every_s`` bounds how long that can be.

    Args:
        limit_s: Which lag is told, seconds, more than 0. Events are at least so far apart, too.
        every_s: The interval of `LagStatistics.lag_s`, and between two beats, seconds on trio's clock.
        gauges: Makes what real time is read from. Called in the loop's thread, once for each incarnation.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        limit_s: float = 0.25,
        *,
        every_s: float = 1.0,
        gauges: Callable[[], Gauges] = ThreadGauges,
    ) -> None:
        if not 0 < limit_s < math.inf:
            raise ValueError("limit_s must be more than 0, and finite")
        if not 0 < every_s < math.inf:
            raise ValueError("every_s must be more than 0, and finite")
        self._limit_s = limit_s
        self._every_s = every_s
        self._gauges = gauges
        self._lag_s = 0.0
        self._worst_s = 0.0
        self._turns = 0
        self._lags = dict.fromkeys(LagCause, 0)
        self._lagged_s = dict.fromkeys(LagCause, 0.0)

    def statistics(self) -> LagStatistics:
        """What was seen so far, in all incarnations."""
        return LagStatistics(self._lag_s, self._worst_s, self._turns, dict(self._lags), dict(self._lagged_s))

    async def __call__(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Watch until cancelled.

        Raises:
            RuntimeError: Trio has switched the watching off, because the gauges raised.
        """
        with closing(self._gauges()) as gauges:
            watch = _TurnWatch(gauges, self._limit_s, trio.lowlevel.current_trio_token())
            trio.lowlevel.add_instrument(watch)
            try:
                task_status.started()
                await self._report(pulse, watch)
            finally:
                for instrument in (watch, watch.steps):
                    if instrument is not None:
                        _remove(instrument)

    async def _report(self, pulse: Pulse, watch: "_TurnWatch") -> None:
        due_s = trio.current_time() + self._every_s
        while True:
            with trio.CancelScope(deadline=due_s):
                await watch.wait()
            while watch.found:
                self._tell(pulse, watch, watch.found.popleft())
            now_s = trio.current_time()
            if watch.steps is not None and now_s >= watch.name_until_s:
                _remove(watch.steps)
                watch.steps = None
            if now_s >= due_s:
                due_s = now_s + self._every_s
                self._take_stock(watch)
                pulse.beat()

    def _take_stock(self, watch: "_TurnWatch") -> None:
        if watch.turns == 0:  # each time that this task is woken, the loop has turned
            raise RuntimeError("trio has switched the canary off, because its gauges raised; see the log")
        self._turns += watch.turns
        self._lag_s = watch.longest_s
        self._worst_s = max(self._worst_s, watch.longest_s)
        watch.turns, watch.longest_s = 0, 0.0

    def _tell(self, pulse: Pulse, watch: "_TurnWatch", lapse: "_Lapse") -> None:
        cause = classify(lapse.lag_s, lapse.spent, in_step=lapse.in_step)
        self._lags[cause] += 1
        self._lagged_s[cause] += lapse.lag_s
        self._worst_s = max(self._worst_s, lapse.lag_s)
        event = LoopLagged(
            path=pulse.path,
            at_s=lapse.at_s,
            lag_s=lapse.lag_s,
            cause=cause,
            in_step=lapse.in_step,
            task=_name_of(lapse.task, pulse.path) if lapse.task is not None else None,
            cpu_s=lapse.spent.cpu_s,
            others_cpu_s=lapse.spent.others_cpu_s,
            queued_s=lapse.spent.queued_s,
            suspended_s=lapse.spent.suspended_s,
        )
        host = pulse.keeper
        if isinstance(host, Child):  # else it runs without a supervisor, which only a test does
            with watch.not_measuring():
                host.owner.tree.announcer.tell(event)
                _forgive(host, event)
        if cause is LagCause.BLOCKED and lapse.in_step:
            watch.name_until_s = lapse.at_s + _NAME_FOR_S
            if watch.steps is None:
                watch.steps = _StepWatch(watch.wall_s)
                trio.lowlevel.add_instrument(watch.steps)


def _forgive(host: Child, event: LoopLagged) -> None:
    crew = host.owner
    if event.cause is LagCause.BLOCKED or event.lag_s <= crew.spec.starved_after_s:
        return
    if crew.tree.starvation.awake_since_s < event.at_s:  # else a supervisor noticed first
        crew.forgive(event.lag_s)


def _remove(instrument: trio.abc.Instrument) -> None:
    with suppress(KeyError):  # trio has removed it, when it raised
        trio.lowlevel.remove_instrument(instrument)


def _name_of(task: trio.lowlevel.Task, canary_path: str) -> str:
    """The path of the child that ``task`` belongs to, and its own name."""
    # The task of an incarnation is named after the child's path, which begins with the root's id.
    root = canary_path.partition(".")[0] + "."
    ancestor: trio.lowlevel.Task | None = task
    while ancestor is not None and not ancestor.name.startswith(root):
        nursery = ancestor.parent_nursery
        ancestor = nursery.parent_task if nursery is not None else None
    if ancestor is None or ancestor is task:
        return task.name
    return f"{ancestor.name}: {task.name}"


@final
@dataclass(frozen=True, slots=True)
class _Lapse:
    """A lag beyond the limit."""

    at_s: float
    lag_s: float
    in_step: bool
    spent: Spent
    task: trio.lowlevel.Task | None


@final
class _TurnWatch(trio.abc.Instrument):
    """Measures each turn of the loop. Trio calls the hooks between the steps of tasks."""

    def __init__(self, gauges: Gauges, limit_s: float, token: trio.lowlevel.TrioToken) -> None:
        self.wall_s = gauges.wall_s
        self.found: deque[_Lapse] = deque()
        self.turns = 0
        self.longest_s = 0.0
        self.steps: _StepWatch | None = None
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
        self.found.append(_Lapse(self._now_s(), lag_s, in_step, spent, task))
        # Not by the event itself: the loop has already decided how long to wait now.
        self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        self._news.set()


@final
class _StepWatch(trio.abc.Instrument):
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
