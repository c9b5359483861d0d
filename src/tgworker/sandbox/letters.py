"""A message as it is held: in an account's mailbox, under a number of its own there, or in a channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tgworker.sandbox.forwards import Forward
from tgworker.sandbox.media import Media
from tgworker.sandbox.reactions import Reactions


@dataclass(slots=True)
class Letter:
    """A message where it is held.

    Attributes:
        id: Its number in the mailbox or channel that holds it.
        peer_id: The chat, as a marked id: the other side, a group, a channel.
        author_id: Who wrote it.
        date: When it was sent, by the server's calendar.
        text: Its text; empty in a service message.
        entities: Telegram's formatting, as it came.
        action: What a service message says (``MessageActionChatCreate`` and the like).
        pts: Where the log stood after it.
        copies: Where the same message is: its number in the mailboxes of all who hold it, by account. Shared
            by the copies; empty in a channel, which has one for all.
        edited: When it was last edited.
        touched: When it last became another without being shown as edited.
        media: What it carries beside text.
        group: The album that it stands in.
        reactions: Those to it; shared by the copies.
        forward: Where it comes from, if it was forwarded.
        reply_to: The message that it refers to, by the number of whoever holds it.
        silent: Whether it came without a sound.
        pinned: Whether it is pinned, for who holds it.
    """

    id: int
    peer_id: int
    author_id: int
    date: datetime
    text: str = field(repr=False)
    entities: tuple[Any, ...] = field(default=(), repr=False)
    action: Any = field(default=None, repr=False)
    pts: int = 0
    copies: dict[int, int] = field(default_factory=dict[int, int], repr=False)
    edited: datetime | None = None
    touched: datetime | None = None
    media: Media | None = field(default=None, repr=False)
    group: int | None = None
    reactions: Reactions | None = field(default=None, repr=False)
    forward: Forward | None = None
    reply_to: int | None = None
    silent: bool = False
    pinned: bool = False

    def is_plain(self) -> bool:
        """Whether it is a text and no more: such have a short form."""
        return self.action is None and self.media is None and self.forward is None

    def mentions(self) -> list[int]:
        """The peers that a client must know to show it, as marked ids."""
        if self.action is None:
            reacted = [] if self.reactions is None else [user_id for user_id, _, _ in self.reactions.recent()]
            origin = [] if self.forward is None else self.forward.mentions()
            return [self.peer_id, self.author_id, *reacted, *origin]
        acted_on: list[int] = getattr(self.action, "users", None) or []
        others = [getattr(self.action, each, None) for each in ("user_id", "inviter_id")]
        return [self.peer_id, self.author_id, *acted_on, *(each for each in others if each)]


class History(NamedTuple):
    """The messages of one chat, for reading.

    Attributes:
        ids: Their numbers, ascending.
        letters: They and others, by number.
    """

    ids: Sequence[int]
    letters: Mapping[int, Letter]


NO_HISTORY = History((), {})
