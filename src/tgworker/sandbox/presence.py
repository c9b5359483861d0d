"""Who is there, and who types: told to those who are there themselves, and stored in no log.

Sources: https://core.telegram.org/method/account.updateStatus, https://core.telegram.org/method/messages.setTyping
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.groups import Group
from tgworker.sandbox.room import Room
from tgworker.sandbox.telling import push
from tgworker.sandbox.views import status_view

ONLINE_S = 300
"""How long a user is online who does not say so again: ``online_cloud_timeout_ms``."""


def acquaintances(cloud: Cloud, account: Account) -> Iterator[Account]:
    """Those who have a line, and the account among their contacts or a private chat with it; never bots."""
    contacts = cloud.directory.contacts
    for each in cloud.directory.listening:
        if (
            each is not account
            and each.bot is None
            and (contacts.has(each.id, account.id) or account.id in each.mailbox.chats)
        ):
            yield each


def update_status(cloud: Cloud, account: Account, *, offline: bool, seconds: float = ONLINE_S) -> None:
    """Let an account be online, for so long, or offline; its acquaintances hear of it.

    Nobody is told when the time is over: a client knows it from the status that it has.
    """
    now = cloud.now()
    account.online_until = None if offline else now + timedelta(seconds=seconds)
    account.was_online = now
    cloud.directory.looks.forget(account.id)
    update = types.UpdateShort(types.UpdateUserStatus(account.id, status_view(account)), now)
    body = bytes(update)
    for each in acquaintances(cloud, account):
        push(each, lambda: body)


def show_typing(cloud: Cloud, account: Account, room: Room, action: Any) -> None:
    """Show those who are in a chat that an account types there, or does something else.

    Args:
        cloud: The sandbox.
        account: Who.
        room: Where.
        action: What, as a TL ``SendMessageAction``.
    """
    update, hears = _typing(account, room, action)
    for each in hears:
        if each != account.id and cloud.directory.get(each).bot is None:
            push(cloud.directory.get(each), lambda: types.UpdateShort(update, cloud.now()))


def _typing(me: Account, room: Room, action: Any) -> tuple[Any, list[int]]:
    """What is said of somebody who types, and who hears it."""
    match room:
        case Account():
            return types.UpdateUserTyping(me.id, action), [room.id]
        case Group():
            return types.UpdateChatUserTyping(room.id, types.PeerUser(me.id), action), list(room.members)
        case Channel():
            update = types.UpdateChannelUserTyping(room.id, types.PeerUser(me.id), action)
            return update, list(room.members) if room.megagroup else []
