"""Whom ``to`` names: ids, usernames and phone numbers as peers."""

import re
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions

from tgworker.messaging.account_kinds import Ability, AccountKind, lack
from tgworker.messaging.models import Met, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peer_lists import PeerLists
from tgworker.telegram.peers import kind_of, marked_id, peers_of
from tgworker.telegram.rpc_errors import question_outcome

NOT_FOUND = (
    "PEER_NOT_FOUND: this account has never met whom the id names, and only Telegram could introduce them"
)
NOT_UNDERSTOOD = "not an id, @username or +phone"


class Resolver:
    """Finds peers.

    Args:
        client: Whom to ask.
        book: Where to look first, and where everybody goes who is found.
        kind: What the account is.
    """

    def __init__(self, client: AccountClient, book: PeerBook, kind: AccountKind = AccountKind.USER) -> None:
        self._client = client
        self._book = book
        self._kind = kind
        self._lists = PeerLists(client, book)

    async def resolve_aio(self, to: str) -> Peer | Refused | Deferred:
        """Find whom ``to`` names. See `tgworker.messaging.ports.Connection.resolve`.

        Raises:
            LineLost: The line broke.
            RPCError: The account itself was refused.

        Cancellation: who was found on the way is kept.
        """
        try:
            if re.fullmatch(r"-?[1-9]\d*", to, re.ASCII):
                return await self._by_id_aio(int(to))
            if re.fullmatch(r"@[A-Za-z]\w{1,63}", to, re.ASCII):
                return await self._by_username_aio(to[1:])
            if re.fullmatch(r"\+\d{5,15}", to, re.ASCII):
                return await self._by_phone_aio(to[1:])
        except RPCError as error:
            return question_outcome(error)
        return Refused(NOT_UNDERSTOOD)

    async def meet_aio(self, seen: int) -> Met | Refused | Deferred:
        """Read on in the account's lists. See `tgworker.messaging.ports.Connection.meet`.

        Raises: as `resolve_aio`. Cancellation: who was met is kept.
        """
        if lack(self._kind, Ability.LIST_CHATS) is not None:
            return Met((), is_all=True)
        try:
            return await self._lists.meet_aio(seen)
        except RPCError as error:
            return question_outcome(error)

    async def _by_id_aio(self, chat_id: int) -> Peer | Refused:
        unlisted = lack(self._kind, Ability.LIST_CHATS)
        if chat_id not in self._book and unlisted is None:
            await self._lists.look_for_aio(chat_id)
        known = self._book.get(chat_id)
        if known is not None:
            return known
        if kind_of(chat_id) is PeerKind.CHAT:
            return Peer(chat_id, PeerKind.CHAT)  # needs no access hash: Telegram itself says if it is wrong
        return Refused(NOT_FOUND if unlisted is None else f"PEER_NOT_FOUND: {unlisted}")

    async def _by_username_aio(self, username: str) -> Peer | Refused:
        # Always asked, never looked up in the book: a name may have a new owner.
        found = await self._client.ask_aio(functions.contacts.ResolveUsernameRequest(username))
        return self._found(found, "USERNAME_NOT_OCCUPIED")

    async def _by_phone_aio(self, phone: str) -> Peer | Refused:
        cannot = lack(self._kind, Ability.FIND_BY_PHONE)
        if cannot is not None:
            return Refused(cannot)
        found = await self._client.ask_aio(functions.contacts.ResolvePhoneRequest(phone))
        return self._found(found, "PHONE_NOT_OCCUPIED")

    def _found(self, found: Any, otherwise: str) -> Peer | Refused:
        self._book.learn(peers_of(found.users))
        self._book.learn(peers_of(found.chats))
        return self._book.get(marked_id(found.peer)) or Refused(otherwise)
