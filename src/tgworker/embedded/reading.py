"""How far chats were read: events of messages, and what is left unread."""

import sqlite3
from datetime import datetime

from tgworker.embedded.message_events import MessageEvent, add_events, event_id
from tgworker.messaging.changes import ReadByThem, ReadByUs
from tgworker.messaging.models import AccountId

LOOKED_AT = 500
"""So many messages of a chat, the newest, are looked at for one read: the first of a long chat is cheap."""

TOLD_AT_ONCE = 100
"""So many of them, the newest, get their event."""

COUNTED = 1000
"""So many messages are counted to tell how many are unread."""

_MARKS = "select by_them, by_us from tgworker_read_marks where integration_account_id = ? and chat_id = ?"

_MARK = """
insert into tgworker_read_marks (integration_account_id, chat_id, by_them, by_us) values (?, ?, ?, ?)
on conflict (integration_account_id, chat_id) do update
set by_them = max(by_them, excluded.by_them), by_us = max(by_us, excluded.by_us)
"""

_NEWLY_READ = """
select k.message_id from (
    select message_id, telegram_id from tgworker_message_keys
    where scope = :account and chat_id = :chat and telegram_id > :before and telegram_id <= :max_id
    order by telegram_id desc limit :looked_at
) k cross join messages m on m.id = k.message_id
where m.direction = :direction
order by k.telegram_id desc limit :told
"""

# The other side read it before this worker knew that it is its own.
_READ_ALREADY = """
select s.message_id from temp.settling s
cross join tgworker_outbox o on o.seq = s.seq
cross join tgworker_read_marks r on r.integration_account_id = o.integration_account_id
    and r.chat_id = s.chat_id
where s.telegram_id <= r.by_them
"""

_CONVERSATION = """
select v.id, v.unread_count from (
    select message_id, telegram_id from tgworker_message_keys
    where scope = ? and chat_id = ? order by telegram_id desc limit 20
) k cross join messages m on m.id = k.message_id cross join conversations v on v.id = m.conversation_id
order by k.telegram_id desc limit 1
"""

# Of each of the owner's accounts in the chat: what it got after its last read.
_UNREAD = """
select a.id, (
    select count(*) from (
        select k.message_id from tgworker_message_keys k
        where k.scope = a.id and k.chat_id = :chat and k.telegram_id > coalesce((
            select r.by_us from tgworker_read_marks r
            where r.integration_account_id = a.id and r.chat_id = :chat), 0)
        order by k.telegram_id desc limit :counted
    ) k cross join messages m on m.id = k.message_id
    where m.direction = 'inbound')
from integration_accounts a where a.owner_id = :owner
"""


def read_by_them(
    connection: sqlite3.Connection, account_id: AccountId, read: ReadByThem, now: datetime
) -> None:
    """What an account sent was read."""
    _read(connection, account_id, read.chat_id, read.max_id, now, by_them=True)


def read_by_us(
    connection: sqlite3.Connection, account_id: AccountId, owner_id: str, read: ReadByUs, now: datetime
) -> None:
    """An account has read what it got: the conversation's unread count falls; it never rises here.

    It falls to what is unread for its owner's accounts: by Telegram's word for this one, else what came after
    their last read.
    """
    _read(connection, account_id, read.chat_id, read.max_id, now, by_them=False)
    found = connection.execute(_CONVERSATION, (account_id, read.chat_id)).fetchone()
    if found is None or not isinstance(found[1], int) or found[1] <= 0:
        return
    conversation_id, before = found
    asked = {"chat": read.chat_id, "owner": owner_id, "counted": COUNTED}
    unread: dict[AccountId, int] = dict(connection.execute(_UNREAD, asked).fetchall())
    unread[account_id] = max(unread.get(account_id, 0), read.still_unread)
    if (after := sum(unread.values())) < before:
        connection.execute("update conversations set unread_count = ? where id = ?", (after, conversation_id))


def read_already(connection: sqlite3.Connection, now: datetime) -> None:
    """Messages in ``temp.settling`` that were read before anybody knew that this worker had sent them."""
    found = connection.execute(_READ_ALREADY).fetchall()
    add_events(connection, [_event(message_id, now, by_them=True) for (message_id,) in found])


def _read(
    connection: sqlite3.Connection,
    account_id: AccountId,
    chat_id: int,
    max_id: int,
    now: datetime,
    *,
    by_them: bool,
) -> None:
    marks: tuple[int, int] = connection.execute(_MARKS, (account_id, chat_id)).fetchone() or (0, 0)
    before = marks[0] if by_them else marks[1]
    if before >= max_id:
        return
    connection.execute(_MARK, (account_id, chat_id, max_id if by_them else 0, 0 if by_them else max_id))
    asked = {
        "account": account_id,
        "chat": chat_id,
        "before": before,
        "max_id": max_id,
        "direction": "outbound" if by_them else "inbound",
        "looked_at": LOOKED_AT,
        "told": TOLD_AT_ONCE,
    }
    rows = connection.execute(_NEWLY_READ, asked).fetchall()
    add_events(connection, [_event(row, now, by_them=by_them) for (row,) in reversed(rows)])


def _event(message_id: str, now: datetime, *, by_them: bool) -> MessageEvent:
    who = "them" if by_them else "us"
    return MessageEvent(event_id(message_id, "read"), message_id, "read", now, {"by": who})
