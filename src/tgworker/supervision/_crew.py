"""The children of one supervisor: each from start to end, and what follows."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from random import Random
from typing import Protocol, assert_never, final

import trio

from tgworker.supervision._alarm import Alarm
from tgworker.supervision._child import Child, ChildState, Run
from tgworker.supervision._errors import IntensityExceeded, SupervisorFailed, Wedged
from tgworker.supervision._events import (
    Announcer,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildStarting,
    LoopStarved,
    OperationExpired,
    RestartScheduled,
)
from tgworker.supervision._evidence import Dump, is_fatal
from tgworker.supervision._incarnation import ending_of, live
from tgworker.supervision._lag import LagCause
from tgworker.supervision._lineup import Lineup
from tgworker.supervision._policy import (
    Decision,
    Escalate,
    History,
    LeaveEnded,
    Rejoin,
    RestartAfter,
    decide,
    shuts_down,
)
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._reaper import Reaper
from tgworker.supervision._spec import ChildSpec, Ready, Strategy, SupervisorSpec
from tgworker.supervision._starvation import Starvation
from tgworker.supervision._verdicts import Ending
from tgworker.supervision._watchdog import look_again_at_s


@final
@dataclass(frozen=True, slots=True)
class Tree:
    """What all supervisors of one tree share."""

    rng: Random
    announcer: Announcer
    dump: Dump | None
    on_wedged: Callable[[Wedged], object] | None
    starvation: Starvation


class Superior(Protocol):
    """Who is told when the crew cannot help itself."""

    def escalate(self, failure: SupervisorFailed) -> None:
        """Restarting does not help, or a child is wedged."""
        ...

    def collapse(self, error: BaseException, cause: str) -> None:
        """A child raised something that concerns the whole process."""
        ...

    def retire(self, cause: str) -> None:
        """The significant children have ended: there is nothing left to do."""
        ...


@final
class Crew:
    """The children of one supervisor.

    Attributes:
        children: By id, in the order in which they were added.
        lineup: In which order they start and restart.
        reaper: How they are made to end.
        superior: Who is told when the crew cannot help itself.
        closing: The supervisor stops: whatever ends now is not started again.
    """

    def __init__(self, spec: SupervisorSpec, path: str, tree: Tree, superior: Superior) -> None:
        self.spec = spec
        self.path = path
        self.tree = tree
        self.superior = superior
        self.alarm = Alarm()
        self.reaper = Reaper(self)
        self.lineup = Lineup(self)
        self.children: dict[str, Child] = {}
        self.closing = False
        self.nursery: trio.Nursery | None = None
        self.now_s = trio.lowlevel.current_clock().current_time
        self._failures_at_s: tuple[float, ...] = ()
        self._significant_left = 0
        self._order = count()

    def add(self, spec: ChildSpec, *, dynamic: bool) -> Child:
        """Take a child in; it is not started yet."""
        child = Child(spec, f"{self.path}.{spec.id}", self, dynamic=dynamic)
        self.children[spec.id] = child
        self._significant_left += spec.significant
        return child

    def orphans(self) -> tuple[str, ...]:
        """Paths of children that were to be stopped and live on."""
        return tuple(child.path for child in self.children.values() if child.state is ChildState.WEDGED)

    # ------------------------------------------------------------------ one incarnation

    def start(self, child: Child) -> Run:
        """Start a new incarnation. The one before is dead: only then can the child be in a state to start."""
        assert child.run is None
        assert self.nursery is not None
        child.become(ChildState.STARTING)
        if child.number == 0:
            child.order = next(self._order)
        child.number += 1
        child.restart_at_s = math.inf
        child.run = run = Run(child.number, Pulse(child.path, child.number, child, self.now_s))
        self.tree.announcer.tell(
            ChildStarting(path=child.path, at_s=run.started_at_s, incarnation=run.number)
        )
        run_it = partial(self._run, child, run)
        child.context.run(partial(self.nursery.start_soon, run_it, name=child.path))
        self.rearm(child)
        return run

    @trio.lowlevel.enable_ki_protection
    async def _run(self, child: Child, run: Run) -> None:
        error: BaseException | None = None
        if run.kill is None:  # else it was stopped before its first step
            run.task = trio.lowlevel.current_task()
            if child.spec.ready is Ready.AT_ONCE:
                self._ready(child, run)
            error = await live(child.spec.start, run, partial(self._ready, child, run))
        try:
            self._ended(child, run, error)
        finally:
            del error  # a traceback that refers to this frame would be a reference cycle

    def _ready(self, child: Child, run: Run) -> None:
        if child.run is not run or child.state is not ChildState.STARTING:
            return
        child.become(ChildState.READY)
        run.pulse.beat_at_s = run.ready_at_s = now_s = self.now_s()
        run.outcome.set()
        child.ready_once.set()
        self.tree.announcer.tell(
            ChildReady(path=child.path, at_s=now_s, incarnation=run.number, after_s=now_s - run.started_at_s)
        )

    def _ended(self, child: Child, run: Run, error: BaseException | None) -> None:
        now_s = self.now_s()
        ending = ending_of(child, run, error, now_s)
        fatal = error is not None and is_fatal(error)
        decision = self._decide(child, run, ending, over=fatal)
        child.run = None
        run.outcome.set()
        run.over.set()
        child.attempt = decision.history.attempt
        self._failures_at_s = decision.history.failures_at_s
        match decision:
            case RestartAfter(delay_s=delay_s):
                child.become(ChildState.BACKING_OFF)
                child.restart_at_s = now_s + delay_s
                child.last = replace(ending, attempt=child.attempt, delay_s=delay_s)
            case Rejoin():
                child.become(ChildState.WAITING)
                child.last = ending
            case LeaveEnded() | Escalate():
                child.become(ChildState.STOPPED)
                child.last = ending
            case _:
                assert_never(decision)
        self.tree.announcer.tell(ChildEnded(path=child.path, at_s=now_s, ending=child.last, error=error))
        match decision:
            case RestartAfter():
                self._schedule(child, now_s, decision)
                self.lineup.disturb(child, ending)
            case Rejoin():
                pass  # the lineup waits for it
            case LeaveEnded():
                self.finish(child)
                if not fatal:
                    self._retire_after(child, ending)
            case Escalate():
                self.finish(child)
                failure = self._too_intense(child, ending, decision)
                failure.__cause__ = error
                self.superior.escalate(failure)
            case _:
                assert_never(decision)
        if error is not None and fatal:
            self.superior.collapse(error, f"{child.path} raised {ending.cause}")

    def _decide(self, child: Child, run: Run, ending: Ending, *, over: bool) -> Decision:
        history = History(child.attempt, self._failures_at_s)
        if over or child.doomed or self.closing or child.state is ChildState.WEDGED:
            return LeaveEnded(history)
        return decide(
            restart=child.spec.restart,
            backoff=child.spec.backoff,
            intensity=self.spec.intensity,
            verdict=ending.verdict,
            stable_for_s=run.stable_for_s(ending.ended_at_s),
            history=history,
            now_s=ending.ended_at_s,
            rng=self.tree.rng,
            set_aside=run.set_aside,
            starved=self.tree.starvation.excuses(ending.ended_at_s),
        )

    def _schedule(self, child: Child, now_s: float, decision: RestartAfter) -> None:
        self.tree.announcer.tell(
            RestartScheduled(
                path=child.path,
                at_s=now_s,
                incarnation=child.number + 1,
                attempt=child.attempt,
                delay_s=decision.delay_s,
                restart_at_s=child.restart_at_s,
            )
        )
        self.rearm(child)

    def _too_intense(self, child: Child, ending: Ending, decision: Escalate) -> IntensityExceeded:
        return IntensityExceeded(
            f"{self.path}: {decision.failures} failures within {self.spec.intensity.period_s:g} s, the last"
            f" of {child.path} ({ending.verdict}: {ending.cause})",
            path=child.path,
            cause=ending.cause,
        )

    def _retire_after(self, child: Child, ending: Ending) -> None:
        if child.doomed or self.closing or not child.spec.significant:
            return
        left = self._significant_left
        if shuts_down(self.spec.auto_shutdown, verdict=ending.verdict, significant_left=left):
            self.superior.retire(f"its significant child {child.path} has ended ({ending.verdict})")

    def finish(self, child: Child) -> None:
        """The child is dead for good."""
        child.restart_at_s = math.inf
        self._significant_left -= child.spec.significant
        self.alarm.forget(child)
        if child.dynamic and not self.closing:
            del self.children[child.spec.id]
        verdict = child.last.verdict if child.last is not None else None
        self.tree.announcer.tell(ChildFinished(path=child.path, at_s=self.now_s(), verdict=verdict))
        child.ready_once.set()
        child.settled.set()
        self.lineup.news()

    def backoff_is_over(self, child: Child) -> None:
        """Start a new incarnation, or let the child wait for its turn among its siblings."""
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            self.start(child)
        else:
            child.restart_at_s = math.inf
            child.become(ChildState.WAITING)
            self.lineup.news()

    # ------------------------------------------------------------------ what children need

    def operation_expired(self, event: OperationExpired) -> None:
        """An operation of a child expired."""
        self.tree.announcer.tell(event)

    def rearm(self, child: Child) -> None:
        """Look at the child when something can next be due for it."""
        due_s = look_again_at_s(child, self.now_s(), self.tree.starvation.lost_s)
        if due_s < math.inf:
            self.alarm.arm(child, due_s)

    def forgive(self, late_s: float) -> None:
        """Somebody else found out that the host did not run the process."""
        now_s = self.now_s()
        self.tree.starvation.forgive(now_s, late_s)
        self.tree.announcer.tell(
            LoopStarved(path=self.path, at_s=now_s, late_s=late_s, cause=LagCause.STARVED)
        )
