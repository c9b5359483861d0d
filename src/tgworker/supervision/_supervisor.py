"""The supervisor: executes what `_policy` decides and what `_watchdog` finds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import assert_never, final

import trio

from tgworker.supervision._child import Child, ChildState, Kill, Run
from tgworker.supervision._errors import (
    DuplicateChild,
    IntensityExceeded,
    NotSupervising,
    SupervisorFailed,
    UnknownChild,
    Wedged,
)
from tgworker.supervision._events import (
    Announcer,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildQuiet,
    ChildReady,
    ChildStarting,
    ChildWedged,
    OperationExpired,
    RestartScheduled,
    SupervisorEscalated,
    SupervisorStopped,
    SupervisorStopping,
)
from tgworker.supervision._evidence import Dump, is_fatal, one_line, stack_of
from tgworker.supervision._policy import Escalate, History, LeaveEnded, RestartAfter, decide
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._snapshot import Snapshot, SupervisorState, picture
from tgworker.supervision._spec import ChildSpec, Ready, StartFunction, StopOrder, SupervisorSpec, check_child
from tgworker.supervision._verdicts import Ending, Verdict
from tgworker.supervision._watchdog import (
    Alarm,
    CycleTooLong,
    NotReady,
    Quiet,
    Silent,
    judge,
    look_again_at_s,
)


@final
@dataclass(frozen=True, slots=True)
class Tree:
    """What all supervisors of one tree share."""

    rng: Random
    announcer: Announcer
    dump: Dump | None
    on_wedged: Callable[[Wedged], object] | None


@final
class Supervisor:
    """Keeps children alive. Made by `open_supervisor` and `open_nested` only.

    Attributes:
        spec: What it was made from.
        path: Its dotted path, with which the paths of its children begin.
    """

    def __init__(self, spec: SupervisorSpec, path: str, tree: Tree, host: Child | None) -> None:
        self.spec = spec
        self.path = path
        self.tree = tree
        self.host = host
        self.failure: SupervisorFailed | None = None
        self.fatal: list[BaseException] = []
        self.body = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._state = SupervisorState.RUNNING
        self._children: dict[str, Child] = {}
        self._failures_at_s: tuple[float, ...] = ()
        self._alarm = Alarm()
        self._timekeeper = trio.CancelScope(shield=True)
        self._stop_cause: str | None = None
        self._stop_requested = trio.Event()
        self._stopped = trio.Event()
        self._failed = trio.Event()
        self._now_s = trio.lowlevel.current_clock().current_time

    # ------------------------------------------------------------------ for everyone

    def start_child(self, spec: ChildSpec) -> None:
        """Add a child and start it; it is kept alive until `stop_child`.

        A child added at run time is forgotten once it has ended for good.

        Raises:
            DuplicateChild: The id is taken, perhaps by a child that is still stopping.
            SpecError: The supervisor's intensity could not be relied on to trip for it.
            NotSupervising: The supervisor is stopping or has stopped.
        """
        if self._stop_requested.is_set():
            raise NotSupervising(f"{self.path} is {self._state.value} and starts no children")
        if spec.id in self._children:
            raise DuplicateChild(f"{self.path} has a child {spec.id}")
        check_child(self.spec, spec)
        self._start(self._add(spec, dynamic=True))

    async def stop_child(self, child_id: str) -> None:
        """Stop a child, wait until it is dead, and forget it.

        Raises:
            UnknownChild: There is no such child.
            Wedged: It did not end within its budget (the supervisor escalates).

        Cancellation: the child is stopped and forgotten all the same.
        """
        child = self._children.get(child_id)
        if child is None:
            raise UnknownChild(f"{self.path} has no child {child_id}")
        child.dynamic = True  # to be forgotten when it is dead
        self._doom(child, f"{self.path}: stop_child({child_id!r})")
        await child.settled.wait()
        if child.last is not None and child.last.verdict is Verdict.WEDGED:
            raise Wedged(f"{child.path} is wedged", path=child.path, cause=child.last.cause)

    def __contains__(self, child_id: object) -> bool:
        """Whether there is such a child, in whatever state."""
        return child_id in self._children

    def snapshot(self) -> Snapshot:
        """The tree from here down, frozen."""
        now_s = self._now_s()
        return Snapshot(
            path=self.path,
            at_s=now_s,
            state=self._state,
            failure=str(self.failure) if self.failure is not None else None,
            children=tuple(picture(child, now_s) for child in self._children.values()),
        )

    async def wait_ready(self) -> None:
        """Wait until each static child has been ready once, or has ended for good.

        Raises:
            NotSupervising: The supervisor stops before.
        """
        for child in self.spec.children:
            current = self._children.get(child.id)
            if current is not None:
                await current.ready_once.wait()
        if self._stop_requested.is_set():
            raise NotSupervising(f"{self.path} is {self._state.value}: {self._stop_cause}")
        await trio.lowlevel.checkpoint()

    async def wait_failed(self) -> SupervisorFailed:
        """Wait until the supervisor escalates; returns why (as a value). Never returns otherwise.

        The block of `open_supervisor` is cancelled at that moment: to act on the failure wait in another
        task.
        """
        await self._failed.wait()
        assert self.failure is not None
        return self.failure

    async def wait_stopped(self) -> tuple[str, ...]:
        """Wait until all children have been stopped; returns the paths of those that are wedged."""
        await self._stopped.wait()
        return self._orphans()

    # ------------------------------------------------------------------ life, called by `_open`

    def begin(self, nursery: trio.Nursery) -> None:
        """Start the supervisor's own tasks."""
        self._nursery = nursery
        for spec in self.spec.children:
            self._add(spec, dynamic=False)
        nursery.start_soon(self._keep_time, name=f"{self.path} (alarm)")
        nursery.start_soon(self._manage, name=f"{self.path} (supervisor)")

    def request_stop(self, cause: str) -> None:
        """Stop all children, in order; idempotent."""
        if self._stop_cause is None:
            self._stop_cause = cause
            self._stop_requested.set()

    @trio.lowlevel.enable_ki_protection
    async def _manage(self) -> None:
        try:
            await self._start_in_order()
            await self._stop_requested.wait()
        finally:
            self.request_stop("cancelled from outside")
            with trio.CancelScope(shield=True):
                await self._stop_in_order()

    async def _start_in_order(self) -> None:
        for child in tuple(self._children.values()):
            if self._stop_requested.is_set():
                return
            if child.state is ChildState.WAITING:  # else stop_child was faster
                self._start(child)
                if child.spec.start_within_s is not None:
                    await child.first_outcome.wait()

    async def _stop_in_order(self) -> None:
        assert self._stop_cause is not None
        self._state = SupervisorState.STOPPING
        self.tree.announcer.tell(
            SupervisorStopping(path=self.path, at_s=self._now_s(), cause=self._stop_cause)
        )
        children = tuple(reversed(self._children.values()))
        for child in children:
            if child.run is None and child.state is not ChildState.STOPPED:
                self._doom(child, self._stop_cause)  # nothing to wait for: it must only not start again
        for child in children:
            self._doom(child, self._stop_cause)
            if self.spec.stop is StopOrder.REVERSE:
                await child.settled.wait()
        for child in children:
            await child.settled.wait()
        self._timekeeper.cancel(reason=f"{self.path} has stopped")
        self._state = SupervisorState.STOPPED
        orphans = self._orphans()
        self.tree.announcer.tell(SupervisorStopped(path=self.path, at_s=self._now_s(), orphans=orphans))
        self._stopped.set()
        if isinstance(self.failure, Wedged) and orphans:
            if self.host is not None:
                self.host.owner.nested_wedged(self.host, self.failure)
            elif self.tree.on_wedged is not None:
                self.tree.on_wedged(self.failure)

    @trio.lowlevel.enable_ki_protection
    async def _keep_time(self) -> None:
        with self._timekeeper:
            while True:
                await self._alarm.wait()
                # Whatever else wakes up at the same instant goes first, so that ties go to the child: an
                # operation that expires when its cycle does, a beat or a death at the last moment.
                await trio.lowlevel.checkpoint()
                now_s = self._now_s()
                for child in self._alarm.take_due(now_s):
                    self._attend(child, now_s)
                    self._rearm(child)

    # ------------------------------------------------------------------ incarnations

    def _add(self, spec: ChildSpec, *, dynamic: bool) -> Child:
        child = Child(spec, f"{self.path}.{spec.id}", self, dynamic=dynamic)
        self._children[spec.id] = child
        return child

    def _start(self, child: Child) -> None:
        assert child.run is None
        assert self._nursery is not None
        child.become(ChildState.STARTING)
        child.number += 1
        child.restart_at_s = math.inf
        child.run = run = Run(child.number, Pulse(child.path, child.number, child, self._now_s))
        self.tree.announcer.tell(
            ChildStarting(path=child.path, at_s=run.started_at_s, incarnation=run.number)
        )
        run_it = partial(self._run, child, run)
        child.context.run(partial(self._nursery.start_soon, run_it, name=child.path))
        self._rearm(child)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, child: Child, run: Run) -> None:
        error: BaseException | None = None
        try:
            if run.kill is None:  # else it was stopped before its first step
                run.task = trio.lowlevel.current_task()
                if child.spec.ready is Ready.AT_ONCE:
                    self.ready(child, run)
                with run.scope:
                    await _unprotected(child.spec.start, run.pulse, _Readiness(self, child, run))
        except BaseException as raised:  # noqa: BLE001 (each one becomes an ending, and a fatal one is raised again)
            error = raised
        try:
            self._ended(child, run, error)
        finally:
            del error  # a traceback that refers to this frame would be a reference cycle

    def ready(self, child: Child, run: Run) -> None:
        """An incarnation says that it is ready."""
        if child.run is not run or child.state is not ChildState.STARTING:
            return
        child.become(ChildState.READY)
        run.pulse.beat_at_s = run.ready_at_s = now_s = self._now_s()
        child.first_outcome.set()
        child.ready_once.set()
        self.tree.announcer.tell(
            ChildReady(path=child.path, at_s=now_s, incarnation=run.number, after_s=now_s - run.started_at_s)
        )

    def _ended(self, child: Child, run: Run, error: BaseException | None) -> None:
        now_s = self._now_s()
        child.run = None
        child.last = ending = _ending(child, run, error, now_s)
        stable_for_s = run.stable_for_s(now_s)
        self.tree.announcer.tell(ChildEnded(path=child.path, at_s=now_s, ending=ending, error=error))
        if error is not None and is_fatal(error):
            self.fatal.append(error)
            self._abandon(f"{child.path} raised {one_line(error)}")
        if child.doomed or child.state is ChildState.WEDGED or self._stop_requested.is_set():
            self._finish(child)
            return
        decision = decide(
            restart=child.spec.restart,
            backoff=child.spec.backoff,
            intensity=self.spec.intensity,
            verdict=ending.verdict,
            stable_for_s=stable_for_s,
            history=History(child.attempt, self._failures_at_s),
            now_s=now_s,
            rng=self.tree.rng,
        )
        child.attempt = decision.history.attempt
        self._failures_at_s = decision.history.failures_at_s
        match decision:
            case RestartAfter(delay_s=delay_s):
                child.become(ChildState.BACKING_OFF)
                child.restart_at_s = now_s + delay_s
                child.first_outcome.set()
                self.tree.announcer.tell(
                    RestartScheduled(
                        path=child.path,
                        at_s=now_s,
                        incarnation=child.number + 1,
                        attempt=child.attempt,
                        delay_s=delay_s,
                        restart_at_s=child.restart_at_s,
                    )
                )
                self._rearm(child)
            case LeaveEnded():
                self._finish(child)
            case Escalate(failures=failures):
                self._finish(child)
                self._fail(
                    IntensityExceeded(
                        f"{self.path}: {failures} failures within {self.spec.intensity.period_s:g} s,"
                        f" the last of {child.path} ({ending.verdict}: {ending.cause})",
                        path=child.path,
                        cause=ending.cause,
                    ),
                    error,
                )
            case _:
                assert_never(decision)

    def _finish(self, child: Child) -> None:
        child.become(ChildState.STOPPED)
        child.restart_at_s = math.inf
        self._alarm.forget(child)
        if child.dynamic and not self._stop_requested.is_set() and self._children.get(child.spec.id) is child:
            del self._children[child.spec.id]
            self._alarm.tidy(len(self._children))
        verdict = child.last.verdict if child.last is not None else None
        self.tree.announcer.tell(ChildFinished(path=child.path, at_s=self._now_s(), verdict=verdict))
        child.first_outcome.set()
        child.ready_once.set()
        child.settled.set()

    # ------------------------------------------------------------------ looking after the living

    def operation_expired(self, event: OperationExpired) -> None:
        """An operation of a child expired."""
        self.tree.announcer.tell(event)

    def arm(self, child: Child, due_s: float) -> None:
        """Look at the child at ``due_s`` or before."""
        self._alarm.arm(child, due_s)

    def _rearm(self, child: Child) -> None:
        due_s = look_again_at_s(child, self._now_s())
        if due_s < math.inf:
            self._alarm.arm(child, due_s)

    def _attend(self, child: Child, now_s: float) -> None:
        run = child.run
        match child.state:
            case ChildState.BACKING_OFF:
                if child.restart_at_s <= now_s and not self._stop_requested.is_set():
                    self._start(child)
            case ChildState.STOPPING:
                assert run is not None
                assert run.kill is not None
                if run.kill.dead_by_s <= now_s:
                    self._wedge(
                        child, run, f"did not end within {child.spec.stop_within_s:g} s ({run.kill.cause})"
                    )
            case ChildState.STARTING | ChildState.READY:
                assert run is not None
                self._look_at(child, run, now_s)
            case ChildState.WAITING | ChildState.WEDGED | ChildState.STOPPED:
                pass
            case _:
                assert_never(child.state)

    def _look_at(self, child: Child, run: Run, now_s: float) -> None:
        match judge(child, run, now_s):
            case None:
                pass
            case Quiet(since_s=since_s):
                run.evidence_since_s = since_s
                evidence = self._evidence(child, run)
                self.tree.announcer.tell(
                    ChildQuiet(
                        path=child.path,
                        at_s=now_s,
                        incarnation=run.number,
                        quiet_s=now_s - since_s,
                        evidence=evidence,
                    )
                )
            case Silent(limit_s=limit_s):
                self._kill(child, run, Verdict.SILENT, f"no sign of life for {limit_s:g} s")
            case CycleTooLong(limit_s=limit_s):
                self._kill(child, run, Verdict.DEADLINE, f"a cycle took longer than {limit_s:g} s")
            case NotReady(limit_s=limit_s):
                self._kill(child, run, Verdict.START_TIMEOUT, f"not ready within {limit_s:g} s")

    def _evidence(self, child: Child, run: Run) -> str | None:
        if self.tree.dump is None or run.task is None:
            return None
        try:
            return self.tree.dump(child.path, run.task)
        except Exception as error:  # noqa: BLE001 (told to the observers; evidence must never stop a cure)
            self.tree.announcer.tell_failed(self.tree.dump, error, path=child.path, at_s=self._now_s())
            return f"no evidence: the dump raised {type(error).__name__}"

    def _kill(self, child: Child, run: Run, verdict: Verdict, cause: str) -> None:
        evidence = self._evidence(child, run) if verdict is not Verdict.STOPPED else None
        now_s = self._now_s()
        run.kill = Kill(verdict, cause, evidence, now_s + child.spec.stop_within_s)
        run.pulse.cancelled = True
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
        self._rearm(child)

    def _doom(self, child: Child, cause: str) -> None:
        child.doomed = True
        match child.state:
            case ChildState.WAITING | ChildState.BACKING_OFF:
                self._finish(child)
            case ChildState.STARTING | ChildState.READY:
                assert child.run is not None
                self._kill(child, child.run, Verdict.STOPPED, cause)
            case ChildState.STOPPING | ChildState.WEDGED | ChildState.STOPPED:
                pass
            case _:
                assert_never(child.state)

    # ------------------------------------------------------------------ giving up

    def _wedge(self, child: Child, run: Run, cause: str, failure: Wedged | None = None) -> None:
        now_s = self._now_s()
        evidence = self._evidence(child, run)
        child.last = ending = Ending(
            Verdict.WEDGED, cause, run.number, run.started_at_s, now_s, evidence=evidence
        )
        child.become(ChildState.WEDGED)
        child.first_outcome.set()
        self.tree.announcer.tell(ChildWedged(path=child.path, at_s=now_s, ending=ending))
        self._fail(failure or Wedged(f"{child.path} is wedged: {cause}", path=child.path, cause=cause), None)
        child.settled.set()

    def nested_wedged(self, child: Child, failure: Wedged) -> None:
        """The supervisor inside ``child`` has a wedged child, and has stopped the others."""
        if child.run is not None and child.state is not ChildState.WEDGED:
            self._wedge(child, child.run, str(failure), failure)

    def _fail(self, failure: SupervisorFailed, error: BaseException | None) -> None:
        if self.failure is None or (isinstance(failure, Wedged) and not isinstance(self.failure, Wedged)):
            failure.__cause__ = error
            self.failure = failure
            self.tree.announcer.tell(SupervisorEscalated(path=self.path, at_s=self._now_s(), failure=failure))
            self._failed.set()
            self._abandon(str(failure))

    def _abandon(self, cause: str) -> None:
        self.request_stop(cause)
        self.body.cancel(reason=cause)

    def _orphans(self) -> tuple[str, ...]:
        return tuple(child.path for child in self._children.values() if child.state is ChildState.WEDGED)


