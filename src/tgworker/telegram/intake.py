"""From Telethon's batches to the inbox: translated, with everybody introduced who is spoken of."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from telethon.errors import RPCError, TypeNotFoundError
from telethon.tl import functions

from tgworker.messaging.models import Peer, Position
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import Gap
from tgworker.telegram.batches import batch_of, date_of, position_of, spoken_of
from tgworker.telegram.books import LineLost
from tgworker.telegram.client import AccountClient
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.missed import gaps_aio
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import peers_of
from tgworker.telegram.presence import presence_of
from tgworker.telegram.renaming import Renaming, changed, renamed
from tgworker.telegram.update_box import ACCOUNT

INTRODUCTION_UPDATES = 100
"""How long a difference may be that is only asked for because it names a stranger."""


class Intake:
    """Takes each batch of a client's update log, in order, and puts it into the inbox.

    Args:
        inbox: Where batches go.
        book: Who is known; who comes with a batch is added.
        renaming: Asks about those who only change.
        hear: Told of presence among other updates, and of whose message is there: he types no more.
        on_missed: Told how many chats' history has to be read, and whether private ones are among them.
    """

    def __init__(
        self,
        inbox: Inbox,
        book: PeerBook,
        renaming: Renaming,
        on_missed: Callable[[int, bool], None],
        hear: Callable[[Presence], None],
    ) -> None:
        self._inbox = inbox
        self._book = book
        self._renaming = renaming
        self._hear = hear
        self._on_missed = on_missed
        self._self_id = 0
        self._learn: Callable[[tuple[tuple[int, int], ...]], None] = lambda _: None
        self._identified = asyncio.Event()

    def identify(self, self_id: int, learn: Callable[[tuple[tuple[int, int], ...]], None]) -> None:
        """Say whose log it is, and who wants to know the ids of sent messages. Messages wait for this."""
        self._self_id = self_id
        self._learn = learn
        self._identified.set()

    async def take_aio(
        self, client: AccountClient, updates: Sequence[Any], users: Sequence[Any], chats: Sequence[Any]
    ) -> None:
        """Take the batch after which the client's message box stands now; waits while the inbox is full.

        Cancellation: the batch is not in the inbox; it comes again from the stored position.
        """
        position = position_of(client._message_box.session_state())
        for update in updates:
            if (presence := presence_of(update, date_of(position))) is not None:
                self._hear(presence)
        if updates:
            await self._identified.wait()  # who wrote an outgoing message is "self", by number
        met = (*renamed(updates, self._book), *await self._introduced_aio(client, updates, position))
        batch = batch_of(updates, users, chats, position=position, self_id=self._self_id, more_peers=met)
        if client.box.missed:
            batch = replace(batch, gaps=await self._gaps_aio(client, position))
        self._book.learn(batch.peers)
        told = {peer.chat_id for peer in batch.peers if not peer.is_min}
        self._renaming.want(chat_id for chat_id in changed(updates) if chat_id not in told)
        self._learn(batch.sent_ids)
        for message in batch.messages:
            if not message.outgoing and message.sender_id is not None:
                self._hear(Presence(message.sender_id, is_typing=False))
        await self._inbox.put_aio(batch)

    async def _gaps_aio(self, client: AccountClient, position: Position) -> tuple[Gap, ...]:
        """What has to be read from the history, now that the position is beyond it."""
        logs, client.box.missed = client.box.missed, []
        gaps = await gaps_aio(client, logs, position, self._book)
        self._on_missed(len(gaps), ACCOUNT in logs)
        return gaps

    async def _introduced_aio(
        self, client: AccountClient, updates: Sequence[Any], position: Position
    ) -> tuple[Peer, ...]:
        """Strangers whom short updates speak of: the difference over those updates names them."""
        shorts = [u for u in updates if any(user not in self._book for user in spoken_of([u]))]
        if not shorts:
            return ()
        request = functions.updates.GetDifferenceRequest(
            pts=min(u.pts - u.pts_count for u in shorts),
            date=date_of(position),
            qts=position.qts,
            pts_total_limit=INTRODUCTION_UPDATES,
        )
        try:
            difference = await client.ask_aio(request)
        except (LineLost, RPCError, TypeNotFoundError):
            return ()  # the messages count more than the names; whoever answers them resolves the peer
        return (*peers_of(getattr(difference, "users", ())), *peers_of(getattr(difference, "chats", ())))
