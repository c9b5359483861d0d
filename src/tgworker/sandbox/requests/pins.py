"""``messages.*`` about pinned messages."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import check_may_write, letter_of, room_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.pinning import announce_pin, is_announced, pinned_letters, set_pinned
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.messages import new_message
from tgworker.sandbox.telling import updates_view
from tgworker.sandbox.update_views import channel_update_view, update_view


def update_pinned_message(call: Call, request: Any) -> Answer:
    """``messages.updatePinnedMessage``: what is so already brings no updates."""
    room = room_of(call.cloud, call.me, request.peer)
    letter = letter_of(call.me, room, request.id)
    check_may_write(call.me, room)
    if call.me.bot is not None and request.pm_oneside:
        raise RequestRefused(400, "BOT_ONESIDE_NOT_AVAIL")
    oneside, pins = bool(request.pm_oneside), not request.unpin
    entry = set_pinned(call.cloud, call.me, room, [letter], pinned=pins, oneside=oneside, via=call.line)
    updates: list[Any] = []
    if entry is not None:
        channel = room if isinstance(room, Channel) else None
        updates.append(
            update_view(call.me, entry) if channel is None else channel_update_view(call.me, channel, entry)
        )
        if pins and is_announced(call.me, room, oneside=oneside):
            said = announce_pin(call.cloud, call.me, room, letter, silent=bool(request.silent), via=call.line)
            updates.append(new_message(call, room, said))
    return updates_view(call.cloud, call.me, updates, letter.mentions())


def unpin_all_messages(call: Call, request: Any) -> Answer:
    """``messages.unpinAllMessages``, at once."""
    room = room_of(call.cloud, call.me, request.peer)
    check_may_write(call.me, room)
    pinned = pinned_letters(call.me, room)
    entry = set_pinned(call.cloud, call.me, room, pinned, pinned=False, via=call.line)
    log = room.log if isinstance(room, Channel) else call.me.mailbox.log
    return types.messages.AffectedHistory(log.pts, 0 if entry is None else entry.pts_count, 0)
