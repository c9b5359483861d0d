"""``contacts.*``: how a client finds people, and whom it keeps."""

import re
from typing import Any

from telethon.tl import types

from tgworker.sandbox import blocking
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import user_of
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.packing import vector
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.room_views import channel_view
from tgworker.sandbox.telling import updates_view
from tgworker.sandbox.views import status_view, user_view, user_views

MAX_IMPORTED = 500
"""Contacts in one ``contacts.importContacts``; what is beyond is to be tried again."""

_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}")
"""Names of 5 to 32 characters, and those of four that are sold (https://core.telegram.org/api/fragment)."""


def get_contacts(call: Call, request: Any) -> Answer:
    """``contacts.getContacts``: nothing but that, if the client's list is the same as by its hash."""
    directory = call.cloud.directory
    mine = [each.id for each in directory if directory.contacts.has(call.me.id, each.id)]
    if request.hash and request.hash == contacts_hash(mine):
        return types.contacts.ContactsNotModified()
    found = [types.Contact(each, directory.contacts.has(each, call.me.id)) for each in mine]
    return types.contacts.Contacts(found, 0, user_views(directory, call.me, mine))


def get_statuses(call: Call, request: Any) -> Answer:  # noqa: ARG001
    """``contacts.getStatuses``: whether the contacts are there, or when they were."""
    directory = call.cloud.directory
    mine = [each for each in directory if directory.contacts.has(call.me.id, each.id)]
    for each in mine:
        directory.lapse(each)
    return vector([types.ContactStatus(each.id, status_view(each)) for each in mine])


def import_contacts(call: Call, request: Any) -> Answer:
    """``contacts.importContacts``: numbers that nobody has are passed over, as Telegram does.

    Under `Behaviour.imports` ``retry`` none is taken: all are to be tried again, which is Telegram's answer
    to whoever imports too many.
    """
    directory = call.cloud.directory
    limit = 0 if call.cloud.behaviour.imports == "retry" else MAX_IMPORTED
    imported: list[Any] = []
    given = [each for each in request.contacts if isinstance(each, types.InputPhoneContact)]
    for each in given[:limit]:
        account = directory.by_phone(each.phone)
        if account is None or account is call.me or account.banned:
            continue
        directory.note_contact(call.me, account, has=True)
        imported.append(types.ImportedContact(account.id, each.client_id))
    users = user_views(directory, call.me, [each.user_id for each in imported])
    later = [each.client_id for each in given[limit:]]
    return types.contacts.ImportedContacts(imported, [], later, users)


def delete_contacts(call: Call, request: Any) -> Answer:
    """``contacts.deleteContacts``."""
    gone = [user_of(call.cloud, call.me, each, "CONTACT_ID_INVALID") for each in request.id]
    for account in gone:
        call.cloud.directory.note_contact(call.me, account, has=False)
    settings = [types.UpdatePeerSettings(types.PeerUser(each.id), types.PeerSettings()) for each in gone]
    return updates_view(call.cloud, call.me, settings, [each.id for each in gone])


def block(call: Call, request: Any) -> Answer:
    """``contacts.block``: whom one has blocked writes no more; a bot is stopped by it."""
    return _note_block(call, request, blocked=True)


def unblock(call: Call, request: Any) -> Answer:
    """``contacts.unblock``."""
    return _note_block(call, request, blocked=False)


def _note_block(call: Call, request: Any, *, blocked: bool) -> Answer:
    account = user_of(call.cloud, call.me, request.id, "CONTACT_ID_INVALID")
    if account is call.me:
        raise RequestRefused(400, "CONTACT_ID_INVALID")
    blocking.block(call.cloud, call.me, account, blocked=blocked)
    return True


def resolve_username(call: Call, request: Any) -> Answer:
    """``contacts.resolveUsername``: users and channels."""
    if not _USERNAME.fullmatch(request.username):
        raise RequestRefused(400, "USERNAME_INVALID")
    channel = call.cloud.channels.by_username(request.username)
    if channel is not None:
        return types.contacts.ResolvedPeer(
            types.PeerChannel(channel.id), [channel_view(call.cloud, call.me, channel)], []
        )
    return _resolved(call, call.cloud.directory.by_username(request.username), "USERNAME_NOT_OCCUPIED")


def resolve_phone(call: Call, request: Any) -> Answer:
    """``contacts.resolvePhone``."""
    return _resolved(call, call.cloud.directory.by_phone(request.phone), "PHONE_NOT_OCCUPIED")


def contacts_hash(user_ids: list[int]) -> int:
    """The hash by which a client says which contacts it has, saved ones being none.

    Source: https://core.telegram.org/api/offsets#hash-generation
    """
    mask = 2**64 - 1
    value = 0
    for each in (0, *sorted(user_ids)):
        value ^= value >> 21
        value = (value ^ value << 35) & mask
        value ^= value >> 4
        value = (value + each) & mask
    return value - 2**64 if value >= 2**63 else value


def _resolved(call: Call, account: Account | None, error: str) -> Answer:
    if account is None or account.banned:
        raise RequestRefused(400, error)
    user = user_view(call.cloud.directory, call.me, account)
    return types.contacts.ResolvedPeer(types.PeerUser(account.id), [], [user])
