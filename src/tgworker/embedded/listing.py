"""The outbox as people ask for it."""

import sqlite3
from collections.abc import Collection, Mapping

from tgworker.embedded.values import from_seconds, to_json
from tgworker.messaging.models import AccountId, ConversationId, MessageId
from tgworker.messaging.records import OutboxRecord, OutboxState

_SELECT = """
select o.message_id, o.conversation_id, o.integration_account_id, o.seq, o.state, o.attempts, o.created_at,
    o.not_before, o.expires_at, o.error, o.part, o.parts, o.cancel_asked_at,
    o.bytes_done, o.bytes_total,
    case when o.attempts > 0 then coalesce(json_array_length(o.files), 0) else (
        select count(*) from messages m join attachments a on a.message_id = m.id and a.owner_id = m.owner_id
        where m.id = o.message_id) end,
    (select p.telegram_id from tgworker_outbox_parts p where p.message_id = o.message_id and p.part = 0)
from tgworker_outbox o
"""

# Indexes, where "state <> 'sent'" would walk everything that was ever sent.
_NOT_SENT = """
where o.seq in (
    select seq from tgworker_outbox where in_lane = 1
    union
    select seq from tgworker_outbox
    where state in ('deferred', 'held', 'unsure', 'dead', 'cancelled', 'expired')
    union
    select seq from tgworker_outbox where late_file = 1 and state = 'sent')
order by o.seq limit ?
"""


def outcomes(
    connection: sqlite3.Connection, message_ids: Collection[MessageId]
) -> Mapping[MessageId, OutboxRecord]:
    """Where these rows stand."""
    rows = connection.execute(
        f"{_SELECT} where o.message_id in (select value from json_each(?))",  # noqa: S608 - constants
        (to_json(list(message_ids)),),
    )
    records = map(_record, rows)
    return {record.message_id: record for record in records}


def list_outbox(
    connection: sqlite3.Connection, states: Collection[OutboxState] | None, limit: int
) -> list[OutboxRecord]:
    """Rows in these states (without: see `tgworker.messaging.books.OutboxBook`), oldest first."""
    if states is None:
        rows = connection.execute(_SELECT + _NOT_SENT, (limit,))
    else:
        rows = connection.execute(
            f"{_SELECT} where o.state in (select value from json_each(?))"  # noqa: S608 - constants
            " order by o.seq limit ?",
            (to_json([state.value for state in states]), limit),
        )
    return [_record(row) for row in rows]


def count_unsure(connection: sqlite3.Connection) -> int:
    """How many rows are left to a person."""
    count: int = connection.execute("select count(*) from tgworker_outbox where state = 'unsure'").fetchone()[
        0
    ]
    return count


def transcript(
    connection: sqlite3.Connection, account_id: AccountId, direction: str
) -> list[tuple[int, str]]:
    """``(chat_id, text)`` of an account's messages in one direction, in the order of their rows.

    A message in several parts is one.
    """
    rows = connection.execute(
        """
        select k.chat_id, coalesce(m.text, '') from messages m
        join tgworker_message_keys k on k.message_id = m.id
        where m.integration_account_id = ? and m.direction = ?
        group by m.rowid, k.chat_id order by m.rowid
        """,
        (account_id, direction),
    )
    return [(int(chat_id), str(text)) for chat_id, text in rows]


def _record(row: tuple[object, ...]) -> OutboxRecord:
    message_id, conversation_id, account_id, seq, state, attempts = row[:6]
    created_at, not_before, expires_at, error, part, parts, cancel_asked_at = row[6:13]
    bytes_done, bytes_total, files, telegram_id = row[13:]
    assert isinstance(seq, int)
    assert isinstance(attempts, int)
    assert isinstance(created_at, float)
    assert not_before is None or isinstance(not_before, float)
    assert expires_at is None or isinstance(expires_at, float)
    assert telegram_id is None or isinstance(telegram_id, int)
    assert isinstance(part, int)
    assert parts is None or isinstance(parts, int)
    assert cancel_asked_at is None or isinstance(cancel_asked_at, float)
    assert bytes_done is None or isinstance(bytes_done, int)
    assert bytes_total is None or isinstance(bytes_total, int)
    assert isinstance(files, int)
    created = from_seconds(created_at)
    assert created is not None
    return OutboxRecord(
        message_id=MessageId(str(message_id)),
        conversation_id=ConversationId(str(conversation_id)),
        account_id=None if account_id is None else AccountId(str(account_id)),
        seq=seq,
        state=OutboxState(str(state)),
        attempts=attempts,
        created_at=created,
        not_before=from_seconds(not_before),
        expires_at=from_seconds(expires_at),
        telegram_id=telegram_id,
        error=None if error is None else str(error),
        part=part,
        parts=parts,
        cancel_asked_at=from_seconds(cancel_asked_at),
        files=files,
        bytes_done=bytes_done,
        bytes_total=bytes_total,
    )
