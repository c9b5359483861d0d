"""What arrives: batches of updates, committed together with the position after them.

Telegram is the write-ahead log: a batch that was not committed comes again from the stored position, so this
loop may be cut off anywhere and loses nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import trio

from tgworker.messaging.bounded import Outage
from tgworker.messaging.changes import Change, Deleted, Pinned, ReadByThem, ReadByUs
from tgworker.messaging.events import HistoryMissed, Ingested, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, latest_peers
from tgworker.messaging.store_ports import InboundStore
from tgworker.messaging.traffic import Traffic
from tgworker.messaging.update_batches import UpdateBatch

MOST_MESSAGES = 500
"""A commit takes at most this many messages, or what weighs as much, so that one call stays far below its
deadline (500 took 21 ms in PostgreSQL): one that could never end in time would be repeated for ever."""

READ_WEIGHT = 10
"""What a read weighs: a store may have to look at a hundred messages for it."""


async def run_inbound(
    *,
    account_id: AccountId,
    updates: trio.MemoryReceiveChannel[UpdateBatch],
    store: InboundStore,
    limits: Limits,
    outage: Outage,
    report: Report,
    ring: Callable[[], None],
    traffic: Traffic,
) -> None:
    """Commit what arrives, in order; returns when the channel is closed.

    While the store is away the batch in hand is repeated and the bounded channel fills: Telegram waits. Once
    files, or people with photos, are committed, ``ring`` tells who fetches them; ``traffic`` shows
    what is being committed.
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
            with traffic.committing():
                new = await outage.insist(
                    "database.ingest", limits.database_s, partial(store.ingest, account_id, piece)
                )
            if piece.messages or piece.changes:
                took_s = trio.current_time() - started_at
                report(Ingested(account_id, len(piece.messages), new, took_s, len(piece.changes)))
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
        if weight_of(batch) + weight_of(later) > MOST_MESSAGES:
            return batch, later
        batch = merged(batch, later)


def merged(*batches: UpdateBatch) -> UpdateBatch:
    """Consecutive batches as one: everything of all, and the latest position that is known."""
    if len(batches) == 1:
        return batches[0]
    return UpdateBatch(
        messages=tuple(message for batch in batches for message in batch.messages),
        peers=latest_peers(peer for batch in batches for peer in batch.peers),
        sent_ids=tuple(pair for batch in batches for pair in batch.sent_ids),
        position=next((batch.position for batch in reversed(batches) if batch.position is not None), None),
        gaps=tuple(gap for batch in batches for gap in batch.gaps),
        changes=tuple(change for batch in batches for change in batch.changes),
    )


def pieces(batch: UpdateBatch, most: int) -> Iterator[UpdateBatch]:
    """A batch in parts of at most ``most`` messages, or changes of that weight, to be committed in turn.

    Peers and sent ids come first, because the messages need them; so do gaps, because what fills them has to
    know what was stored before. Changes follow the last message, in their order. The position comes last: it
    may only be stored after everything else.
    """
    rest = batch
    while len(rest.messages) > most:
        yield replace(rest, messages=rest.messages[:most], changes=(), position=None)
        rest = replace(rest, messages=rest.messages[most:], peers=(), sent_ids=(), gaps=())
    while weight_of(rest) > most:
        some, others = _cut(rest.changes, most - len(rest.messages), has_one=not rest.messages)
        yield replace(rest, changes=some, position=None)
        rest = replace(rest, messages=(), changes=others, peers=(), sent_ids=(), gaps=())
    yield rest


def weight_of(batch: UpdateBatch) -> int:
    """How much there is to do for a batch: the messages in it, and its changes as if they were some."""
    return len(batch.messages) + sum(map(_change_weight, batch.changes))


def _change_weight(change: Change) -> int:
    if isinstance(change, Deleted | Pinned):
        return len(change.telegram_ids)
    return READ_WEIGHT if isinstance(change, ReadByThem | ReadByUs) else 1


def _cut(
    changes: Sequence[Change], room: int, *, has_one: bool
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The first of these changes, as many as ``room`` has place for, and the others.

    What names many messages is told in two parts. With ``has_one`` there is one at least: what is too large
    for any room comes alone.
    """
    for number, change in enumerate(changes):
        if (weight := _change_weight(change)) <= room:
            room -= weight
            continue
        before, behind = tuple(changes[:number]), tuple(changes[number + 1 :])
        if isinstance(change, Deleted | Pinned) and room > 0:
            ids = change.telegram_ids
            first, second = replace(change, telegram_ids=ids[:room]), replace(change, telegram_ids=ids[room:])
            return (*before, first), (second, *behind)
        if has_one and not before:
            return (change,), behind
        return before, (change, *behind)
    return tuple(changes), ()
