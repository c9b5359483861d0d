"""What the messaging loops do, in numbers. No account, message or chat is named: labels are closed sets."""

from typing import Final, assert_never, final

from tgworker.messaging import events
from tgworker.messaging.hearing import Remedy
from tgworker.operations.tallies import Counter, Gauge, Histogram, Names, Tally

SEND_BOUNDS_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""From a data centre next door to the deadline of a send."""

INGEST_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""From a commit of SQLite's to the deadline of a database call."""

OUTCOMES: Final = ("sent", "deferred", "refused", "unknown", "unsure", "unresolved", "released")
"""What may become of an attempt to send."""

JOB_OUTCOMES: Final = ("done", "deferred", "refused", "unknown", "released")
"""What may become of an attempt at a message job."""

_OUTCOMES: Final = tuple((outcome,) for outcome in OUTCOMES)


@final
class MessagingMetrics:
    """Counts what the messaging loops report. It never raises.

    Attributes:
        tallies: What is counted.
    """

    def __init__(self) -> None:
        self._writers, self._operations, self._tables = Names(), Names(), Names()
        self._sends = Counter(
            "tgworker_sends_total", "Attempts to send that ended, by outcome.", ["outcome"], known=_OUTCOMES
        )
        self._send_s = Histogram(
            "tgworker_send_duration_seconds",
            "How long attempts to send took, by outcome.",
            ["outcome"],
            bounds=SEND_BOUNDS_S,
            known=_OUTCOMES,
        )
        self._ingested = Counter(
            "tgworker_ingested_messages_total",
            "Messages that arrived and were committed: new ones, and ones that were there already.",
            ["novelty"],
            known=[("new",), ("known",)],
        )
        self._ingest_s = Histogram(
            "tgworker_ingest_duration_seconds",
            "How long it took to commit what one step of an update log brought.",
            bounds=INGEST_BOUNDS_S,
        )
        self._changes = Counter(
            "tgworker_ingested_changes_total",
            "Edits, deletes, reads, reactions and pins of messages that arrived and were committed.",
        )
        self._presence = Counter(
            "tgworker_presence_writes_total", "Calls to the store that wrote who is online and who types."
        )
        self._presence_contacts = Counter(
            "tgworker_presence_contacts_total", "Contacts in these calls, each time they were written."
        )
        self._presence_dropped = Counter(
            "tgworker_presence_dropped_total",
            "Contacts whose presence was forgotten for lack of room.",
        )
        self._missed_chats = Counter(
            "tgworker_missed_chats_total",
            "Chats whose history was asked for, because Telegram no longer told all that was missed there.",
        )
        self._waits = Counter(
            "tgworker_waits_announced_total",
            "Waits that Telegram announced to accounts, by what they are about.",
            ["scope"],
            known=[("method",), ("chat",), ("strangers",)],
        )
        self._sought = Counter(
            "tgworker_recipients_sought_total",
            "Questions to Telegram about whom a recipient names, by outcome.",
            ["outcome"],
            known=[("found",), ("refused",), ("deferred",)],
        )
        self._deaf = Counter(
            "tgworker_deaf_total",
            "How often a line brought no updates although it answered, by what was done about it.",
            ["remedy"],
            known=[(remedy.value,) for remedy in Remedy],
        )
        self._history = Counter(
            "tgworker_history_messages_total",
            "Messages that history jobs read: new ones, and ones that were there already.",
            ["novelty"],
            known=[("new",), ("known",)],
        )
        self._history_jobs = Counter(
            "tgworker_history_jobs_total",
            "History jobs that ended, by result.",
            ["result"],
            known=[("completed",), ("failed",)],
        )
        self._jobs = Counter(
            "tgworker_message_jobs_total",
            "Attempts at message jobs that ended, by action and outcome.",
            ["action", "outcome"],
        )
        self._job_s = Histogram(
            "tgworker_message_job_duration_seconds",
            "How long attempts at message jobs took, by outcome.",
            ["outcome"],
            bounds=SEND_BOUNDS_S,
            known=tuple((outcome,) for outcome in JOB_OUTCOMES),
        )
        self._files = Counter(
            "tgworker_files_total",
            "Files of messages that were to be fetched, by what became of them.",
            ["outcome"],
            known=[("fetched",), ("later",), ("left",)],
        )
        self._file_bytes = Counter(
            "tgworker_file_bytes_total", "Bytes of files that were fetched from Telegram and kept."
        )
        self._written = Counter(
            "tgworker_heartbeats_written_total", "Heartbeats that were committed, by writer.", ["writer"]
        )
        self._missed = Counter(
            "tgworker_heartbeats_missed_total", "Heartbeats that could not be written, by writer.", ["writer"]
        )
        self._failed = Counter(
            "tgworker_store_failures_total",
            "Calls to the store that failed or were cut off by their deadline.",
            ["operation"],
        )
        self._outages = Counter(
            "tgworker_store_outages_total",
            "Outages of the store that are over, counted once for each loop that met one.",
            ["operation"],
        )
        self._away_s = Counter(
            "tgworker_store_outage_seconds_total", "How long these outages lasted.", ["operation"]
        )
        self._waiting = Gauge("tgworker_jobs_waiting", "Rows that wait in a table of jobs.", ["table"])
        self._unsure = Gauge(
            "tgworker_messages_unsure",
            "Messages that are left to a person, since nobody knows whether Telegram has them.",
        )
        self.tallies: tuple[Tally, ...] = (
            self._sends,
            self._send_s,
            self._ingested,
            self._ingest_s,
            self._changes,
            self._presence,
            self._presence_contacts,
            self._presence_dropped,
            self._missed_chats,
            self._waits,
            self._sought,
            self._deaf,
            self._history,
            self._history_jobs,
            self._jobs,
            self._job_s,
            self._files,
            self._file_bytes,
            self._written,
            self._missed,
            self._failed,
            self._outages,
            self._away_s,
            self._waiting,
            self._unsure,
        )

    def __call__(self, event: events.Event) -> None:
        """Count an event."""
        match event:
            case events.SendFinished():
                outcome = event.outcome if event.outcome in OUTCOMES else "other"
                self._sends.add(outcome)
                self._send_s.observe(event.duration_s, outcome)
            case events.Ingested():
                self._ingested.add("new", by=event.new)
                self._ingested.add("known", by=event.messages - event.new)
                self._ingest_s.observe(event.duration_s)
                self._changes.add(by=event.changes)
            case events.PresenceWritten():
                self._presence.add()
                self._presence_contacts.add(by=event.contacts)
                self._presence_dropped.add(by=event.dropped)
            case events.HistoryMissed():
                self._missed_chats.add(by=event.chats)
            case events.WaitAnnounced():
                self._waits.add(event.scope)
            case events.RecipientSought():
                self._sought.add(event.outcome)
            case events.AccountDeaf():
                self._deaf.add(event.remedy.value)
            case events.HistoryRead():
                self._history.add("new", by=event.new)
                self._history.add("known", by=event.messages - event.new)
                self._history_jobs.add("completed" if event.error is None else "failed")
            case events.JobFinished():
                self._jobs.add(event.action, event.outcome)
                self._job_s.observe(event.duration_s, event.outcome)
            case events.FileFetched():
                self._files.add(event.outcome)
                self._file_bytes.add(by=event.size)
            case events.HeartbeatWritten():
                self._written.add(self._writers.of(event.writer))
            case events.HeartbeatMissed():
                self._missed.add(self._writers.of(event.writer))
            case events.StoreUnavailable():
                self._failed.add(self._operations.of(event.operation))
            case events.StoreBack():
                operation = self._operations.of(event.operation)
                self._outages.add(operation)
                self._away_s.add(operation, by=event.away_s)
            case events.JobsWaiting():
                self._waiting.set(self._tables.of(event.table), to=event.waiting)
            case events.MessagesUnsure():
                self._unsure.set(to=event.count)
            case events.LoginEnded():
                pass  # it is rare, and its row says all of it
            case events.AccountChanged() | events.AccountIntroduced():
                pass  # the worker is asked how many are in which state: it knows which are no longer ours
            case _:
                assert_never(event)
