"""The messaging loops in numbers: exact counts from single events."""

from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tgworker.messaging import events
from tgworker.messaging.hearing import Remedy
from tgworker.messaging.models import AccountId, AccountState, JobId, MessageId
from tgworker.messaging.outcomes import Outcome
from tgworker.operations.messaging_metrics import OUTCOMES, MessagingMetrics
from tgworker.operations.metrics_text import text_of

ACCOUNT = AccountId("0b7c1f8e-recognisable-account")
MESSAGE = MessageId("9d2a-recognisable-message")

COUNTED: list[tuple[events.Event, dict[tuple[str, ...], float]]] = [
    (
        events.SendFinished(ACCOUNT, MESSAGE, 2, "deferred", 0.25, "FLOOD_WAIT_30"),
        {
            ("tgworker_sends_total", "deferred"): 1,
            ("tgworker_send_duration_seconds_count", "deferred"): 1,
            ("tgworker_send_duration_seconds_sum", "deferred"): 0.25,
        },
    ),
    (events.AccountDeaf(ACCOUNT, Remedy.DIFFERENCE, 1, 3), {("tgworker_deaf_total", "difference"): 1}),
    (
        events.HistoryRead(ACCOUNT, JobId("7"), 30, 20, 1.5),
        {
            ("tgworker_history_messages_total", "new"): 20,
            ("tgworker_history_messages_total", "known"): 10,
            ("tgworker_history_jobs_total", "completed"): 1,
        },
    ),
    (
        events.JobFinished(ACCOUNT, JobId("7"), "edit", 1, "done", 0.25),
        {
            ("tgworker_message_jobs_total", "edit", "done"): 1,
            ("tgworker_message_job_duration_seconds_count", "done"): 1,
            ("tgworker_message_job_duration_seconds_sum", "done"): 0.25,
        },
    ),
    (
        events.FileFetched(ACCOUNT, MESSAGE, "photo", "fetched", 70_000, 0.5),
        {("tgworker_files_total", "fetched"): 1, ("tgworker_file_bytes_total",): 70_000},
    ),
    (events.HistoryMissed(ACCOUNT, chats=4), {("tgworker_missed_chats_total",): 4}),
    (
        events.RecipientSought(ACCOUNT, "contacts.resolveUsername", "found", 0.1),
        {("tgworker_recipients_sought_total", "found"): 1},
    ),
    (
        events.WaitAnnounced(ACCOUNT, "method", 30, "FLOOD_WAIT_30"),
        {("tgworker_waits_announced_total", "method"): 1},
    ),
    (
        events.Ingested(ACCOUNT, messages=5, new=3, duration_s=0.5, changes=2),
        {
            ("tgworker_ingested_changes_total",): 2,
            ("tgworker_ingested_messages_total", "new"): 3,
            ("tgworker_ingested_messages_total", "known"): 2,
            ("tgworker_ingest_duration_seconds_count",): 1,
            ("tgworker_ingest_duration_seconds_sum",): 0.5,
        },
    ),
    (
        events.PresenceWritten(contacts=30, dropped=2, duration_s=0.01),
        {
            ("tgworker_presence_writes_total",): 1,
            ("tgworker_presence_contacts_total",): 30,
            ("tgworker_presence_dropped_total",): 2,
        },
    ),
    (
        events.HeartbeatWritten("embedded", 7, "online", 0.001),
        {("tgworker_heartbeats_written_total", "embedded"): 1},
    ),
    (
        events.HeartbeatMissed("supabase", 7, "no answer within 10 s"),
        {("tgworker_heartbeats_missed_total", "supabase"): 1},
    ),
    (
        events.StoreUnavailable("database.claim", "no route to db.example", 0.5, ACCOUNT),
        {("tgworker_store_failures_total", "database.claim"): 1},
    ),
    (
        events.StoreBack("outbound", 20.5, ACCOUNT),
        {
            ("tgworker_store_outages_total", "outbound"): 1,
            ("tgworker_store_outage_seconds_total", "outbound"): 20.5,
        },
    ),
]
OTHERS: list[events.Event] = [
    events.AccountChanged(ACCOUNT, AccountState.BANNED, "why", 2.0),
    events.JobsWaiting("message_jobs", 3),
    events.MessagesUnsure(2),
    events.AccountIntroduced(ACCOUNT, 120, 2.5),
    events.LoginEnded("9", "done", None),
]


def counted(*heard: events.Event) -> dict[tuple[str, ...], float]:
    metrics = MessagingMetrics()
    for event in heard:
        metrics(event)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text_of(metrics.tallies).decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith("_bucket")
    }


@pytest.mark.parametrize(("event", "expected"), COUNTED, ids=lambda value: type(value).__name__)
def test_an_event_counts_for_its_metrics_and_no_other(
    event: events.Event, expected: dict[tuple[str, ...], float]
) -> None:
    assert counted(event) == expected
    assert counted(event, event, event) == {sample: 3 * value for sample, value in expected.items()}


def test_rows_that_wait_are_as_many_as_were_last_told() -> None:
    heard = [
        events.JobsWaiting(*told) for told in [("message_jobs", 3), ("other_jobs", 1), ("message_jobs", 2)]
    ]
    assert counted(*heard) == {
        ("tgworker_jobs_waiting", "message_jobs"): 2,
        ("tgworker_jobs_waiting", "other_jobs"): 1,
    }


def test_unsure_messages_are_as_many_as_were_last_told() -> None:
    assert counted(events.MessagesUnsure(2), events.MessagesUnsure(1)) == {("tgworker_messages_unsure",): 1}


def test_an_account_s_state_is_not_counted_here() -> None:
    assert counted(OTHERS[0]) == {}


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event in [*OTHERS, *(event for event, _ in COUNTED)]} == set(events.CATALOGUE)


def test_every_metric_has_its_event_and_is_named_as_prometheus_asks() -> None:
    there = {sample[0].removesuffix("_count") for sample in counted(*OTHERS, *(one for one, _ in COUNTED))}
    for tally in MessagingMetrics().tallies:
        assert tally.name in there
        assert tally.name.endswith("_total") == (tally.kind == "counter"), tally.name


def test_the_outcomes_are_those_that_there_are_and_are_shown_from_the_start() -> None:
    assert sorted(OUTCOMES) == sorted(outcome.__name__.lower() for outcome in get_args(Outcome))
    text = text_of(MessagingMetrics().tallies).decode()
    for outcome in OUTCOMES:
        assert f'tgworker_sends_total{{outcome="{outcome}"}} 0.0\n' in text
    unheard = events.SendFinished(ACCOUNT, MESSAGE, 1, "Dear Ada, you owe me", 0.5)
    assert ("tgworker_sends_total", "other") in counted(unheard)


def test_nobody_is_named() -> None:
    metrics = MessagingMetrics()
    for event in [*OTHERS, *(event for event, _ in COUNTED)]:
        metrics(event)
    text = text_of(metrics.tallies).decode()
    for word in ("recognisable", "FLOOD", "db.example", "why", "no answer"):
        assert word not in text
