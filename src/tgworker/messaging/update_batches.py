"""What the update log brings, step by step: the unit that is committed together."""

from dataclasses import dataclass

from tgworker.messaging.changes import Change
from tgworker.messaging.models import ChatMessage, Peer, Position


@dataclass(frozen=True, slots=True)
class Gap:
    """A chat of which the update log told not everything: its history has it.

    Attributes:
        chat_id: The chat.
        top_id: The id of its newest message, if there can be no gap where the log has told of this message;
            ``None`` where that would prove nothing (of our own it tells when it was sent from here).
    """

    chat_id: int
    top_id: int | None


@dataclass(frozen=True, slots=True)
class UpdateBatch:
    """What one step of Telegram's update log brought, in order.

    Attributes:
        messages: New messages.
        peers: The users and chats that came with it, with their access hashes.
        sent_ids: ``(random_id, telegram_id)`` of messages that this account sent: Telegram's
            ``updateMessageID``, by which a send is recognised whose answer was lost.
        position: Where the log stands *after* this batch; ``None`` where nothing of it is known. It may
            be stored only together with, or after, everything else.
        gaps: Chats that the log, up to the position, did not tell everything of.
        changes: What became of messages that are stored already, and of those of this batch, in order.
    """

    messages: tuple[ChatMessage, ...]
    peers: tuple[Peer, ...]
    sent_ids: tuple[tuple[int, int], ...]
    position: Position | None
    gaps: tuple[Gap, ...] = ()
    changes: tuple[Change, ...] = ()
