"""For tests and demonstrations of supervised services: recorder, scripted children, saboteur, a stopped host.

Works with any test framework, and on a mock clock (`trio.testing.MockClock`) to the exact second.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, assert_never, final

import trio

from tgworker.supervision._events import Event, OperationExpired
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._spec import ChildSpec

if TYPE_CHECKING:
    from trio.testing import MockClock

EventT = TypeVar("EventT", bound=Event)


@final
class EventRecorder:
    """An observer that keeps everything, and can be waited on.

    Attributes:
        events: Everything told so far, the oldest first.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = trio.Event()

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
        self._news.set()
        self._news = trio.Event()

    def of(self, kind: type[EventT], path: str | None = None) -> list[EventT]:
        """The events of one class (and of one path, if given), the oldest first."""
        return [event for event in self.events if isinstance(event, kind) and path in (None, event.path)]

    async def wait_for(self, kind: type[EventT], path: str | None = None, *, count: int = 1) -> EventT:
        """Wait until ``count`` events of the class (and path) have been told, in all; returns that one."""
        found = read = 0
        while True:
            while read < len(self.events):
                event = self.events[read]
                read += 1
                if isinstance(event, kind) and path in (None, event.path):
                    found += 1
                    if found == count:
                        return event
            await self._news.wait()


# ---------------------------------------------------------------- scripted children


@final
@dataclass(frozen=True, slots=True)
class Runs:
    """Run well for ever, with a beat every ``beat_every_s`` seconds."""

    beat_every_s: float = 1.0


@final
@dataclass(frozen=True, slots=True)
class Returns:
    """Return after ``after_s`` seconds."""

    after_s: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Raises:
    """Raise ``error`` after ``after_s`` seconds."""

    error: BaseException
    after_s: float = 0.0


@final
@dataclass(frozen=True, slots=True)
class Hangs:
    """Wait for ever, without a beat."""


@final
@dataclass(frozen=True, slots=True)
class Lingers:
    """Run for ever, without a beat, and take ``for_s`` seconds to end once cancelled."""

    for_s: float


@final
@dataclass(frozen=True, slots=True)
class RefusesToDie:
    """Wait, without a beat and whatever is cancelled, until ``release`` is set."""

    release: trio.Event


Act = Runs | Returns | Raises | Hangs | Lingers | RefusesToDie


