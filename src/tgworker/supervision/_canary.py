"""The canary: a child that says how late the event loop runs, and why."""

import math
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import final

import trio

from tgworker.supervision._child import Child
from tgworker.supervision._events import LoopLagged
from tgworker.supervision._lag import Gauges, LagCause, ThreadGauges, classify_lag
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._turns import Lapse, StepWatch, TurnWatch

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
    beyond the limit is told to observers as `LoopLagged`, with its cause (see `classify_lag`), once it is
    over: while the loop is late nobody on it can tell. Time that the observers themselves take to hear of it
    is not measured, or a slow one would be told of itself without end.

    It tells, and decides nothing: that no child is blamed for what the host did is seen to by the supervisor
    itself (see ``starved_after_s`` of `SupervisorSpec`). But it makes the loop turn every ``every_s``, so
    that no gap longer than that goes unnoticed.

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
            watch = TurnWatch(gauges, self._limit_s, trio.lowlevel.current_trio_token())
            trio.lowlevel.add_instrument(watch)
            try:
                task_status.started()
                await self._report(pulse, watch)
            finally:
                for instrument in (watch, watch.steps):
                    if instrument is not None:
                        _remove(instrument)

    async def _report(self, pulse: Pulse, watch: TurnWatch) -> None:
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

    def _take_stock(self, watch: TurnWatch) -> None:
        if watch.turns == 0:  # each time that this task is woken, the loop has turned
            raise RuntimeError("trio has switched the canary off, because its gauges raised; see the log")
        self._turns += watch.turns
        self._lag_s = watch.longest_s
        self._worst_s = max(self._worst_s, watch.longest_s)
        watch.turns, watch.longest_s = 0, 0.0

    def _tell(self, pulse: Pulse, watch: TurnWatch, lapse: Lapse) -> None:
        cause = classify_lag(lapse.lag_s, lapse.spent, in_step=lapse.in_step)
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
        if cause is LagCause.BLOCKED and lapse.in_step:
            watch.name_until_s = lapse.at_s + _NAME_FOR_S
            if watch.steps is None:
                watch.steps = StepWatch(watch.wall_s)
                trio.lowlevel.add_instrument(watch.steps)


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
