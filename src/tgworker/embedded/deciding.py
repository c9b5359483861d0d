"""What a person, or the application, decides about rows of the outbox: to cancel them, to send them again."""

import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime

from tgworker.embedded import settling
from tgworker.embedded.settling import Verdict
from tgworker.embedded.values import seconds, to_json
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import CancelAnswer, OutboxState

# Nothing of these has left, and nobody has them in hand.
_CANCELLABLE = """
select o.seq, o.state, o.error from json_each(?) j
cross join tgworker_outbox o on o.message_id = j.value
where o.state in ('waiting', 'resolving', 'deferred', 'held', 'dead') and o.part = 0 and o.doubt_since is null
    and not exists (select 1 from tgworker_outbox_parts p
        where p.message_id = o.message_id and p.telegram_id is not null)
"""

# The others are told so: what is on its way to whoever has it in hand, what is too late for the record.
_ASK = """
update tgworker_outbox set cancel_asked_at = ?
where message_id in (select value from json_each(?)) and cancel_asked_at is null
    and state not in ('cancelled', 'expired')
"""

_ANSWERS = """
select o.message_id,
    case when o.state in ('cancelled', 'expired') then 'cancelled'
        when o.state = 'sending' and o.part = 0 and o.doubt_since is null then 'asked'
        else 'late' end
from json_each(?) j cross join tgworker_outbox o on o.message_id = j.value
order by o.seq
"""

_WITHDRAWN = """
select message_id from tgworker_outbox
where cancel_asked_at is not null and state = 'sending' and part = 0 and doubt_since is null
"""

_AGAIN = """
update tgworker_outbox as o
set state = 'waiting', error = null, not_before = null, expires_at = null, doubt_since = null,
    settled_at = null, cancel_asked_at = null, filed_at = ?, files_until = null
from json_each(?) j, messages m
where o.message_id = j.value and m.id = o.message_id and m.direction = 'outbound' and m.channel = 'telegram'
    and (m.external_message_id like 'error-%' or m.external_message_id like 'local-%')
    and o.state in ('held', 'unsure', 'dead', 'cancelled', 'expired')
returning message_id
"""

_TELL = """
update messages set external_message_id = (
    select o.local_id from tgworker_outbox o where o.message_id = messages.id)
where id in (select value from json_each(?)) and external_message_id like 'error-%'
"""

_STATES = """
select o.message_id, o.state from json_each(?) j cross join tgworker_outbox o on o.message_id = j.value
order by o.seq
"""


def cancel(
    connection: sqlite3.Connection, message_ids: Collection[MessageId], now: datetime
) -> Mapping[MessageId, CancelAnswer]:
    """Take messages back; see `tgworker.messaging.books.OutboxBook.cancel`."""
    ids = to_json(list(message_ids))
    verdicts = [
        Verdict(seq, OutboxState.CANCELLED, "cancelled" if state != "dead" else f"cancelled; before: {error}")
        for seq, state, error in connection.execute(_CANCELLABLE, (ids,))
    ]
    settling.conclude(connection, verdicts, now)
    connection.execute(_ASK, (seconds(now), ids))
    return {MessageId(row): CancelAnswer(answer) for row, answer in connection.execute(_ANSWERS, (ids,))}


def retry(
    connection: sqlite3.Connection, message_ids: Collection[MessageId], now: datetime
) -> Mapping[MessageId, OutboxState]:
    """Send messages again; see `tgworker.messaging.books.OutboxBook.retry`."""
    ids = to_json(list(message_ids))
    again = [row for (row,) in connection.execute(_AGAIN, (seconds(now), ids)).fetchall()]
    connection.execute(_TELL, (to_json(again),))
    return {MessageId(row): OutboxState(state) for row, state in connection.execute(_STATES, (ids,))}


def withdrawn(connection: sqlite3.Connection, known: Collection[MessageId]) -> Collection[MessageId]:
    """Which of these were cancelled while nothing of them has left."""
    rows = [MessageId(row) for (row,) in connection.execute(_WITHDRAWN)]
    return frozenset(known).intersection(rows) if rows else ()
