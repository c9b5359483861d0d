"""Reactions to the account's messages that came while no line was held.

An ``updateMessageReactions`` moves no ``pts``, so no difference tells of it later. The list of chats counts
those that the owner has not seen; of such chats Telegram is asked which messages they are, aside from the
log.

Sources: https://core.telegram.org/constructor/dialog (``unread_reactions_count``),
https://core.telegram.org/method/messages.getUnreadReactions
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import trio
from telethon.errors import RPCError, TypeNotFoundError
from telethon.tl import functions

from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.changes import reactions_in
from tgworker.telegram.client import AccountClient
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.messages import message_of
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import input_peer, marked_id, peers_of
from tgworker.telegram.rpc_errors import wait_of

ASK_EVERY_S = 5.0
"""Between two questions on one line, each about one chat."""

ASK_S = 15.0
"""How long an answer may take."""

MOST_CHATS = 50
"""So many chats are asked about on one line, those first in which something happened last."""

MOST_MESSAGES = 100
"""So many messages of a chat, the newest: Telegram gives no more in one answer."""


class MissedReactions:
    """Asks chat by chat which messages have reactions that nobody has seen, and puts these into the inbox.

    Args:
        inbox: Where they go, in a batch that moves no position.
        book: How chats are addressed.
    """

    def __init__(self, inbox: Inbox, book: PeerBook) -> None:
        self._inbox = inbox
        self._book = book
        self._left = MOST_CHATS
        self._wanted: list[int] = []
        self._something = trio.Event()

    def want(self, dialogs: Iterable[Any]) -> None:
        """Ask about those of these chats that have such reactions, in their order."""
        for dialog in dialogs:
            if getattr(dialog, "unread_reactions_count", 0) and self._left:
                self._left -= 1
                self._wanted.append(marked_id(dialog.peer))
        if self._wanted:
            self._something.set()

    async def run(self, ask: Callable[[int], Awaitable[float]]) -> None:
        """Ask, while there is anything to ask about; returns never.

        Args:
            ask: Calls `ask_aio` in the account's loop.

        Cancellation: chats that were not asked about yet are forgotten; the next line asks.
        """
        while True:
            await self._something.wait()
            wait_s = 0.0
            with suppress(TelegramAway):
                wait_s = await ask(self._wanted[0])
            if not wait_s:  # else the same again, after what Telegram asks for
                del self._wanted[0]
            if not self._wanted:
                self._something = trio.Event()
            await trio.sleep(max(ASK_EVERY_S, wait_s))

    async def ask_aio(self, client: AccountClient, self_id: int, chat_id: int) -> float:
        """Ask about one chat; returns how long Telegram asks to wait before that, seconds; 0: it is done.

        Raises:
            LineLost: The line broke.

        Cancellation: nothing is in the inbox.
        """
        peer = self._book.get(chat_id)
        if peer is None:
            return 0.0
        request = functions.messages.GetUnreadReactionsRequest(
            input_peer(peer), offset_id=0, add_offset=0, limit=MOST_MESSAGES, max_id=0, min_id=0
        )
        answer: Any = None
        try:
            async with asyncio.timeout(ASK_S):
                answer = await client.ask_aio(request)
        except RPCError as error:
            return wait_of(error) or 0.0
        except (TimeoutError, TypeNotFoundError):
            return 0.0  # whatever is sent there next, and reacted to, is told
        told = [(each, message_of(each, self_id)) for each in getattr(answer, "messages", ())]
        changes = tuple(
            change for each, known in told if known is not None for change in reactions_in(each, known)
        )
        if changes:
            peers = peers_of([*answer.users, *answer.chats])
            self._book.learn(peers)
            await self._inbox.put_aio(UpdateBatch((), peers, (), None, changes=changes))
        return 0.0
