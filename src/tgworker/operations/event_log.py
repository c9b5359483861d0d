"""Events as log lines: which level, which words, which fields. The events themselves hold no secret.

The words of a line are its event's class (`ChildReady` is "child ready"), its fields are the event's own.
"""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, assert_never

from tgworker.messaging import events as messaging
from tgworker.messaging.models import AccountState
from tgworker.operations.logs import LEVELS, Logger
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildQuiet,
    ChildReady,
    ChildStarting,
    ChildWedged,
    Ending,
    LoopLagged,
    LoopStarved,
    ObserverFailed,
    OperationExpired,
    RestartScheduled,
    SiblingsDisturbed,
    SupervisorEscalated,
    SupervisorStopped,
    SupervisorStopping,
    Verdict,
)
from tgworker.supervision import Event as SupervisionEvent

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Level = Literal["debug", "info", "warning", "error"]

# What happens all the time is for those who look for something: a line costs about as much as a send.
_OUTCOME_LEVELS: Final[Mapping[str, Level]] = {
    "sent": "debug",
    "refused": "warning",
    "unknown": "warning",
    "unsure": "warning",
}

_JOB_LEVELS: Final[Mapping[str, Level]] = {"done": "debug", "refused": "warning", "unknown": "warning"}

IN_ORDER: Final = frozenset({Verdict.RETURNED, Verdict.STOPPED})
"""How a child ends when nothing is wrong."""


SAME_OUTAGE_S: Final = 5.0
"""An outage that goes on is written again after so long, for each operation: while a store is away, every
account asks for it twice a second."""


class _Outages:
    """Which outages were written, and when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._written_s: dict[str, float] = {}

    def only_goes_on(self, event: messaging.Event) -> bool:
        """Whether an event says what was written a moment ago."""
        if isinstance(event, messaging.StoreBack):
            self._written_s.pop(event.operation, None)
        if not isinstance(event, messaging.StoreUnavailable):
            return False
        now_s = self._clock()
        if now_s - self._written_s.get(event.operation, -math.inf) < SAME_OUTAGE_S:
            return True
        self._written_s[event.operation] = now_s
        return False


class EventLog:
    """Observes the worker, and writes what it sees.

    Args:
        log: Where lines go.
        account_of: The account that a child belongs to, by the child's path; ``None`` for none.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        log: Logger,
        *,
        account_of: Callable[[str], str | None] = lambda _path: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._account_of = account_of
        self._outages = _Outages(clock)

    def supervision(self, event: SupervisionEvent) -> None:
        """Write an event of `tgworker.supervision`."""
        level, fields = supervision_line(event)
        account = self._account_of(event.path)
        if account is not None:
            fields["account"] = account
        self._write(level, event, fields)

    def messaging(self, event: messaging.Event) -> None:
        """Write an event of `tgworker.messaging`."""
        if self._outages.only_goes_on(event):
            return
        level = messaging_level(event)
        # Thousands a second may be below the level: they must cost next to nothing.
        if self._log.is_enabled_for(LEVELS[level]):
            self._write(level, event, messaging_fields(event))

    def adapter(self, event: "DataclassInstance") -> None:
        """Write an event of an adapter: adapters only tell what went wrong."""
        fields = _fields_of(event)
        if "account_id" in fields:
            fields["account"] = fields.pop("account_id")
        self._write("warning", event, fields)

    def _write(self, level: Level, event: "DataclassInstance", fields: Mapping[str, Any]) -> None:
        # What the event does not know must not hide what the task's own names say.
        known = {name: value for name, value in fields.items() if value is not None}
        getattr(self._log, level)(words_of(type(event).__name__), **known)


