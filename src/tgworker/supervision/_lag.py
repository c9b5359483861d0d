"""Why an event loop was late: by its own code, or because its host did not run it. Measuring, and judging."""

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, final


@final
class LagCause(StrEnum):
    """Why the event loop was late."""

    BLOCKED = "blocked"
    """By code: a step that computed, or waited in a blocking call; or another thread that kept the GIL."""
    STARVED = "starved"
    """By the host: the thread was ready to run, and had to wait for a processor."""
    SUSPENDED = "suspended"
    """By the host: the machine slept, or the process was stopped (SIGSTOP, a frozen container)."""


@final
@dataclass(frozen=True, slots=True)
class Spent:
    """What became of a stretch of time, as the thread of an event loop experienced it. All in seconds.

    Attributes:
        cpu_s: The thread computed.
        others_cpu_s: Processor time of the process's other threads.
        queued_s: The thread was ready, and waited for a processor; ``None`` where that cannot be measured.
        suspended_s: The machine slept.
        yields: How often the thread gave its processor away by itself, that is, waited for something;
            ``None`` where that cannot be measured.
    """

    cpu_s: float
    others_cpu_s: float
    queued_s: float | None
    suspended_s: float
    yields: int | None


def classify_lag(lag_s: float, spent: Spent, *, in_step: bool) -> LagCause:
    """Judge why an event loop was late.

    What took the largest part of the lag decides; on a tie the host is to blame. Time in which the thread
    neither computed, nor waited for a processor, nor slept with the machine, is `LagCause.BLOCKED` within the
    tasks' steps: a blocking call, or the wait for a GIL that another thread keeps. Between them, where the
    loop waits in the kernel, no code of the thread runs: then it is `LagCause.BLOCKED` if other threads
    computed meanwhile (the GIL again), else the process was stopped.

    Where ``queued_s`` is unknown, such time is `LagCause.STARVED` if it fell between the steps, or if the
    thread never gave its processor away.

    Known limits: a process that is stopped in the middle of a step seems to be in a blocking call. A
    hypervisor that withholds the processor without telling its guest ("steal time") makes the thread seem to
    compute. A GIL that is kept by a thread that itself sleeps seems to be a stopped process.

    Args:
        lag_s: How late the loop was, seconds, more than 0; suspension included.
        spent: What became of that time.
        in_step: Whether it passed within the steps of tasks; else it passed while the loop waited for
            events, beyond the time at which it wanted to go on.
    """
    queued_s = spent.queued_s or 0.0
    idle_s = lag_s - spent.suspended_s - queued_s - spent.cpu_s
    largest_s = max(spent.suspended_s, queued_s, spent.cpu_s, idle_s)
    if spent.suspended_s == largest_s:
        return LagCause.SUSPENDED
    if queued_s == largest_s:
        return LagCause.STARVED
    if spent.cpu_s == largest_s:
        return LagCause.BLOCKED
    if in_step:
        never_waited = spent.queued_s is None and spent.yields == 0
        return LagCause.STARVED if never_waited else LagCause.BLOCKED
    if spent.others_cpu_s >= idle_s / 2:
        return LagCause.BLOCKED
    return LagCause.STARVED if spent.queued_s is None else LagCause.SUSPENDED


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """All gauges of a thread at one moment; only differences mean anything. As in `Spent`."""

    cpu_s: float
    process_cpu_s: float
    queued_s: float | None
    suspended_s: float
    yields: int | None

    def since(self, earlier: "Reading") -> Spent:
        """What was spent between an earlier reading and this one."""
        cpu_s = self.cpu_s - earlier.cpu_s
        return Spent(
            cpu_s=cpu_s,
            others_cpu_s=max(0.0, self.process_cpu_s - earlier.process_cpu_s - cpu_s),
            queued_s=None
            if self.queued_s is None or earlier.queued_s is None
            else self.queued_s - earlier.queued_s,
            suspended_s=max(0.0, self.suspended_s - earlier.suspended_s),
            yields=None if self.yields is None or earlier.yields is None else self.yields - earlier.yields,
        )


class Gauges(Protocol):
    """Where a canary reads real time. They are read between the steps of tasks: that must be quick."""

    def wall_s(self) -> float:
        """Real time, seconds; it does not jump and does not count while the machine sleeps."""
        ...

    def read(self) -> Reading:
        """All the others."""
        ...

    def close(self) -> None:
        """No more readings are wanted."""
        ...


@final
class ThreadGauges:
    """The gauges of the thread that made them. What the platform does not measure is ``None`` (or 0).

    Waiting for a processor is the second number of ``/proc/thread-self/schedstat`` (Linux,
    Documentation/scheduler/sched-stats.rst), sleep of the machine is what CLOCK_BOOTTIME counts and
    CLOCK_MONOTONIC does not (clock_gettime(2)).
    """

    __slots__ = ("_schedstat",)

    def __init__(self) -> None:
        self._schedstat: int | None = None
        with suppress(OSError):
            # Stays the statistics of this thread, whoever reads it.
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def wall_s(self) -> float:
        """Real time."""
        return time.monotonic()

    def read(self) -> Reading:
        """All the others: about 4 microseconds."""
        return Reading(
            cpu_s=time.thread_time(),
            process_cpu_s=time.process_time(),
            queued_s=self._queued_s(),
            suspended_s=_suspended_s(),
            yields=_yields(),
        )

    def close(self) -> None:
        """Close the file."""
        if self._schedstat is not None:
            os.close(self._schedstat)
            self._schedstat = None

    def _queued_s(self) -> float | None:
        if self._schedstat is None:
            return None
        return int(os.pread(self._schedstat, 96, 0).split()[1]) / 1e9


if hasattr(time, "CLOCK_BOOTTIME"):

    def _suspended_s() -> float:
        # The two clocks cannot be read at once. Being interrupted between must not look like a suspension.
        difference_s = 0.0
        for _ in range(3):  # the third time it must do
            before_s = time.clock_gettime(time.CLOCK_MONOTONIC)
            difference_s = time.clock_gettime(time.CLOCK_BOOTTIME) - before_s
            if time.clock_gettime(time.CLOCK_MONOTONIC) - before_s < 0.001:
                break
        return difference_s

else:  # pragma: no cover (macOS)

    def _suspended_s() -> float:
        return 0.0


if hasattr(resource, "RUSAGE_THREAD"):

    def _yields() -> int | None:
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

else:  # pragma: no cover (macOS)

    def _yields() -> int | None:
        return None
