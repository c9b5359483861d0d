"""``messages.forwardMessages``, and where it is not allowed."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import check_may_write, history_of, room_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.forwarding import check_may_forward, forward
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.messages import known_send, new_messages, sent_letter
from tgworker.sandbox.room import Room
from tgworker.sandbox.telling import updates_view

MAX_FORWARDED = 100
"""What ``help.getConfig`` calls ``forwarded_count_max``."""


def forward_messages(call: Call, request: Any) -> Answer:
    """``messages.forwardMessages``: messages that are not there are passed over, unless none is."""
    names: list[int] = list(request.random_id)
    if not request.id or len(request.id) > MAX_FORWARDED:
        raise RequestRefused(400, "MESSAGE_IDS_EMPTY" if not request.id else "LIMIT_INVALID")
    if len(names) != len(request.id):
        raise RequestRefused(400, "RANDOM_ID_INVALID")
    known = {each: sent_letter(call, sent) for each in names if (sent := known_send(call, each)) is not None}
    if known and (call.cloud.behaviour.repeats == "error" or None in known.values()):
        call.cloud.counts.repeats += len(known)
        raise RequestRefused(500, "RANDOM_ID_DUPLICATE")
    source = room_of(call.cloud, call.me, request.from_peer)
    to = room_of(call.cloud, call.me, request.to_peer)
    there = _there(call, source, request.id, names)
    check_may_forward(source)
    check_may_write(call.me, to)
    if len(known) < len(there):
        call.cloud.throttle.check_send(call.me, to)
    albums: dict[int, int] = {}
    sent_now: list[tuple[Letter, int]] = []
    for letter, name in there:
        repeated = known.get(name)
        if repeated is not None:
            call.cloud.counts.repeats += 1
            sent_now.append((repeated, name))
            continue
        group = letter.group
        if group is not None:
            group = albums.setdefault(group, call.cloud.rng.getrandbits(62))
        mine = forward(
            call.cloud,
            call.me,
            source,
            letter,
            to,
            drop_author=bool(request.drop_author),
            group=group,
            random_id=name,
            via=call.line,
        )
        sent_now.append((mine, name))
    return new_messages(call, to, sent_now, repeated=known)


def toggle_no_forwards(call: Call, request: Any) -> Answer:
    """``messages.toggleNoForwards``: as the creator of a group or channel."""
    room = room_of(call.cloud, call.me, request.peer)
    if isinstance(room, Account) or room.creator_id != call.me.id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    if room.noforwards is bool(request.enabled):
        raise RequestRefused(400, "CHAT_NOT_MODIFIED")
    room.noforwards = bool(request.enabled)
    update = types.UpdateChannel(room.id) if isinstance(room, Channel) else types.UpdateChat(room.id)
    return updates_view(call.cloud, call.me, [update], [room.peer])


def _there(call: Call, source: Room, ids: list[int], names: list[int]) -> list[tuple[Letter, int]]:
    """Those messages that are there and none of service, each with its name."""
    letters = history_of(call.me, source).letters
    found: list[tuple[Letter, int]] = []
    for each, name in zip(ids, names, strict=True):
        letter = letters.get(each)
        if letter is not None and letter.peer_id == source.peer and letter.action is None:
            found.append((letter, name))
    if not found:
        raise RequestRefused(400, "MESSAGE_ID_INVALID")
    return found
