"""Events become lines: level, words, fields."""

import dataclasses
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tgworker.messaging import events as messaging
from tgworker.messaging.hearing import Remedy
from tgworker.messaging.models import AccountId, AccountState, JobId, MessageId
from tgworker.operations.event_log import EventLog, words_of
from tgworker.operations.logs import make_logger
from tgworker.supervision import (
    EVENTS,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildQuiet,
    ChildReady,
    ChildStarting,
    ChildWedged,
    Ending,
    Event,
    IntensityExceeded,
    LagCause,
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

PATH = "root.accounts.a-1"
ACCOUNT = AccountId("a-1")


def ending(verdict: Verdict, **more: Any) -> Ending:
    return Ending(verdict, "why", incarnation=2, started_at_s=10, ended_at_s=12.5, **more)


def written(event: Any) -> dict[str, Any]:
    """The line of an event, without its time."""
    stream = io.StringIO()
    log = make_logger(stream, json=True, level="debug", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    event_log = EventLog(log, account_of=lambda path: "a-1" if path == PATH else None)
    if isinstance(event, Event):
        event_log.supervision(event)
    elif isinstance(event, messaging.CATALOGUE):
        event_log.messaging(event)
    else:
        event_log.adapter(event)
    (line,) = stream.getvalue().splitlines()
    fields: dict[str, Any] = json.loads(line)
    del fields["timestamp"]
    return fields


SUPERVISION: list[tuple[Event, dict[str, Any]]] = [
    (
        ChildStarting(path=PATH, at_s=1, incarnation=1),
        {"level": "debug", "event": "child starting", "incarnation": 1},
    ),
    (
        ChildReady(path=PATH, at_s=1, incarnation=1, after_s=0.123456),
        {"level": "info", "event": "child ready", "incarnation": 1, "duration_s": 0.1235},
    ),
    (
        OperationExpired(
            path=PATH, at_s=1, incarnation=1, operation="send", limit_s=30, elapsed_s=30, cut_off=True
        ),
        {
            "level": "warning",
            "event": "operation expired",
            "operation": "send",
            "duration_s": 30,
            "limit_s": 30,
            "cut_off": True,
            "incarnation": 1,
        },
    ),
    (
        ChildQuiet(path=PATH, at_s=1, incarnation=1, quiet_s=40, evidence="a stack"),
        {"level": "warning", "event": "child quiet", "incarnation": 1, "quiet_s": 40, "stack": "a stack"},
    ),
    (
        ChildCancelled(
            path=PATH,
            at_s=1,
            incarnation=1,
            verdict=Verdict.SILENT,
            cause="60 s of silence",
            evidence="a stack",
            stop_within_s=5,
        ),
        {
            "level": "warning",
            "event": "child cancelled",
            "incarnation": 1,
            "verdict": "silent",
            "reason": "60 s of silence",
            "stop_within_s": 5,
            "stack": "a stack",
        },
    ),
    (
        ChildCancelled(
            path=PATH,
            at_s=1,
            incarnation=1,
            verdict=Verdict.STOPPED,
            cause="c",
            evidence=None,
            stop_within_s=5,
        ),
        {
            "level": "info",
            "event": "child cancelled",
            "incarnation": 1,
            "verdict": "stopped",
            "reason": "c",
            "stop_within_s": 5,
        },
    ),
    (
        ChildEnded(path=PATH, at_s=1, ending=ending(Verdict.RAISED, stack="Traceback…"), error=OSError()),
        {
            "level": "error",
            "event": "child ended",
            "incarnation": 2,
            "verdict": "raised",
            "reason": "why",
            "duration_s": 2.5,
            "exception": "Traceback…",
        },
    ),
    (
        ChildEnded(path=PATH, at_s=1, ending=ending(Verdict.STOPPED), error=None),
        {
            "level": "info",
            "event": "child ended",
            "incarnation": 2,
            "verdict": "stopped",
            "reason": "why",
            "duration_s": 2.5,
        },
    ),
    (
        ChildWedged(path=PATH, at_s=1, ending=ending(Verdict.WEDGED, evidence="a stack")),
        {
            "level": "error",
            "event": "child wedged",
            "incarnation": 2,
            "verdict": "wedged",
            "reason": "why",
            "duration_s": 2.5,
            "stack": "a stack",
        },
    ),
    (
        RestartScheduled(path=PATH, at_s=1, incarnation=3, attempt=2, delay_s=0.98765, restart_at_s=2),
        {"level": "warning", "event": "restart scheduled", "incarnation": 3, "attempt": 2, "delay_s": 0.9877},
    ),
    (
        SiblingsDisturbed(path=PATH, at_s=1, siblings=("root.a", "root.b")),
        {"level": "warning", "event": "siblings disturbed", "siblings": ["root.a", "root.b"]},
    ),
    (
        LoopLagged(
            path=PATH,
            at_s=1,
            lag_s=0.30004,
            cause=LagCause.BLOCKED,
            in_step=True,
            task="root.parser: regex",
            cpu_s=0.29871,
            others_cpu_s=0.0,
            queued_s=None,
            suspended_s=0.0,
        ),
        {
            "level": "warning",
            "event": "loop lagged",
            "lag_s": 0.3,
            "cause": "blocked",
            "task": "root.parser: regex",
            "cpu_s": 0.2987,
            "others_cpu_s": 0.0,
        },
    ),
    (
        LoopStarved(path=PATH, at_s=1, late_s=30.98761, cause=LagCause.SUSPENDED),
        {"level": "warning", "event": "loop starved", "late_s": 30.9876, "cause": "suspended"},
    ),
    (
        ChildFinished(path=PATH, at_s=1, verdict=None),
        {"level": "info", "event": "child finished"},
    ),
    (
        ChildFinished(path=PATH, at_s=1, verdict=Verdict.RETURNED),
        {"level": "info", "event": "child finished", "verdict": "returned"},
    ),
    (
        SupervisorStopping(path=PATH, at_s=1, cause="asked to"),
        {"level": "info", "event": "supervisor stopping", "reason": "asked to"},
    ),
    (
        SupervisorEscalated(
            path=PATH, at_s=1, failure=IntensityExceeded("4 restarts in 60 s", path="root.x", cause="c")
        ),
        {
            "level": "error",
            "event": "supervisor escalated",
            "reason": "4 restarts in 60 s",
            "failed_child": "root.x",
        },
    ),
    (
        SupervisorStopped(path=PATH, at_s=1, orphans=()),
        {"level": "info", "event": "supervisor stopped"},
    ),
    (
        SupervisorStopped(path=PATH, at_s=1, orphans=("root.x",)),
        {"level": "error", "event": "supervisor stopped", "orphans": ["root.x"]},
    ),
    (
        ObserverFailed(path=PATH, at_s=1, observer="<f>", error=OSError("disk full")),
        {
            "level": "error",
            "event": "observer failed",
            "observer": "<f>",
            "exception": "OSError: disk full",
        },
    ),
]

MESSAGING: list[tuple[messaging.Event, dict[str, Any]]] = [
    (
        messaging.AccountIntroduced(ACCOUNT, 120, 2.5),
        {
            "level": "info",
            "event": "account introduced",
            "account": "a-1",
            "operation": "resolve",
            "peers": 120,
            "duration_s": 2.5,
        },
    ),
    (
        messaging.RecipientSought(ACCOUNT, "contacts.resolveUsername", "refused", 0.1, "USERNAME_INVALID"),
        {
            "level": "warning",
            "event": "recipient sought",
            "account": "a-1",
            "operation": "resolve",
            "method": "contacts.resolveUsername",
            "outcome": "refused",
            "duration_s": 0.1,
            "reason": "USERNAME_INVALID",
        },
    ),
    (
        messaging.WaitAnnounced(ACCOUNT, "method", 82_800, "FLOOD_WAIT_82800"),
        {
            "level": "warning",
            "event": "wait announced",
            "account": "a-1",
            "operation": "send",
            "scope": "method",
            "wait_s": 82_800,
            "reason": "FLOOD_WAIT_82800",
        },
    ),
    (
        messaging.SendFinished(ACCOUNT, MessageId("m-1"), 1, "sent", 0.2500001),
        {
            "level": "debug",
            "event": "send finished",
            "account": "a-1",
            "operation": "send",
            "duration_s": 0.25,
            "message": "m-1",
            "attempt": 1,
            "outcome": "sent",
        },
    ),
    (
        messaging.SendFinished(ACCOUNT, MessageId("m-1"), 2, "refused", 0.2, "PEER_ID_INVALID"),
        {
            "level": "warning",
            "event": "send finished",
            "account": "a-1",
            "operation": "send",
            "duration_s": 0.2,
            "message": "m-1",
            "attempt": 2,
            "outcome": "refused",
            "reason": "PEER_ID_INVALID",
        },
    ),
    (
        messaging.SendFinished(ACCOUNT, MessageId("m-1"), 1, "deferred", 0.2, "FLOOD_WAIT_30"),
        {
            "level": "info",
            "event": "send finished",
            "account": "a-1",
            "operation": "send",
            "duration_s": 0.2,
            "message": "m-1",
            "attempt": 1,
            "outcome": "deferred",
            "reason": "FLOOD_WAIT_30",
        },
    ),
    (
        messaging.StoreUnavailable("claim", "no route", 0.5),
        {
            "level": "warning",
            "event": "store unavailable",
            "operation": "claim",
            "reason": "no route",
            "retry_in_s": 0.5,
        },
    ),
    (
        messaging.StoreBack("claim", 20.0),
        {"level": "info", "event": "store back", "operation": "claim", "away_s": 20.0},
    ),
    (
        messaging.AccountDeaf(ACCOUNT, Remedy.RECONNECT, logs=1, behind=3),
        {
            "level": "warning",
            "event": "account deaf",
            "account": "a-1",
            "remedy": "reconnect",
            "logs": 1,
            "behind": 3,
        },
    ),
    (
        messaging.JobFinished(ACCOUNT, JobId("7"), "edit", 2, "refused", 0.5, "MESSAGE_ID_INVALID"),
        {
            "level": "warning",
            "event": "job finished",
            "account": "a-1",
            "operation": "job",
            "job": "7",
            "action": "edit",
            "attempt": 2,
            "outcome": "refused",
            "duration_s": 0.5,
            "reason": "MESSAGE_ID_INVALID",
        },
    ),
    (
        messaging.HistoryRead(ACCOUNT, JobId("7"), 30, 20, 1.5, "CHANNEL_PRIVATE"),
        {
            "level": "warning",
            "event": "history read",
            "account": "a-1",
            "operation": "history",
            "job": "7",
            "messages": 30,
            "new": 20,
            "duration_s": 1.5,
            "error": "CHANNEL_PRIVATE",
        },
    ),
    (
        messaging.FileFetched(ACCOUNT, MessageId("m-1"), "voice", "left", 0, 0.5, "it is too large"),
        {
            "level": "warning",
            "event": "file fetched",
            "account": "a-1",
            "operation": "fetch",
            "message": "m-1",
            "kind": "voice",
            "outcome": "left",
            "size": 0,
            "duration_s": 0.5,
            "reason": "it is too large",
        },
    ),
    (
        messaging.HistoryMissed(ACCOUNT, chats=2),
        {
            "level": "warning",
            "event": "history missed",
            "account": "a-1",
            "operation": "ingest",
            "chats": 2,
        },
    ),
    (
        messaging.Ingested(ACCOUNT, messages=3, new=2, duration_s=0.01),
        {
            "level": "debug",
            "event": "ingested",
            "account": "a-1",
            "operation": "ingest",
            "duration_s": 0.01,
            "changes": 0,
            "messages": 3,
            "new": 2,
        },
    ),
    (
        messaging.LoginEnded("9", "failed", "3 wrong codes: begin again"),
        {
            "level": "warning",
            "event": "login ended",
            "operation": "login",
            "login": "9",
            "state": "failed",
            "error": "3 wrong codes: begin again",
        },
    ),
    (
        messaging.PresenceWritten(contacts=3, dropped=0, duration_s=0.01),
        {
            "level": "debug",
            "event": "presence written",
            "operation": "presence",
            "contacts": 3,
            "dropped": 0,
            "duration_s": 0.01,
        },
    ),
    (
        messaging.HeartbeatWritten("embedded", 7, "online", 0.001),
        {
            "level": "debug",
            "event": "heartbeat written",
            "operation": "heartbeat",
            "duration_s": 0.001,
            "writer": "embedded",
            "seq": 7,
            "status": "online",
        },
    ),
    (
        messaging.HeartbeatMissed("supabase", 7, "no answer within 10 s"),
        {
            "level": "warning",
            "event": "heartbeat missed",
            "operation": "heartbeat",
            "writer": "supabase",
            "seq": 7,
            "reason": "no answer within 10 s",
        },
    ),
    (
        messaging.JobsWaiting("message_jobs", 3),
        {"level": "info", "event": "jobs waiting", "table": "message_jobs", "waiting": 3},
    ),
    (messaging.MessagesUnsure(2), {"level": "warning", "event": "messages unsure", "count": 2}),
    (messaging.MessagesUnsure(0), {"level": "info", "event": "messages unsure", "count": 0}),
]


@pytest.mark.parametrize(("event", "line"), SUPERVISION, ids=lambda value: type(value).__name__)
def test_an_event_of_supervision_becomes_a_line(event: Event, line: dict[str, Any]) -> None:
    assert written(event) == {"child": PATH, "account": "a-1", **line}


@pytest.mark.parametrize(("event", "line"), MESSAGING, ids=lambda value: type(value).__name__)
def test_an_event_of_messaging_becomes_a_line(event: messaging.Event, line: dict[str, Any]) -> None:
    assert written(event) == line


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (AccountState.CONNECTING, "info"),
        (AccountState.ONLINE, "info"),
        (AccountState.WAITING, "warning"),
        (AccountState.RECONNECTING, "warning"),
        (AccountState.NEEDS_LOGIN, "error"),
        (AccountState.BANNED, "error"),
        (AccountState.DISABLED, "info"),
        (AccountState.ELSEWHERE, "warning"),
    ],
)
def test_an_account_s_state_decides_the_level(state: AccountState, level: str) -> None:
    assert written(messaging.AccountChanged(ACCOUNT, state, "why", 2.0)) == {
        "level": level,
        "event": "account changed",
        "account": "a-1",
        "state": state.value,
        "reason": "why",
        "retry_in_s": 2.0,
    }


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event, _ in SUPERVISION} == set(EVENTS)
    assert {type(event) for event, _ in MESSAGING} | {messaging.AccountChanged} == set(messaging.CATALOGUE)


