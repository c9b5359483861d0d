"""History jobs as people ask for them."""

import sqlite3
from collections.abc import Collection

from tgworker.embedded.enqueue import known_conversation, recipient
from tgworker.embedded.inbound import owner_of
from tgworker.embedded.values import new_id, to_json, whole
from tgworker.messaging.models import WHOLE_ACCOUNT, AccountId, JobId
from tgworker.messaging.records import HistoryRecord

_REQUEST = """
insert into sync_history_jobs (id, owner_id, workspace_id, conversation_id, integration_account_id,
    telegram_id, is_group, limit_messages)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""

_SELECT = """
select j.id, j.integration_account_id,
    case when j.telegram_id in ('all', '0') then 'all' else coalesce(nullif(j.telegram_id, ''), i.value) end,
    j.status,
    j.limit_messages, j.messages_synced, coalesce(k.seen, 0), k.total, j.error_message, t.whole_id,
    h.job_id is not null, h.is_listed, coalesce(h.chats, n.chats, 0),
    coalesce(h.chats, n.ended, 0), coalesce(h.failed, n.failed, 0)
from sync_history_jobs j
left join tgworker_account_chats t on t.job_id = j.id
left join tgworker_account_histories h on h.job_id = j.id
left join (
    select u.whole_id, count(*) as chats, count(*) filter (where s.status = 'failed') as failed,
        count(*) filter (where s.status not in ('pending', 'processing')) as ended
    from tgworker_account_chats u join sync_history_jobs s on s.id = u.job_id group by u.whole_id
) n on n.whole_id = j.id
left join tgworker_job_claims k on k.job_id = j.id
left join conversations c on c.id = j.conversation_id
left join contact_identities i on i.id = c.primary_identity_id and i.type = 'telegram_user'
"""


def request_history(connection: sqlite3.Connection, account_id: AccountId, to: str, limit: int) -> JobId:
    """File a job; see `tgworker.messaging.books.HistoryBook`."""
    owner_id, workspace_id = owner_of(connection, account_id)
    conversation_id = known_conversation(connection, owner_id, to.strip())
    if to.strip() == WHOLE_ACCOUNT:
        value: str | None = WHOLE_ACCOUNT
    else:
        value = None if conversation_id is not None else recipient(to.strip())
    job_id = JobId(new_id())
    is_group = value is not None and value.startswith("-")
    connection.execute(
        _REQUEST, (job_id, owner_id, workspace_id, conversation_id, account_id, value, is_group, limit)
    )
    return job_id


def list_histories(
    connection: sqlite3.Connection, job_ids: Collection[JobId] | None, limit: int
) -> list[HistoryRecord]:
    """These jobs, or those that have not ended."""
    which = "j.status in ('pending', 'processing')"
    asked: tuple[str | int, ...] = (limit,)
    if job_ids is not None:
        which = "j.id in (select value from json_each(?))"
        asked = (to_json(sorted(job_ids)), limit)
    rows = connection.execute(
        f"{_SELECT} where {which} order by t.job_id is not null, j.created_at, t.n, j.rowid limit ?", asked
    )
    return [
        HistoryRecord(
            job_id=job_id,
            account_id=account_id,
            to=None if to is None else str(to),
            status=str(status),
            limit_messages=whole(limit_messages, 0),
            synced=whole(synced, 0),
            seen=seen,
            total=total,
            error=error,
            part_of=part_of,
            chats=whole_account[2] if whole_account[0] else None,
            chats_done=whole_account[3],
            chats_failed=whole_account[4],
            is_listed=bool(whole_account[1]),
        )
        for (
            job_id,
            account_id,
            to,
            status,
            limit_messages,
            synced,
            seen,
            total,
            error,
            part_of,
            *whole_account,
        ) in rows
    ]
