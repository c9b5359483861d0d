"""The lists where an account may meet more peers than it has."""

import asyncio

import trio
from telethon.tl import functions

from tgworker.messaging.models import Met, Peer
from tgworker.telegram.client import AccountClient
from tgworker.telegram.dialogs import DIALOG_PAGES, DialogPages
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import peers_of

LISTS_EVERY_S = 300.0
"""Once read to their end, the lists are read again at most this often, however many unknown ids there are."""

MOST_PAGES = 100
"""Who is looked for is looked for in so many pages of chats, the newest 10,000: further than whoever reads
them all goes, and no id is given up for standing far down."""


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
        self._met: list[Peer] = []  # of the first reading
        self._is_first = True
        self._restart()

    def _restart(self) -> None:
        self._contacts_read = False
        self._pages = 0
        self._dialogs = DialogPages(self._client, self._book, most=MOST_PAGES)
        self._read_at: float | None = None

    async def meet_aio(self, seen: int) -> Met:
        """Read one page on, of `DIALOG_PAGES`; whom the account met so far, without the first ``seen``.

        Raises: as `look_for_aio`. Cancellation: the same.
        """
        async with self._reading:
            if self._is_first:
                await self._read_on_aio()
            return Met(tuple(self._met[seen:]), not self._is_first)

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
            peers = peers_of(getattr(contacts, "users", ()))
            self._book.learn(peers)
            self._note(peers)
            self._contacts_read = True
            return
        page = await self._dialogs.read_aio()
        if page is None:
            self._read_at = trio.current_time()
        else:
            self._pages += 1
            self._note(peers_of([*getattr(page, "users", ()), *getattr(page, "chats", ())]))
        if page is None or self._pages >= DIALOG_PAGES:
            self._is_first = False

    def _note(self, peers: tuple[Peer, ...]) -> None:
        if self._is_first:
            self._met += peers
