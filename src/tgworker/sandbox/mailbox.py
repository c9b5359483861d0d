"""What one account holds: its messages, numbered for it alone, its chats, and its update log."""

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tgworker.sandbox.letters import NO_HISTORY, History, Letter
from tgworker.sandbox.media import Media
from tgworker.sandbox.update_log import UpdateLog

REMEMBERED_SENDS = 200_000
"""How many ``random_id`` an account remembers. Telegram's own window is not documented."""


class Sent(NamedTuple):
    """What a ``random_id`` became.

    Attributes:
        peer_id: The chat, as a marked id.
        message_id: The message's number there.
        at_s: When it was sent, by the clock that passes.
    """

    peer_id: int
    message_id: int
    at_s: float


@dataclass(slots=True)
class Chat:
    """One chat of a mailbox.

    Attributes:
        ids: The ids of its messages, ascending.
        unread: The ids of incoming messages that were not read.
        read_inbox_max_id: Up to where the owner has read.
        read_outbox_max_id: Up to where the other side has read; in a group, whoever read farthest.
    """

    ids: list[int] = field(default_factory=list[int])
    unread: list[int] = field(default_factory=list[int])
    read_inbox_max_id: int = 0
    read_outbox_max_id: int = 0


class Mailbox:
    """The messages of one account. It forgets none: some 1.4 kB for a short one, both sides and their logs.

    Args:
        owner_id: Whose it is.

    Attributes:
        log: Its updates.
        letters: Its messages, by number.
        chats: Its private chats and groups, by marked id.
        archived: The chats that are in the archive, channels too, by marked id.
        unseen_reactions: The ids of the owner's messages with reactions that he has not seen, by marked id of
            the chat, which may be a channel.
    """

    def __init__(self, owner_id: int) -> None:
        self.log = UpdateLog()
        self.letters: dict[int, Letter] = {}
        self.chats: dict[int, Chat] = {}
        self.archived: set[int] = set()
        self.unseen_reactions: dict[int, set[int]] = {}
        self._owner_id = owner_id
        self._last_id = 0
        self._sent: OrderedDict[int, Sent] = OrderedDict()

    @property
    def last_id(self) -> int:
        """The number of its newest message, whether it is still there or not."""
        return self._last_id

    def add(
        self,
        peer_id: int,
        *,
        author_id: int,
        date: datetime,
        text: str,
        entities: tuple[Any, ...],
        action: Any = None,
        media: Media | None = None,
        group: int | None = None,
    ) -> Letter:
        """Put a message in, under the next id."""
        self._last_id += 1
        letter = Letter(
            self._last_id, peer_id, author_id, date, text, entities, action, media=media, group=group
        )
        self.letters[letter.id] = letter
        chat = self.chats.setdefault(peer_id, Chat())
        chat.ids.append(letter.id)
        if author_id != self._owner_id:
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

    def history(self, peer_id: int) -> History:
        """The messages of one chat."""
        chat = self.chats.get(peer_id)
        return NO_HISTORY if chat is None else History(chat.ids, self.letters)

    def read(self, peer_id: int, max_id: int) -> list[int]:
        """Mark incoming messages as read, up to ``max_id`` (0: all).

        Returns:
            Those that were not read before, ascending.
        """
        chat = self.chats.get(peer_id)
        if chat is None:
            return []
        end = len(chat.unread) if max_id <= 0 else bisect_left(chat.unread, max_id + 1)
        read = chat.unread[:end]
        if read:
            del chat.unread[:end]
            chat.read_inbox_max_id = max(chat.read_inbox_max_id, read[-1])
        return read

    def sent_as(self, random_id: int) -> Sent | None:
        """What was sent with a ``random_id``."""
        return self._sent.get(random_id)

    def remember_sent(self, random_id: int, sent: Sent) -> None:
        """Remember what a ``random_id`` became."""
        self._sent.pop(random_id, None)
        self._sent[random_id] = sent
        if len(self._sent) > REMEMBERED_SENDS:
            self._sent.popitem(last=False)
