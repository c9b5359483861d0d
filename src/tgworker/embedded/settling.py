"""What became of attempts, written to the outbox, the messages, their keys and their conversations.

Whoever learns something (a settle, an update that carries a ``random_id``, a claim that finds a row that
cannot be sent) stages rows in ``temp.settling``; `apply` does the rest, in the transaction of the caller.

What ``messages.external_message_id`` says of an outbound row, where ``x`` is the application's:

=========== =====================================================================
``local-x`` it waits, or is in flight
a number    Telegram has it, under this id
``sent-x``  Telegram has it, under an id that we have not seen yet; an update may bring it
``error-x`` it ended unsent, or nobody knows; ``tgworker_outbox`` has state and reason
=========== =====================================================================
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from tgworker.embedded import reading
from tgworker.embedded.peers import find_peer, is_marked_id
from tgworker.embedded.previews import PREVIEW_CHARACTERS
from tgworker.embedded.retry import retry_delay_s
from tgworker.embedded.values import iso, seconds, to_json
from tgworker.messaging.models import AccountId
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
from tgworker.messaging.records import OutboxState

_STAGE_SETTLED = """
insert or replace into temp.settling
    (seq, message_id, part, state, telegram_id, chat_id, sent_at, not_before, error, doubtful, unclaimed,
    parts, goes_on)
select o.seq, o.message_id, json_extract(i.value, '$[3]'), json_extract(i.value, '$[4]'),
    json_extract(i.value, '$[5]'), coalesce(json_extract(i.value, '$[6]'), o.chat_id),
    json_extract(i.value, '$[7]'), json_extract(i.value, '$[8]'), json_extract(i.value, '$[9]'),
    json_extract(i.value, '$[10]'), json_extract(i.value, '$[11]'), json_extract(i.value, '$[12]'),
    json_extract(i.value, '$[13]')
from json_each(:items) i cross join tgworker_outbox o
where o.message_id = json_extract(i.value, '$[0]') and o.state = 'sending'
    and o.fence = json_extract(i.value, '$[1]') and o.attempts = json_extract(i.value, '$[2]')
"""

_RECIPIENT = """
update tgworker_outbox set recipient = ?
where message_id = ? and state = 'sending' and fence = ? and attempts = ?
"""

# Nothing of these has left, and somebody has cancelled them meanwhile.
_STAGE_CANCELLED = """
update temp.settling as s set state = 'cancelled', not_before = null, error = 'cancelled'
from tgworker_outbox o
where o.cancel_asked_at is not null and o.state = 'sending' and o.part = 0 and o.doubt_since is null
    and s.seq = o.seq and s.state in ('waiting', 'resolving', 'deferred') and not s.doubtful and not s.goes_on
"""

_STAGE_VERDICTS = """
insert or replace into temp.settling (seq, message_id, part, state, error)
select o.seq, o.message_id, 0, json_extract(i.value, '$[1]'), json_extract(i.value, '$[2]')
from json_each(?) i cross join tgworker_outbox o where o.seq = json_extract(i.value, '$[0]')
"""

_OUTBOX = """
update tgworker_outbox as o
set state = s.state,
    not_before = s.not_before,
    error = case when o.part > 0 and s.state in ('unsure', 'dead', 'cancelled', 'expired')
        then s.error || ' (' || o.part || ' of its ' || o.parts || ' parts were sent)'
        when s.state = 'sent' and o.late_file then 'an attachment was linked after it was sent'
        else s.error end,
    part = case when s.goes_on then s.part + 1 else o.part end,
    parts = coalesce(s.parts, o.parts),
    attempts = o.attempts - s.unclaimed,
    doubt_since = case
        when s.state = 'sent' or s.goes_on then null
        -- Nobody it could have gone to was ever known.
        when s.state = 'resolving' and o.chat_id is null then null
        when s.doubtful then coalesce(o.doubt_since, o.claimed_at)
        else o.doubt_since end,
    chat_id = coalesce(s.chat_id, o.chat_id),
    -- It is the first part's id that the application sees.
    awaiting_id = (s.state = 'sent' and case when s.part = 0 then s.telegram_id is null
        else exists (select 1 from tgworker_outbox_parts p
            where p.message_id = s.message_id and p.part = 0 and p.telegram_id is null) end),
    settled_at = case when s.state in ('sent', 'unsure', 'dead', 'cancelled', 'expired') then :now end
