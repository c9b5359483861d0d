"""A chat's history, page by page."""

from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions

from tgworker.messaging.models import HistoryPage, Peer
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.messages import message_of
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import input_peer, peers_of
from tgworker.telegram.rpc_errors import question_outcome


async def raw_page_aio(client: AccountClient, peer: Peer, below: int, limit: int) -> Any:
    """Telegram's answer to ``messages.getHistory``, newest first, or `Deferred`, or `Refused`.

    Args:
        client: A connected client.
        peer: The chat.
        below: Only messages under this id; 0: from the newest on.
        limit: How many at most, up to 100.

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
        return await client.ask_aio(request)
    except RPCError as error:
        return question_outcome(error)


async def page_aio(
    client: AccountClient, book: PeerBook, self_id: int, peer: Peer, below: int, limit: int
) -> HistoryPage | Deferred | Refused:
    """One page of a chat's history. See `tgworker.messaging.ports.Connection.history`.

    Args:
        client: A connected client.
        book: Where everybody goes who is spoken of.
        self_id: The account's own user.
        peer: The chat.
        below: Only messages under this id; 0: from the newest on.
        limit: How many at most, up to 100.

    Raises:
        LineLost: The line broke.
        RPCError: The account itself was refused.
    """
    answer = await raw_page_aio(client, peer, below, limit)
    if isinstance(answer, Deferred | Refused):
        return answer
    found: list[Any] = list(getattr(answer, "messages", ()))
    peers = (*peers_of(getattr(answer, "users", ())), *peers_of(getattr(answer, "chats", ())))
    book.learn(peers)
    read = [message_of(each, self_id) for each in found]
    ids = [each.id for each in found]
    return HistoryPage(
        messages=tuple(message for message in reversed(read) if message is not None),
        peers=peers,
        lowest_id=min(ids, default=None),
        highest_id=max(ids, default=0),
        # (Only an answer that is not the whole chat says how much there is.)
        total=int(getattr(answer, "count", len(found) if not below else 0)) or None,
    )
