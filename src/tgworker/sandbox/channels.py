"""Channels and supergroups: one list of messages for all members, with numbers and an update log of its own.

Source: https://core.telegram.org/api/channel
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tgworker.sandbox.errors import UnknownPeer
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.letters import History, Letter
from tgworker.sandbox.media import Media
from tgworker.sandbox.peers import channel_peer
from tgworker.sandbox.update_log import UpdateLog

FIRST_ID = 2_000_000_001


@dataclass(slots=True)
class Member:
    """A user in a channel.

    Attributes:
        since: When he came.
        read_inbox_max_id: Up to where he has read.
        read_outbox_max_id: Up to where somebody has read what he wrote.
        next_post_at_s: When he may write again where a supergroup is slow, by the clock that passes.
        written: The ids of his own messages, ascending: they are never unread to him.
    """

    since: datetime
    read_inbox_max_id: int = 0
    read_outbox_max_id: int = 0
    next_post_at_s: float = -math.inf
    written: list[int] = field(default_factory=list[int])


@dataclass(eq=False, slots=True)
class Channel:
    """One channel or supergroup.

    Attributes:
        id: Its bare id.
        title: What it is called.
        megagroup: Whether it is a supergroup: all members write. In a channel only its creator does.
        creator_id: Who made it.
        made: When.
        username: Under which anybody finds and reads it; empty: only members do.
        slowmode_s: How long a member waits after each of his messages; 0: not at all. Its creator does not.
        migrated_from: The bare id of the basic group that it was.
        members: Who is in it.
        log: Its updates: with its own ``pts``.
        letters: Its messages, by number.
        ids: Their numbers, ascending.
        changed: When its log last grew.
        photo: What it looks like.
        banned: Who may not come in by himself.
        noforwards: Whether nothing may be forwarded from it.
    """

    id: int
    title: str
    megagroup: bool
    creator_id: int
    made: datetime
    changed: datetime
    username: str = ""
    slowmode_s: int = 0
    migrated_from: int | None = None
    members: dict[int, Member] = field(default_factory=dict[int, Member])
    log: UpdateLog = field(default_factory=UpdateLog, repr=False)
    letters: dict[int, Letter] = field(default_factory=dict[int, Letter], repr=False)
    ids: list[int] = field(default_factory=list[int], repr=False)
    last_id: int = 0
    photo: StoredFile | None = field(default=None, repr=False)
    noforwards: bool = False
    banned: set[int] = field(default_factory=set[int], repr=False)

    @property
    def peer(self) -> int:
        """Its marked id."""
        return channel_peer(self.id)

    @property
    def history(self) -> History:
        """Its messages, for reading."""
        return History(self.ids, self.letters)

    def add(
        self,
        author_id: int,
        *,
        date: datetime,
        text: str,
        entities: tuple[Any, ...],
        action: Any = None,
        media: Media | None = None,
        group: int | None = None,
    ) -> Letter:
        """Put a message in, under the next id."""
        self.last_id += 1
        letter = Letter(
            self.last_id, self.peer, author_id, date, text, entities, action, media=media, group=group
        )
        self.letters[letter.id] = letter
        self.ids.append(letter.id)
        if author_id in self.members:
            self.members[author_id].written.append(letter.id)
        return letter

    def remove(self, message_id: int) -> Letter | None:
        """Take a message out; returns it, if it was there."""
        letter = self.letters.pop(message_id, None)
        if letter is not None:
            author = self.members.get(letter.author_id)
            for ids in (self.ids, [] if author is None else author.written):
                at = bisect_left(ids, message_id)
                if at < len(ids) and ids[at] == message_id:
                    del ids[at]
        return letter

    def unread(self, user_id: int) -> int:
        """How many messages a member has not read; 0 for others."""
        member = self.members.get(user_id)
        if member is None:
            return 0
        after = member.read_inbox_max_id
        return len(self.ids) - bisect_right(self.ids, after) - _after(member.written, after)


class Channels:
    """All channels of a sandbox, and who is in which."""

    def __init__(self) -> None:
        self._by_id: dict[int, Channel] = {}
        self._of_user: dict[int, dict[int, Channel]] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._by_id.values())

    def add(
        self, title: str, creator_id: int, made: datetime, *, megagroup: bool, username: str = ""
    ) -> Channel:
        """A new channel, under the next id, with its creator in it."""
        number = FIRST_ID + len(self._by_id)
        channel = Channel(number, title, megagroup, creator_id, made, made, username.lower())
        self._by_id[channel.id] = channel
        self.join(channel, creator_id, made)
        return channel

    def find(self, channel_id: int) -> Channel | None:
        """The channel with a bare id."""
        return self._by_id.get(channel_id)

    def get(self, channel_id: int) -> Channel:
        """The channel with a bare id.

        Raises:
            UnknownPeer: There is none.
        """
        channel = self._by_id.get(channel_id)
        if channel is None:
            raise UnknownPeer(channel_peer(channel_id))
        return channel

    def by_username(self, username: str) -> Channel | None:
        """The channel with a name, in any case."""
        wanted = username.lower()
        return next((each for each in self if each.username and each.username == wanted), None)

    def of_user(self, user_id: int) -> list[Channel]:
        """The channels that a user is in."""
        return list(self._of_user.get(user_id, {}).values())

    def join(self, channel: Channel, user_id: int, since: datetime) -> bool:
        """Make a user a member, who has read what was there before; returns whether that is news."""
        if user_id in channel.members:
            return False
        channel.members[user_id] = Member(since, read_inbox_max_id=channel.last_id)
        self._of_user.setdefault(user_id, {})[channel.id] = channel
        return True

    def leave(self, channel: Channel, user_id: int) -> bool:
        """Make a user no member any more; returns whether he was one."""
        self._of_user.get(user_id, {}).pop(channel.id, None)
        return channel.members.pop(user_id, None) is not None


def _after(ids: list[int], message_id: int) -> int:
    return len(ids) - bisect_right(ids, message_id)
