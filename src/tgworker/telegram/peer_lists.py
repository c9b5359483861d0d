"""The peers that one account can address: what it has met, and the lists where it may meet more."""

import asyncio
from collections.abc import Iterable
from typing import Any

import trio
from telethon.tl import functions, types

from tgworker.messaging.models import Peer
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peers import input_peer, marked_id, peers_of

LISTS_EVERY_S = 300.0
"""Once read to their end, the lists are read again at most this often, however many unknown ids there are."""

DIALOGS_PER_PAGE = 100
DIALOG_PAGES = 20
"""At most 2,000 chats are looked through: Telegram answers with flood waits to those who read much more."""


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


class PeerLists:
    """An account's contacts and dialogs, read page by page and no further than is needed.

    Args:
        client: Whom to ask.
        book: Where everybody goes who is found.
    """

    def __init__(self, client: AccountClient, book: PeerBook) -> None:
        self._client = client
        self._book = book
        self._reading = asyncio.Lock()
        self._restart()

    def _restart(self) -> None:
        self._contacts_read = False
        self._pages = 0
        self._read_at: float | None = None
        self._offset: tuple[Any, int, Any] = (None, 0, types.InputPeerEmpty())

    async def look_for_aio(self, chat_id: int) -> None:
        """Read on until the book holds the id, or the lists are at their end.

        Raises:
            LineLost: The line broke.
            RPCError: Telegram refused a page. The next call goes on from there.

        Cancellation: who was found stays in the book; the next call goes on from there.
        """
        async with self._reading:  # who comes while somebody reads waits for what that one finds
            if self._read_at is not None and trio.current_time() - self._read_at >= LISTS_EVERY_S:
                self._restart()
            while chat_id not in self._book and self._read_at is None:
                await self._read_on_aio()

    async def _read_on_aio(self) -> None:
        if not self._contacts_read:
            contacts = await self._client.ask_aio(functions.contacts.GetContactsRequest(hash=0))
            self._book.learn(peers_of(getattr(contacts, "users", ())))
            self._contacts_read = True
        elif self._pages == DIALOG_PAGES or not await self._read_page_aio():
            self._read_at = trio.current_time()

    async def _read_page_aio(self) -> bool:
        """Read one page of dialogs; whether there may be another (https://core.telegram.org/api/offsets)."""
        date, message_id, peer = self._offset
        page = await self._client.ask_aio(
            functions.messages.GetDialogsRequest(
                offset_date=date, offset_id=message_id, offset_peer=peer, limit=DIALOGS_PER_PAGE, hash=0
            )
        )
        self._pages += 1
        self._book.learn(peers_of(getattr(page, "users", ())))
        self._book.learn(peers_of(getattr(page, "chats", ())))
        if not isinstance(page, types.messages.DialogsSlice):
            return False
        last = _last_message(page.dialogs, page.messages)
        if last is None or last.id == message_id:
            return False
        known = self._book.get(marked_id(last.peer_id))
        self._offset = (last.date, last.id, types.InputPeerEmpty() if known is None else input_peer(known))
        return True


def _last_message(dialogs: Any, messages: Any) -> Any:
    """The message that the next page starts after: the top message of the last dialog that has one."""
    dated = {(marked_id(m.peer_id), m.id): m for m in messages if getattr(m, "date", None) is not None}
    for dialog in reversed(dialogs):
        found = dated.get((marked_id(dialog.peer), dialog.top_message))
        if found is not None:
            return found
    return None
