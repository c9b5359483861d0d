"""Doing what the application does when a person sends messages."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tgworker.embedded.errors import RecipientUnknown
from tgworker.embedded.inbound import owner_of
from tgworker.embedded.peers import METADATA, is_marked_id
from tgworker.embedded.settling import chat_of
from tgworker.embedded.values import is_key, iso, new_id, storable, to_json
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.values import phone_digits

_CONTACT = f"""
insert into contact_identities (owner_id, type, value, metadata)
select :owner, 'telegram_user', :value, coalesce(
    (select {METADATA} from tgworker_peers p where p.integration_account_id = :account
        and p.chat_id = :chat), '{{}}')
where not exists (
    select 1 from contact_identities where owner_id = :owner and type = 'telegram_user' and value = :value)
"""  # noqa: S608 - put together from constants

_MESSAGES = """
insert into messages (id, owner_id, conversation_id, integration_account_id, identity_id, channel,
    direction, text,
    sent_at, external_message_id)
select json_extract(value, '$[0]'), :owner, :conversation, :account, :identity, 'telegram', 'outbound',
    json_extract(value, '$[1]'), :now, 'local-' || json_extract(value, '$[0]')
from json_each(:rows)
order by key
"""


_WITH_FILES = """
insert into messages (id, owner_id, conversation_id, integration_account_id, identity_id, channel,
    direction, text, message_type, sent_at, external_message_id, raw_payload)
values (:id, :owner, :conversation, :account, :identity, 'telegram', 'outbound', :text, :kind, :now,
    'local-' || :id, :payload)
"""

_ATTACHMENT = """
insert into attachments
    (id, owner_id, message_id, storage_bucket, storage_path, file_name, mime_type, byte_size)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""


def enqueue(
    connection: sqlite3.Connection, account_id: AccountId, to: str, texts: Sequence[str], now: datetime
) -> list[MessageId]:
    """Insert outbound rows for one chat, in order; finds or makes its contact and conversation.

    Raises:
        RecipientUnknown: ``to`` is malformed, or no conversation of this owner.
        AccountGone: There is no such account.
    """
    owner_id, workspace_id = owner_of(connection, account_id)
    conversation_id, identity_id = _conversation(connection, account_id, owner_id, workspace_id, to.strip())
    rows = [(new_id(), storable(text)) for text in texts]
    connection.execute(
        _MESSAGES,
        {
            "owner": owner_id,
            "conversation": conversation_id,
            "account": account_id,
            "identity": identity_id,
            "now": iso(now),
            "rows": to_json(rows),
        },
    )
    return [MessageId(message_id) for message_id, _ in rows]


def enqueue_files(
    connection: sqlite3.Connection,
    account_id: AccountId,
    to: str,
    caption: str,
    files: Sequence[OutgoingFile],
    kind: FileKind,
    now: datetime,
) -> MessageId:
    """Insert one outbound row and its attachments. Raises: as `enqueue`."""
    owner_id, workspace_id = owner_of(connection, account_id)
    conversation_id, identity_id = _conversation(connection, account_id, owner_id, workspace_id, to.strip())
    message_id = MessageId(new_id())
    connection.execute(
        _WITH_FILES,
        {
            "id": message_id,
            "owner": owner_id,
            "conversation": conversation_id,
            "account": account_id,
            "identity": identity_id,
            "text": storable(caption),
            "kind": kind.value,
            "now": iso(now),
            "payload": to_json({"telegram": {"attachments": len(files)}}),
        },
    )
    connection.executemany(
        _ATTACHMENT,
        [
            (
                file.id,
                owner_id,
                message_id,
                storable(file.bucket),
                storable(file.path),
                None if file.file_name is None else storable(file.file_name),
                file.mime_type,
                file.byte_size,
            )
            for file in files
        ],
    )
    return message_id


def recipient(to: str) -> str:
    """``to`` as an identity's value: a marked id, ``@name`` in lower case, or ``+`` and digits.

    Raises:
        RecipientUnknown: It is none of these.
    """
    if is_marked_id(to) and int(to) != 0:
        return str(int(to))
    name = to.removeprefix("@")
    if to.startswith("@") and name.isascii() and name.replace("_", "").isalnum() and len(name) <= 32:
        return f"@{name.lower()}"
    if to.startswith("+") and (digits := phone_digits(to)):
        return f"+{digits}"
    raise RecipientUnknown(
        f"{to!r} is no recipient: give a Telegram id, @username, + and a phone number, "
        "or a conversation's uuid"
    )


def known_conversation(connection: sqlite3.Connection, owner_id: str, to: str) -> str | None:
    """The conversation whose uuid ``to`` is; ``None``: it is no uuid.

    Raises:
        RecipientUnknown: The owner has no such conversation.
    """
    conversation_id = _uuid(to)
    if conversation_id is None:
        return None
    found = connection.execute(
        "select 1 from conversations where id = ? and owner_id = ?", (conversation_id, owner_id)
    ).fetchone()
    if found is None:
        raise RecipientUnknown(f"the account's owner has no conversation {to}")
    return conversation_id


def _conversation(
    connection: sqlite3.Connection, account_id: AccountId, owner_id: str, workspace_id: str | None, to: str
) -> tuple[str, str | None]:
    """The conversation with ``to``, made if there is none, and its identity."""
    if (conversation_id := known_conversation(connection, owner_id, to)) is not None:
        row: tuple[str, str | None] | None = connection.execute(
            "select id, primary_identity_id from conversations where id = ?", (conversation_id,)
        ).fetchone()
        assert row is not None
        _check_ids(*row)
        return row
    value = recipient(to)
    chat_id = chat_of(connection, account_id, value)
    if chat_id is not None:
        value = str(chat_id)
    known = {"owner": owner_id, "value": value, "account": account_id, "chat": chat_id}
    connection.execute(_CONTACT, known)
    (identity_id, contact_id) = connection.execute(
        "select id, contact_id from contact_identities"
        " where owner_id = :owner and type = 'telegram_user' and value = :value",
        known,
    ).fetchone()
    row = connection.execute(
        "select id, primary_identity_id from conversations where primary_identity_id = ? and owner_id = ?"
        " order by last_message_at desc limit 1",
        (identity_id, owner_id),
    ).fetchone()
    if row is not None:
        _check_ids(*row)
        return row
    _check_ids(None, identity_id)
    conversation_id = new_id()
    connection.execute(
        "insert into conversations"
        " (id, owner_id, workspace_id, contact_id, primary_identity_id, last_channel)"
        " values (?, ?, ?, ?, ?, 'telegram')",
        (conversation_id, owner_id, workspace_id, contact_id, identity_id),
    )
    return conversation_id, identity_id


def _check_ids(conversation_id: str | None, identity_id: str | None) -> None:
    """See that rows are found again by their ids: SQLite keeps anything there.

    Raises:
        RecipientUnknown: They are not.
    """
    for table, row_id in (("conversations", conversation_id), ("contact_identities", identity_id)):
        if row_id is not None and not is_key(row_id):
            raise RecipientUnknown(
                f"what is known of this recipient is a row of {table} whose id is not text"
            )


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None
