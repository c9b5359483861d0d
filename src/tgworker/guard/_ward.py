"""What the guard is given: the worker, the heartbeat's stores, and how patient it is to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

from tgworker.guard._course import GuardLimits
from tgworker.guard._faults import FaultBook, Held
from tgworker.guard._link import Link
from tgworker.messaging.models import LoopStatus, WorkerStatus
from tgworker.supervision.systemd import Systemd


class Log(Protocol):
    """Where the guard's log lines go; structlog's loggers fit."""

    def info(self, event: str, **fields: Any) -> object:
        """Something happened that is in order."""
        ...

    def warning(self, event: str, **fields: Any) -> object:
        """Something was wrong, and is being cured."""
        ...

    def error(self, event: str, **fields: Any) -> object:
        """Something is wrong that a person should know of."""
        ...


class Stacks(Protocol):
    """The files that frozen workers write their stacks to."""

    def create(self) -> Path:
        """Make an empty file for this process; raises `OSError`."""
        ...

    def written(self, pid: int) -> Path | None:
        """The file of a process that has ended; ``None``, and the file removed, if nothing stands in it."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Posting:
    """A heartbeat as the guard knows it.

    Attributes:
        status: What the worker is.
        loops: As the worker last told them, with the time since then added.
        order: ``(incarnation, seq)``; ``None`` where this guard has not heard of any yet: then it follows
            whatever stands there.
    """

    status: WorkerStatus
    loops: Mapping[str, LoopStatus]
    order: tuple[int, int] | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """What is guarded.

    Attributes:
        work: The worker: runs in a process of its own until it is done, and returns the exit code. Told how
            to reach the guard, and which accounts may not start with the others.
        posts: Writes a heartbeat into each store, or raises `StoreAway`; blocking, in a process of its own.
        heartbeat_every_s: How often the worker writes it, seconds.
        seq: The second half of a heartbeat's order, growing with real time; the worker counts alike.
        faults: Accounts that wedged or froze the worker.
        stacks: Where the stacks of frozen workers go.
        reload: Read the settings again, on SIGHUP; returns whether the worker will end for a new one with
            them.
        systemd: What systemd told this process.
        log: Where log lines go.
        limits: How patient the guard is.
    """

    work: Callable[[Link, Mapping[str, Held]], int]
    posts: Mapping[str, Callable[[Posting], None]]
    heartbeat_every_s: float
    seq: Callable[[], int]
    faults: FaultBook
    stacks: Stacks
    reload: Callable[[], bool]
    systemd: Systemd
    log: Log
    limits: GuardLimits = field(default_factory=GuardLimits)
