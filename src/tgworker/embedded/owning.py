"""Whose the messages are that a look into a chat's history has shown."""

import sqlite3
from collections.abc import Collection

from tgworker.embedded.values import to_json
from tgworker.messaging.models import Attempt, Owned

_OWNED = """
select k.telegram_id from json_each(:ids) j
cross join tgworker_message_keys k on k.scope = :account and k.telegram_id = j.value and k.chat_id = :chat
where k.message_id <> :message
"""

# Rows that were sent under an id that nobody knows, that are in doubt, and that are on their way just now.
# (What takes several messages has more texts than one.)
_RIVALS = """
select exists (
    select 1 from (
        select o.message_id, o.long_text from tgworker_outbox o
        where o.integration_account_id = :account and o.awaiting_id = 1 and o.chat_id = :chat
        union all
        select o.message_id, o.long_text from tgworker_outbox o
        where o.integration_account_id = :account and o.chat_id = :chat and o.doubt_since is not null
        union all
        select o.message_id, o.long_text from tgworker_lanes l join tgworker_outbox o on o.seq = l.head_seq
        where l.integration_account_id = :account and l.fence is not null and o.chat_id = :chat
    ) r
    join messages other on other.id = r.message_id
    join messages own on own.id = :message
    join tgworker_outbox mine on mine.message_id = :message
    where r.message_id <> :message
        and (own.text = other.text or mine.long_text is not null or r.long_text is not null))
"""


def owned(
    connection: sqlite3.Connection, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]
) -> Owned:
    """See `tgworker.messaging.ports.DoubtStore`."""
    asked = {
        "account": attempt.account_id,
        "chat": chat_id,
        "message": attempt.message_id,
        "ids": to_json(list(telegram_ids)),
    }
    ids = frozenset(int(telegram_id) for (telegram_id,) in connection.execute(_OWNED, asked))
    return Owned(ids, bool(connection.execute(_RIVALS, asked).fetchone()[0]))
