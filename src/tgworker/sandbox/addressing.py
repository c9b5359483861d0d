"""Whom a client means: an ``inputPeer`` and its access hash, and whether this account may write there.

An access hash is worth something only to the account that it was given to (https://core.telegram.org/api/peers).
"""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import History, Letter
from tgworker.sandbox.room import Room
from tgworker.sandbox.room_views import sees


def room_of(cloud: Cloud, me: Account, peer: Any) -> Room:
    """What an ``inputPeer`` names.

    Raises:
        RequestRefused: Nothing, or the access hash is another's, or this account may not see it.
    """
    match peer:
        case types.InputPeerChat():
            return group_of(cloud, me, peer.chat_id, "PEER_ID_INVALID")
        case types.InputPeerChannel():
            return channel_of(cloud, me, peer)
        case _:
            return user_of(cloud, me, peer)


def user_of(cloud: Cloud, me: Account, named: Any, error: str = "PEER_ID_INVALID") -> Account:
    """The user that an ``inputPeer`` or ``inputUser`` names, by his access hash or by a message of his.

    Args:
        cloud: The sandbox.
        me: Who asks.
        named: What he says.
        error: What to answer if it names nobody.
    """
    if not isinstance(named, types.InputPeerUserFromMessage | types.InputUserFromMessage):
        return cloud.directory.resolve(me, named, error)
    room = room_of(cloud, me, named.peer)
    letter = history_of(me, room).letters.get(named.msg_id)
    if letter is None or letter.peer_id != room.peer or named.user_id not in letter.mentions():
        raise RequestRefused(400, "MSG_ID_INVALID")
    return cloud.directory.get(named.user_id)


def group_of(cloud: Cloud, me: Account, group_id: int, error: str = "CHAT_ID_INVALID") -> Group:
    """The basic group with a bare id; groups need no access hash, only that one is or was in them.

    Args:
        cloud: The sandbox.
        me: Who asks.
        group_id: The bare id.
        error: What to answer if there is none.

    Raises:
        RequestRefused: This account never was in such a group.
    """
    group = cloud.groups.find(group_id)
    if group is None or (me.id not in group.members and group.peer not in me.mailbox.chats):
        raise RequestRefused(400, error)
    return group


def channel_of(cloud: Cloud, me: Account, named: Any) -> Channel:
    """The channel that an ``inputChannel`` or ``inputPeerChannel`` names.

    Raises:
        RequestRefused: None, or the access hash is another's, or it is private and this account not in it.
    """
    named_by_hash = isinstance(named, types.InputChannel | types.InputPeerChannel)
    channel = cloud.channels.find(named.channel_id) if named_by_hash else None
    if channel is None or named.access_hash != cloud.directory.access_hash(me, channel.peer):
        raise RequestRefused(400, "CHANNEL_INVALID")
    if not sees(me, channel):
        raise RequestRefused(400, "CHANNEL_PRIVATE")
    return channel


def check_may_write(me: Account, room: Room) -> None:
    """Make sure that an account may send to a chat.

    Raises:
        RequestRefused: It may not; in the words that Telegram has for the reason.
    """
    if isinstance(room, Account):
        _check_may_write_to(me, room)
    elif isinstance(room, Group) and room.migrated_to is not None:
        raise RequestRefused(400, "PEER_ID_INVALID")
    elif me.id not in room.members:
        raise RequestRefused(403, "CHAT_WRITE_FORBIDDEN")
    elif isinstance(room, Channel) and not room.megagroup and me.id != room.creator_id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")


def _check_may_write_to(me: Account, other: Account) -> None:
    """The same of one user: a bot never writes first, nor to another bot, nor to who has stopped it."""
    if other.banned:
        raise RequestRefused(400, "INPUT_USER_DEACTIVATED")
    if other.id in me.blocks:
        raise RequestRefused(400, "YOU_BLOCKED_USER")
    if me.id in other.blocks:
        raise RequestRefused(400, "USER_IS_BLOCKED")
    if me.bot is not None and other is not me:
        if other.bot is not None:
            raise RequestRefused(400, "USER_IS_BOT")
        if other.id not in me.mailbox.chats:  # he never wrote to it, so he never started it
            raise RequestRefused(400, "PEER_ID_INVALID")


def history_of(me: Account, room: Room) -> History:
    """The messages of a chat as this account holds or sees them."""
    return room.history if isinstance(room, Channel) else me.mailbox.history(room.peer)


def letter_of(me: Account, room: Room, message_id: int) -> Letter:
    """A message of a chat, as this account holds or sees it.

    Raises:
        RequestRefused: It is not there, or it is a service message.
    """
    letter = history_of(me, room).letters.get(message_id)
    if letter is None or letter.peer_id != room.peer or letter.action is not None:
        raise RequestRefused(400, "MESSAGE_ID_INVALID")
    return letter
