"""What Telegram's updates say of messages that are there already, as changes.

Source: https://core.telegram.org/api/updates and the pages of each ``update…`` constructor.
"""

from typing import Any

from telethon.tl import types

from tgworker.messaging.changes import Change, Deleted, Edited, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.models import ChatMessage
from tgworker.telegram.messages import message_of, utc
from tgworker.telegram.peers import channel_mark, marked_id


def changes_of(update: Any, self_id: int) -> tuple[Change, ...]:
    """What an update changes, in order; nothing for updates that say nothing of messages.

    Args:
        update: Telegram's object.
        self_id: The account's own user id.
    """
    match update:
        case types.UpdateEditMessage() | types.UpdateEditChannelMessage():
            return _edit(update.message, self_id)
        case types.UpdateDeleteMessages() if update.messages:
            return (Deleted(None, tuple(update.messages)),)
        case types.UpdateDeleteChannelMessages() if update.messages:
            return (Deleted(channel_mark(update.channel_id), tuple(update.messages)),)
        case types.UpdateReadHistoryOutbox():
            return (ReadByThem(marked_id(update.peer), update.max_id),)
        case types.UpdateReadChannelOutbox():
            return (ReadByThem(channel_mark(update.channel_id), update.max_id),)
        case types.UpdateReadHistoryInbox() if update.top_msg_id is None:  # else of one topic of a chat
            return (ReadByUs(marked_id(update.peer), update.max_id, update.still_unread_count),)
        case types.UpdateReadChannelInbox():
            return (ReadByUs(channel_mark(update.channel_id), update.max_id, update.still_unread_count),)
        case types.UpdateMessageReactions():
            return (reacted(marked_id(update.peer), update.msg_id, update.reactions),)
        case types.UpdatePinnedMessages() if update.messages:
            return (Pinned(marked_id(update.peer), tuple(update.messages), bool(update.pinned)),)
        case types.UpdatePinnedChannelMessages() if update.messages:
            chat_id = channel_mark(update.channel_id)
            return (Pinned(chat_id, tuple(update.messages), bool(update.pinned)),)
        case _:
            return ()


def reacted(chat_id: int, telegram_id: int, reactions: Any) -> Reacted:
    """A message's reactions as they are now; ``None`` for ``reactions`` says that there are none."""
    if reactions is None:
        return Reacted(chat_id, telegram_id, {})
    counts = {_name(each.reaction): int(each.count) for each in reactions.results}
    chosen = [each for each in reactions.results if each.chosen_order is not None]
    own = tuple(_name(each.reaction) for each in sorted(chosen, key=lambda each: int(each.chosen_order)))
    recent = reactions.recent_reactions or ()
    return Reacted(
        chat_id,
        telegram_id,
        counts,
        None if reactions.min else own,
        tuple((marked_id(each.peer_id), _name(each.reaction)) for each in recent),
    )


def reactions_in(message: Any, known: ChatMessage) -> tuple[Reacted, ...]:
    """The reactions that a message already has when it comes: one that was missed for a while may."""
    reactions = getattr(message, "reactions", None)
    return () if reactions is None else (reacted(known.chat_id, known.telegram_id, reactions),)


def _edit(message: Any, self_id: int) -> tuple[Change, ...]:
    """An edit, and the reactions that stand in it: Telegram also tells of those as of a hidden edit."""
    known = message_of(message, self_id)
    if known is None:
        return ()
    hidden = isinstance(message, types.Message) and bool(message.edit_hide)
    edit_date = getattr(message, "edit_date", None)  # service messages have none
    edited = Edited(known, None if hidden or edit_date is None else utc(edit_date))
    if hidden and message.reactions is None:
        # The last reaction may have been taken back.
        return edited, reacted(known.chat_id, known.telegram_id, None)
    return edited, *reactions_in(message, known)


def _name(reaction: Any) -> str:
    match reaction:
        case types.ReactionEmoji():
            return str(reaction.emoticon)
        case types.ReactionCustomEmoji():
            return f"custom:{reaction.document_id}"
        case types.ReactionPaid():
            return "paid"
        case _:
            return "unknown"
