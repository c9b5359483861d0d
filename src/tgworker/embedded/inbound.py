"""What arrives: updates and history into contacts, conversations, messages; and the position after them."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from tgworker.embedded.changes import apply_changes
from tgworker.embedded.chats import make_chats
from tgworker.embedded.errors import AccountGone
from tgworker.embedded.fetching import file_files
from tgworker.embedded.gaps import file_gaps
from tgworker.embedded.migrated import MIGRATE, continue_groups
from tgworker.embedded.peers import name_strangers, save_peers
from tgworker.embedded.previews import PREVIEW_CHARACTERS
from tgworker.embedded.recognising import recognise
from tgworker.embedded.values import new_ids, storable, to_json
from tgworker.messaging.models import AccountId, ChatMessage, Peer, Position
from tgworker.messaging.update_batches import UpdateBatch

_INCOMING = """
insert into temp.incoming (chat_id, telegram_id, sender_id, outgoing, text, message_type, sent_at,
    raw_payload, message_id)
values """

_KEYS = """
insert into tgworker_message_keys (scope, telegram_id, chat_id, message_id, from_log)
select :account, telegram_id, chat_id, message_id, :from_log from temp.incoming where true
order by n
on conflict do nothing
"""

_FORGET_KNOWN = """
delete from temp.incoming
where message_id <> (select k.message_id from tgworker_message_keys k
    where k.scope = :account and k.telegram_id = incoming.telegram_id and k.chat_id = incoming.chat_id)
"""

_MESSAGES = """
insert into messages (id, owner_id, conversation_id, integration_account_id, identity_id, channel,
    direction, text,
    message_type, sent_at, external_message_id, raw_payload)
select i.message_id, :owner, c.conversation_id, :account,
    case when i.outgoing or i.sender_id is null or i.sender_id = i.chat_id then c.identity_id else (
        select s.id from contact_identities s
        where s.owner_id = :owner and s.type = 'telegram_user' and s.value = cast(i.sender_id as text)) end,
    'telegram', case when i.outgoing then 'outbound' else 'inbound' end, i.text, i.message_type, i.sent_at,
    cast(i.telegram_id as text), i.raw_payload
from temp.incoming i cross join temp.chats c on c.chat_id = i.chat_id
order by i.n
"""

_LATEST = f"""
update conversations as v
set unread_count = v.unread_count + case when :unread then latest.inbound else 0 end,
    last_channel = 'telegram',
    last_message_at = case when latest.newer then latest.sent_at else v.last_message_at end,
    last_message_preview = case when latest.newer
        then coalesce(nullif(substr(latest.text, 1, {PREVIEW_CHARACTERS}), ''),
            '[' || latest.message_type || ']')
        else v.last_message_preview end
from (
    select c.conversation_id, sum(not i.outgoing) as inbound, max(i.sent_at || printf('#%020d',
        i.telegram_id)),
        i.sent_at, i.text, i.message_type,
        (select o.last_message_at is null or julianday(i.sent_at) >= julianday(o.last_message_at)
            from conversations o where o.id = c.conversation_id) as newer
    from temp.incoming i cross join temp.chats c on c.chat_id = i.chat_id
    group by c.conversation_id
) latest
where v.id = latest.conversation_id
"""  # noqa: S608 - put together from constants

_POSITION = """
insert into tgworker_positions (integration_account_id, pts, qts, date, seq) values (?, ?, ?, ?, ?)
on conflict (integration_account_id) do update set
    pts = excluded.pts, qts = excluded.qts, date = excluded.date, seq = excluded.seq
"""

_CHANNELS = """
insert into tgworker_channel_positions (integration_account_id, channel_id, pts)
select :account, json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(:channels) where true
on conflict (integration_account_id, channel_id) do update set pts = excluded.pts where pts <> excluded.pts
"""

_CHANNELS_LEFT = """
delete from tgworker_channel_positions
where integration_account_id = :account and channel_id in (select value from json_each(:channels))
"""


STAGED_AT_ONCE = 100
"""Messages in one statement: a page of a history."""


class Ingest:
    """Stores what arrives. Remembers the channel positions that it stored, to write only what moved."""

    def __init__(self) -> None:
        self._channels: dict[AccountId, Mapping[int, int]] = {}

    def ingest(
        self, connection: sqlite3.Connection, account_id: AccountId, batch: UpdateBatch, now: datetime
    ) -> int:
        """Store a batch and its position; see `tgworker.messaging.store_ports.InboundStore.ingest`."""
        owner_id, workspace_id = owner_of(connection, account_id)
        save_peers(connection, account_id, owner_id, batch.peers)
        if batch.gaps:
            # What is read of a group's new history goes where the group goes on.
            continue_groups(connection, account_id, owner_id, batch.messages, now)
            file_gaps(connection, account_id, owner_id, workspace_id, batch.gaps)
        new = 0
        if batch.messages or batch.sent_ids:
            _stage(connection, batch.messages)
            if batch.sent_ids or any(message.outgoing for message in batch.messages):
                recognise(connection, account_id, batch.sent_ids, now)
            new = _store(
                connection,
                account_id,
                owner_id,
                workspace_id,
                batch.messages,
                now,
                unread=True,
                from_log=True,
            )
        name_strangers(connection, owner_id, batch.peers)
        if batch.changes:
            apply_changes(connection, account_id, owner_id, batch.changes, now)
        if batch.position is not None:
            self._save_position(connection, account_id, batch.position)
        return new

    def committed(self, account_id: AccountId, position: Position | None) -> None:
        """A batch was committed: remember its channel positions."""
        if position is not None:
            self._channels[account_id] = dict(position.channels)

    def forget(self, account_id: AccountId) -> None:
        """An account's position was deleted."""
        self._channels.pop(account_id, None)

    def _save_position(
        self, connection: sqlite3.Connection, account_id: AccountId, position: Position
    ) -> None:
        connection.execute(_POSITION, (account_id, position.pts, position.qts, position.date, position.seq))
        before = self._channels.get(account_id)
        if before is None:
            before = channel_positions(connection, account_id)
        after = position.channels
        if before == after:
            return
        moved = [(channel, pts) for channel, pts in after.items() if before.get(channel) != pts]
        left = [channel for channel in before if channel not in after]
        if moved:
            connection.execute(_CHANNELS, {"account": account_id, "channels": to_json(moved)})
        if left:
            connection.execute(_CHANNELS_LEFT, {"account": account_id, "channels": to_json(left)})


