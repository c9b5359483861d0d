"""Settling: what became of attempts."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from tgworker.messaging.models import MessageId
from tgworker.messaging.outcomes import Deferred, Refused, Released, Sent, Settled, Unknown
from tgworker.messaging.values import storable
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row

MOST_ITEMS = 500
"""In one call, so that it stays far below its deadline."""


class _Settled(Row):
    settled: list[MessageId]
    stale: list[MessageId]


async def settle(rest: Rest, settled: Sequence[Settled]) -> None:
    """Store what became of attempts; see `tgworker.messaging.ports.OutboxStore.settle`. Raises: as `Rest`.

    `MOST_ITEMS` in one transaction: of more, some may be stored when it is cut off.
    """
    for start in range(0, len(settled), MOST_ITEMS):
        items = [_item(one) for one in settled[start : start + MOST_ITEMS]]
        await rest.call("tgworker_settle", {"p_items": items}, _Settled)


def _item(settled: Settled) -> Mapping[str, object]:
    attempt, outcome = settled.attempt, settled.outcome
    item: dict[str, object] = {
        "message_id": attempt.message_id,
        "claim": attempt.fence,
        "part": attempt.part,
        "outcome": type(outcome).__name__.lower(),
        "to": attempt.to,
        "chat_id": None if attempt.peer is None else attempt.peer.chat_id,
    }
    match outcome:
        case Sent():
            return {**item, "telegram_id": outcome.telegram_id, "sent_at": outcome.sent_at}
        case Deferred():
            reason = storable(outcome.reason)
            return {**item, "retry_after_s": outcome.retry_after_s, "reason": reason}
        case Refused() | Unknown() | Released():
            return {**item, "reason": storable(outcome.reason)}
        case _:
            assert_never(outcome)
