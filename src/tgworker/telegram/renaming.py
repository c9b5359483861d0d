"""Names that change: of people, groups and channels that the account knows.

Most updates bring the users and chats that they speak of as they are now. Some say only what is new, and some
only that something is: then Telegram is asked, aside from the log, and no message waits for the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import trio
from telethon.errors import TypeNotFoundError
from telethon.tl import functions, types

from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.client import AccountClient
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import bare_id, channel_mark, peers_of

ASK_EVERY_S = 10.0
"""A line asks at most this often, however many of its peers change."""

ASK_S = 15.0
"""How long the answers may take; afterwards the names come with the next message."""

MOST_ASKED = 100
"""Peers in one request of each kind; Telegram takes 200."""

MOST_WANTED = 1000
"""Peers that wait to be asked about; those that changed first are forgotten beyond that."""


def renamed(updates: Iterable[Any], book: PeerBook) -> tuple[Peer, ...]:
    """People of whom updates say how they are called now, as far as the account knows them."""
    found: dict[int, Peer] = {}
    for update in updates:
        user_id = getattr(update, "user_id", None)
        known = None if user_id is None else found.get(user_id) or book.get(user_id)
        if known is None:
            continue
        match update:
            case types.UpdateUserName():
                found[known.chat_id] = replace(
                    known,
                    first_name=update.first_name or None,
                    last_name=update.last_name or None,
                    username=next((str(name.username) for name in update.usernames if name.active), None),
                )
            case types.UpdateUserPhone():
                found[known.chat_id] = replace(known, phone=update.phone or None)
            case _:
                pass
    return tuple(found.values())


def changed(updates: Iterable[Any]) -> tuple[int, ...]:
    """Peers of whom updates only say that something is new: marked ids, each once."""
    found: dict[int, None] = {}
    for update in updates:
        match update:
            case types.UpdateUser():
                found[int(update.user_id)] = None
            case types.UpdateChat():
                found[-int(update.chat_id)] = None
            case types.UpdateChannel():
                found[channel_mark(update.channel_id)] = None
            case _:
                pass
    return tuple(found)


class Renaming:
    """Asks Telegram how peers are called now, seldom and many at once, and puts the answer into the inbox.

    Args:
        inbox: Where the peers go, in a batch that moves no position.
        book: Who is known; only they are asked about.
    """

    def __init__(self, inbox: Inbox, book: PeerBook) -> None:
        self._inbox = inbox
        self._book = book
        self._wanted: dict[int, None] = {}
        self._something = trio.Event()

    def want(self, chat_ids: Iterable[int]) -> None:
        """Ask about these, by marked ids, when it is time to."""
        for chat_id in chat_ids:
            if chat_id in self._book:
                self._wanted[chat_id] = None
        while len(self._wanted) > MOST_WANTED:
            del self._wanted[next(iter(self._wanted))]
        if self._wanted:
            self._something.set()

    async def run(self, ask: Callable[[Sequence[Peer]], Awaitable[None]]) -> None:
        """Ask, while there is anything to ask about; returns never.

        Args:
            ask: Calls `ask_aio` in the account's loop.

        Cancellation: whoever was not asked about yet is forgotten.
        """
        while True:
            await self._something.wait()
            peers = self._take()
            with suppress(TelegramAway):  # then the next message brings the names
                await ask(peers)
            await trio.sleep(ASK_EVERY_S)

    def _take(self) -> list[Peer]:
        ids = list(self._wanted)[:MOST_ASKED]
        for chat_id in ids:
            del self._wanted[chat_id]
        if not self._wanted:
            self._something = trio.Event()
        return [peer for peer in map(self._book.get, ids) if peer is not None]

    async def ask_aio(self, client: AccountClient, peers: Sequence[Peer]) -> None:
        """Ask about peers; who is answered goes into the book and the inbox.

        Raises:
            LineLost: The line broke.
            RPCError: Telegram's final no to the account, or to all of them.

        Cancellation: nothing is in the inbox.
        """
        found: list[Peer] = []
        try:
            async with asyncio.timeout(ASK_S):
                for request in _questions(peers):
                    answer: Any = await client.ask_aio(request)
                    found += peers_of(answer if isinstance(answer, list) else answer.chats)
        except (TimeoutError, TypeNotFoundError):
            pass  # what was answered before is good
        finally:
            self._book.learn(found)
        if found:
            await self._inbox.put_aio(UpdateBatch((), tuple(found), (), None))


def _questions(peers: Sequence[Peer]) -> list[Any]:
    """One request for each kind of peers."""
    by_kind: dict[PeerKind, list[Peer]] = {}
    for peer in peers:
        if peer.access_hash is not None or peer.kind is PeerKind.CHAT:
            by_kind.setdefault(peer.kind, []).append(peer)
    return [_question(kind, some) for kind, some in by_kind.items()]


def _question(kind: PeerKind, peers: Sequence[Peer]) -> Any:
    match kind:
        case PeerKind.USER:
            users: list[Any] = [types.InputUser(peer.chat_id, _hash(peer)) for peer in peers]
            return functions.users.GetUsersRequest(users)
        case PeerKind.CHAT:
            return functions.messages.GetChatsRequest([bare_id(peer.chat_id) for peer in peers])
        case PeerKind.CHANNEL:
            return functions.channels.GetChannelsRequest(
                [types.InputChannel(bare_id(peer.chat_id), _hash(peer)) for peer in peers]
            )


def _hash(peer: Peer) -> int:
    return peer.access_hash or 0
