"""``messages.*`` and ``channels.*`` that read messages: history, search, single ones."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import channel_of, history_of, room_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.letters import History, Letter
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room import Room
from tgworker.sandbox.room_views import people_view, post_view
from tgworker.sandbox.views import message_view

MAX_PER_PAGE = 100


def get_history(call: Call, request: Any) -> Answer:
    """``messages.getHistory``, newest first (https://core.telegram.org/api/offsets)."""
    room = room_of(call.cloud, call.me, request.peer)
    history = history_of(call.me, room)
    if call.within is not None and not isinstance(room, Channel):  # (a channel counts by itself)
        history = within(history, call.within)
    page = history_page(history, request)
    return messages_view(call, room, [history.letters[each] for each in page], len(history.ids))


def within(history: History, numbers: range) -> History:
    """The part of a history that an export's range of messages holds."""
    begin, end = (bisect_left(history.ids, each) for each in (numbers.start, numbers.stop))
    return History(history.ids[begin:end], history.letters)


def search(call: Call, request: Any) -> Answer:
    """``messages.search`` in one chat: texts with ``q`` in them, or those of them that are pinned."""
    if not isinstance(request.filter, types.InputMessagesFilterEmpty | types.InputMessagesFilterPinned):
        raise RequestRefused(400, "INPUT_FILTER_INVALID")
    room = room_of(call.cloud, call.me, request.peer)
    history = history_of(call.me, room)
    asked = request.q.casefold()
    only_pinned = isinstance(request.filter, types.InputMessagesFilterPinned)
    earliest, latest = given(request.min_date), given(request.max_date)
    found: list[int] = []
    for each in history.ids:
        letter = history.letters[each]
        if (
            asked in letter.text.casefold()
            and (letter.pinned or not only_pinned)
            and (earliest is None or letter.date > earliest)
            and (latest is None or letter.date < latest)
        ):
            found.append(each)
    page = history_page(History(found, history.letters), request)
    return messages_view(call, room, [history.letters[each] for each in page], len(found))


def get_messages(call: Call, request: Any) -> Answer:
    """``messages.getMessages``, of private chats and basic groups: in the order asked for."""
    found: list[Any] = []
    about: list[int] = [call.me.id]
    for asked in _asked_ids(request):
        letter = call.me.mailbox.letters.get(asked)
        if letter is None:
            found.append(types.MessageEmpty(asked, None))
        else:
            found.append(message_view(call.me, letter))
            about += letter.mentions()
    people = people_view(call.cloud, call.me, about)
    return types.messages.Messages(found, [], people.chats, people.users)


def get_channel_messages(call: Call, request: Any) -> Answer:
    """``channels.getMessages``: the same in one channel."""
    channel = channel_of(call.cloud, call.me, request.channel)
    found: list[Any] = []
    about: list[int] = [call.me.id, channel.peer]
    for asked in _asked_ids(request):
        letter = channel.letters.get(asked)
        if letter is None:
            found.append(types.MessageEmpty(asked, types.PeerChannel(channel.id)))
        else:
            found.append(post_view(call.me, channel, letter))
            about += letter.mentions()
    people = people_view(call.cloud, call.me, about)
    return types.messages.ChannelMessages(channel.log.pts, len(found), found, [], people.chats, people.users)


def given(date: datetime | None) -> datetime | None:
    """A date, unless it is Telegram's way of giving none: zero."""
    return None if date is None or date.timestamp() == 0 else date


def page_limit(asked: int) -> int:
    """How many things a page may hold, of those asked for."""
    return min(max(asked, 0), MAX_PER_PAGE)


def _asked_ids(request: Any) -> list[int]:
    asked = request.id[:MAX_PER_PAGE]
    return [each.id if isinstance(each, types.InputMessageID) else 0 for each in asked]


def history_page(history: History, request: Any) -> list[int]:
    """The part of a history that is asked for, newest first; its cost does not grow with the history.

    Args:
        history: The messages.
        request: Its offsets. ``offset_id`` goes before ``offset_date``; a negative ``add_offset`` reaches
            back to newer messages.
    """
    ids = history.ids
    end = len(ids)  # the page ends before this one, counted from the oldest
    before = given(getattr(request, "offset_date", None))
    if request.offset_id:
        end = bisect_left(ids, request.offset_id)
    elif before is not None:
        end = bisect_left(ids, before, key=lambda each: history.letters[each].date)
    end -= request.add_offset
    start = end - page_limit(request.limit)
    return [
        each
        for each in reversed(ids[max(start, 0) : max(end, 0)])
        if (not request.max_id or each < request.max_id) and each > request.min_id
    ]


def messages_view(call: Call, room: Room, letters: Sequence[Letter], count: int) -> Answer:
    """Some of ``count`` messages of a chat, in the form that Telegram has for it."""
    about = [peer for letter in letters for peer in letter.mentions()]
    people = people_view(call.cloud, call.me, [call.me.id, room.peer, *about])
    if isinstance(room, Channel):
        posts = [post_view(call.me, room, each) for each in letters]
        return types.messages.ChannelMessages(room.log.pts, count, posts, [], people.chats, people.users)
    views = [message_view(call.me, each) for each in letters]
    if len(letters) == count:
        return types.messages.Messages(views, [], people.chats, people.users)
    return types.messages.MessagesSlice(count, views, [], people.chats, people.users)
