"""What the guard does with its worker, and when: pure. No process, no signal, no clock.

::

    GONE      no worker; the next one is forked at a known time
    ALIVE     it runs; its silence is measured
    ABORTING  it was told to write its stacks and to end; killed if it does not
    KILLING   it was killed; the kernel is about to say so

What happens is told by the methods, each with the time at which it happened; what is to be done comes out of
`Course.due`, which is asked whenever something happened, and at `Course.next_s`.
"""

import math
import signal
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final, final

from tgworker.messaging.models import WorkerStatus
from tgworker.supervision import (
    Backoff,
    Escalate,
    History,
    Intensity,
    Restart,
    RestartAfter,
    Verdict,
    decide,
)

EXIT_GAVE_UP = 70
"""The guard gave up, where it was told to (``TGWORKER_GIVE_UP=1``)."""
EXIT_RESTART_ME = 75
"""The worker asks for a new process: wedged, or recycled."""
REPEAT_S: Final = 0.5
"""A request to stop that comes again so soon is the same one."""
FINAL_EXITS = frozenset({0, 2, 3})
"""Exits that end the guard, too: a stop, a configuration, a schema. No new process cures those."""
MOMENT_S: Final = 1.0
"""What a worker has at least, seconds, once the guard was late: a beat comes this often at least."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """How patient the guard is.

    Attributes:
        freeze_after_s: Silence of the worker's event loop after which it is taken for frozen, seconds.
        stacks_s: What a frozen worker has for writing its stacks before it is killed, seconds.
        stop_s: What a worker has for an orderly stop, seconds; more than the worker's own budget, so that
            the worker can say what did not stop.
        backoff: Between two workers.
        intensity: How many ends of workers are put up with before the guard shows ``failed``.
        give_up: Whether it then ends, instead of trying again at the longest backoff.
    """

    freeze_after_s: float = 10.0
    stacks_s: float = 1.0
    stop_s: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)
    intensity: Intensity = field(default_factory=lambda: Intensity(5, 300))
    give_up: bool = False


@final
class Phase(Enum):
    """What there is of a worker."""

    GONE = "gone"
    ALIVE = "alive"
    ABORTING = "aborting"
    KILLING = "killing"


@final
class Act(Enum):
    """What the guard is to do now."""

    FORK = "fork"
    """Start a worker."""
    TERMINATE = "terminate"
    """SIGTERM: stop in order."""
    ABORT = "abort"
    """SIGABRT for the stacks, then SIGCONT: a process that is stopped takes nothing else."""
    KILL = "kill"
    """SIGKILL."""
    EXIT = "exit"
    """End, with `Course.exit_code`."""


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: Its exit code; ``None`` if a signal ended it, or if it never began.
        signal: The signal's number, if one did.
    """

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        return f"exit code {self.code}" if self.signal is None else f"signal {self.signal}"


_STOPPED: Final = (Exit(code=0), Exit(signal=signal.SIGTERM))
"""How a worker ends that was told to stop: the latter before it has any handlers."""


