"""``updates.*``: where an account's log stands, and what happened since.

Source: https://core.telegram.org/api/updates
"""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.update_log import DeletedMessages, EditedMessage, NewMessage, NumberedMessage
from tgworker.sandbox.views import message_view, update_view, user_views


def get_state(call: Call, _request: Any) -> Answer:
    """``updates.getState``."""
    return state_view(call)


def get_difference(call: Call, request: Any) -> Answer:
    """``updates.getDifference``: new messages as they are now, and everything else as updates.

    A message that was sent and deleted since is not among the new ones, and an edit of a new one is no
    update: its text is the new one already.
    """
    mailbox = call.me.mailbox
    if request.pts < 1:
        raise RequestRefused(400, f"PERSISTENT_TIMESTAMP_{'INVALID' if request.pts else 'EMPTY'}")
    limit = call.cloud.behaviour.difference_limit
    if request.pts_limit is not None and request.pts_limit > 0:
        limit = min(limit, request.pts_limit)
    entries = mailbox.log.since(request.pts, limit)
    if entries is None or (
        request.pts_total_limit and mailbox.log.pts - request.pts > request.pts_total_limit
    ):
        return types.updates.DifferenceTooLong(mailbox.log.pts)
    if not entries:
        return types.updates.DifferenceEmpty(call.cloud.now(), seq=1)
    new_messages: list[Any] = []
    other_updates: list[Any] = []
    new: set[int] = set()
    about = {call.me.id}
    for entry in entries:
        match entry.event:
            case NewMessage(message_id):
                letter = mailbox.letters.get(message_id)
                if letter is not None:
                    new.add(message_id)
                    new_messages.append(message_view(call.me, letter))
                    about.add(letter.peer_id)
            case EditedMessage(message_id) if message_id in new:
                pass
            case _:
                update = update_view(call.me, entry)
                if update is not None:
                    other_updates.append(update)
                    about |= _about(call, entry.event)
    users = user_views(call.cloud.directory, call.me, about)
    parts: tuple[list[Any], ...] = (new_messages, [], other_updates, [], users)
    if entries[-1].pts == mailbox.log.pts:
        return types.updates.Difference(*parts, state_view(call))
    return types.updates.DifferenceSlice(*parts, state_view(call, entries[-1].pts))


def state_view(call: Call, pts: int | None = None) -> Any:
    """Where the log stands: now, or at ``pts``. There are no secret chats, and ``seq`` counts nothing."""
    unread = sum(len(chat.unread) for chat in call.me.mailbox.chats.values())
    return types.updates.State(
        pts=call.me.mailbox.log.pts if pts is None else pts,
        qts=0,
        date=call.cloud.now(),
        seq=1,
        unread_count=unread,
    )


def _about(call: Call, event: Any) -> set[int]:
    """The users whom an update mentions."""
    match event:
        case EditedMessage(message_id):
            return {call.me.mailbox.letters[message_id].peer_id}
        case DeletedMessages() | NumberedMessage():
            return set()
        case _:
            return {event.peer_id}
