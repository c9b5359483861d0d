"""Messages that Telegram tells of, and that are ours: rows of the outbox, and their parts."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from tgworker.embedded import settling
from tgworker.embedded.values import to_json
from tgworker.messaging.models import AccountId

# Telegram tells under which id it has a message that we sent: the same as an answer to the send.
_STAGE_SENT_IDS = """
insert or replace into temp.settling (seq, message_id, part, state, telegram_id, chat_id, sent_at)
select o.seq, o.message_id, p.part, 'sent', json_extract(j.value, '$[1]'), coalesce(i.chat_id, o.chat_id),
    i.sent_at
from json_each(:sent_ids) j
cross join tgworker_outbox_parts p on p.random_id = json_extract(j.value, '$[0]')
join tgworker_outbox o on o.message_id = p.message_id
left join temp.incoming i on i.telegram_id = json_extract(j.value, '$[1]') and i.outgoing
where o.integration_account_id = :account and p.telegram_id is null
    and (o.part + 1 = o.parts and p.part = o.part or o.state = 'sent' and p.part = 0)
"""

# The same of a part after which others are to be sent, or may be: only its id is learned. The next attempt at
# it, if there is one, has nothing to send. What has begun to be sent does not expire.
_LEARN_PART_IDS = """
update tgworker_outbox_parts as p set telegram_id = json_extract(j.value, '$[1]')
from json_each(:sent_ids) j, tgworker_outbox o
where p.random_id = json_extract(j.value, '$[0]') and p.telegram_id is null
    and o.message_id = p.message_id and o.integration_account_id = :account
    and not exists (select 1 from temp.settling s where s.seq = o.seq)
"""

_KEYS_OF_PARTS = """
insert into tgworker_message_keys (scope, telegram_id, chat_id, message_id)
select :account, p.telegram_id, coalesce(i.chat_id, o.chat_id), o.message_id
from json_each(:sent_ids) j
cross join tgworker_outbox_parts p on p.random_id = json_extract(j.value, '$[0]')
join tgworker_outbox o on o.message_id = p.message_id
left join temp.incoming i on i.telegram_id = p.telegram_id and i.outgoing
where o.integration_account_id = :account and coalesce(i.chat_id, o.chat_id) is not null
on conflict do nothing
"""

_BEGUN = """
update tgworker_outbox as o set doubt_since = null, expires_at = null
from json_each(:sent_ids) j, tgworker_outbox_parts p
where p.random_id = json_extract(j.value, '$[0]') and o.message_id = p.message_id and p.part = o.part
    and o.integration_account_id = :account and o.state in ('deferred', 'sending')
"""

# Telegram said "already sent" without an id, and here is a message of ours with that text in that chat. (A
# file without a caption may be any.)
_STAGE_AWAITED = """
insert or ignore into temp.settling (seq, message_id, part, state, telegram_id, chat_id, sent_at)
select min(o.seq), o.message_id, 0, 'sent', i.telegram_id, i.chat_id, i.sent_at
from tgworker_outbox o
join messages m on m.id = o.message_id
cross join temp.incoming i on i.outgoing and i.chat_id = o.chat_id and i.text = m.text
where o.integration_account_id = :account and o.awaiting_id = 1
    and i.telegram_id > coalesce(o.chat_top_id, 0)
    and case when o.files is null then i.message_type = 'text'
        else i.message_type <> 'text' and i.text <> '' end
    and not exists (select 1 from tgworker_message_keys k
        where k.scope = :account and k.telegram_id = i.telegram_id and k.chat_id = i.chat_id)
    and not exists (select 1 from temp.settling s where s.telegram_id = i.telegram_id
        and s.chat_id = i.chat_id)
group by i.chat_id, i.telegram_id
having count(*) = 1
"""

# Sent to a name whose chat nobody could tell at the time: the update tells it.
_KEYS_OF_NAMED = """
insert into tgworker_message_keys (scope, telegram_id, chat_id, message_id)
select :account, i.telegram_id, i.chat_id, o.message_id
from temp.incoming i
join tgworker_outbox o on o.integration_account_id = :account and o.chat_id is null and o.state = 'sent'
join tgworker_outbox_parts p on p.message_id = o.message_id and p.telegram_id = i.telegram_id
where i.outgoing
on conflict do nothing
"""


def recognise(
    connection: sqlite3.Connection, account_id: AccountId, sent_ids: Sequence[tuple[int, int]], now: datetime
) -> None:
    """Find messages among those in ``temp.incoming`` that this worker sent, and settle them.

    Args:
        connection: In a transaction.
        account_id: Who sent them.
        sent_ids: ``(random_id, telegram_id)``, as Telegram told them.
        now: The calendar's time, aware.
    """
    settling.begin(connection)
    if sent_ids:
        told = {"account": account_id, "sent_ids": to_json(sent_ids)}
        connection.execute(_STAGE_SENT_IDS, told)
        if connection.execute(_LEARN_PART_IDS, told).rowcount:
            connection.execute(_KEYS_OF_PARTS, told)
            connection.execute(_BEGUN, told)
    connection.execute(_STAGE_AWAITED, {"account": account_id})
    if connection.execute("select 1 from temp.settling limit 1").fetchone() is not None:
        settling.apply(connection, now)
    connection.execute(_KEYS_OF_NAMED, {"account": account_id})


def learn(
    connection: sqlite3.Connection, account_id: AccountId, sent_ids: Sequence[tuple[int, int]], now: datetime
) -> None:
    """The same where only the ids were told: with the answer to a request that made several messages."""
    connection.execute("delete from temp.incoming")
    recognise(connection, account_id, sent_ids, now)
