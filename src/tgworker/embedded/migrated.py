"""Basic groups that became supergroups: each goes on in its conversation, under its new identity."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from tgworker.embedded import settling
from tgworker.embedded.chats import ensure_contact
from tgworker.embedded.values import to_json
from tgworker.messaging.models import CHANNEL_IDS_BELOW, AccountId, ChatMessage
from tgworker.messaging.records import OutboxState

MIGRATE: Final = "service_migrate"
"""What the messages are called by which Telegram says so, in either chat."""

_NEW = (
    "insert into tgworker_migrated (owner_id, chat_id, new_chat_id) values (?, ?, ?) on conflict do nothing"
)

# What it is called, until its peer is known.
_TITLE = """
update contact_identities as n
set metadata = json_set(n.metadata, '$.title', json_extract(o.metadata, '$.title'))
from contact_identities o
where n.id = :new and o.id = :old and json_valid(n.metadata) and json_valid(o.metadata)
    and json_type(n.metadata) = 'object' and json_type(n.metadata, '$.title') is null
    and json_type(o.metadata, '$.title') = 'text'
"""

_CONTINUE = """
update conversations set primary_identity_id = :new where primary_identity_id = :old and owner_id = :owner
returning id
"""

_IN_DOUBT = """
select o.seq from json_each(?) c
cross join tgworker_outbox o on o.conversation_id = c.value and o.in_lane = 1
where o.state <> 'sending' and o.doubt_since is not null order by o.seq
"""

_WAKE = """
update tgworker_outbox set state = 'waiting', not_before = null, recipient = null, error = null
where state = 'resolving' and seq in (
    select o.seq from json_each(?) c
    cross join tgworker_outbox o on o.conversation_id = c.value and o.in_lane = 1)
"""


def continue_groups(
    connection: sqlite3.Connection,
    account_id: AccountId,
    owner_id: str,
    messages: Sequence[ChatMessage],
    now: datetime,
) -> None:
    """Let the conversations of groups that migrated, as these messages say, be the supergroups'.

    Rows that wait in them go to the supergroup. Of those of which nobody knows whether the group got them a
    person decides: nobody can look there any more.
    """
    for old_id, new_id in dict.fromkeys(_moves(messages)):
        if connection.execute(_NEW, (owner_id, old_id, new_id)).rowcount == 0:
            continue
        old, new = (ensure_contact(connection, account_id, owner_id, chat) for chat in (old_id, new_id))
        connection.execute(_TITLE, {"old": old, "new": new})
        moved = connection.execute(_CONTINUE, {"old": old, "new": new, "owner": owner_id}).fetchall()
        conversations = to_json([row[0] for row in moved])
        error = "nobody knows whether Telegram has it, and its group has become a supergroup"
        in_doubt = connection.execute(_IN_DOUBT, (conversations,)).fetchall()
        verdicts = [settling.Verdict(seq, OutboxState.UNSURE, error) for (seq,) in in_doubt]
        settling.conclude(connection, verdicts, now)
        connection.execute(_WAKE, (conversations,))


def _moves(messages: Sequence[ChatMessage]) -> Iterator[tuple[int, int]]:
    for message in messages:
        if message.message_type != MIGRATE:
            continue
        to, since = (message.raw_payload.get(key) for key in ("migrated_to", "migrated_from"))
        for old_id, new_id in ((message.chat_id, to), (since, message.chat_id)):
            if not isinstance(old_id, int) or not isinstance(new_id, int):
                continue
            if CHANNEL_IDS_BELOW < old_id < 0 and new_id < CHANNEL_IDS_BELOW:
                yield old_id, new_id
