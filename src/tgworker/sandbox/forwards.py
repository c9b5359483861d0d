"""Where a forwarded message comes from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telethon.tl import types

from tgworker.sandbox.peers import peer_view


@dataclass(frozen=True, slots=True)
class Forward:
    """What stands above a forwarded message.

    Attributes:
        origin: Whose the message was first, as a marked id: a user, or a channel that spoke for itself.
        date: When it was sent first.
        post: Its number in that channel.
        saved_from: The chat that one's note was taken from, as a marked id, and its number there.
    """

    origin: int
    date: datetime
    post: int | None = None
    saved_from: tuple[int, int] | None = None

    def view(self) -> Any:
        """As a ``messageFwdHeader``."""
        chat, number = (None, None) if self.saved_from is None else self.saved_from
        return types.MessageFwdHeader(
            date=self.date,
            from_id=peer_view(self.origin),
            channel_post=self.post,
            saved_from_peer=None if chat is None else peer_view(chat),
            saved_from_msg_id=number,
        )

    def mentions(self) -> list[int]:
        """The peers that a client must know to show it, as marked ids."""
        return [self.origin, *([] if self.saved_from is None else [self.saved_from[0]])]