def test_a_child_of_no_account_names_none() -> None:
    assert "account" not in written(ChildStarting(path="root.outbound", at_s=1, incarnation=1))


def test_an_event_that_a_later_release_adds_is_written_with_all_that_it_has() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class ChildRenamed(Event):
        former: str

    line = written(ChildRenamed(path="root.x", at_s=1, former="y"))
    assert line == {
        "level": "info",
        "event": "child renamed",
        "child": "root.x",
        "path": "root.x",
        "former": "y",
    }


def test_an_adapter_s_event_is_a_warning_with_its_account() -> None:
    @dataclasses.dataclass(frozen=True)
    class TelethonWarned:
        account_id: str
        level: str
        template: str
        error: str | None = None

    assert written(TelethonWarned("a-1", "ERROR", "Unhandled %s")) == {
        "level": "warning",
        "event": "telethon warned",
        "account": "a-1",
        "its_level": "ERROR",
        "template": "Unhandled %s",
    }


def test_an_event_below_the_level_writes_nothing() -> None:
    stream = io.StringIO()
    log = make_logger(stream, json=True, level="info", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    EventLog(log).messaging(messaging.Ingested(ACCOUNT, messages=1, new=1, duration_s=0))
    assert stream.getvalue() == ""


def test_words_come_from_the_class() -> None:
    assert words_of("SupervisorEscalated") == "supervisor escalated"


def test_an_outage_that_goes_on_is_written_every_five_seconds_for_each_operation() -> None:
    now_s = 100.0
    stream = io.StringIO()
    log = make_logger(stream, json=True, level="debug", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    events = EventLog(log, clock=lambda: now_s)

    def operations() -> list[str]:
        return [json.loads(line)["operation"] for line in stream.getvalue().splitlines()]

    for _ in range(105):
        for account in ("a", "b"):
            events.messaging(messaging.StoreUnavailable("database.ingest", "away", 0.1, AccountId(account)))
        events.messaging(messaging.StoreUnavailable("outbound", "away", 0.1))
        now_s += 0.1  # 10.5 s in all
    assert operations() == ["database.ingest", "outbound"] * 3
    events.messaging(messaging.StoreBack("outbound", 10.1))
    events.messaging(messaging.StoreUnavailable("outbound", "away again", 0.1))
    assert operations()[6:] == ["outbound", "outbound"]