@final
class _Readiness(trio.TaskStatus[None]):
    """The ``task_status`` of an incarnation."""

    __slots__ = ("_child", "_run", "_said", "_supervisor")

    def __init__(self, supervisor: Supervisor, child: Child, run: Run) -> None:
        self._supervisor = supervisor
        self._child = child
        self._run = run
        self._said = False

    def started(self, value: None = None) -> None:  # noqa: ARG002 (trio's protocol)
        if self._said:
            raise RuntimeError("called 'started' twice on the same task status")
        self._said = True
        self._supervisor.ready(self._child, self._run)


@trio.lowlevel.disable_ki_protection
async def _unprotected(start: StartFunction, pulse: Pulse, task_status: trio.TaskStatus[None]) -> None:
    # A child is the user's code, in which Ctrl-C may strike as anywhere else.
    await start(pulse, task_status=task_status)


def _ending(child: Child, run: Run, error: BaseException | None, now_s: float) -> Ending:
    evidence: str | None = None
    if child.state is ChildState.WEDGED:
        assert child.last is not None
        verdict, cause, evidence = Verdict.WEDGED, child.last.cause, child.last.evidence
    elif run.kill is not None:
        verdict, cause, evidence = run.kill.verdict, run.kill.cause, run.kill.evidence
        if error is not None:
            cause = f"{cause}; while it was being cancelled it raised {one_line(error)}"
    elif error is not None:
        verdict, cause = Verdict.RAISED, one_line(error)
    else:
        verdict, cause = Verdict.RETURNED, "returned"
    stack = stack_of(error) if error is not None else None
    return Ending(verdict, cause, run.number, run.started_at_s, now_s, evidence=evidence, stack=stack)
