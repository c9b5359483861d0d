"""What arrives: batches of updates, committed together with the position after them.

Telegram is the write-ahead log: a batch that was not committed comes again from the stored position, so this
loop may be cut off anywhere and loses nothing.
"""

from functools import partial

import trio

from tgworker.messaging.bounded import Outage
from tgworker.messaging.events import Ingested, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Peer, UpdateBatch
from tgworker.messaging.ports import InboundStore, Pulse

MOST_MESSAGES = 200
"""A commit takes at most this many messages, so that one call stays far below its deadline."""


async def run_inbound(
    pulse: Pulse,
    *,
    account_id: AccountId,
    updates: trio.MemoryReceiveChannel[UpdateBatch],
    store: InboundStore,
    limits: Limits,
    outage: Outage,
    report: Report,
) -> None:
    """Commit what arrives, in order; returns when the channel is closed.

    While the store is away the batch in hand is repeated and the bounded channel fills: Telegram waits.
    """
    async for first in updates:
        batch = _with_what_waits(first, updates)
        started_at = trio.current_time()
        new = await outage.insist(
            "database.ingest", limits.database_s, partial(store.ingest, account_id, batch)
        )
        pulse.beat()
        if batch.messages:
            took_s = trio.current_time() - started_at
            report(Ingested(account_id, len(batch.messages), new, took_s))


def _with_what_waits(first: UpdateBatch, updates: trio.MemoryReceiveChannel[UpdateBatch]) -> UpdateBatch:
    batch = first
    while len(batch.messages) < MOST_MESSAGES:
        try:
            batch = merged(batch, updates.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            break
    return batch


def merged(earlier: UpdateBatch, later: UpdateBatch) -> UpdateBatch:
    """Two consecutive batches as one: everything of both, and the later position."""
    peers: dict[int, Peer] = {peer.chat_id: peer for peer in earlier.peers}
    peers.update((peer.chat_id, peer) for peer in later.peers)
    return UpdateBatch(
        messages=earlier.messages + later.messages,
        peers=tuple(peers.values()),
        sent_ids=earlier.sent_ids + later.sent_ids,
        position=later.position or earlier.position,
    )
