"""An account's updates as Telegram numbers them: the log behind ``updates.getDifference``.

Source: https://core.telegram.org/api/updates
"""

from bisect import bisect_right
from dataclasses import dataclass

KEPT = 200_000
"""Older updates are forgotten; who asks for them is told that the difference is too long."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message came into the mailbox, or left from it.

    Attributes:
        message_id: Its id there.
    """

    message_id: int


@dataclass(frozen=True, slots=True)
class NumberedMessage:
    """Which message a ``random_id`` became. It moves no ``pts``.

    Attributes:
        message_id: The message.
        random_id: What the sender called it.
    """

    message_id: int
    random_id: int


@dataclass(frozen=True, slots=True)
class EditedMessage:
    """A message has another text now.

    Attributes:
        message_id: The message.
    """

    message_id: int


@dataclass(frozen=True, slots=True)
class DeletedMessages:
    """Messages are gone.

    Attributes:
        message_ids: They.
    """

    message_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadInbox:
    """The account's owner has read a chat.

    Attributes:
        peer_id: The chat.
        max_id: Up to this message.
        still_unread: How many messages he has not read.
    """

    peer_id: int
    max_id: int
    still_unread: int


@dataclass(frozen=True, slots=True)
class ReadOutbox:
    """The other side has read what the account's owner wrote.

    Attributes:
        peer_id: Who.
        max_id: Up to this message.
    """

    peer_id: int
    max_id: int


@dataclass(frozen=True, slots=True)
class PinnedMessages:
    """Messages were pinned, or their pins were taken off.

    Attributes:
        peer_id: The chat.
        message_ids: They.
        pinned: Whether they are pinned now.
    """

    peer_id: int
    message_ids: tuple[int, ...]
    pinned: bool


@dataclass(frozen=True, slots=True)
class Filed:
    """Chats went into a folder of the list of chats, or out of it.

    Attributes:
        peers: They, as marked ids.
        folder_id: 1 for the archive, 0 for the list itself.
    """

    peers: tuple[int, ...]
    folder_id: int


Event = (
    NewMessage
    | NumberedMessage
    | EditedMessage
    | DeletedMessages
    | ReadInbox
    | ReadOutbox
    | PinnedMessages
    | Filed
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        pts: Where the log stands after it.
        pts_count: How far it moved the log.
        event: What happened.
    """

    pts: int
    pts_count: int
    event: Event


class UpdateLog:
    """The log of one account."""

    def __init__(self) -> None:
        self.pts = 1
        self._entries: list[Entry] = []
        self._forgotten_to = 0

    def append(self, event: Event, pts_count: int = 1) -> Entry:
        """Note an event; returns its line."""
        self.pts += pts_count
        entry = Entry(self.pts, pts_count, event)
        self._entries.append(entry)
        if len(self._entries) >= 2 * KEPT:
            self._forgotten_to = self._entries[-KEPT - 1].pts
            del self._entries[:-KEPT]
        return entry

    def since(self, pts: int, limit: int) -> list[Entry] | None:
        """The first ``limit`` lines after ``pts``, or a few more: lines with the same ``pts`` stay together.

        Returns:
            The lines, oldest first, or ``None`` if some of them are forgotten.
        """
        if pts < self._forgotten_to:
            return None
        start = bisect_right(self._entries, pts, key=_pts)
        end = start + limit
        if end < len(self._entries):
            end = bisect_right(self._entries, self._entries[end - 1].pts, key=_pts)
        return self._entries[start:end]


def _pts(entry: Entry) -> int:
    return entry.pts