def words_of(class_name: str) -> str:
    """The words of a class name: ``ChildReady`` is "child ready"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", class_name).lower()


def supervision_line(event: SupervisionEvent) -> tuple[Level, dict[str, Any]]:
    """Level and fields of a line; an event that a later release adds is written with all that it has."""
    fields: dict[str, Any] = {"child": event.path}
    level: Level = "info"
    match event:
        case ChildStarting():
            level = "debug"
            fields["incarnation"] = event.incarnation
        case ChildReady():
            fields |= {"incarnation": event.incarnation, "duration_s": _rounded(event.after_s)}
        case OperationExpired():
            level = "warning"
            fields |= {
                "operation": event.operation,
                "duration_s": _rounded(event.elapsed_s),
                "limit_s": event.limit_s,
                "cut_off": event.cut_off,
                "incarnation": event.incarnation,
            }
        case ChildQuiet():
            level = "warning"
            fields |= {
                "incarnation": event.incarnation,
                "quiet_s": _rounded(event.quiet_s),
                "stack": event.evidence,
            }
        case ChildCancelled():
            level = "info" if event.verdict in IN_ORDER else "warning"
            fields |= {
                "incarnation": event.incarnation,
                "verdict": event.verdict.value,
                "reason": event.cause,
                "stop_within_s": event.stop_within_s,
                "stack": event.evidence,
            }
        case ChildEnded():
            level = "info" if event.ending.verdict in IN_ORDER else "error"
            fields |= _ending(event.ending)
            fields["exception"] = event.ending.stack
        case ChildWedged():
            level = "error"
            fields |= _ending(event.ending)
            fields["stack"] = event.ending.evidence
        case RestartScheduled():
            level = "warning"
            fields |= {
                "incarnation": event.incarnation,
                "attempt": event.attempt,
                "delay_s": _rounded(event.delay_s),
            }
        case SiblingsDisturbed():
            level = "warning"
            fields["siblings"] = list(event.siblings)
        case LoopStarved():
            level = "warning"
            fields |= {"late_s": _rounded(event.late_s), "cause": event.cause.value}
        case LoopLagged():
            level = "warning"
            fields |= {
                "lag_s": _rounded(event.lag_s),
                "cause": event.cause.value,
                "task": event.task,
                "cpu_s": _rounded(event.cpu_s),
                "others_cpu_s": _rounded(event.others_cpu_s),
                "queued_s": _rounded(event.queued_s),
            }
        case ChildFinished():
            fields["verdict"] = event.verdict.value if event.verdict else None
        case SupervisorStopping():
            fields["reason"] = event.cause
        case SupervisorEscalated():
            level = "error"
            fields |= {"reason": str(event.failure), "failed_child": event.failure.path}
        case SupervisorStopped():
            if event.orphans:
                level = "error"
                fields["orphans"] = list(event.orphans)
        case ObserverFailed():
            level = "error"
            fields |= {"observer": event.observer, "exc_info": event.error}
        case _:
            fields |= _fields_of(event)
    return level, fields


def messaging_level(event: messaging.Event) -> Level:
    """How important an event of the messaging core is."""
    match event:
        case messaging.AccountChanged():
            return _account_level(event.state)
        case messaging.SendFinished():
            return _OUTCOME_LEVELS.get(event.outcome, "info")
        case messaging.PresenceWritten():
            return "warning" if event.dropped else "debug"
        case messaging.Ingested() | messaging.HeartbeatWritten():
            return "debug"
        case messaging.RecipientSought():
            return "info" if event.outcome == "found" else "warning"
        case messaging.JobFinished():
            return _JOB_LEVELS.get(event.outcome, "info")
        case messaging.FileFetched():
            return "info" if event.outcome == "fetched" else "warning"
        case messaging.HistoryRead() | messaging.AccountIntroduced():
            return "info" if event.error is None else "warning"
        case messaging.LoginEnded():
            return "info" if event.error is None else "warning"
        case messaging.StoreBack() | messaging.JobsWaiting():
            return "info"
        case messaging.MessagesUnsure():
            return "warning" if event.count else "info"
        case (
            messaging.StoreUnavailable()
            | messaging.HeartbeatMissed()
            | messaging.HistoryMissed()
            | messaging.WaitAnnounced()
            | messaging.AccountDeaf()
        ):
            return "warning"
        case _:
            assert_never(event)


def messaging_fields(event: messaging.Event) -> dict[str, Any]:
    """The event's fields, and what it was doing where the event's class says so."""
    fields = _fields_of(event)
    match event:
        case messaging.SendFinished() | messaging.WaitAnnounced():
            fields["operation"] = "send"
        case messaging.HistoryRead():
            fields["operation"] = "history"
        case messaging.JobFinished():
            fields["operation"] = "job"
        case messaging.FileFetched():
            fields["operation"] = "fetch"
        case messaging.LoginEnded():
            fields["operation"] = "login"
        case messaging.RecipientSought() | messaging.AccountIntroduced():
            fields["operation"] = "resolve"
        case messaging.Ingested() | messaging.HistoryMissed():
            fields["operation"] = "ingest"
        case messaging.PresenceWritten():
            fields["operation"] = "presence"
        case messaging.HeartbeatWritten() | messaging.HeartbeatMissed():
            fields["operation"] = "heartbeat"
        case (
            messaging.AccountChanged()
            | messaging.AccountDeaf()
            | messaging.StoreBack()
            | messaging.StoreUnavailable()
            | messaging.JobsWaiting()
            | messaging.MessagesUnsure()
        ):
            pass
        case _:
            assert_never(event)
    return fields


def _account_level(state: AccountState) -> Level:
    match state:
        case AccountState.ONLINE | AccountState.CONNECTING | AccountState.DISABLED:
            return "info"
        case AccountState.WAITING | AccountState.RECONNECTING | AccountState.ELSEWHERE:
            return "warning"
        case AccountState.NEEDS_LOGIN | AccountState.BANNED:
            return "error"
        case _:
            assert_never(state)


def _ending(ending: Ending) -> dict[str, Any]:
    return {
        "incarnation": ending.incarnation,
        "verdict": ending.verdict.value,
        "reason": ending.cause,
        "duration_s": _rounded(ending.ended_at_s - ending.started_at_s),
    }


def _fields_of(event: "DataclassInstance") -> dict[str, Any]:
    """All fields but the monotonic time, which means nothing outside the process."""
    return {
        # `level` and `event` name parts of the line itself.
        f"its_{field.name}" if field.name in {"level", "event"} else field.name: _rounded(
            getattr(event, field.name)
        )
        for field in dataclasses.fields(event)
        if field.name != "at_s"
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
