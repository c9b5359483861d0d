"""What the update log tells of messages that are stored already.

Each is committed in the batch that brought it, in the log's order, after that batch's new messages. A change
of a message that the store does not have changes nothing: a history that is read later has it as it is then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tgworker.messaging.models import ChatMessage


@dataclass(frozen=True, slots=True)
class Edited:
    """A message has another text or caption, or other buttons: the whole message as it is now.

    Attributes:
        message: It.
        edited_at: Telegram's time of the edit, aware, UTC; ``None``: it only looks different (a view count).
    """

    message: ChatMessage
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """Messages are gone, for this account.

    Attributes:
        chat_id: Their chat; ``None`` where Telegram does not say it: in private chats and basic groups, whose
            messages are numbered together.
        telegram_ids: They.
    """

    chat_id: int | None
    telegram_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadByThem:
    """The other side has read what this account wrote, up to a message.

    Attributes:
        chat_id: The chat.
        max_id: The newest message that was read: a number, of this chat.
    """

    chat_id: int
    max_id: int


@dataclass(frozen=True, slots=True)
class ReadByUs:
    """This account has read a chat, here or on another device, up to a message.

    Attributes:
        chat_id: The chat.
        max_id: The newest message that was read: a number, of this chat.
        still_unread: So many messages above it are unread, says Telegram.
    """

    chat_id: int
    max_id: int
    still_unread: int


@dataclass(frozen=True, slots=True)
class Reacted:
    """A message's reactions are these now; all of them, not what is new.

    Attributes:
        chat_id: The chat.
        telegram_id: The message.
        counts: How often each is given: an emoji, ``custom:`` and the id of a custom one, or ``paid``.
        own: Those of this account; ``None``: Telegram did not say, and what was known stays.
        by: Marked ids of people who gave one, as far as Telegram names them, with what they gave.
    """

    chat_id: int
    telegram_id: int
    counts: Mapping[str, int]
    own: tuple[str, ...] | None = ()
    by: tuple[tuple[int, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Messages were pinned, or are pinned no more.

    Attributes:
        chat_id: The chat.
        telegram_ids: They.
        is_pinned: Whether they are pinned now.
    """

    chat_id: int
    telegram_ids: tuple[int, ...]
    is_pinned: bool


Change = Edited | Deleted | ReadByThem | ReadByUs | Reacted | Pinned