from temp.settling s
where o.seq = +s.seq
"""  # the plus keeps the planner from walking the outbox and searching here

_PARTS = """
update tgworker_outbox_parts as p
set telegram_id = s.telegram_id
from temp.settling s
where s.telegram_id is not null and p.message_id = s.message_id and p.part = s.part
"""

# The update came before the answer and was stored as a message from another device.
_TWINS = """
select k.message_id, s.message_id, o.integration_account_id, s.telegram_id, s.chat_id
from temp.settling s
join tgworker_outbox o on o.seq = s.seq
join tgworker_message_keys k on k.scope = o.integration_account_id and k.telegram_id = s.telegram_id
    and k.chat_id = s.chat_id
where s.telegram_id is not null and k.message_id <> s.message_id
    and not exists (select 1 from tgworker_outbox other where other.message_id = k.message_id)
"""

_KEYS = """
insert into tgworker_message_keys (scope, telegram_id, chat_id, message_id)
select o.integration_account_id, s.telegram_id, s.chat_id, s.message_id
from temp.settling s join tgworker_outbox o on o.seq = s.seq
where s.telegram_id is not null and s.chat_id is not null
on conflict do nothing
"""

_MESSAGES = """
update messages as m
set external_message_id = case s.state
        when 'sent' then coalesce(
            (select cast(p.telegram_id as text) from tgworker_outbox_parts p
                where p.message_id = s.message_id and p.part = 0),
            'sent-' || substr(o.local_id, 7))
        else 'error-' || substr(o.local_id, 7) end,
    sent_at = case s.state when 'sent' then coalesce(s.sent_at, :now_iso) else m.sent_at end
from temp.settling s join tgworker_outbox o on o.seq = s.seq
where m.id = s.message_id and s.state in ('sent', 'unsure', 'dead', 'cancelled', 'expired')
    and (s.state = 'sent' or m.external_message_id like 'local-%')
"""

_MOVE_FILES = """
update attachments set message_id = :first
where message_id = :second and not exists (select 1 from attachments where message_id = :first)
"""

_CONVERSATIONS = f"""
update conversations as c
set last_message_at = m.sent_at, last_channel = m.channel,
    last_message_preview = coalesce(nullif(substr(m.text, 1, {PREVIEW_CHARACTERS}), ''),
        '[' || m.message_type || ']')
from temp.settling s join messages m on m.id = s.message_id
where s.state = 'sent' and c.id = m.conversation_id
    and (c.last_message_at is null or julianday(m.sent_at) >= julianday(c.last_message_at))
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a row of the outbox that nobody is sending.

    Attributes:
        seq: The row.
        state: Its new state.
        error: Why.
    """

    seq: int
    state: OutboxState
    error: str


def begin(connection: sqlite3.Connection) -> None:
    """Empty the staging table."""
    connection.execute("delete from temp.settling")


def stage_settled(connection: sqlite3.Connection, settled: Sequence[Settled], now: datetime) -> None:
    """Stage what became of attempts; those of an older claim than the row's last are left out."""
    items = [_staged(connection, item, seconds(now)) for item in settled]
    connection.execute(_STAGE_SETTLED, {"items": to_json(items)})
    sought = [item.attempt for item in settled if isinstance(item.outcome, Unresolved)]
    connection.executemany(
        _RECIPIENT, [(one.to.lower(), one.message_id, one.fence, one.number) for one in sought]
    )
    connection.execute(_STAGE_CANCELLED)