@final
class Course:
    """The course of workers under one guard.

    Args:
        limits: How patient the guard is.
        rng: Gives the jitter of the backoff.
        now_s: The guard's clock now, seconds: monotonic.

    Attributes:
        phase: What there is of a worker.
        frozen: The worker is, or was at its end, taken for frozen.
        failed: The budget is spent; what follows are tries at the longest backoff.
        stopping: The guard was told to stop.
        exit_code: What the guard ends with, once `Act.EXIT` is due.
        restart_at_s: When the next worker is due, while there is none.
        restarts: How many workers followed the first one.
    """

    def __init__(self, limits: GuardLimits, *, rng: Random, now_s: float) -> None:
        self.limits = limits
        self.phase = Phase.GONE
        self.frozen = self.failed = self.stopping = False
        self.exit_code: int | None = None
        self.restart_at_s = now_s
        self.restarts = -1
        self._rng = rng
        self._attempt = 0
        self._failures_at_s: tuple[float, ...] = ()
        self._urgent_at_s = -math.inf
        self._alive_since_s: float | None = None
        self._silent_at_s = math.inf
        self._next_signal_at_s = math.inf
        self._stopping_since_s = math.inf
        self._terminate = self._renewing = False

    # ---------------------------------------------------------------- what happened

    def heard(self, now_s: float, *, quiet_for_s: float = 0.0) -> None:
        """The worker's loop turned.

        Args:
            now_s: When that was heard.
            quiet_for_s: It announced that it will not turn for so long.
        """
        if self.phase is Phase.ALIVE:
            self._silent_at_s = now_s + quiet_for_s + self.limits.freeze_after_s
            if self._alive_since_s is None:
                self._alive_since_s = now_s

    def starved(self, now_s: float, late_s: float) -> None:
        """The guard itself woke up late: in that time the worker's silence said nothing.

        Whatever stopped the guard (a suspended machine, SIGSTOP) may have stopped the worker a little
        earlier, and let it go on a little later: it has a moment to show itself.
        """
        moment_s = min(MOMENT_S, self.limits.freeze_after_s)
        self._silent_at_s = max(self._silent_at_s + late_s, now_s + moment_s)

    def stop(self, now_s: float) -> bool:
        """The guard was told to stop; returns whether at once, which a second time means.

        Within `REPEAT_S` it is the same request once more: timeout(1) signals a process, and then its group.
        """
        first, self.stopping = not self.stopping, True
        if first:
            self._stopping_since_s = now_s
        at_once = now_s >= self._stopping_since_s + REPEAT_S
        match self.phase:
            case Phase.GONE:
                self.exit_code = 0
            case Phase.ALIVE if at_once:
                self._next_signal_at_s = now_s
                self.phase = Phase.ABORTING  # past the stacks: nothing is wrong
            case Phase.ALIVE if first:
                self._terminate = True
                self._next_signal_at_s = now_s + self.limits.stop_s
            case Phase.ABORTING if at_once:
                self._next_signal_at_s = now_s
            case _:
                pass
        return at_once

    def renew(self) -> None:
        """The worker will ask for a new process because it was told to: that is no failure."""
        self._renewing = True

    def ended(self, now_s: float, how: Exit) -> bool:
        """The worker is dead; returns whether it ended as it was told to, or as no new process could cure."""
        since_s, self._alive_since_s = self._alive_since_s, None
        renewing, self._renewing = self._renewing and how.code == EXIT_RESTART_ME, False
        self.phase = Phase.GONE
        self._silent_at_s = self._next_signal_at_s = math.inf
        self._terminate = False
        if self.stopping:
            self.exit_code = 0
            return not self.frozen and how in _STOPPED
        if how.code in FINAL_EXITS and not self.frozen:
            self.exit_code = how.code
            return True
        if renewing:
            self.restart_at_s = now_s
            return True
        stable_for_s = now_s - since_s if since_s is not None else 0.0
        self._restart(now_s, stable_for_s, urgent=self.frozen or how.code == EXIT_RESTART_ME)
        return False

    def _restart(self, now_s: float, stable_for_s: float, *, urgent: bool) -> None:
        """Decide when the next worker starts: supervision's policy, as for any child.

        A worker that was frozen, or that asked for a new process, is replaced at once, the first time within
        the period.
        """
        limits = self.limits
        decision = decide(
            restart=Restart.PERMANENT,
            backoff=limits.backoff,
            intensity=limits.intensity,
            verdict=Verdict.SILENT if self.frozen else Verdict.RAISED,
            stable_for_s=stable_for_s,
            history=History(self._attempt, self._failures_at_s),
            now_s=now_s,
            rng=self._rng,
        )
        self._attempt = decision.history.attempt
        self._failures_at_s = decision.history.failures_at_s
        self.failed = isinstance(decision, Escalate)
        if self.failed and limits.give_up:
            self.exit_code = EXIT_GAVE_UP
        elif not isinstance(decision, RestartAfter):
            self.restart_at_s = now_s + limits.backoff.cap_s
        elif urgent and now_s > self._urgent_at_s + limits.intensity.period_s:
            self._urgent_at_s = self.restart_at_s = now_s
        else:
            self.restart_at_s = now_s + decision.delay_s

    # ---------------------------------------------------------------- what is to be done

    @property
    def next_s(self) -> float:
        """When there is something to do even if nothing happens; `math.inf` for never."""
        if self.exit_code is not None or self._terminate:
            return -math.inf
        match self.phase:
            case Phase.GONE:
                return self.restart_at_s
            case Phase.ALIVE:
                return min(self._silent_at_s, self._next_signal_at_s)
            case Phase.ABORTING:
                return self._next_signal_at_s
            case Phase.KILLING:
                return math.inf

    def due(self, now_s: float) -> Act | None:
        """What is to be done now; it counts as done. Ask until there is nothing."""
        if self.exit_code is not None:
            return Act.EXIT
        if self._terminate:
            self._terminate = False
            return Act.TERMINATE
        if now_s < self.next_s:
            return None
        match self.phase:
            case Phase.GONE:
                self.phase = Phase.ALIVE
                self.frozen = False
                self.restarts += 1
                self._silent_at_s = now_s + self.limits.freeze_after_s
                return Act.FORK
            case Phase.ALIVE:
                self.phase = Phase.ABORTING
                self.frozen = now_s >= self._silent_at_s
                self._next_signal_at_s = now_s + self.limits.stacks_s
                return Act.ABORT
            case Phase.ABORTING:
                self.phase = Phase.KILLING
                return Act.KILL
            case Phase.KILLING:
                return None

    def status(self, last: WorkerStatus | None, *, late: bool) -> WorkerStatus:
        """What is true of the worker now, for the heartbeat.

        Args:
            last: What the living worker last said of itself; ``None`` if it has not said anything.
            late: Its heartbeat is overdue.
        """
        if self.exit_code is not None:
            return WorkerStatus.FAILED if self.exit_code == EXIT_GAVE_UP else WorkerStatus.OFFLINE
        if self.phase is Phase.GONE:
            return WorkerStatus.FAILED if self.failed else WorkerStatus.RESTARTING
        if self.frozen:
            return WorkerStatus.FROZEN
        if last is None:
            return WorkerStatus.STARTING
        return WorkerStatus.STALLED if late else last
