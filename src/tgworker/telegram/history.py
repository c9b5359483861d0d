"""A chat's history, page by page."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions

from tgworker.messaging.models import ChatMessage, HistoryPage, Peer
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.values import iso
from tgworker.telegram.changes import reactions_in
from tgworker.telegram.client import AccountClient
from tgworker.telegram.messages import message_of
from tgworker.telegram.pages_ahead import PagesAhead
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import input_peer, told_of
from tgworker.telegram.rpc_errors import question_outcome
from tgworker.telegram.takeouts import within

TURNS_UNTIL_SENT = 3
"""So many turns of the loop pass until a request is on its way: its task, Telethon's queue, its line's."""


async def raw_page_aio(
    client: AccountClient, peer: Peer, below: int, limit: int, takeout: int | None = None
) -> Any:
    """Telegram's answer to ``messages.getHistory``, newest first, or `Deferred`, or `Refused`.

    Args:
        client: A connected client.
        peer: The chat.
        below: Only messages under this id; 0: from the newest on.
        limit: How many at most, up to 100.
        takeout: The takeout session that it is read in, if in any.

    Raises:
        LineLost: The line broke.
        RPCError: The account itself was refused.
    """
    request = functions.messages.GetHistoryRequest(
        input_peer(peer),
        offset_id=below,
        offset_date=None,
        add_offset=0,
        limit=limit,
        max_id=0,
        min_id=0,
        hash=0,
    )
    try:
        return await client.ask_aio(within(takeout, request))
    except RPCError as error:
        return question_outcome(error)


def as_it_is_now(message: Any, self_id: int) -> ChatMessage | None:
    """A message of a history as a value, with what became of it before anybody looked.

    Its ``raw_payload`` says so in the words in which the store notes what the update log tells:
    ``edited_at``, ``reactions``, ``pinned``.

    Args:
        message: Telegram's object.
        self_id: The account's own user id.

    Returns:
        ``None`` for an empty one.
    """
    known = message_of(message, self_id)
    if known is None:
        return None
    edit_date = None if getattr(message, "edit_hide", False) else getattr(message, "edit_date", None)
    pinned = bool(getattr(message, "pinned", False))
    if edit_date is None and not pinned and getattr(message, "reactions", None) is None:
        return known  # as nearly all are
    raw = dict(known.raw_payload)
    if edit_date is not None:
        raw["edited_at"] = iso(edit_date)
    for told in reactions_in(message, known):
        if told.counts:
            by = [{"from": who, "reaction": reaction} for who, reaction in told.by]
            raw["reactions"] = {"counts": dict(told.counts), "own": list(told.own or ()), "by": by}
    if pinned:
        raw["pinned"] = True
    return replace(known, raw_payload=raw)


class Histories:
    """Pages of histories over one line. While one is read and stored, Telegram looks for the next.

    Args:
        client: A connected client.
        book: Where everybody goes who is spoken of.
        self_id: The account's own user.
    """

    def __init__(self, client: AccountClient, book: PeerBook, self_id: int) -> None:
        self._client = client
        self._book = book
        self._self_id = self_id
        self._ahead = PagesAhead(partial(raw_page_aio, client))

    async def page_aio(
        self, peer: Peer, below: int, limit: int, ahead: int, takeout: int | None = None
    ) -> HistoryPage | Deferred | Refused:
        """One page of a chat's history. See `tgworker.messaging.ports.Connection.history`.

        Args:
            peer: The chat.
            below: Only messages under this id; 0: from the newest on.
            limit: How many at most, up to 100.
            ahead: So many of those below them may be asked for already, 200 at a time; 0: nothing.
            takeout: The takeout session that they are read in, if in any.

        Raises:
            LineLost: The line broke.
            RPCError: The account itself was refused.

        Cancellation: what was asked ahead is forgotten when the next page is asked for.
        """
        answer = await self._answer_aio(peer, below, limit, takeout)
        if isinstance(answer, Deferred | Refused):
            return answer
        found: list[Any] = list(getattr(answer, "messages", ()))
        ids = [each.id for each in found]
        if ids:
            self._ahead.allow(peer, min(ids), ahead, takeout)
        if ahead:
            for _ in range(TURNS_UNTIL_SENT):  # this page is made sense of while Telegram looks for the next
                await asyncio.sleep(0)
        peers = (*told_of(getattr(answer, "users", ())), *told_of(getattr(answer, "chats", ())))
        self._book.learn(peers)
        read = [as_it_is_now(each, self._self_id) for each in found]
        return HistoryPage(
            messages=tuple(message for message in reversed(read) if message is not None),
            peers=peers,
            lowest_id=min(ids, default=None),
            highest_id=max(ids, default=0),
            # (Only an answer that is not the whole chat says how much there is.)
            total=int(getattr(answer, "count", len(found) if not below else 0)) or None,
        )

    async def _answer_aio(self, peer: Peer, below: int, limit: int, takeout: int | None) -> Any:
        answer = self._ahead.take(peer, below, limit, takeout)
        return await (raw_page_aio(self._client, peer, below, limit, takeout) if answer is None else answer)