@final
class ScriptedChild:
    """A child that plays one act in each incarnation; the last act is repeated.

    Use it as ``ChildSpec("name", start=ScriptedChild(Raises(OSError()), Runs()))``.

    Args:
        acts: At least one.
        ready_after_s: Seconds from the start of each incarnation to ``task_status.started()``; `math.inf`:
            never.

    Attributes:
        started_at_s: When each incarnation took its first step, trio's clock.
        ended_at_s: When each took its last.
        running: How many run now. More than one is a bug of the supervisor.
        most_running: The largest number that ran at once.
    """

    def __init__(self, *acts: Act, ready_after_s: float = 0.0) -> None:
        if not acts:
            raise ValueError("a scripted child needs at least one act")
        self._acts = acts
        self._ready_after_s = ready_after_s
        self.started_at_s: list[float] = []
        self.ended_at_s: list[float] = []
        self.running = 0
        self.most_running = 0

    async def __call__(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Play the next act."""
        act = self._acts[min(len(self.started_at_s), len(self._acts) - 1)]
        self.started_at_s.append(trio.current_time())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._ready_after_s > 0:
                await trio.sleep(self._ready_after_s)
            task_status.started()
            await _play(act, pulse)
        finally:
            self.running -= 1
            self.ended_at_s.append(trio.current_time())


async def _play(act: Act, pulse: Pulse) -> None:
    match act:
        case Runs(beat_every_s=beat_every_s):
            while True:
                pulse.beat()
                await trio.sleep(beat_every_s)
        case Returns(after_s=after_s):
            await trio.sleep(after_s)
        case Raises(error=error, after_s=after_s):
            await trio.sleep(after_s)
            raise error
        case Hangs():
            await trio.sleep_forever()
        case Lingers(for_s=for_s):
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(for_s)
        case RefusesToDie(release=release):
            with trio.CancelScope(shield=True):
                await release.wait()
        case _:
            assert_never(act)


# ---------------------------------------------------------------- a pulse without a supervisor


@final
class _NobodyWatches:
    def __init__(self, observer: Callable[[Event], object] | None) -> None:
        self._observer = observer

    def operation_expired(self, event: OperationExpired) -> None:
        if self._observer is not None:
            self._observer(event)

    def sooner(self, due_s: float) -> None:
        pass


def lone_pulse(path: str = "lone", observer: Callable[[Event], object] | None = None) -> Pulse:
    """A pulse for calling a child's code directly: deadlines work, nobody watches for silence or cycles.

    Call it inside `trio.run`.

    Args:
        path: What it calls itself.
        observer: Told when an operation expires.
    """
    return Pulse(path, 1, _NobodyWatches(observer), trio.lowlevel.current_clock().current_time)


# ---------------------------------------------------------------- sabotage


@final
class _Hang:
    """Fault: stop beating and never return."""


@final
class _Victim:
    """One running incarnation, and what is to be done to it."""

    def __init__(self) -> None:
        self.work = trio.CancelScope()
        self.fault: BaseException | _Hang | None = None


@final
class Saboteur:
    """Makes running children hang or crash on command, without their cooperation.

    ``saboteur.wrap(spec)`` is the child to give to the supervisor; commands name it by its path.
    """

    def __init__(self) -> None:
        self._victims: dict[str, _Victim] = {}

    def wrap(self, spec: ChildSpec) -> ChildSpec:
        """The same child, within reach of the saboteur."""

        async def sabotaged(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
            victim = self._victims[pulse.path] = _Victim()
            try:
                with victim.work:
                    await spec.start(pulse, task_status=task_status)
                match victim.fault:
                    case None:
                        pass
                    case _Hang():
                        await trio.sleep_forever()
                    case error:
                        raise error
            finally:
                del self._victims[pulse.path]

        return replace(spec, start=sabotaged)

    def is_running(self, path: str) -> bool:
        """Whether an incarnation of the child runs that nothing was done to yet."""
        victim = self._victims.get(path)
        return victim is not None and victim.fault is None

    def hang(self, path: str) -> None:
        """Make the child give no more sign of life and never return: an await without end, seen from outside.

        Its work is cancelled, and its task sleeps until the supervisor cancels it.

        Raises:
            LookupError: No incarnation of it is running, or something was done to it already.
        """
        self._harm(path, _Hang())

    def crash(self, path: str, error: BaseException) -> None:
        """Make the child raise ``error``, after its work was cancelled.

        Raises:
            LookupError: No incarnation of it is running, or something was done to it already.
        """
        self._harm(path, error)

    def _harm(self, path: str, fault: BaseException | _Hang) -> None:
        victim = self._victims.get(path)
        if victim is None or victim.fault is not None:
            raise LookupError(f"{path} is not running (or was sabotaged already)")
        victim.fault = fault
        victim.work.cancel(reason=f"sabotage of {path}")


# ---------------------------------------------------------------- a host that stops


@final
class _Stop(trio.abc.Instrument):
    def __init__(self, clock: "MockClock", seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 (trio's signature)
        self._clock.jump(self._seconds)
        trio.lowlevel.remove_instrument(self)


async def stop_the_host(clock: "MockClock", seconds: float) -> None:
    """Let time pass in which the host does not run the process, as between SIGSTOP and SIGCONT.

    It passes between two turns of the event loop. (``clock.jump`` in a step of a task is something else: that
    is code which blocks the loop.) Returns in the turn in which everybody else wakes up as well.

    Args:
        clock: The clock of the test.
        seconds: How long, in virtual seconds.
    """
    trio.lowlevel.add_instrument(_Stop(clock, seconds))
    await trio.lowlevel.checkpoint()
