"""``contacts.*``: how a client finds people. Everybody in a sandbox is everybody's contact."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room_views import channel_view
from tgworker.sandbox.views import user_view, user_views


def get_contacts(call: Call, _request: Any) -> Answer:
    """``contacts.getContacts``."""
    others = [account.id for account in call.cloud.directory if account is not call.me]
    contacts = [types.Contact(each, True) for each in others]
    return types.contacts.Contacts(contacts, 0, user_views(call.cloud.directory, call.me, others))


def resolve_username(call: Call, request: Any) -> Answer:
    """``contacts.resolveUsername``."""
    channel = call.cloud.channels.by_username(request.username)
    if channel is not None:
        return types.contacts.ResolvedPeer(
            types.PeerChannel(channel.id), [channel_view(call.cloud, call.me, channel)], []
        )
    return _resolved(call, call.cloud.directory.by_username(request.username), "USERNAME_NOT_OCCUPIED")


def resolve_phone(call: Call, request: Any) -> Answer:
    """``contacts.resolvePhone``."""
    return _resolved(call, call.cloud.directory.by_phone(request.phone), "PHONE_NOT_OCCUPIED")


def _resolved(call: Call, account: Account | None, error: str) -> Answer:
    if account is None or account.banned:
        raise RequestRefused(400, error)
    user = user_view(call.cloud.directory, call.me, account)
    return types.contacts.ResolvedPeer(types.PeerUser(account.id), [], [user])
