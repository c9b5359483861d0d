"""What arrives: batches of updates, committed together with the position after them.

Telegram is the write-ahead log: a batch that was not committed comes again from the stored position, so this
loop may be cut off anywhere and loses nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import trio

from tgworker.messaging.bounded import Outage
from tgworker.messaging.events import HistoryMissed, Ingested, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Peer
from tgworker.messaging.store_ports import InboundStore
from tgworker.messaging.update_batches import UpdateBatch

MOST_MESSAGES = 500
"""A commit takes at most this many messages, so that one call stays far below its deadline (500 took 21 ms
in PostgreSQL): one that could never end in time would be repeated for ever."""


async def run_inbound(
    *,
    account_id: AccountId,
    updates: trio.MemoryReceiveChannel[UpdateBatch],
    store: InboundStore,
    limits: Limits,
    outage: Outage,
    report: Report,
    ring: Callable[[], None],
) -> None:
    """Commit what arrives, in order; returns when the channel is closed.

    While the store is away the batch in hand is repeated and the bounded channel fills: Telegram waits. Once
    files, or people with photos, are committed, ``ring`` tells who fetches them.
    """
    held: UpdateBatch | None = None
    while True:
        if held is None:
            try:
                held = await updates.receive()
            except trio.EndOfChannel:
                return
        batch, held = _with_what_waits(held, updates)
        for piece in pieces(batch, MOST_MESSAGES):
            started_at = trio.current_time()
            new = await outage.insist(
                "database.ingest", limits.database_s, partial(store.ingest, account_id, piece)
            )
            if piece.messages:
                took_s = trio.current_time() - started_at
                report(Ingested(account_id, len(piece.messages), new, took_s))
            if any(message.file for message in piece.messages) or any(peer.photo_id for peer in piece.peers):
                ring()
            if piece.gaps:
                report(HistoryMissed(account_id, len(piece.gaps)))


def _with_what_waits(
    first: UpdateBatch, updates: trio.MemoryReceiveChannel[UpdateBatch]
) -> tuple[UpdateBatch, UpdateBatch | None]:
    """A batch with the next ones that wait, and the first of them that would make it too large."""
    batch = first
    while True:
        try:
            later = updates.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return batch, None
        if len(batch.messages) + len(later.messages) > MOST_MESSAGES:
            return batch, later
        batch = merged(batch, later)


def merged(*batches: UpdateBatch) -> UpdateBatch:
    """Consecutive batches as one: everything of all, and the latest position that is known."""
    if len(batches) == 1:
        return batches[0]
    peers: dict[int, Peer] = {peer.chat_id: peer for batch in batches for peer in batch.peers}
    return UpdateBatch(
        messages=tuple(message for batch in batches for message in batch.messages),
        peers=tuple(peers.values()),
        sent_ids=tuple(pair for batch in batches for pair in batch.sent_ids),
        position=next((batch.position for batch in reversed(batches) if batch.position is not None), None),
        gaps=tuple(gap for batch in batches for gap in batch.gaps),
    )


def pieces(batch: UpdateBatch, most: int) -> Iterator[UpdateBatch]:
    """A batch in parts of at most ``most`` messages, to be committed one after the other.

    Peers and sent ids come first, because the messages need them; so do gaps, because what fills them has to
    know what was stored before. The position comes last: it may only be stored after everything else.
    """
    rest = batch
    while len(rest.messages) > most:
        yield replace(rest, messages=rest.messages[:most], position=None)
        rest = replace(rest, messages=rest.messages[most:], peers=(), sent_ids=(), gaps=())
    yield rest
