"""``updates.*``: where an account's log stands, and what happened since.

Source: https://core.telegram.org/api/updates
"""

from typing import Any

from telethon.tl import functions, types

from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.mailbox import Mailbox
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room_views import people_view
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    Filed,
    NewMessage,
    NumberedMessage,
)
from tgworker.sandbox.update_views import update_view
from tgworker.sandbox.views import message_view

DIFFERENCES = (functions.updates.GetDifferenceRequest, functions.updates.GetChannelDifferenceRequest)


def get_state(call: Call, _request: Any) -> Answer:
    """``updates.getState``."""
    return state_view(call)


def get_difference(call: Call, request: Any) -> Answer:
    """``updates.getDifference``: new messages as they are now, and everything else as updates.

    A message that was sent and deleted since is not among the new ones, and an edit of a new one is no
    update: its text is the new one already.
    """
    mailbox = call.me.mailbox
    check_pts(request.pts)
    behind = mailbox.log.pts - request.pts
    limit = call.cloud.behaviour.difference_limit
    if request.pts_limit is not None and request.pts_limit > 0:
        limit = min(limit, request.pts_limit)
    entries = mailbox.log.since(request.pts, limit)
    if (
        entries is None
        or behind > call.cloud.behaviour.difference_remembers
        or (request.pts_total_limit and behind > request.pts_total_limit)
    ):
        return types.updates.DifferenceTooLong(mailbox.log.pts)
    whole = not entries or entries[-1].pts == mailbox.log.pts
    hints, hinted = _channel_hints(call, request.date) if whole else ([], [])
    of_bots = call.me.bot.since(request.qts) if call.me.bot is not None and whole else []
    if not entries and not hints and not of_bots:
        return types.updates.DifferenceEmpty(call.cloud.now(), seq=1)
    new_messages: list[Any] = []
    other_updates: list[Any] = []
    new: set[int] = set()
    about = [call.me.id, *hinted, *(each.user_id for each in of_bots)]
    for entry in entries:
        match entry.event:
            case NewMessage(message_id):
                letter = mailbox.letters.get(message_id)
                if letter is not None:
                    new.add(message_id)
                    new_messages.append(message_view(call.me, letter))
                    about += letter.mentions()
            case EditedMessage(message_id) if message_id in new:
                pass
            case _:
                update = update_view(call.me, entry)
                if update is not None:
                    other_updates.append(update)
                    about += _about(mailbox, entry)
    people = people_view(call.cloud, call.me, about)
    others = other_updates + hints + of_bots
    parts: tuple[list[Any], ...] = (new_messages, [], others, people.chats, people.users)
    if whole:
        return types.updates.Difference(*parts, state_view(call))
    return types.updates.DifferenceSlice(*parts, state_view(call, entries[-1].pts, request.qts))


def nothing_new(call: Call, request: Any) -> Answer:
    """The answer to one of `DIFFERENCES` over a line that is deaf: nothing happened, it says."""
    if isinstance(request, functions.updates.GetChannelDifferenceRequest):
        return types.updates.ChannelDifferenceEmpty(request.pts, final=True)
    return types.updates.DifferenceEmpty(call.cloud.now(), seq=1)


def state_view(call: Call, pts: int | None = None, qts: int | None = None) -> Any:
    """Where the logs stand: now, or at ``pts`` and ``qts``, which only bots have. ``seq`` counts nothing."""
    of_bots = 0 if call.me.bot is None else call.me.bot.qts
    unread = sum(len(chat.unread) for chat in call.me.mailbox.chats.values())
    return types.updates.State(
        pts=call.me.mailbox.log.pts if pts is None else pts,
        qts=of_bots if qts is None else qts,
        date=call.cloud.now(),
        seq=1,
        unread_count=unread,
    )


def check_pts(pts: int) -> None:
    """Make sure that a place in a log is one. Raises RequestRefused."""
    if pts < 1:
        raise RequestRefused(400, f"PERSISTENT_TIMESTAMP_{'INVALID' if pts else 'EMPTY'}")


def _channel_hints(call: Call, since: Any) -> tuple[list[Any], list[int]]:
    """Which of the account's channels changed since a date, as updates and as marked ids."""
    if not call.cloud.behaviour.channel_hints:
        return [], []
    changed = [
        each for each in call.cloud.channels.of_user(call.me.id) if since is None or each.changed >= since
    ]
    hints = [types.UpdateChannelTooLong(each.id, each.log.pts) for each in changed]
    return hints, [each.peer for each in changed]


def _about(mailbox: Mailbox, entry: Entry) -> list[int]:
    """The peers whom an update mentions, as marked ids."""
    match entry.event:
        case EditedMessage(message_id) | NewMessage(message_id):
            return mailbox.letters[message_id].mentions()
        case DeletedMessages() | NumberedMessage():
            return []
        case Filed(peers):
            return list(peers)
        case event:
            return [event.peer_id]
