"""What one account holds: its messages, numbered for it alone, its chats, and its update log."""

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tgworker.sandbox.update_log import UpdateLog

REMEMBERED_SENDS = 200_000
"""How many ``random_id`` an account remembers. Telegram's own window is not documented."""


@dataclass(slots=True)
class Letter:
    """A message as one of its two sides holds it.

    Attributes:
        id: Its number in this mailbox.
        peer_id: The other side.
        outgoing: Whether the mailbox's owner wrote it.
        date: When it was sent, by the server's calendar.
        text: Its text.
        entities: Telegram's formatting, as it came.
        pts: Where the owner's log stood after it.
        twin_id: The same message in the other side's mailbox; ``None`` in a chat with oneself.
        edited: When it was last edited.
    """

    id: int
    peer_id: int
    outgoing: bool
    date: datetime
    text: str = field(repr=False)
    entities: tuple[Any, ...] = field(default=(), repr=False)
    pts: int = 0
    twin_id: int | None = None
    edited: datetime | None = None


@dataclass(slots=True)
class Chat:
    """One chat of a mailbox.

    Attributes:
        ids: The ids of its messages, ascending.
        unread: The ids of incoming messages that were not read.
        read_inbox_max_id: Up to where the owner has read.
        read_outbox_max_id: Up to where the other side has read.
    """

    ids: list[int] = field(default_factory=list[int])
    unread: list[int] = field(default_factory=list[int])
    read_inbox_max_id: int = 0
    read_outbox_max_id: int = 0


class Mailbox:
    """The messages of one account. It forgets none: some 0.7 kB for a short one, both sides together."""

    def __init__(self) -> None:
        self.log = UpdateLog()
        self.letters: dict[int, Letter] = {}
        self.chats: dict[int, Chat] = {}
        self._last_id = 0
        self._sent: OrderedDict[int, int] = OrderedDict()

    def add(
        self, peer_id: int, *, outgoing: bool, date: datetime, text: str, entities: tuple[Any, ...]
    ) -> Letter:
        """Put a message in, under the next id."""
        self._last_id += 1
        letter = Letter(self._last_id, peer_id, outgoing, date, text, entities)
        self.letters[letter.id] = letter
        chat = self.chats.setdefault(peer_id, Chat())
        chat.ids.append(letter.id)
        if not outgoing:
            chat.unread.append(letter.id)
        return letter

    def remove(self, message_id: int) -> Letter | None:
        """Take a message out; returns it, if it was there."""
        letter = self.letters.pop(message_id, None)
        if letter is not None:
            chat = self.chats[letter.peer_id]
            for ids in (chat.ids, chat.unread):
                at = bisect_left(ids, message_id)
                if at < len(ids) and ids[at] == message_id:
                    del ids[at]
        return letter

    def read(self, peer_id: int, max_id: int) -> int:
        """Mark incoming messages as read, up to ``max_id`` (0: all).

        Returns:
            The newest of those that were not read before, or 0.
        """
        chat = self.chats.get(peer_id)
        if chat is None:
            return 0
        end = len(chat.unread) if max_id <= 0 else bisect_left(chat.unread, max_id + 1)
        if end == 0:
            return 0
        newest = chat.unread[end - 1]
        del chat.unread[:end]
        chat.read_inbox_max_id = max(chat.read_inbox_max_id, newest)
        return newest

    def sent_as(self, random_id: int) -> int | None:
        """The id of the message that was sent with a ``random_id``."""
        return self._sent.get(random_id)

    def remember_sent(self, random_id: int, message_id: int) -> None:
        """Remember what a ``random_id`` became."""
        self._sent[random_id] = message_id
        if len(self._sent) > REMEMBERED_SENDS:
            self._sent.popitem(last=False)
