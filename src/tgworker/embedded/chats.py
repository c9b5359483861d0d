"""The contacts and the conversations of chats, made where there are none."""

import sqlite3

from tgworker.embedded.peers import METADATA
from tgworker.messaging.models import AccountId

_IDENTITIES = f"""
insert into contact_identities (owner_id, type, value, metadata)
select :owner, 'telegram_user', cast(c.id as text),
    case when p.chat_id is null
        then json_object('is_group', json(case when c.id < 0 then 'true' else 'false' end))
        else {METADATA} end
from (
    select chat_id as id from temp.incoming
    union
    select sender_id from temp.incoming where not outgoing and sender_id is not null
) c
left join tgworker_peers p on p.integration_account_id = :account and p.chat_id = c.id
where not exists (select 1 from contact_identities i
    where i.owner_id = :owner and i.type = 'telegram_user' and i.value = cast(c.id as text))
"""  # noqa: S608 - put together from constants

# (A group that became a supergroup is told of in that one's conversation.)
_CHATS = """
insert into temp.chats (chat_id, identity_id, conversation_id)
select c.chat_id, i.id, coalesce((
    select v.id from conversations v where v.primary_identity_id = i.id and v.owner_id = :owner
    order by v.last_message_at desc limit 1), (
    select v.id from tgworker_migrated g cross join contact_identities n on n.owner_id = :owner
        and n.type = 'telegram_user' and n.value = cast(g.new_chat_id as text)
    cross join conversations v on v.primary_identity_id = n.id and v.owner_id = :owner
    where g.owner_id = :owner and g.chat_id = c.chat_id
    order by v.last_message_at desc limit 1))
from (select distinct chat_id from temp.incoming) c
cross join contact_identities i on i.owner_id = :owner and i.type = 'telegram_user'
    and i.value = cast(c.chat_id as text)
"""

_CONVERSATIONS = """
insert into conversations (owner_id, workspace_id, contact_id, primary_identity_id, last_channel)
select :owner, :workspace, i.contact_id, i.id, 'telegram'
from (
    select distinct coalesce((select n.id from tgworker_migrated g
        cross join contact_identities n on n.owner_id = :owner and n.type = 'telegram_user'
            and n.value = cast(g.new_chat_id as text)
        where g.owner_id = :owner and g.chat_id = c.chat_id), c.identity_id) as id
    from temp.chats c where c.conversation_id is null
) c cross join contact_identities i on i.id = c.id
"""


_CONTACT = f"""
insert into contact_identities (owner_id, type, value, metadata)
select :owner, 'telegram_user', cast(c.id as text),
    case when p.chat_id is null
        then json_object('is_group', json(case when c.id < 0 then 'true' else 'false' end))
        else {METADATA} end
from (select :chat as id) c
left join tgworker_peers p on p.integration_account_id = :account and p.chat_id = c.id
where true
on conflict do nothing
"""  # noqa: S608 - put together from constants


def ensure_contact(connection: sqlite3.Connection, account_id: AccountId, owner_id: str, chat_id: int) -> str:
    """The contact of a chat, made where there is none; returns its id."""
    connection.execute(_CONTACT, {"account": account_id, "owner": owner_id, "chat": chat_id})
    row: tuple[str] = connection.execute(
        "select id from contact_identities where owner_id = ? and type = 'telegram_user' and value = ?",
        (owner_id, str(chat_id)),
    ).fetchone()
    return row[0]


def make_chats(
    connection: sqlite3.Connection, account_id: AccountId, owner_id: str, workspace_id: str | None
) -> None:
    """Find, or make, the contact and the conversation of each chat in ``temp.incoming``: ``temp.chats``."""
    connection.execute(_IDENTITIES, {"account": account_id, "owner": owner_id})
    connection.execute("delete from temp.chats")
    connection.execute(_CHATS, {"owner": owner_id})
    without = connection.execute("select 1 from temp.chats where conversation_id is null limit 1")
    if without.fetchone() is not None:
        connection.execute(_CONVERSATIONS, {"owner": owner_id, "workspace": workspace_id})
        connection.execute("delete from temp.chats")
        connection.execute(_CHATS, {"owner": owner_id})
