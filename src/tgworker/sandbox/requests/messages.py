"""``messages.*`` that change something: sending, editing, deleting, reading, typing."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox import post
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.mailbox import Letter
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.views import message_view, update_view

MAX_DELETED = 100
"""Messages in one ``messages.deleteMessages``."""


def send_message(call: Call, request: Any) -> Answer:
    """``messages.sendMessage``; what it replies to is ignored."""
    mailbox = call.me.mailbox
    known = mailbox.sent_as(request.random_id)
    if known is not None:
        return _repeat(call, request.random_id, known)
    peer = call.cloud.directory.resolve(call.me, request.peer)
    text = post.check_text(request.message)
    if peer.banned:
        raise RequestRefused(400, "INPUT_USER_DEACTIVATED")
    entities = _entities(request.entities)
    letter = post.deliver(
        call.cloud,
        call.me,
        peer,
        text,
        entities=entities,
        random_id=request.random_id,
        via=call.line,
    )
    if call.cloud.behaviour.answers == "short":
        return types.UpdateShortSentMessage(
            letter.id, letter.pts, 1, letter.date, out=True, entities=list(entities) or None
        )
    updates = [
        types.UpdateMessageID(letter.id, request.random_id),
        types.UpdateNewMessage(message_view(call.me, letter), letter.pts, 1),
    ]
    return post.updates_view(call.cloud, call.me, updates, [peer.id])


def edit_message(call: Call, request: Any) -> Answer:
    """``messages.editMessage``: one's own, and only to something else."""
    peer = call.cloud.directory.resolve(call.me, request.peer)
    letter = _letter(call, request.id, peer.id)
    if not letter.outgoing:
        raise RequestRefused(403, "MESSAGE_AUTHOR_REQUIRED")
    text, entities = post.check_text(request.message), _entities(request.entities)
    if (text, entities) == (letter.text, letter.entities):
        raise RequestRefused(400, "MESSAGE_NOT_MODIFIED")
    entry = post.edit(call.cloud, call.me, letter, text, entities, via=call.line)
    return post.updates_view(call.cloud, call.me, [update_view(call.me, entry)], [peer.id])


def delete_messages(call: Call, request: Any) -> Answer:
    """``messages.deleteMessages``; ids that are not there are passed over."""
    entry = post.delete(
        call.cloud, call.me, request.id[:MAX_DELETED], revoke=bool(request.revoke), via=call.line
    )
    return types.messages.AffectedMessages(call.me.mailbox.log.pts, entry.pts_count if entry else 0)


def read_history(call: Call, request: Any) -> Answer:
    """``messages.readHistory``."""
    peer = call.cloud.directory.resolve(call.me, request.peer)
    entry = post.read(call.cloud, call.me, peer, request.max_id, via=call.line)
    return types.messages.AffectedMessages(call.me.mailbox.log.pts, entry.pts_count if entry else 0)


def set_typing(call: Call, request: Any) -> Answer:
    """``messages.setTyping``: seen by those who are there, and stored nowhere."""
    peer = call.cloud.directory.resolve(call.me, request.peer)
    if peer is not call.me:
        update = types.UpdateUserTyping(call.me.id, request.action)
        post.push(peer, lambda: types.UpdateShort(update, call.cloud.now()))
    return True


def _repeat(call: Call, random_id: int, message_id: int) -> Answer:
    """Answer a ``random_id`` that was sent before."""
    call.cloud.counts.repeats += 1
    letter = call.me.mailbox.letters.get(message_id)
    if call.cloud.behaviour.repeats == "error" or letter is None:
        raise RequestRefused(500, "RANDOM_ID_DUPLICATE")
    updates = [
        types.UpdateMessageID(message_id, random_id),
        types.UpdateNewMessage(message_view(call.me, letter), call.me.mailbox.log.pts, 0),
    ]
    return post.updates_view(call.cloud, call.me, updates, [letter.peer_id])


def _letter(call: Call, message_id: int, peer_id: int) -> Letter:
    letter = call.me.mailbox.letters.get(message_id)
    if letter is None or letter.peer_id != peer_id:
        raise RequestRefused(400, "MESSAGE_ID_INVALID")
    return letter


def _entities(entities: list[Any] | None) -> tuple[Any, ...]:
    """Formatting as the other side gets it: a mention is sent with an access hash and arrives without."""
    return tuple(
        types.MessageEntityMentionName(each.offset, each.length, getattr(each.user_id, "user_id", 0))
        if isinstance(each, types.InputMessageEntityMentionName)
        else each
        for each in entities or ()
    )
