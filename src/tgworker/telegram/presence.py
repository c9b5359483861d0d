"""Who is online and who types, taken out of what Telegram pushes before it is queued with the log.

Such updates are many, move no log, and are worth nothing a minute later: they must neither wait behind
messages that a slow store does not take, nor fill the queue before it.

Source: https://core.telegram.org/constructor/updateUserStatus, …/updateUserTyping
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from telethon.tl import types

from tgworker.messaging.presence import Presence
from tgworker.telegram.messages import utc
from tgworker.telegram.peers import channel_mark

MOST_ONLINE_S = 3600.0
"""Longer than this nobody counts as online at one word of Telegram's, which as a rule is good for 300 s."""

NO_SEQ = 0
"""A packet that has no place in the sequence of packets."""

_NO_TYPING = (
    types.SendMessageEmojiInteraction,
    types.SendMessageEmojiInteractionSeen,
    types.SendMessageHistoryImportAction,
    types.SpeakingInGroupCallAction,
)
"""What Telegram tells in the same way and is no writing."""

_KINDS = (
    types.UpdateUserStatus,
    types.UpdateUserTyping,
    types.UpdateChatUserTyping,
    types.UpdateChannelUserTyping,
)


def presence_only(packet: Any) -> tuple[Sequence[Any], datetime] | None:
    """The updates of a packet that tells of presence only, and when Telegram sent it; else ``None``."""
    match packet:
        case types.UpdateShort():
            updates: Sequence[Any] = (packet.update,)
        case types.Updates() if packet.seq == NO_SEQ and packet.updates:
            updates = packet.updates
        case _:
            return None
    if packet.date is None or not all(isinstance(update, _KINDS) for update in updates):
        return None
    return updates, utc(packet.date)


def presence_of(update: Any, sent_at: datetime) -> Presence | None:
    """What an update says of a person's presence; ``None`` if nothing.

    Args:
        update: Telegram's object.
        sent_at: When Telegram sent it, aware, by its own clock: it says until when, and ours may be wrong.
    """
    match update:
        case types.UpdateUserStatus():
            return status_of(int(update.user_id), update.status, sent_at)
        case types.UpdateUserTyping() if not isinstance(update.action, _NO_TYPING):
            return Presence(int(update.user_id), is_typing=_types(update.action))
        case types.UpdateChatUserTyping() if not isinstance(update.action, _NO_TYPING):
            return _in_a_group(update, -int(update.chat_id))
        case types.UpdateChannelUserTyping() if not isinstance(update.action, _NO_TYPING):
            return _in_a_group(update, channel_mark(update.channel_id))
        case _:
            return None


def status_of(user_id: int, status: Any, sent_at: datetime) -> Presence | None:
    """What a user's status says; ``None`` for an empty one."""
    match status:
        case types.UserStatusOnline():
            if status.expires is None:
                return Presence(user_id, is_online=True)
            for_s = (utc(status.expires) - sent_at).total_seconds()
            if for_s <= 0:
                return Presence(user_id, is_online=False, last_seen_at=utc(status.expires))
            return Presence(user_id, is_online=True, online_for_s=min(for_s, MOST_ONLINE_S))
        case types.UserStatusOffline():
            seen = None if status.was_online is None else utc(status.was_online)
            return Presence(user_id, is_online=False, last_seen_at=seen)
        case types.UserStatusRecently() | types.UserStatusLastWeek() | types.UserStatusLastMonth():
            return Presence(user_id, is_online=False)  # he does not let Telegram say more
        case _:
            return None


def _in_a_group(update: Any, chat_id: int) -> Presence | None:
    """Who types in a group; a channel that does (an anonymous administrator) is nobody."""
    if not isinstance(update.from_id, types.PeerUser):
        return None
    return Presence(int(update.from_id.user_id), is_typing=_types(update.action), typing_in=chat_id)


def _types(action: Any) -> bool:
    return not isinstance(action, types.SendMessageCancelAction)
