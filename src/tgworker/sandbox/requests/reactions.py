"""``messages.*`` about reactions."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import history_of, letter_of, room_of
from tgworker.sandbox.reacting import (
    check_may_react,
    check_reactions,
    react,
    reactions_update,
    unseen,
)
from tgworker.sandbox.reactions import chosen_of
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.history import MAX_PER_PAGE, history_page, messages_view


def send_reaction(call: Call, request: Any) -> Answer:
    """``messages.sendReaction``: in place of what one chose before; none takes it back."""
    room = room_of(call.cloud, call.me, request.peer)
    letter = letter_of(call.me, room, request.msg_id)
    check_may_react(call.me, room)
    chosen = check_reactions(call.me, chosen_of(request.reaction or []))
    return react(call.cloud, call.me, room, letter, chosen, big=bool(request.big), via=call.line)


def get_unread_reactions(call: Call, request: Any) -> Answer:
    """``messages.getUnreadReactions``: one's own messages with reactions that one has not seen."""
    room = room_of(call.cloud, call.me, request.peer)
    found = unseen(call.me, room.peer, history_of(call.me, room).letters)
    page = history_page(found, request)
    return messages_view(call, room, [found.letters[each] for each in page], len(found.ids))


def read_reactions(call: Call, request: Any) -> Answer:
    """``messages.readReactions``: all of a chat are seen."""
    call.me.mailbox.unseen_reactions.pop(room_of(call.cloud, call.me, request.peer).peer, None)
    return types.messages.AffectedHistory(call.me.mailbox.log.pts, 0, 0)


def get_messages_reactions(call: Call, request: Any) -> Answer:
    """``messages.getMessagesReactions``: of the messages that are there and have any."""
    room = room_of(call.cloud, call.me, request.peer)
    history = history_of(call.me, room)
    asked = [history.letters.get(each) for each in request.id[:MAX_PER_PAGE]]
    there = [
        each
        for each in asked
        if each is not None and each.peer_id == room.peer and each.reactions is not None
    ]
    return reactions_update(call.cloud, call.me, room, there)
