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
from tgworker.supervision._child import Child, ChildState, Kill, Run
from tgworker.supervision._errors import IntensityExceeded, SupervisorFailed, Wedged
from tgworker.supervision._events import (
    Announcer,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildStarting,
    ChildWedged,
    OperationExpired,
    RestartScheduled,
)
from tgworker.supervision._evidence import Dump, is_fatal
from tgworker.supervision._incarnation import ending_of, live
from tgworker.supervision._policy import Decision, Escalate, History, LeaveEnded, RestartAfter, decide
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._spec import ChildSpec, Ready, SupervisorSpec
from tgworker.supervision._verdicts import Ending, Verdict
from tgworker.supervision._watchdog import look_again_at_s


@final
@dataclass(frozen=True, slots=True)
class Tree:
    """What all supervisors of one tree share."""

    rng: Random
    announcer: Announcer
    dump: Dump | None
    on_wedged: Callable[[Wedged], object] | None


class Superior(Protocol):
    """Who is told when the crew cannot help itself."""

    def escalate(self, failure: SupervisorFailed) -> None:
        """Restarting does not help, or a child is wedged."""
        ...

    def collapse(self, error: BaseException, cause: str) -> None:
        """A child raised something that concerns the whole process."""
        ...


@final
class Crew:
    """The children of one supervisor.

    Attributes:
        children: By id, in the order in which they were added.
        closing: The supervisor stops: whatever ends now is not started again.
    """

    def __init__(self, spec: SupervisorSpec, path: str, tree: Tree, superior: Superior) -> None:
        self.spec = spec
        self.path = path
        self.tree = tree
        self.alarm = Alarm()
        self.children: dict[str, Child] = {}
        self.closing = False
        self.nursery: trio.Nursery | None = None
        self.now_s = trio.lowlevel.current_clock().current_time
        self._superior = superior
        self._failures_at_s: tuple[float, ...] = ()
        self._order = count()

    def add(self, spec: ChildSpec, *, dynamic: bool) -> Child:
        """Take a child in; it is not started yet."""
        child = Child(spec, f"{self.path}.{spec.id}", self, dynamic=dynamic)
        self.children[spec.id] = child
        return child

    def orphans(self) -> tuple[str, ...]:
        """Paths of children that were to be stopped and live on."""
        return tuple(child.path for child in self.children.values() if child.state is ChildState.WEDGED)

    # ------------------------------------------------------------------ one incarnation

    def start(self, child: Child) -> None:
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
        child.first_outcome.set()
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
        child.attempt = decision.history.attempt
        self._failures_at_s = decision.history.failures_at_s
        match decision:
            case RestartAfter(delay_s=delay_s):
                child.become(ChildState.BACKING_OFF)
                child.restart_at_s = now_s + delay_s
                child.last = replace(ending, attempt=child.attempt, delay_s=delay_s)
            case LeaveEnded() | Escalate():
                child.become(ChildState.STOPPED)
                child.last = ending
            case _:
                assert_never(decision)
        self.tree.announcer.tell(ChildEnded(path=child.path, at_s=now_s, ending=child.last, error=error))
        if isinstance(decision, RestartAfter):
            self._schedule(child, now_s, decision)
        else:
            self._finish(child)
        if isinstance(decision, Escalate):
            failure = self._too_intense(child, ending, decision)
            failure.__cause__ = error
            self._superior.escalate(failure)
        if error is not None and fatal:
            self._superior.collapse(error, f"{child.path} raised {ending.cause}")

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
        )

    def _schedule(self, child: Child, now_s: float, decision: RestartAfter) -> None:
        child.first_outcome.set()
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

    def _finish(self, child: Child) -> None:
        child.restart_at_s = math.inf
        self.alarm.forget(child)
        if child.dynamic and not self.closing:
            del self.children[child.spec.id]
        verdict = child.last.verdict if child.last is not None else None
        self.tree.announcer.tell(ChildFinished(path=child.path, at_s=self.now_s(), verdict=verdict))
        child.first_outcome.set()
        child.ready_once.set()
        child.settled.set()

    # ------------------------------------------------------------------ ending them

    def doom(self, child: Child, cause: str) -> None:
        """Have the child end for good; `Child.settled` says when it has."""
        child.doomed = True
        match child.state:
            case ChildState.WAITING | ChildState.BACKING_OFF:
                child.become(ChildState.STOPPED)
                self._finish(child)
            case ChildState.STARTING | ChildState.READY:
                assert child.run is not None
                self.kill(child, child.run, Verdict.STOPPED, cause)
            case ChildState.STOPPING | ChildState.WEDGED | ChildState.STOPPED:
                pass
            case _:
                assert_never(child.state)

    def kill(self, child: Child, run: Run, verdict: Verdict, cause: str) -> None:
        """Cancel an incarnation, with evidence unless it is only asked to stop."""
        evidence = self.evidence(child, run) if verdict is not Verdict.STOPPED else None
        now_s = self.now_s()
        run.kill = Kill(verdict, cause, evidence, now_s + child.spec.stop_within_s)
        child.become(ChildState.STOPPING)
        self.tree.announcer.tell(
            ChildCancelled(
                path=child.path,
                at_s=now_s,
                incarnation=run.number,
                verdict=verdict,
                cause=cause,
                evidence=evidence,
                stop_within_s=child.spec.stop_within_s,
            )
        )
        run.scope.cancel(reason=f"{child.path}: {verdict}: {cause}")
        self.rearm(child)

    def wedge(self, child: Child, run: Run, cause: str) -> None:
        """Declare that a cancelled incarnation does not end."""
        self._wedge(
            child, run, cause, Wedged(f"{child.path} is wedged: {cause}", path=child.path, cause=cause)
        )

    def nested_wedged(self, child: Child, failure: Wedged) -> None:
        """The supervisor inside ``child`` has a wedged child, and has stopped the others."""
        if child.run is not None and child.state is not ChildState.WEDGED:
            self._wedge(child, child.run, str(failure), failure)

    def nested_stopped(self, child: Child) -> None:
        """The supervisor inside ``child`` has stopped its children: the budget of ``child`` itself begins."""
        child.sheltering = False
        if child.run is not None and child.run.kill is not None:
            dead_by_s = self.now_s() + child.spec.stop_within_s
            child.run.kill = replace(child.run.kill, dead_by_s=dead_by_s)
            self.rearm(child)

    def _wedge(self, child: Child, run: Run, cause: str, failure: Wedged) -> None:
        now_s = self.now_s()
        evidence = self.evidence(child, run)
        child.last = Ending(Verdict.WEDGED, cause, run.number, run.started_at_s, now_s, evidence=evidence)
        child.become(ChildState.WEDGED)
        self.tree.announcer.tell(ChildWedged(path=child.path, at_s=now_s, ending=child.last))
        self._superior.escalate(failure)
        child.first_outcome.set()
        child.ready_once.set()
        child.settled.set()

    def evidence(self, child: Child, run: Run) -> str | None:
        """What the injected dump says of an incarnation."""
        if self.tree.dump is None or run.task is None:
            return None
        try:
            return self.tree.dump(child.path, run.task)
        except Exception as error:  # noqa: BLE001 (told to the observers; evidence must never stop a cure)
            self.tree.announcer.tell_failed(self.tree.dump, error, path=child.path, at_s=self.now_s())
            return f"no evidence: the dump raised {type(error).__name__}"

    # ------------------------------------------------------------------ what children need

    def operation_expired(self, event: OperationExpired) -> None:
        """An operation of a child expired."""
        self.tree.announcer.tell(event)

    def rearm(self, child: Child) -> None:
        """Look at the child when something can next be due for it."""
        due_s = look_again_at_s(child, self.now_s())
        if due_s < math.inf:
            self.alarm.arm(child, due_s)
