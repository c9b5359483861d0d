"""Lines of update logs as TL updates."""

from typing import Any, assert_never

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.peers import peer_view
from tgworker.sandbox.room_views import post_view
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    Filed,
    NewMessage,
    NumberedMessage,
    PinnedMessages,
    ReadInbox,
    ReadOutbox,
)
from tgworker.sandbox.views import message_view


def update_view(owner: Account, entry: Entry) -> Any:
    """A line of an account's log as an update; ``None`` if the message that it is about is gone."""
    event = entry.event
    match event:
        case NewMessage() | EditedMessage():
            letter = owner.mailbox.letters.get(event.message_id)
            if letter is None:
                return None
            kind = types.UpdateNewMessage if isinstance(event, NewMessage) else types.UpdateEditMessage
            return kind(message_view(owner, letter), entry.pts, entry.pts_count)
        case NumberedMessage():
            return types.UpdateMessageID(event.message_id, event.random_id)
        case DeletedMessages():
            return types.UpdateDeleteMessages(list(event.message_ids), entry.pts, entry.pts_count)
        case ReadInbox():
            return types.UpdateReadHistoryInbox(
                peer=peer_view(event.peer_id),
                max_id=event.max_id,
                still_unread_count=event.still_unread,
                pts=entry.pts,
                pts_count=entry.pts_count,
            )
        case ReadOutbox():
            return types.UpdateReadHistoryOutbox(
                peer_view(event.peer_id), event.max_id, entry.pts, entry.pts_count
            )
        case PinnedMessages():
            return types.UpdatePinnedMessages(
                peer=peer_view(event.peer_id),
                messages=list(event.message_ids),
                pts=entry.pts,
                pts_count=entry.pts_count,
                pinned=event.pinned or None,
            )
        case Filed():
            moved: list[Any] = [types.FolderPeer(peer_view(each), event.folder_id) for each in event.peers]
            return types.UpdateFolderPeers(moved, entry.pts, entry.pts_count)
        case _:
            assert_never(event)


def channel_update_view(viewer: Account, channel: Channel, entry: Entry) -> Any:
    """A line of a channel's log; ``None`` if its message is gone, or it is not for the viewer."""
    event = entry.event
    match event:
        case NewMessage() | EditedMessage():
            letter = channel.letters.get(event.message_id)
            if letter is None:
                return None
            new = isinstance(event, NewMessage)
            kind = types.UpdateNewChannelMessage if new else types.UpdateEditChannelMessage
            return kind(post_view(viewer, channel, letter), entry.pts, entry.pts_count)
        case NumberedMessage():
            letter = channel.letters.get(event.message_id)
            if letter is None or letter.author_id != viewer.id:
                return None
            return types.UpdateMessageID(event.message_id, event.random_id)
        case DeletedMessages():
            return types.UpdateDeleteChannelMessages(
                channel.id, list(event.message_ids), entry.pts, entry.pts_count
            )
        case PinnedMessages():
            return types.UpdatePinnedChannelMessages(
                channel_id=channel.id,
                messages=list(event.message_ids),
                pts=entry.pts,
                pts_count=entry.pts_count,
                pinned=event.pinned or None,
            )
        case ReadInbox() | ReadOutbox() | Filed():
            raise AssertionError("what one member does with a channel does not stand in its log")
        case _:
            assert_never(event)
