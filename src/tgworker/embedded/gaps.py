"""What the update log did not tell: jobs that read it from the history of its chat."""

import sqlite3
from collections.abc import Sequence

from tgworker.embedded.chats import make_chats
from tgworker.embedded.values import new_id, to_json
from tgworker.messaging.models import AccountId
from tgworker.messaging.update_batches import Gap

# One job that waits is enough for a chat, however many gaps it has: it begins at the newest message. One that
# is being processed may have read past this gap already.
_JOBS = """
insert into temp.gap_jobs (job_id, chat_id)
select json_extract(g.value, '$[2]'), json_extract(g.value, '$[0]')
from json_each(:gaps) g
where not exists (select 1 from tgworker_message_keys k where k.scope = :account
        and k.telegram_id = json_extract(g.value, '$[1]') and k.chat_id = json_extract(g.value, '$[0]')
        and k.from_log = 1)
    and not exists (select 1 from tgworker_gap_jobs f cross join sync_history_jobs j on j.id = f.job_id
        where f.integration_account_id = :account and f.chat_id = json_extract(g.value, '$[0]')
            and j.status = 'pending')
on conflict do nothing
"""

# As if a message of the owner's had come from there: what `make_chats` looks at.
_AS_INCOMING = """
insert into temp.incoming (chat_id, telegram_id, outgoing, text, message_type, sent_at, message_id)
select chat_id, 0, 1, '', '', '', job_id from temp.gap_jobs
"""

_FILE = """
insert into sync_history_jobs (id, owner_id, workspace_id, conversation_id, integration_account_id,
    telegram_id, telegram_name, is_group, limit_messages)
select g.job_id, :owner, :workspace, c.conversation_id, :account, cast(g.chat_id as text),
    coalesce(p.title, nullif(trim(coalesce(p.first_name, '') || ' ' || coalesce(p.last_name, '')), '')),
    g.chat_id < 0, :limit
from temp.gap_jobs g
cross join temp.chats c on c.chat_id = g.chat_id
left join tgworker_peers p on p.integration_account_id = :account and p.chat_id = g.chat_id
"""

_MARK = """
insert into tgworker_gap_jobs (job_id, integration_account_id, chat_id, known_top)
select g.job_id, :account, g.chat_id, (
    select k.telegram_id from tgworker_message_keys k
    where k.scope = :account and k.chat_id = g.chat_id and k.from_log = 1
    order by k.telegram_id desc limit 1)
from temp.gap_jobs g
"""

LIMIT_MESSAGES = 500
"""What a job that was filed for a gap says: as many as there may be."""


def file_gaps(
    connection: sqlite3.Connection,
    account_id: AccountId,
    owner_id: str,
    workspace_id: str | None,
    gaps: Sequence[Gap],
) -> None:
    """File a history job for each chat with a gap that has none waiting; see `Gap`."""
    rows = [(gap.chat_id, gap.top_id, new_id()) for gap in gaps]
    owned = {"account": account_id, "owner": owner_id, "workspace": workspace_id, "limit": LIMIT_MESSAGES}
    connection.execute("delete from temp.gap_jobs")
    if connection.execute(_JOBS, {"account": account_id, "gaps": to_json(rows)}).rowcount == 0:
        return
    connection.execute("delete from temp.incoming")
    connection.execute(_AS_INCOMING)
    make_chats(connection, account_id, owner_id, workspace_id)
    connection.execute(_FILE, owned)
    connection.execute(_MARK, {"account": account_id})
