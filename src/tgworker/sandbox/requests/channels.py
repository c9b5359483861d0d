"""``channels.*``: making channels and supergroups, who is in them, deleting and reading in them."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import channel_of, user_of
from tgworker.sandbox.channel_post import delete_posts, read_channel
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.membership import create_channel, join_channel, leave_channel, slow_down
from tgworker.sandbox.pinning import pinned_msg_id
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.history import page_limit
from tgworker.sandbox.requests.messages import MAX_DELETED
from tgworker.sandbox.room_views import channel_view, people_view, post_view
from tgworker.sandbox.telling import updates_view

SLOWMODES_S = (0, 5, 10, 30, 60, 300, 900, 3600)


def create(call: Call, request: Any) -> Answer:
    """``channels.createChannel``."""
    megagroup = bool(request.megagroup)
    channel, first = create_channel(call.cloud, call.me, request.title, megagroup=megagroup, via=call.line)
    new = types.UpdateNewChannelMessage(post_view(call.me, channel, first), first.pts, 1)
    return updates_view(call.cloud, call.me, [types.UpdateChannel(channel.id), new], [channel.peer])


def invite(call: Call, request: Any) -> Answer:
    """``channels.inviteToChannel``: in a supergroup any member may."""
    channel = _mine(call, request.channel)
    users = [user_of(call.cloud, call.me, each, "USER_ID_INVALID") for each in request.users]
    if not channel.megagroup and channel.creator_id != call.me.id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    if not channel.megagroup and any(each.bot for each in users):
        raise RequestRefused(400, "USER_BOT")  # a bot in a channel is an administrator of it, or not there
    letter = join_channel(call.cloud, call.me, channel, users, via=call.line)
    updates: list[Any] = []
    if letter is not None:
        updates.append(types.UpdateNewChannelMessage(post_view(call.me, channel, letter), letter.pts, 1))
    about = [channel.peer, *(each.id for each in users)]
    return types.messages.InvitedUsers(updates_view(call.cloud, call.me, updates, about), [])


def join(call: Call, request: Any) -> Answer:
    """``channels.joinChannel``: what has a name is open to all."""
    channel = channel_of(call.cloud, call.me, request.channel)
    if call.me.id in channel.members:
        raise RequestRefused(400, "USER_ALREADY_PARTICIPANT")
    letter = join_channel(call.cloud, call.me, channel, [call.me], via=call.line)
    updates: list[Any] = [types.UpdateChannel(channel.id)]
    if letter is not None:
        updates.append(types.UpdateNewChannelMessage(post_view(call.me, channel, letter), letter.pts, 1))
    return updates_view(call.cloud, call.me, updates, [channel.peer])


def leave(call: Call, request: Any) -> Answer:
    """``channels.leaveChannel``."""
    channel = channel_of(call.cloud, call.me, request.channel)
    leave_channel(call.cloud, call.me, channel, call.me, via=call.line)
    return updates_view(call.cloud, call.me, [types.UpdateChannel(channel.id)], [channel.peer])


def get_channels(call: Call, request: Any) -> Answer:
    """``channels.getChannels``."""
    found = [channel_of(call.cloud, call.me, each) for each in request.id]
    return types.messages.Chats([channel_view(call.cloud, call.me, each) for each in found])


def get_full_channel(call: Call, request: Any) -> Answer:
    """``channels.getFullChannel``: with where its log stands."""
    channel = channel_of(call.cloud, call.me, request.channel)
    member = channel.members.get(call.me.id)
    full = types.ChannelFull(
        id=channel.id,
        about="",
        read_inbox_max_id=0 if member is None else member.read_inbox_max_id,
        read_outbox_max_id=0 if member is None else member.read_outbox_max_id,
        unread_count=channel.unread(call.me.id),
        chat_photo=types.PhotoEmpty(0),
        notify_settings=types.PeerNotifySettings(),
        bot_info=[],
        pts=channel.log.pts,
        can_view_participants=channel.megagroup or None,
        participants_count=len(channel.members),
        migrated_from_chat_id=channel.migrated_from,
        pinned_msg_id=pinned_msg_id(call.me, channel),
        slowmode_seconds=channel.slowmode_s or None,
    )
    chats = [channel.peer, *([] if channel.migrated_from is None else [-channel.migrated_from])]
    return types.messages.ChatFull(full, people_view(call.cloud, call.me, chats).chats, [])


def toggle_slow_mode(call: Call, request: Any) -> Answer:
    """``channels.toggleSlowMode``: as the supergroup's creator, to one of the lengths that Telegram has."""
    channel = _mine(call, request.channel)
    if channel.creator_id != call.me.id or not channel.megagroup:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    if request.seconds not in SLOWMODES_S:
        raise RequestRefused(400, "SECONDS_INVALID")
    if request.seconds == channel.slowmode_s:
        raise RequestRefused(400, "CHAT_NOT_MODIFIED")
    slow_down(call.cloud, channel, request.seconds, via=call.line)
    return updates_view(call.cloud, call.me, [types.UpdateChannel(channel.id)], [channel.peer])


def get_participants(call: Call, request: Any) -> Answer:
    """``channels.getParticipants``; of the filters none is obeyed."""
    channel = _mine(call, request.channel)
    page = list(channel.members.items())[max(request.offset, 0) :][: page_limit(request.limit)]
    found: list[Any] = [
        types.ChannelParticipantCreator(each, types.ChatAdminRights())
        if each == channel.creator_id
        else types.ChannelParticipant(each, member.since)
        for each, member in page
    ]
    people = people_view(call.cloud, call.me, [channel.peer, *(each for each, _ in page)])
    return types.channels.ChannelParticipants(len(channel.members), found, people.chats, people.users)


def delete_messages(call: Call, request: Any) -> Answer:
    """``channels.deleteMessages``: one's own, or, as the creator, anybody's; for all members at once."""
    channel = _mine(call, request.channel)
    ids = request.id[:MAX_DELETED]
    for each in ids:
        letter = channel.letters.get(each)
        if letter is not None and call.me.id not in (letter.author_id, channel.creator_id):
            raise RequestRefused(403, "MESSAGE_DELETE_FORBIDDEN")
    entry = delete_posts(call.cloud, channel, ids, via=call.line)
    return types.messages.AffectedMessages(channel.log.pts, entry.pts_count if entry else 0)


def read_history(call: Call, request: Any) -> Answer:
    """``channels.readHistory``."""
    return read_channel(call.cloud, call.me, _mine(call, request.channel), request.max_id, via=call.line)


def _mine(call: Call, named: Any) -> Channel:
    """A channel that this account is in."""
    channel = channel_of(call.cloud, call.me, named)
    if call.me.id not in channel.members:
        raise RequestRefused(400, "CHANNEL_PRIVATE")
    return channel
