"""What became of stored messages, as ``tgworker_ingest`` takes it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from tgworker.messaging.changes import Change, Deleted, Edited, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.values import storable
from tgworker.supabase.rows import messages_json


def changes_json(changes: Iterable[Change]) -> Sequence[Mapping[str, object]]:
    """Changes as arguments name them."""
    return [_change(change) for change in changes]


def _change(change: Change) -> Mapping[str, object]:
    match change:
        case Edited(message, edited_at):
            (row,) = messages_json([message])
            return {"change": "edited", "message": row, "edited_at": edited_at}
        case Deleted(chat_id, telegram_ids):
            return {"change": "deleted", "chat_id": chat_id, "telegram_ids": telegram_ids}
        case ReadByThem(chat_id, max_id):
            return {"change": "read_by_them", "chat_id": chat_id, "max_id": max_id}
        case ReadByUs(chat_id, max_id, still_unread):
            return {
                "change": "read_by_us",
                "chat_id": chat_id,
                "max_id": max_id,
                "still_unread": still_unread,
            }
        case Reacted(chat_id, telegram_id):
            return {
                "change": "reacted",
                "chat_id": chat_id,
                "telegram_id": telegram_id,
                "counts": {storable(reaction): count for reaction, count in change.counts.items()},
                "own": None if change.own is None else [storable(reaction) for reaction in change.own],
                "by": [{"from": who, "reaction": storable(reaction)} for who, reaction in change.by],
            }
        case Pinned(chat_id, telegram_ids, is_pinned):
            return {
                "change": "pinned",
                "chat_id": chat_id,
                "telegram_ids": telegram_ids,
                "is_pinned": is_pinned,
            }
        case _:
            assert_never(change)
