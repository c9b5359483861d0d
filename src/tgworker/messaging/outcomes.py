"""What can become of an attempt to send. Expected outcomes are values, matched exhaustively."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tgworker.messaging.models import Attempt


@dataclass(frozen=True, slots=True)
class Sent:
    """Telegram has the message.

    Attributes:
        telegram_id: Telegram's message id; ``None`` where Telegram only said "already sent"
            (``RANDOM_ID_DUPLICATE``) and the id could not be read back yet.
        sent_at: Telegram's time of sending, aware, UTC; ``None`` where the answer did not carry it.
        more: ``(random_id, telegram_id)`` of further messages that the same request made: those of an album.
    """

    telegram_id: int | None
    sent_at: datetime | None = None
    more: tuple[tuple[int, int], ...] = ()


class HoldsUp(Enum):
    """What else has to wait when Telegram said "later" to one message."""

    ROW = "row"
    """Nothing else."""

    CHAT = "chat"
    """Whatever goes to this chat: slow mode."""

    METHOD = "method"
    """Whatever the account sends in this way: it was too fast."""

    SUBSCRIPTION = "subscription"
    """The same, and only because the account has no Premium."""

    STRANGERS = "strangers"
    """First messages to people who do not know the account."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """It is for later: Telegram said so (a flood wait, slow mode), or its chat has had enough for now.

    No attempt is counted as failed.

    Attributes:
        retry_after_s: Seconds, as Telegram announced them.
        reason: Telegram's error name, or which pace it is.
        holds_up: What else has to wait.
    """

    retry_after_s: float
    reason: str
    holds_up: HoldsUp = HoldsUp.ROW


@dataclass(frozen=True, slots=True)
class Refused:
    """A final no: by Telegram, or because the row cannot be sent. The row is dead-lettered.

    Attributes:
        reason: Telegram's error name or one clear phrase.
    """

    reason: str


TAKEOUT_OVER = frozenset({"TAKEOUT_INVALID", "TAKEOUT_REQUIRED"})
"""Why Telegram refuses what is asked in a takeout session that is over, or replaced by another export."""


@dataclass(frozen=True, slots=True)
class NotYetAllowed:
    """Telegram lets nobody export an account at once who has just logged in: its owner might not want it.

    Attributes:
        wait_s: Seconds until it may begin, unless the owner allows it before on another device.
        reason: Telegram's error name.
    """

    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether Telegram has it: a deadline, a lost line. Repeated with the same ``random_id``.

    Attributes:
        reason: What happened.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """It may not be repeated any more, and the history does not show whether it was sent.

    The row is dead-lettered for a person, and the chat goes on.

    Attributes:
        reason: Why it was given up.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """No byte left: the account went away first. The row waits again as if it had never been claimed.

    Attributes:
        reason: Why it was given back.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """No byte left: nobody knows yet whom its recipient names. The row waits for that in `resolving`.

    Attributes:
        reason: What is waited for.
    """

    reason: str


Outcome = Sent | Deferred | Refused | Unknown | Unsure | Released | Unresolved


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt and what became of it: what the store is told."""

    attempt: Attempt
    outcome: Outcome


def reason_of(outcome: Outcome) -> str | None:
    """Why it came to this; ``None`` for what went well."""
    return None if isinstance(outcome, Sent) else outcome.reason
