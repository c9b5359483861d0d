"""The lists where an account may meet more peers than it has."""

import asyncio

import trio
from telethon.tl import functions

from tgworker.telegram.client import AccountClient
from tgworker.telegram.dialogs import DialogPages
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import peers_of

LISTS_EVERY_S = 300.0
"""Once read to their end, the lists are read again at most this often, however many unknown ids there are."""


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
        self._dialogs = DialogPages(self._client, self._book)
        self._read_at: float | None = None

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
        elif await self._dialogs.read_aio() is None:
            self._read_at = trio.current_time()
