"""``updates.getChannelDifference``: what happened in one channel since a place in its log.

Source: https://core.telegram.org/api/updates#recovering-gaps
"""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import channel_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.dialogs import channel_dialog_view
from tgworker.sandbox.requests.updates import check_pts
from tgworker.sandbox.room_views import people_view, post_view
from tgworker.sandbox.update_log import EditedMessage, NewMessage
from tgworker.sandbox.update_views import channel_update_view

TIMEOUT_S = 30
"""After this the client may ask again; what it is told meanwhile makes that unnecessary."""

NEWEST_SHOWN = 10
"""Messages that come with ``channelDifferenceTooLong``."""


def get_channel_difference(call: Call, request: Any) -> Answer:
    """``updates.getChannelDifference``; the filter is ignored."""
    channel = channel_of(call.cloud, call.me, request.channel)
    check_pts(request.pts)
    limit = min(max(request.limit, 1), call.cloud.behaviour.channel_difference_limit)
    entries = channel.log.since(request.pts, limit)
    remembers = call.cloud.behaviour.channel_difference_remembers
    if entries is None or channel.log.pts - request.pts > remembers:
        return _too_long(call, channel)
    if not entries:
        return types.updates.ChannelDifferenceEmpty(channel.log.pts, final=True, timeout=TIMEOUT_S)
    new_messages: list[Any] = []
    other_updates: list[Any] = []
    new: set[int] = set()
    about = [call.me.id, channel.peer]
    for entry in entries:
        match entry.event:
            case NewMessage(message_id):
                letter = channel.letters.get(message_id)
                if letter is not None:
                    new.add(message_id)
                    new_messages.append(post_view(call.me, channel, letter))
                    about += letter.mentions()
            case EditedMessage(message_id) if message_id in new:
                pass
            case event:
                update = channel_update_view(call.me, channel, entry)
                if update is not None:
                    other_updates.append(update)
                    if isinstance(event, EditedMessage):
                        about += channel.letters[event.message_id].mentions()
    people = people_view(call.cloud, call.me, about)
    return types.updates.ChannelDifference(
        entries[-1].pts,
        new_messages,
        other_updates,
        people.chats,
        people.users,
        final=entries[-1].pts == channel.log.pts or None,
        timeout=TIMEOUT_S,
    )


def _too_long(call: Call, channel: Channel) -> Answer:
    """Where the channel stands now, for a client that has missed too much: it begins anew from there."""
    newest = [channel.letters[each] for each in channel.ids[: -NEWEST_SHOWN - 1 : -1]]
    about = [peer for letter in newest for peer in letter.mentions()]
    people = people_view(call.cloud, call.me, [call.me.id, channel.peer, *about])
    return types.updates.ChannelDifferenceTooLong(
        channel_dialog_view(call.me, channel),
        [post_view(call.me, channel, each) for each in newest],
        people.chats,
        people.users,
        final=True,
        timeout=TIMEOUT_S,
    )
