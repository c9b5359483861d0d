"""Settling: what became of attempts, as the database takes it."""

from collections.abc import Mapping
from typing import assert_never

from tgworker.messaging.outcomes import (
    Deferred,
    Refused,
    Released,
    Sent,
    Settled,
    Unknown,
    Unresolved,
    Unsure,
)
from tgworker.messaging.values import storable


def settled_json(settled: Settled) -> Mapping[str, object]:
    """One of the ``p_items`` of ``tgworker_settle``."""
    attempt, outcome = settled.attempt, settled.outcome
    item: dict[str, object] = {
        "message_id": attempt.message_id,
        "claim": attempt.fence,
        "part": attempt.part,
        "parts": attempt.parts,
        "outcome": type(outcome).__name__.lower(),
        "to": attempt.to,
        "chat_id": None if attempt.peer is None else attempt.peer.chat_id,
    }
    match outcome:
        case Sent():
            more = {"more": outcome.more} if outcome.more else {}
            return {**item, **more, "telegram_id": outcome.telegram_id, "sent_at": outcome.sent_at}
        case Deferred():
            reason = storable(outcome.reason)
            return {**item, "retry_after_s": outcome.retry_after_s, "reason": reason}
        case Refused() | Unknown() | Unsure() | Released() | Unresolved():
            return {**item, "reason": storable(outcome.reason)}
        case _:
            assert_never(outcome)
