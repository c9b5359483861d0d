"""``messages.*`` that change something: sending, editing, deleting, reading, typing."""

from collections.abc import Container, Sequence
from typing import Any

from telethon.tl import types

from tgworker.sandbox import post
from tgworker.sandbox.addressing import check_may_write, history_of, letter_of, room_of
from tgworker.sandbox.channel_post import edit_post, publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.mailbox import Sent
from tgworker.sandbox.peers import unmarked
from tgworker.sandbox.presence import show_typing
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room import Room
from tgworker.sandbox.room_views import post_view
from tgworker.sandbox.telling import updates_view
from tgworker.sandbox.update_views import channel_update_view, update_view
from tgworker.sandbox.views import message_view

MAX_DELETED = 100
"""Messages in one ``messages.deleteMessages``."""


def send_message(call: Call, request: Any) -> Answer:
    """``messages.sendMessage``; what it replies to is ignored."""
    known = known_send(call, request.random_id)
    if known is not None:
        return repeat(call, request.random_id, known)
    room = room_of(call.cloud, call.me, request.peer)
    text, entities = post.checked_content(call.cloud, request.message, request.entities)
    check_may_write(call.me, room)
    call.cloud.throttle.check_send(call.me, room)
    name, via = request.random_id, call.line
    if isinstance(room, Channel):
        letter = publish(call.cloud, call.me, room, text, entities=entities, random_id=name, via=via)
    else:
        letter = post.deliver(call.cloud, call.me, room, text, entities=entities, random_id=name, via=via)
        if call.cloud.behaviour.answers == "short":
            return types.UpdateShortSentMessage(
                letter.id, letter.pts, 1, letter.date, out=True, entities=list(letter.entities) or None
            )
    return new_messages(call, room, [(letter, request.random_id)])


def edit_message(call: Call, request: Any) -> Answer:
    """``messages.editMessage``: one's own, and only to something else."""
    room = room_of(call.cloud, call.me, request.peer)
    letter = letter_of(call.me, room, request.id)
    if letter.author_id != call.me.id:
        raise RequestRefused(403, "MESSAGE_AUTHOR_REQUIRED")
    text, entities = post.checked_content(call.cloud, request.message, request.entities)
    if (text, entities) == (letter.text, letter.entities):
        raise RequestRefused(400, "MESSAGE_NOT_MODIFIED")
    if isinstance(room, Channel):
        entry = edit_post(call.cloud, room, letter, text, entities, via=call.line)
        update = channel_update_view(call.me, room, entry)
    else:
        entry = post.edit(call.cloud, call.me, letter, text, entities, via=call.line)
        update = update_view(call.me, entry)
    return updates_view(call.cloud, call.me, [update], letter.mentions())


def delete_messages(call: Call, request: Any) -> Answer:
    """``messages.deleteMessages``, of private chats and basic groups; unknown ids are passed over."""
    ids = request.id[:MAX_DELETED]
    if request.revoke:
        for each in ids:
            _check_may_revoke(call, call.me.mailbox.letters.get(each))
    entry = post.delete(call.cloud, call.me, ids, revoke=bool(request.revoke), via=call.line)
    return types.messages.AffectedMessages(call.me.mailbox.log.pts, entry.pts_count if entry else 0)


def read_history(call: Call, request: Any) -> Answer:
    """``messages.readHistory``, of private chats and basic groups."""
    room = room_of(call.cloud, call.me, request.peer)
    if isinstance(room, Channel):
        raise RequestRefused(400, "PEER_ID_INVALID")
    entry = post.read(call.cloud, call.me, room, request.max_id, via=call.line)
    return types.messages.AffectedMessages(call.me.mailbox.log.pts, entry.pts_count if entry else 0)


def set_typing(call: Call, request: Any) -> Answer:
    """``messages.setTyping``: seen by those who are there, and stored nowhere."""
    room = room_of(call.cloud, call.me, request.peer)
    show_typing(call.cloud, call.me, room, request.action)
    return True


def known_send(call: Call, random_id: int) -> Sent | None:
    """What a ``random_id`` became, as long as that is remembered."""
    known = call.me.mailbox.sent_as(random_id)
    window_s = call.cloud.behaviour.random_id_window_s
    return (
        known
        if known is not None and (window_s is None or call.cloud.clock() < known.at_s + window_s)
        else None
    )


def sent_letter(call: Call, sent: Sent) -> Letter | None:
    """The message that was sent, unless it was deleted."""
    return history_of(call.me, _room(call, sent.peer_id)).letters.get(sent.message_id)


def new_messages(
    call: Call, room: Room, sent: Sequence[tuple[Letter, int]], *, repeated: Container[int] = ()
) -> Answer:
    """Messages that were sent, in full.

    Args:
        call: Who sent them.
        room: Where they are.
        sent: They, each with what the sender calls it.
        repeated: Of which of these names he was told before: they move no ``pts``.
    """
    updates: list[Any] = [types.UpdateMessageID(letter.id, random_id) for letter, random_id in sent]
    updates += [new_message(call, room, letter, repeated=name in repeated) for letter, name in sent]
    about = [each for letter, _ in sent for each in letter.mentions()]
    return updates_view(call.cloud, call.me, updates, about)


def repeat(call: Call, random_id: int, sent: Sent) -> Answer:
    """Answer a ``random_id`` that was sent before."""
    call.cloud.counts.repeats += 1
    room, letter = _room(call, sent.peer_id), sent_letter(call, sent)
    if call.cloud.behaviour.repeats == "error" or letter is None:
        raise RequestRefused(500, "RANDOM_ID_DUPLICATE")
    return new_messages(call, room, [(letter, random_id)], repeated=(random_id,))


def new_message(call: Call, room: Room, letter: Letter, *, repeated: bool = False) -> Any:
    """A message that was sent, as an update; one of which its sender was told before moves no ``pts``."""
    if isinstance(room, Channel):
        pts, view = room.log.pts if repeated else letter.pts, post_view(call.me, room, letter)
        return types.UpdateNewChannelMessage(view, pts, 0 if repeated else 1)
    pts = call.me.mailbox.log.pts if repeated else letter.pts
    return types.UpdateNewMessage(message_view(call.me, letter), pts, 0 if repeated else 1)


def _room(call: Call, peer: int) -> Room:
    kind, number = unmarked(peer)
    if kind == "user":
        return call.cloud.directory.get(number)
    return call.cloud.groups.get(number) if kind == "group" else call.cloud.channels.get(number)


def _check_may_revoke(call: Call, letter: Letter | None) -> None:
    """In a group only the author and the group's creator take a message from others."""
    if letter is None or letter.author_id == call.me.id or unmarked(letter.peer_id).kind != "group":
        return
    if call.cloud.groups.get(unmarked(letter.peer_id).id).creator_id != call.me.id:
        raise RequestRefused(403, "MESSAGE_DELETE_FORBIDDEN")
