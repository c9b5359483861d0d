"""What the adapter tells an observer. Frozen values; none holds a message text, a secret or a name."""

from collections.abc import Callable
from dataclasses import dataclass

from tgworker.messaging.models import AccountId


@dataclass(frozen=True, slots=True)
class LoopFailed:
    """Something in the account's asyncio loop failed with nobody waiting for it. The loop lives on.

    Attributes:
        account_id: Whose loop.
        what: What kind of thing failed.
        error: The error's type and where it was raised; no text of it, which may quote a message.
    """

    account_id: AccountId
    what: str
    error: str


@dataclass(frozen=True, slots=True)
class TelethonWarned:
    """Telethon logged something above INFO.

    Attributes:
        account_id: Whose client.
        level: The name of the level.
        template: Telethon's format string. Its arguments are dropped: they quote requests and messages.
        error: The type of the exception that was logged with it, if any.
    """

    account_id: AccountId
    level: str
    template: str
    error: str | None


@dataclass(frozen=True, slots=True)
class DifferenceDelayed:
    """Telegram would not tell now what was missed; it is asked again.

    Attributes:
        account_id: Whose updates are late.
        retry_after_s: Seconds until the next try.
        reason: Telegram's error name.
    """

    account_id: AccountId
    retry_after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class UpdatesSkipped:
    """Telegram no longer has all that was missed: some messages can only be read from the history.

    Attributes:
        account_id: Whose updates were skipped.
        chats: In how many chats there may be such messages.
        private: Whether it was the account's own log, of private chats and basic groups, not a channel's.
    """

    account_id: AccountId
    chats: int
    private: bool


@dataclass(frozen=True, slots=True)
class UpdatesOverflowed:
    """Updates came faster than they were stored; what was dropped from memory is asked for again.

    Attributes:
        account_id: Whose updates.
        dropped: How many packets of updates.
    """

    account_id: AccountId
    dropped: int


@dataclass(frozen=True, slots=True)
class CloseWedged:
    """Tasks of a closed connection that would not die. Only the end of the process cures it.

    Attributes:
        account_id: Whose connection.
        tasks: Their coroutines' names.
    """

    account_id: AccountId
    tasks: tuple[str, ...]


TelegramEvent = (
    LoopFailed | TelethonWarned | DifferenceDelayed | UpdatesSkipped | UpdatesOverflowed | CloseWedged
)

Observer = Callable[[TelegramEvent], None]
"""Gets each event as it happens. Must neither block nor raise."""


def ignore(event: TelegramEvent) -> None:
    """Observe nothing."""
