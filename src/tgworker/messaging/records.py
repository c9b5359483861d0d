"""What the commands read and list: rows as people ask for them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tgworker.messaging.models import Account, AccountId, AccountState, ConversationId, JobId, MessageId


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as ``accounts list`` shows it.

    Attributes:
        account: The account itself.
        is_active: The owner's switch.
        state: What it was doing when somebody last said.
        user_id: Its own Telegram id, once known.
        phone: Digits only.
        last_sync_at: When a worker last said that it is well, aware, UTC.
        last_error: Why it is not, with the remedy.
        is_ours: Whether it is this worker's, and not that of another one from before.
    """

    account: Account
    is_active: bool
    state: AccountState
    user_id: int | None
    phone: str | None = field(repr=False)
    last_sync_at: datetime | None
    last_error: str | None
    is_ours: bool = True


class Replacement(StrEnum):
    """What came of a session that was to be stored under another key."""

    REPLACED = "replaced"
    CHANGED = "changed"
    """Another one stands there now, or the account is gone: nothing was done."""
    NOT_OURS = "not_ours"
    """The application's old worker has the account: nothing was done."""


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """A history job as ``history`` shows it.

    Attributes:
        job_id: Its row.
        account_id: Who reads; ``None``: the application did not say.
        to: Which chat, as the row says, or as its conversation does; ``None``: neither does.
        status: ``pending``, ``processing``, ``completed`` or ``failed``, or what somebody wrote there.
        limit_messages: So many messages are asked for.
        synced: So many were new.
        seen: So many were read; 0 once it has ended.
        total: So many the chat has, as far as Telegram said; ``None`` once it has ended.
        error: Why it failed, with the remedy; or what it waits for.
        part_of: The job for a whole account that has filed it.
        chats: Of a job for a whole account: so many chats it has found; else ``None``.
        chats_done: So many of them have ended.
        chats_failed: So many of those have failed.
        is_listed: Whether all of its chats are found.
    """

    job_id: JobId
    account_id: AccountId | None
    to: str | None = field(repr=False)
    status: str
    limit_messages: int
    synced: int
    seen: int
    total: int | None
    error: str | None
    part_of: JobId | None = None
    chats: int | None = None
    chats_done: int = 0
    chats_failed: int = 0
    is_listed: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether the worker will do no more about it."""
        return self.status not in ("pending", "processing")


class OutboxState(StrEnum):
    """``tgworker_outbox.state``."""

    WAITING = "waiting"
    RESOLVING = "resolving"
    DEFERRED = "deferred"
    HELD = "held"
    SENDING = "sending"
    SENT = "sent"
    UNSURE = "unsure"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def settled(self) -> bool:
        """Whether the worker will do no more about it by itself."""
        return self in _SETTLED


_SETTLED = frozenset(
    {OutboxState.SENT, OutboxState.UNSURE, OutboxState.DEAD, OutboxState.CANCELLED, OutboxState.EXPIRED}
)


class CancelAnswer(StrEnum):
    """What comes of a wish to cancel a message."""

    CANCELLED = "cancelled"
    """It is not sent, for certain."""

    ASKED = "asked"
    """A worker has it in hand, and stops it unless it has begun to leave: the row will tell."""

    LATE = "late"
    """Telegram has it, or some of it, or nobody knows: it is not stopped."""


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """A row of the outbox as ``outbox list`` and ``send --wait`` show it; without its text.

    Attributes:
        message_id: The ``messages`` row.
        conversation_id: Its lane.
        account_id: The account that sends it; ``None`` before one was found.
        seq: Its place in the order.
        state: What it is.
        attempts: How often it was claimed.
        created_at: When it came, aware, UTC.
        not_before: When it may be tried, if it waits for a time.
        expires_at: When it is of no more use, if the application said so.
        telegram_id: Telegram's id of its first part, once known.
        error: Why it was put off, refused, or is in doubt.
        part: How many of its parts were sent, while not all were.
        parts: How many it takes, once that is known.
        cancel_asked_at: When somebody wanted to cancel it and it was on its way, or too late; aware, UTC.
        files: How many files it carries, as far as they are there.
        bytes_done: How much of them Telegram has, once any of it was sent.
        bytes_total: How much there is.
    """

    message_id: MessageId
    conversation_id: ConversationId
    account_id: AccountId | None
    seq: int
    state: OutboxState
    attempts: int
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    telegram_id: int | None
    error: str | None
    part: int = 0
    parts: int | None = None
    cancel_asked_at: datetime | None = None
    files: int = 0
    bytes_done: int | None = None
    bytes_total: int | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatRecord:
    """A row of ``worker_heartbeats``.

    Attributes:
        worker_id: The row's key.
        status: `WorkerStatus`, or what a newer worker says.
        last_heartbeat_at: By the store's clock, aware, UTC.
        age_s: Seconds since then, by the store's clock.
        loops_status: The plan's column, decoded.
        incarnation: Of the worker that wrote it.
        seq: Of the write.
    """

    worker_id: str
    status: str
    last_heartbeat_at: datetime
    age_s: float
    loops_status: dict[str, dict[str, object]]
    incarnation: int
    seq: int