def store_history(
    connection: sqlite3.Connection,
    account_id: AccountId,
    messages: Sequence[ChatMessage],
    peers: Sequence[Peer],
    now: datetime,
    *,
    unread_above: int | None,
) -> int:
    """Store what a history job found: no position moves; returns how many were new.

    Nothing is unread but what has ids above ``unread_above``, if that is given.
    """
    owner_id, workspace_id = owner_of(connection, account_id)
    save_peers(connection, account_id, owner_id, peers)
    new = 0
    missed = [each for each in messages if unread_above is not None and each.telegram_id > unread_above]
    for some, unread in ((messages[: len(messages) - len(missed)], False), (missed, True)):
        if some:
            _stage(connection, some)
            if any(message.outgoing for message in some):
                recognise(connection, account_id, (), now)
            new += _store(connection, account_id, owner_id, workspace_id, some, now, unread=unread)
    name_strangers(connection, owner_id, peers)
    return new


def load_position(connection: sqlite3.Connection, account_id: AccountId) -> Position | None:
    """How far an account's update log was committed."""
    row = connection.execute(
        "select p.pts, p.qts, p.date, p.seq, a.user_id from tgworker_positions p"
        " left join tgworker_accounts a using (integration_account_id) where p.integration_account_id = ?",
        (account_id,),
    ).fetchone()
    if row is None:
        return None
    pts, qts, date, seq, user_id = row
    return Position(pts, qts, date, seq, channel_positions(connection, account_id), user_id)


def channel_positions(connection: sqlite3.Connection, account_id: AccountId) -> dict[int, int]:
    """The ``pts`` of each channel of an account, as stored."""
    rows: Iterable[tuple[int, int]] = connection.execute(
        "select channel_id, pts from tgworker_channel_positions where integration_account_id = ?",
        (account_id,),
    )
    return dict(rows)


def owner_of(connection: sqlite3.Connection, account_id: AccountId) -> tuple[str, str | None]:
    """The owner of an account, and the workspace.

    Raises:
        AccountGone: There is no such account any more.
    """
    row: tuple[str, str | None] | None = connection.execute(
        "select owner_id, workspace_id from integration_accounts where id = ?", (account_id,)
    ).fetchone()
    if row is None:
        raise AccountGone(f"the account {account_id} was removed")
    return row


def _stage(connection: sqlite3.Connection, messages: Sequence[ChatMessage]) -> None:
    connection.execute("delete from temp.incoming")
    for begin in range(0, len(messages), STAGED_AT_ONCE):
        some = messages[begin : begin + STAGED_AT_ONCE]
        values: list[object] = []
        for message, message_id in zip(some, new_ids(len(some)), strict=True):
            values += (
                message.chat_id,
                message.telegram_id,
                message.sender_id,
                int(message.outgoing),
                storable(message.text),
                message.message_type,
                message.sent_at.timestamp(),
                to_json(message.raw_payload) if message.raw_payload else None,
                message_id,
            )
        connection.execute(_incoming(len(some)), values)


@lru_cache(maxsize=STAGED_AT_ONCE)
def _incoming(rows: int) -> str:
    """Stages so many messages: bound values cost a quarter of what JSON does that SQLite takes apart.

    Times are written by SQLite, as `iso` writes them: in Python that was most of what staging costs.
    """
    row = "(?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch'), ?, ?)"
    return _INCOMING + ", ".join([row] * rows)


def _store(
    connection: sqlite3.Connection,
    account_id: AccountId,
    owner_id: str,
    workspace_id: str | None,
    staged: Sequence[ChatMessage],
    now: datetime,
    *,
    unread: bool,
    from_log: bool = False,
) -> int:
    """Store the staged messages that are not known; returns how many were new."""
    owned = {"account": account_id, "owner": owner_id}
    new = connection.execute(_KEYS, {"account": account_id, "from_log": from_log}).rowcount
    if new == 0:
        return 0
    if new != len(staged):
        connection.execute(_FORGET_KNOWN, {"account": account_id})
    if any(message.message_type == MIGRATE for message in staged):
        continue_groups(connection, account_id, owner_id, staged, now)
    make_chats(connection, account_id, owner_id, workspace_id)
    connection.execute(_MESSAGES, owned)
    file_files(connection, account_id, staged, is_history=not unread)
    connection.execute(_LATEST, {"unread": unread})
    return new