def conclude(connection: sqlite3.Connection, verdicts: Sequence[Verdict], now: datetime) -> None:
    """Stage and write rows that end without an attempt."""
    if not verdicts:
        return
    begin(connection)
    items = [(verdict.seq, verdict.state.value, verdict.error) for verdict in verdicts]
    connection.execute(_STAGE_VERDICTS, (to_json(items),))
    apply(connection, now)


def apply(connection: sqlite3.Connection, now: datetime) -> None:
    """Write what is staged."""
    connection.execute(_OUTBOX, {"now": seconds(now)})
    connection.execute(_PARTS)
    for twin in connection.execute(_TWINS).fetchall():
        _merge(connection, twin)
    connection.execute(_KEYS)
    reading.read_already(connection, now)
    connection.execute(_MESSAGES, {"now_iso": iso(now)})
    connection.execute(_CONVERSATIONS)


def _staged(connection: sqlite3.Connection, item: Settled, now_s: float) -> tuple[object, ...]:
    attempt = item.attempt
    chat_id = attempt.peer.chat_id if attempt.peer is not None else None
    telegram_id: int | None = None
    sent_at: str | None = None
    not_before: float | None = None
    error: str | None = None
    doubtful = unclaimed = goes_on = 0
    match item.outcome:
        case Sent():
            goes_on = int(attempt.parts is not None and attempt.part + 1 < attempt.parts)
            state = OutboxState.WAITING if goes_on else OutboxState.SENT
            telegram_id = item.outcome.telegram_id
            if chat_id is None:
                # Addressed by name: the peer that was resolved for it may be known by now.
                chat_id = chat_of(connection, attempt.account_id, attempt.to)
            sent_at = iso(item.outcome.sent_at) if item.outcome.sent_at is not None else None
        case Deferred():
            state = OutboxState.DEFERRED
            not_before, error = now_s + item.outcome.retry_after_s, item.outcome.reason
        case Refused():
            state, error = OutboxState.DEAD, item.outcome.reason
        case Unsure():
            state, error, doubtful = OutboxState.UNSURE, item.outcome.reason, 1
        case Unknown():
            state = OutboxState.DEFERRED
            # (Each part that was sent before took an attempt of its own.)
            not_before = now_s + retry_delay_s(attempt.number - attempt.part)
            error = item.outcome.reason
            doubtful = 1
        case Released():
            state, unclaimed = OutboxState.WAITING, 1
        case Unresolved():
            state, unclaimed = OutboxState.RESOLVING, 1
            error = item.outcome.reason
        case _:
            assert_never(item.outcome)
    return (
        attempt.message_id,
        attempt.fence,
        attempt.number,
        attempt.part,
        state.value,
        telegram_id,
        chat_id,
        sent_at,
        not_before,
        error,
        doubtful,
        unclaimed,
        attempt.parts,
        goes_on,
    )


def chat_of(connection: sqlite3.Connection, account_id: AccountId, to: str) -> int | None:
    """The marked id that ``to`` means for an account, if that is known."""
    if is_marked_id(to):
        return int(to)
    peer = find_peer(connection, account_id, to)
    return None if peer is None else peer.chat_id


def _merge(connection: sqlite3.Connection, twin: tuple[str, str, str, int, int]) -> None:
    """Make one message of two: what hangs on the second one moves to the row that the application wrote."""
    second, first, scope, telegram_id, chat_id = twin
    # (Its files are those that were sent. What was fetched of them meanwhile goes.)
    connection.execute(_MOVE_FILES, {"first": first, "second": second})
    connection.execute("update message_events set message_id = ? where message_id = ?", (first, second))
    connection.execute("delete from messages where id = ?", (second,))
    connection.execute(
        "update tgworker_message_keys set message_id = ? where scope = ? and telegram_id = ? and chat_id = ?",
        (first, scope, telegram_id, chat_id),
    )
