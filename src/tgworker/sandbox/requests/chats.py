"""``messages.*`` about basic groups: making them, who is in them, making them supergroups."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.addressing import group_of, user_of
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.membership import add_to_group, create_group, migrate_group, remove_from_group
from tgworker.sandbox.pinning import pinned_msg_id
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room_views import group_view, people_view, post_view
from tgworker.sandbox.telling import updates_view
from tgworker.sandbox.views import message_view


def create_chat(call: Call, request: Any) -> Answer:
    """``messages.createChat``."""
    members = [user_of(call.cloud, call.me, each, "USER_ID_INVALID") for each in request.users]
    group, letter = create_group(call.cloud, call.me, members, request.title, via=call.line)
    return _invited(call, group, letter)


def add_chat_user(call: Call, request: Any) -> Answer:
    """``messages.addChatUser``: any member may."""
    group = _open_group(call, request.chat_id)
    newcomer = user_of(call.cloud, call.me, request.user_id, "USER_ID_INVALID")
    return _invited(call, group, add_to_group(call.cloud, call.me, group, newcomer, via=call.line))


def delete_chat_user(call: Call, request: Any) -> Answer:
    """``messages.deleteChatUser``: oneself, or, as the creator, another."""
    group = _open_group(call, request.chat_id)
    member = user_of(call.cloud, call.me, request.user_id, "USER_ID_INVALID")
    if member is not call.me and group.creator_id != call.me.id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    letter = remove_from_group(call.cloud, call.me, group, member, via=call.line)
    return updates_view(call.cloud, call.me, [_new(call, letter)], letter.mentions())


def migrate_chat(call: Call, request: Any) -> Answer:
    """``messages.migrateChat``: the group's last message, and the supergroup's first."""
    group = group_of(call.cloud, call.me, request.chat_id)
    channel, last, first = migrate_group(call.cloud, call.me, group, via=call.line)
    updates = [
        types.UpdateChannel(channel.id),
        _new(call, last),
        types.UpdateNewChannelMessage(post_view(call.me, channel, first), first.pts, 1),
    ]
    return updates_view(call.cloud, call.me, updates, [group.peer, channel.peer])


def get_chats(call: Call, request: Any) -> Answer:
    """``messages.getChats``."""
    groups = [group_of(call.cloud, call.me, each) for each in request.id]
    return types.messages.Chats([group_view(call.cloud, call.me, each) for each in groups])


def get_full_chat(call: Call, request: Any) -> Answer:
    """``messages.getFullChat``."""
    group = group_of(call.cloud, call.me, request.chat_id)
    full = types.ChatFull(
        group.id,
        "",
        _participants(call, group),
        types.PeerNotifySettings(),
        pinned_msg_id=pinned_msg_id(call.me, group),
    )
    people = people_view(call.cloud, call.me, [group.peer, *group.members])
    return types.messages.ChatFull(full, people.chats, people.users)


def _open_group(call: Call, group_id: int) -> Group:
    """A group that may be changed by this account."""
    group = group_of(call.cloud, call.me, group_id)
    if group.migrated_to is not None or call.me.id not in group.members:
        raise RequestRefused(400, "CHAT_ID_INVALID")
    return group


def _participants(call: Call, group: Group) -> Any:
    if call.me.id not in group.members:
        return types.ChatParticipantsForbidden(group.id)
    return types.ChatParticipants(
        group.id,
        [
            types.ChatParticipantCreator(each)
            if each == group.creator_id
            else types.ChatParticipant(each, group.creator_id, since)
            for each, since in group.members.items()
        ],
        group.version,
    )


def _invited(call: Call, group: Group, letter: Letter) -> Answer:
    about = [*letter.mentions(), *group.members]
    updates = [types.UpdateChatParticipants(_participants(call, group)), _new(call, letter)]
    return types.messages.InvitedUsers(updates_view(call.cloud, call.me, updates, about), [])


def _new(call: Call, letter: Letter) -> Any:
    return types.UpdateNewMessage(message_view(call.me, letter), letter.pts, 1)
