"""``messages.*`` that only read: history, single messages, the list of chats."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.mailbox import Letter
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.updates import state_view
from tgworker.sandbox.views import dialog_view, message_view, user_views

MAX_PER_PAGE = 100


def get_history(call: Call, request: Any) -> Answer:
    """``messages.getHistory``, newest first (https://core.telegram.org/api/offsets)."""
    peer = call.cloud.directory.resolve(call.me, request.peer)
    chat = call.me.mailbox.chats.get(peer.id)
    letters = [] if chat is None else [call.me.mailbox.letters[each] for each in chat.ids]
    page, whole = _page(letters, request)
    return _messages(call, page, None if whole else len(letters))


def search(call: Call, request: Any) -> Answer:
    """``messages.search`` in one chat: texts that contain ``q``; of the filters only the empty one."""
    if not isinstance(request.filter, types.InputMessagesFilterEmpty):
        raise RequestRefused(400, "INPUT_FILTER_INVALID")
    peer = call.cloud.directory.resolve(call.me, request.peer)
    chat = call.me.mailbox.chats.get(peer.id)
    asked = request.q.casefold()
    earliest, latest = _given(request.min_date), _given(request.max_date)
    letters = [] if chat is None else [call.me.mailbox.letters[each] for each in chat.ids]
    found = [
        each
        for each in letters
        if asked in each.text.casefold()
        and (earliest is None or each.date > earliest)
        and (latest is None or each.date < latest)
    ]
    page, whole = _page(found, request)
    return _messages(call, page, None if whole else len(found))


def get_messages(call: Call, request: Any) -> Answer:
    """``messages.getMessages``: in the order asked for; empty where there is none."""
    found: list[Any] = []
    about: set[int] = set()
    for each in request.id[:MAX_PER_PAGE]:
        letter = call.me.mailbox.letters.get(getattr(each, "id", 0))
        if letter is None:
            found.append(types.MessageEmpty(getattr(each, "id", 0), None))
        else:
            found.append(message_view(call.me, letter))
            about.add(letter.peer_id)
    return types.messages.Messages(found, [], [], _users(call, about))


def get_dialogs(call: Call, request: Any) -> Answer:
    """``messages.getDialogs``: the chats, the one with the newest message first. None is pinned."""
    tops = _tops(call.me)
    before = _given(request.offset_date)
    if request.offset_id:
        rest = [each for each in tops if each.id < request.offset_id]
    elif before is not None:
        rest = [each for each in tops if each.date < before]
    else:
        rest = tops
    page = rest[: _limit(request.limit)]
    dialogs, messages, users = _dialogs(call, page)
    if len(page) == len(tops):
        return types.messages.Dialogs(dialogs, messages, [], users)
    return types.messages.DialogsSlice(len(tops), dialogs, messages, [], users)


def get_peer_dialogs(call: Call, request: Any) -> Answer:
    """``messages.getPeerDialogs``: the chats with certain users, those without messages left out."""
    peers = [
        call.cloud.directory.resolve(call.me, each.peer).id
        for each in request.peers
        if isinstance(each, types.InputDialogPeer)
    ]
    dialogs, messages, users = _dialogs(call, [top for top in _tops(call.me) if top.peer_id in peers])
    return types.messages.PeerDialogs(dialogs, messages, [], users, state_view(call))


def _page(letters: Sequence[Letter], request: Any) -> tuple[list[Letter], bool]:
    """The part of a history that is asked for.

    Args:
        letters: The history, oldest first.
        request: Its offsets. ``offset_id`` goes before ``offset_date``; a negative ``add_offset`` reaches
            back to newer messages.

    Returns:
        The page, newest first, and whether it is all there is.
    """
    end = len(letters)  # the page ends before this one, counted from the oldest
    before = _given(getattr(request, "offset_date", None))
    if request.offset_id:
        end = bisect_left(letters, request.offset_id, key=_id)
    elif before is not None:
        end = bisect_left(letters, before, key=_date)
    end -= request.add_offset
    start = end - _limit(request.limit)
    page = [
        each
        for each in letters[max(start, 0) : max(end, 0)]
        if (not request.max_id or each.id < request.max_id) and each.id > request.min_id
    ]
    return page[::-1], len(page) == len(letters)


def _given(date: datetime | None) -> datetime | None:
    """A date, unless it is Telegram's way of giving none: zero."""
    return None if date is None or date.timestamp() == 0 else date


def _limit(asked: int) -> int:
    return min(max(asked, 0), MAX_PER_PAGE)


def _messages(call: Call, letters: Iterable[Letter], count: int | None) -> Answer:
    """``messages.messages``, or a slice of ``count`` messages."""
    letters = list(letters)
    views = [message_view(call.me, each) for each in letters]
    users = _users(call, {each.peer_id for each in letters})
    if count is None:
        return types.messages.Messages(views, [], [], users)
    return types.messages.MessagesSlice(count, views, [], [], users)


def _tops(account: Account) -> list[Letter]:
    """The last message of each chat, newest first."""
    newest = [chat.ids[-1] for chat in account.mailbox.chats.values() if chat.ids]
    return [account.mailbox.letters[each] for each in sorted(newest, reverse=True)]


def _dialogs(call: Call, tops: Sequence[Letter]) -> tuple[list[Any], list[Any], list[Any]]:
    dialogs = [dialog_view(each.peer_id, call.me.mailbox.chats[each.peer_id]) for each in tops]
    messages = [message_view(call.me, each) for each in tops]
    return dialogs, messages, _users(call, {each.peer_id for each in tops})


def _users(call: Call, ids: Iterable[int]) -> list[Any]:
    return user_views(call.cloud.directory, call.me, [call.me.id, *ids])


def _id(letter: Letter) -> int:
    return letter.id


def _date(letter: Letter) -> datetime:
    return letter.date
