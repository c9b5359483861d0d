"""Which rows of ``messages`` Telegram means by its ids."""

import sqlite3
from collections.abc import Collection, Mapping

from tgworker.embedded.values import to_json
from tgworker.messaging.models import CHANNEL_IDS_BELOW, AccountId, MessageId

_FOUND = """
select k.chat_id, k.telegram_id, k.message_id
from json_each(:ids) i
cross join tgworker_message_keys k on k.scope = :account and k.telegram_id = i.value
where case when :chat is null then k.chat_id > :channels else k.chat_id = :chat end
"""


def find_messages(
    connection: sqlite3.Connection,
    account_id: AccountId,
    telegram_ids: Collection[int],
    chat_id: int | None,
) -> Mapping[tuple[int, int], MessageId]:
    """See `tgworker.messaging.store_ports.InboundStore.find_messages`."""
    asked = {
        "ids": to_json(sorted(set(telegram_ids))),
        "account": account_id,
        "chat": chat_id,
        "channels": CHANNEL_IDS_BELOW,
    }
    return {
        (chat, telegram_id): MessageId(row)
        for chat, telegram_id, row in connection.execute(_FOUND, asked).fetchall()
    }
