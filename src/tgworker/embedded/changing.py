"""An account whose session is another Telegram user's than before: what was known of the other one goes."""

import sqlite3
from datetime import datetime

from tgworker.embedded import fetching
from tgworker.messaging.models import AccountId

_FORGOTTEN = (
    # Ids of messages count for a user: the next one's would be taken for these.
    "delete from tgworker_message_keys where scope = ?",
    "delete from tgworker_peers where integration_account_id = ?",
    "delete from tgworker_read_marks where integration_account_id = ?",
    "delete from tgworker_names where integration_account_id = ?",
    "delete from tgworker_waits where integration_account_id = ?",
    "delete from tgworker_channel_positions where integration_account_id = ?",
    "delete from tgworker_positions where integration_account_id = ?",
)


def forget_user(connection: sqlite3.Connection, account_id: AccountId, user_id: int, now: datetime) -> None:
    """See `tgworker.messaging.store_ports.InboundStore.forget_user`."""
    for statement in _FORGOTTEN:
        connection.execute(statement, (account_id,))
    fetching.forget_files(connection, account_id, now)
    connection.execute(
        "update tgworker_accounts set user_id = ?, introduced_at = null where integration_account_id = ?",
        (user_id, account_id),
    )
