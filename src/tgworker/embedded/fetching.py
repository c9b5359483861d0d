"""Files of stored messages that are to be fetched from Telegram, and what became of them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID, uuid5

import msgspec

from tgworker.embedded.values import seconds, storable, to_json
from tgworker.messaging.incoming_files import Fetched, FetchLater, FetchOutcome, IncomingFile, NotFetched
from tgworker.messaging.media import FileFacts
from tgworker.messaging.models import AccountId, ChatMessage, MessageId

_ATTACHMENTS: Final = UUID("5b0b7f43-6f0b-4c53-9d2c-6f2f6b0f6a10")
"""In which a message's id names the attachment that is made for it."""

# Of the messages in ``temp.incoming``, which are the new ones.
_FILE = """
insert into tgworker_files
    (message_id, integration_account_id, chat_id, telegram_id, facts, sent_at, is_history)
select i.message_id, :account, i.chat_id, i.telegram_id, json_extract(f.value, '$[2]'),
    json_extract(f.value, '$[3]'), :is_history
from json_each(:files) f
cross join temp.incoming i on i.chat_id = json_extract(f.value, '$[0]')
    and i.telegram_id = json_extract(f.value, '$[1]')
where true
on conflict do nothing
"""

_WANTED = """
select f.message_id, m.owner_id, f.chat_id, f.telegram_id, f.facts, f.tries
from tgworker_files f join messages m on m.id = f.message_id
where f.integration_account_id = ? and f.state = 'pending' and (f.not_before is null or f.not_before <= ?)
order by f.is_history, f.sent_at desc, f.telegram_id desc
limit ?
"""

_SETTLE = """
update tgworker_files set state = ?, error = ?, not_before = null, settled_at = ?
where message_id = ? and integration_account_id = ? and state = 'pending'
"""

_LATER = """
update tgworker_files set tries = ?, error = ?, not_before = ?
where message_id = ? and integration_account_id = ? and state = 'pending'
"""

_ATTACH = """
insert into attachments
    (id, owner_id, message_id, storage_bucket, storage_path, file_name, mime_type, byte_size)
select ?, m.owner_id, m.id, ?, ?, ?, ?, ? from messages m where m.id = ?
on conflict (id) do update set storage_bucket = excluded.storage_bucket, storage_path = excluded.storage_path,
    file_name = excluded.file_name, mime_type = excluded.mime_type, byte_size = excluded.byte_size
"""

_REFILE = """
insert into tgworker_files
    (message_id, integration_account_id, chat_id, telegram_id, facts, sent_at, is_history)
values (?, ?, ?, ?, ?, ?, 0)
on conflict (message_id) do update set facts = excluded.facts, state = 'pending', tries = 0,
    not_before = null, error = null, settled_at = null
"""

_FORGET = """
update tgworker_files set state = 'failed', error = 'its account is another Telegram user''s now',
    not_before = null, settled_at = ?
where integration_account_id = ? and state = 'pending'
"""


def file_files(
    connection: sqlite3.Connection,
    account_id: AccountId,
    messages: Sequence[ChatMessage],
    *,
    is_history: bool,
) -> None:
    """File what the messages in ``temp.incoming`` carry, which are those of ``messages`` that are new."""
    files = [
        (message.chat_id, message.telegram_id, _facts_json(message.file), seconds(message.sent_at))
        for message in messages
        if message.file is not None
    ]
    if files:
        connection.execute(_FILE, {"account": account_id, "files": to_json(files), "is_history": is_history})


def refile(
    connection: sqlite3.Connection, account_id: AccountId, message_id: str, message: ChatMessage
) -> None:
    """A stored message carries another file now, or none; one is to be fetched."""
    if message.file is not None:
        facts, sent_at = _facts_json(message.file), seconds(message.sent_at)
        row = (message_id, account_id, message.chat_id, message.telegram_id, facts, sent_at)
        connection.execute(_REFILE, row)


def wanted_files(
    connection: sqlite3.Connection, account_id: AccountId, limit: int, now: datetime
) -> list[IncomingFile]:
    """See `tgworker.messaging.media_ports.MediaStore`."""
    rows = connection.execute(_WANTED, (account_id, seconds(now), limit))
    return [
        IncomingFile(
            message_id=MessageId(message_id),
            owner_id=owner_id,
            chat_id=chat_id,
            telegram_id=telegram_id,
            facts=msgspec.json.decode(facts, type=FileFacts),
            tries=tries,
        )
        for message_id, owner_id, chat_id, telegram_id, facts, tries in rows
    ]


def finish_file(
    connection: sqlite3.Connection,
    account_id: AccountId,
    file: IncomingFile,
    outcome: FetchOutcome,
    now: datetime,
) -> None:
    """See `tgworker.messaging.media_ports.MediaStore`."""
    row, now_s = (file.message_id, account_id), seconds(now)
    match outcome:
        case Fetched():
            if connection.execute(_SETTLE, ("done", None, now_s, *row)).rowcount:
                _attach(connection, file.message_id, outcome)
        case NotFetched():
            state = "unwanted" if outcome.unwanted else "failed"
            connection.execute(_SETTLE, (state, storable(outcome.reason), now_s, *row))
        case FetchLater():
            tries = file.tries + outcome.counts
            not_before = now_s + outcome.retry_after_s
            connection.execute(_LATER, (tries, storable(outcome.reason), not_before, *row))
        case _:
            assert_never(outcome)


def forget_files(connection: sqlite3.Connection, account_id: AccountId, now: datetime) -> None:
    """Give up what an account has not fetched: its messages are another Telegram user's."""
    connection.execute(_FORGET, (seconds(now), account_id))


def _attach(connection: sqlite3.Connection, message_id: MessageId, fetched: Fetched) -> None:
    connection.execute(
        _ATTACH,
        (
            str(uuid5(_ATTACHMENTS, message_id)),
            fetched.bucket,
            fetched.path,
            storable(fetched.file_name),
            fetched.mime_type,
            fetched.byte_size,
            message_id,
        ),
    )


def _facts_json(facts: FileFacts) -> str:
    return to_json(replace(facts, file_name=_storable(facts.file_name), mime_type=_storable(facts.mime_type)))


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
