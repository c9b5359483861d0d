"""``messages.*`` and ``channels.*`` that change a group or channel, and how one comes into it or out."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox import chat_actions, invites
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import channel_of, group_of, room_of
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.media import PhotoMedia, photo_size
from tgworker.sandbox.membership import ban, unban
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.media import known_file, uploaded_file
from tgworker.sandbox.requests.messages import new_message
from tgworker.sandbox.room_views import channel_view, group_view
from tgworker.sandbox.telling import updates_view


def edit_chat_title(call: Call, request: Any) -> Answer:
    """``messages.editChatTitle``."""
    group = group_of(call.cloud, call.me, request.chat_id)
    return _said(
        call, group, chat_actions.edit_title(call.cloud, call.me, group, request.title, via=call.line)
    )


def edit_title(call: Call, request: Any) -> Answer:
    """``channels.editTitle``."""
    channel = channel_of(call.cloud, call.me, request.channel)
    return _said(
        call, channel, chat_actions.edit_title(call.cloud, call.me, channel, request.title, via=call.line)
    )


def edit_chat_photo(call: Call, request: Any) -> Answer:
    """``messages.editChatPhoto``."""
    return _edit_photo(call, group_of(call.cloud, call.me, request.chat_id), request.photo)


def edit_photo(call: Call, request: Any) -> Answer:
    """``channels.editPhoto``."""
    return _edit_photo(call, channel_of(call.cloud, call.me, request.channel), request.photo)


def export_chat_invite(call: Call, request: Any) -> Answer:
    """``messages.exportChatInvite``: of its limits and requests to be let in it knows nothing."""
    invitation = invites.export_invite(call.cloud, call.me, _room(call, request.peer))
    return types.ChatInviteExported(invitation.link, invitation.admin_id, invitation.date, permanent=True)


def check_chat_invite(call: Call, request: Any) -> Answer:
    """``messages.checkChatInvite``: where a link leads."""
    _, room = invites.find_invite(call.cloud, call.me, request.hash)
    if call.me.id in room.members:
        if isinstance(room, Channel):
            return types.ChatInviteAlready(channel_view(call.cloud, call.me, room))
        return types.ChatInviteAlready(group_view(call.cloud, call.me, room))
    return types.ChatInvite(
        title=room.title,
        photo=types.PhotoEmpty(0),
        participants_count=len(room.members),
        color=0,
        channel=isinstance(room, Channel) or None,
        broadcast=(isinstance(room, Channel) and not room.megagroup) or None,
        megagroup=(isinstance(room, Channel) and room.megagroup) or None,
        public=(isinstance(room, Channel) and bool(room.username)) or None,
    )


def import_chat_invite(call: Call, request: Any) -> Answer:
    """``messages.importChatInvite``."""
    room, letter = invites.import_invite(call.cloud, call.me, request.hash, via=call.line)
    return _said(call, room, letter, anew=True)


def edit_banned(call: Call, request: Any) -> Answer:
    """``channels.editBanned``: out of the channel and not in again, or allowed in again; no other rights."""
    channel = channel_of(call.cloud, call.me, request.channel)
    member = room_of(call.cloud, call.me, request.participant)
    if channel.creator_id != call.me.id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    if not isinstance(member, Account) or member is call.me:
        raise RequestRefused(400, "USER_ADMIN_INVALID" if member is call.me else "PARTICIPANT_ID_INVALID")
    letter = None
    if request.banned_rights.view_messages:
        letter = ban(call.cloud, call.me, channel, member, via=call.line)
    else:
        unban(channel, member)
    return _said(call, channel, letter, anew=True)


def _room(call: Call, peer: Any) -> Group | Channel:
    room = room_of(call.cloud, call.me, peer)
    if isinstance(room, Account):
        raise RequestRefused(400, "PEER_ID_INVALID")
    return room


def _edit_photo(call: Call, room: Group | Channel, asked: Any) -> Answer:
    chat_actions.check_may_change(call.me, room)
    photo: PhotoMedia | None = None
    if not isinstance(asked, types.InputChatPhotoEmpty):
        named = isinstance(asked, types.InputChatPhoto)
        file = known_file(call, asked.id) if named else uploaded_file(call, asked.file)
        photo = PhotoMedia(call.cloud.files, file, call.cloud.now(), photo_size(file.content))
    return _said(call, room, chat_actions.edit_photo(call.cloud, call.me, room, photo, via=call.line))


def _said(call: Call, room: Group | Channel, letter: Letter | None, *, anew: bool = False) -> Answer:
    """The service message that came of it, if any, and perhaps that a channel is another now."""
    updates: list[Any] = [types.UpdateChannel(room.id)] if anew and isinstance(room, Channel) else []
    about = [room.peer]
    if letter is not None:
        updates.append(new_message(call, room, letter))
        about += letter.mentions()
    return updates_view(call.cloud, call.me, updates, about)
