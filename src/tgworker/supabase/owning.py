"""Whose the messages are that a look into a chat's history has shown."""

from collections.abc import Collection

from tgworker.messaging.models import Attempt, Owned
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Owned(Row):
    ids: list[int]
    rivals: bool


async def owned(rest: Rest, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
    """See `tgworker.messaging.ports.DoubtStore`. Raises: as `Rest`."""
    answer = await rest.call(
        "tgworker_owned",
        {
            "p_account": attempt.account_id,
            "p_message": attempt.message_id,
            "p_chat": chat_id,
            "p_telegram_ids": sorted(telegram_ids),
        },
        _Owned,
    )
    return Owned(frozenset(answer.ids), answer.rivals)
