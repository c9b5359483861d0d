"""What Telegram asked an account to wait for."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from tgworker.embedded.values import seconds, storable, to_json
from tgworker.messaging.models import AccountId, ConversationId
from tgworker.messaging.pacing import Scope, ScopeKind, StoredWait

_SAVE = """
insert into tgworker_waits (integration_account_id, kind, key, until_at, reason)
select :account, json_extract(value, '$[0]'), json_extract(value, '$[1]'),
    :now + json_extract(value, '$[2]'), json_extract(value, '$[3]')
from json_each(:waits)
where exists (select 1 from integration_accounts where id = :account)
on conflict (integration_account_id, kind, key) do update
set until_at = excluded.until_at, reason = excluded.reason
where excluded.until_at > until_at
"""

_ACQUAINTED = """
select exists (
    select 1 from messages
    where conversation_id = ? and integration_account_id = ? and channel = 'telegram'
        and (direction = 'inbound' or external_message_id like 'sent-%'
            or (external_message_id <> '' and external_message_id not glob '*[^0-9]*')))
"""


def waits_of(connection: sqlite3.Connection, account_id: AccountId, now: datetime) -> list[StoredWait]:
    """The waits that are not over, the next to end first."""
    now_s = seconds(now)
    rows = connection.execute(
        "select kind, key, until_at, reason from tgworker_waits"
        " where integration_account_id = ? and until_at > ? order by until_at, kind, key",
        (account_id, now_s),
    )
    return [
        StoredWait(Scope(ScopeKind(kind), key), until_at - now_s, reason)
        for kind, key, until_at, reason in rows
    ]


def save_waits(
    connection: sqlite3.Connection, account_id: AccountId, waits: Sequence[StoredWait], now: datetime
) -> None:
    """Remember waits, and forget those that are over."""
    now_s = seconds(now)
    connection.execute(
        "delete from tgworker_waits where integration_account_id = ? and until_at <= ?", (account_id, now_s)
    )
    rows = [(wait.scope.kind.value, wait.scope.key, wait.left_s, storable(wait.reason)) for wait in waits]
    connection.execute(_SAVE, {"account": account_id, "now": now_s, "waits": to_json(rows)})


def is_acquainted(
    connection: sqlite3.Connection, account_id: AccountId, conversation_id: ConversationId
) -> bool:
    """Whether the account ever got a message in the conversation, or Telegram has one of it there."""
    row = connection.execute(_ACQUAINTED, (conversation_id, account_id)).fetchone()
    return bool(row[0])
