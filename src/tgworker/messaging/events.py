"""What the loops report: frozen events to one observer. They carry no secret and no message text.

``account`` is the row's id, times are seconds of trio's clock. `CATALOGUE` lists every event; the reference
in ``docs/`` is checked against it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tgworker.messaging.hearing import Remedy
from tgworker.messaging.models import AccountId, AccountState, JobId, MessageId


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """An account is something else than before (online, reconnecting, needs_login, …)."""

    account: AccountId
    state: AccountState
    reason: str | None
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class StoreUnavailable:
    """A call to the store failed or was cut by its deadline; it is repeated after ``retry_in_s``."""

    operation: str
    reason: str
    retry_in_s: float
    account: AccountId | None = None


@dataclass(frozen=True, slots=True)
class StoreBack:
    """The store answers again after ``away_s`` seconds."""

    operation: str
    away_s: float
    account: AccountId | None = None


@dataclass(frozen=True, slots=True)
class SendFinished:
    """An attempt ended. ``outcome`` is the outcome's class in lower case, ``reason`` Telegram's word."""

    account: AccountId
    message: MessageId
    attempt: int
    outcome: str
    duration_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WaitAnnounced:
    """Telegram asked an account to wait: ``scope`` says with what (method, chat, strangers).

    It is told once for each wait, and stored: other messages of the account wait without asking again.
    """

    account: AccountId
    scope: str
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class AccountIntroduced:
    """An account's contacts and chats were read, once: so many peers are known by them."""

    account: AccountId
    peers: int
    duration_s: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RecipientSought:
    """Telegram was asked whom a recipient names, by ``method``: ``found``, ``refused`` or ``deferred``."""

    account: AccountId
    method: str
    outcome: str
    duration_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """Updates were committed: so many messages, so many of them new, and so many changes of stored ones."""

    account: AccountId
    messages: int
    new: int
    duration_s: float
    changes: int = 0


@dataclass(frozen=True, slots=True)
class PresenceWritten:
    """Who is online and who types was written, of so many contacts; ``dropped`` is news that had no room."""

    contacts: int
    dropped: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class HistoryMissed:
    """Telegram no longer told all that was missed: the history of so many chats is asked for instead."""

    account: AccountId
    chats: int


@dataclass(frozen=True, slots=True)
class AccountDeaf:
    """Telegram has more than a line brought, in so many logs, by so many steps: what is done about it."""

    account: AccountId
    remedy: Remedy
    logs: int
    behind: int


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """A history job ended: how many messages it read, and how many of them were new to this reader."""

    account: AccountId
    job: JobId
    messages: int
    new: int
    duration_s: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobFinished:
    """An attempt of a message job ended: ``done``, ``refused``, or to be repeated.

    ``outcome`` is the outcome's class in lower case, ``reason`` Telegram's word or ours.
    """

    account: AccountId
    job: JobId
    action: str
    attempt: int
    outcome: str
    duration_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class FileFetched:
    """A file of a message was ``fetched`` and kept, is tried again ``later``, or is ``left``, and why."""

    account: AccountId
    message: MessageId
    kind: str
    outcome: str
    size: int
    duration_s: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatWritten:
    """A heartbeat was committed by one of its writers."""

    writer: str
    seq: int
    status: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class HeartbeatMissed:
    """A heartbeat could not be written; the next one is due as always."""

    writer: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoginEnded:
    """A login that the application asked for ended: ``done``, ``failed``, ``expired``, ``cancelled``."""

    login: str
    state: str
    error: str | None


@dataclass(frozen=True, slots=True)
class JobsWaiting:
    """The number of rows that wait in a table of jobs changed."""

    table: str
    waiting: int


@dataclass(frozen=True, slots=True)
class MessagesUnsure:
    """The number of messages that are left to a person changed: nobody knows whether Telegram has them."""

    count: int


Event = (
    AccountChanged
    | StoreUnavailable
    | StoreBack
    | SendFinished
    | WaitAnnounced
    | AccountIntroduced
    | RecipientSought
    | Ingested
    | PresenceWritten
    | HistoryMissed
    | AccountDeaf
    | HistoryRead
    | JobFinished
    | FileFetched
    | LoginEnded
    | HeartbeatWritten
    | HeartbeatMissed
    | JobsWaiting
    | MessagesUnsure
)
Report = Callable[[Event], None]

CATALOGUE: tuple[type[Event], ...] = (
    AccountChanged,
    StoreUnavailable,
    StoreBack,
    SendFinished,
    WaitAnnounced,
    AccountIntroduced,
    RecipientSought,
    Ingested,
    PresenceWritten,
    HistoryMissed,
    AccountDeaf,
    HistoryRead,
    JobFinished,
    FileFetched,
    LoginEnded,
    HeartbeatWritten,
    HeartbeatMissed,
    JobsWaiting,
    MessagesUnsure,
)
