"""Whom ``to`` names: ids, usernames and phone numbers as peers."""

import re
from collections.abc import Iterable
from typing import Any

import trio
from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peers import input_peer, kind_of, marked_id, peers_of
from tgworker.telegram.rpc_errors import account_refusal, error_name, is_passing, wait_of

LISTS_EVERY_S = 300.0
"""An id that nobody knows makes the contacts and the dialogs be read again at most this often."""

DIALOGS_PER_PAGE = 100
DIALOG_PAGES = 20
"""At most 2,000 chats are looked through: Telegram answers with flood waits to those who read much more."""

RETRY_AFTER_TROUBLE_S = 5.0
"""Telegram has trouble of its own (a 500): ask again after this."""

NOT_FOUND = (
    "PEER_NOT_FOUND: this account has never met whom the id names, and only Telegram could introduce them"
)
NOT_UNDERSTOOD = "not an id, @username or +phone"


class PeerBook:
    """The peers that one account can address, by marked id. Grows with what the account meets."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._peers: dict[int, Peer] = {}
        self.learn(peers)

    def learn(self, peers: Iterable[Peer]) -> None:
        """Add peers; a newer one replaces an older one."""
        for peer in peers:
            self._peers[peer.chat_id] = peer

    def get(self, chat_id: int) -> Peer | None:
        """The peer with this marked id, if the account has met it."""
        return self._peers.get(chat_id)

    def __contains__(self, chat_id: int) -> bool:
        return chat_id in self._peers


class Resolver:
    """Finds peers, and remembers when it read the account's lists.

    Args:
        client: Whom to ask.
        book: Where to look first, and where everything that is found goes.
    """

    def __init__(self, client: AccountClient, book: PeerBook) -> None:
        self._client = client
        self._book = book
        self._lists_read_at: float | None = None

    async def resolve_aio(self, to: str) -> Peer | Refused | Deferred:
        """Find whom ``to`` names. See `tgworker.messaging.ports.Connection.resolve`.

        Raises:
            LineLost: The line broke.
            RPCError: The account itself was refused.

        Cancellation: lists may have been read; what was found in them is kept.
        """
        try:
            if re.fullmatch(r"-?[1-9]\d*", to, re.ASCII):
                return await self._by_id_aio(int(to))
            if re.fullmatch(r"@[A-Za-z]\w{1,63}", to, re.ASCII):
                return await self._by_username_aio(to[1:])
            if re.fullmatch(r"\+\d{5,15}", to, re.ASCII):
                return await self._by_phone_aio(to[1:])
        except RPCError as error:
            if account_refusal(error) is not None:
                raise
            name = error_name(error)
            seconds = wait_of(error)
            if seconds is not None:
                return Deferred(seconds, name)
            return Deferred(RETRY_AFTER_TROUBLE_S, name) if is_passing(error) else Refused(name)
        return Refused(NOT_UNDERSTOOD)

    async def _by_id_aio(self, chat_id: int) -> Peer | Refused:
        known = self._book.get(chat_id)
        if known is not None:
            return known
        if self._may_read_lists():
            contacts = await self._client.ask_aio(functions.contacts.GetContactsRequest(hash=0))
            self._book.learn(peers_of(getattr(contacts, "users", ())))
            if chat_id not in self._book:
                await self._read_dialogs_aio(chat_id)
            self._lists_read_at = trio.current_time()
        known = self._book.get(chat_id)
        if known is not None:
            return known
        if kind_of(chat_id) is PeerKind.CHAT:
            return Peer(chat_id, PeerKind.CHAT)  # needs no access hash: Telegram itself says if it is wrong
        return Refused(NOT_FOUND)

    def _may_read_lists(self) -> bool:
        return self._lists_read_at is None or trio.current_time() - self._lists_read_at >= LISTS_EVERY_S

    async def _read_dialogs_aio(self, chat_id: int) -> None:
        offset_date, offset_id, offset_peer = None, 0, types.InputPeerEmpty()
        for _ in range(DIALOG_PAGES):
            page = await self._client.ask_aio(
                functions.messages.GetDialogsRequest(
                    offset_date=offset_date,
                    offset_id=offset_id,
                    offset_peer=offset_peer,
                    limit=DIALOGS_PER_PAGE,
                    hash=0,
                )
            )
            self._book.learn(peers_of(getattr(page, "users", ())))
            self._book.learn(peers_of(getattr(page, "chats", ())))
            dialogs = getattr(page, "dialogs", ())
            if chat_id in self._book or not isinstance(page, types.messages.DialogsSlice) or not dialogs:
                return
            last = _last_message(dialogs, page.messages)
            if last is None or last.id == offset_id:
                return
            offset_date, offset_id = last.date, last.id
            offset_peer = self._input_of(last)

    def _input_of(self, message: Any) -> Any:
        known = self._book.get(marked_id(message.peer_id))
        return types.InputPeerEmpty() if known is None else input_peer(known)

    async def _by_username_aio(self, username: str) -> Peer | Refused:
        # Always asked, never looked up in the book: a name may have a new owner.
        found = await self._client.ask_aio(functions.contacts.ResolveUsernameRequest(username))
        return self._found(found, "USERNAME_NOT_OCCUPIED")

    async def _by_phone_aio(self, phone: str) -> Peer | Refused:
        found = await self._client.ask_aio(functions.contacts.ResolvePhoneRequest(phone))
        return self._found(found, "PHONE_NOT_OCCUPIED")

    def _found(self, found: Any, otherwise: str) -> Peer | Refused:
        self._book.learn(peers_of(found.users))
        self._book.learn(peers_of(found.chats))
        return self._book.get(marked_id(found.peer)) or Refused(otherwise)


def _last_message(dialogs: Any, messages: Any) -> Any:
    """The message that the next page starts after: the top message of the last dialog that has one."""
    dated = {(marked_id(m.peer_id), m.id): m for m in messages if getattr(m, "date", None) is not None}
    for dialog in reversed(dialogs):
        found = dated.get((marked_id(dialog.peer), dialog.top_message))
        if found is not None:
            return found
    return None
