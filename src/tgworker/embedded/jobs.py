"""The application's ``sync_history_jobs``, and how many jobs of either table wait."""

import sqlite3
from collections.abc import Collection
from datetime import datetime

from tgworker.embedded import account_histories
from tgworker.embedded.peers import find_peer
from tgworker.embedded.values import is_key, iso, seconds, to_json, whole
from tgworker.messaging.models import AccountHistory, AccountId, HistoryJob, JobId

HISTORY = "sync_history_jobs"
MESSAGE = "message_jobs"

# First what somebody held who is no more: claimed under an older fence, or under this one and forgotten.
# Behind what people asked for come the chats of whole accounts. Each account gets one, then each a second.
_OPEN = """
select id from (
    select j.id, row_number() over (
            partition by j.integration_account_id
            order by j.status = 'pending', t.job_id is not null, j.created_at, t.n, j.rowid) as nth,
        j.status = 'pending' as fresh, t.job_id is not null as filed, j.created_at, t.n, j.rowid as place
    from sync_history_jobs j
    left join tgworker_job_claims c on c.job_id = j.id
    left join tgworker_account_chats t on t.job_id = j.id
    left join tgworker_account_histories h on h.job_id = j.id
    where j.integration_account_id in (select value from json_each(:accounts))
        and (j.status = 'pending' or (j.status = 'processing' and (c.fence is null or c.fence <> :fence
            or j.id not in (select value from json_each(:known)))))
        -- A whole account waits for its time, for its chats, and for another such job that has begun.
        and (h.not_before is null or h.not_before <= :now)
        and not (coalesce(h.is_listed, 0) and exists (
            select 1 from tgworker_account_chats u join sync_history_jobs s on s.id = u.job_id
            where u.whole_id = j.id and s.status in ('pending', 'processing')))
        and not (j.telegram_id in ('all', '0') and h.job_id is null and exists (
            select 1 from tgworker_account_histories o join sync_history_jobs s on s.id = o.job_id
            where o.integration_account_id = j.integration_account_id
                and s.status in ('pending', 'processing')))
)
order by nth, fresh, filed, created_at, n, place limit :limit
"""

# (A reference takes away what names an account that is removed: but an application's connection need not
# enforce it.)
_END_UNASSIGNED = """
update sync_history_jobs as j
set status = 'failed', processed_at = ?, error_message = case
    when j.integration_account_id is null then 'the job names no account'
    else 'its account does not exist' end
where j.status in ('pending', 'processing')
    and not exists (select 1 from integration_accounts a where a.id = j.integration_account_id)
"""

_CLAIM = """
insert into tgworker_job_claims (job_id, fence) select value, :fence from json_each(:jobs) where true
on conflict (job_id) do update set fence = excluded.fence, tries = tries + 1
"""

_HISTORY_ROWS = """
select case when j.owner_id is not a.owner_id then 'its account belongs to another owner'
        when c.id is not null and c.owner_id is not j.owner_id
        then 'its conversation belongs to another owner'
        when t.job_id is not null and not exists (select 1 from sync_history_jobs w
            where w.id = t.whole_id and w.status in ('pending', 'processing'))
        then 'the job for the whole account was ended' end,
    j.id, j.integration_account_id, coalesce(nullif(j.telegram_id, ''), i.value), j.is_group,
    j.limit_messages,
    j.messages_synced, g.job_id is not null, g.known_top, k.below, k.seen, k.tries,
    t.whole_id, coalesce(h.takeout, w.takeout), h.job_id is not null, h.cursor, h.is_listed,
    (select count(*) from tgworker_account_chats u join sync_history_jobs s on s.id = u.job_id
        where h.job_id is not null and u.whole_id = h.job_id and s.status = 'failed')
from json_each(?) picked cross join sync_history_jobs j on j.id = picked.value
cross join tgworker_job_claims k on k.job_id = j.id
left join integration_accounts a on a.id = j.integration_account_id
left join tgworker_gap_jobs g on g.job_id = j.id
left join tgworker_account_histories h on h.job_id = j.id
left join tgworker_account_chats t on t.job_id = j.id
left join tgworker_account_histories w on w.job_id = t.whole_id
left join conversations c on c.id = j.conversation_id
left join contact_identities i on i.id = c.primary_identity_id and i.type = 'telegram_user'
order by picked.key
"""


def count_pending(connection: sqlite3.Connection, table: str) -> int:
    """How many jobs of a table wait."""
    open_ones = "status in ('pending', 'processing')"
    query = f"select count(*) from {table} where {open_ones}"  # noqa: S608 - constants
    count: int = connection.execute(query).fetchone()[0]
    return count + (account_histories.count_abandoned(connection) if table == HISTORY else 0)


def end_nameless(connection: sqlite3.Connection, table: str, now: datetime) -> None:
    """Fail the open jobs of a table whose id is no text: nobody could claim them, or settle them."""
    ids = f"select rowid, id from {table} where status in ('pending', 'processing')"  # noqa: S608 - constants
    nameless = [row for row, job_id in connection.execute(ids) if not is_key(job_id)]
    if nameless:
        connection.execute(
            f"update {table} set status = 'failed', error_message = 'its id is not text',"  # noqa: S608
            " processed_at = ? where rowid in (select value from json_each(?))",
            (iso(now), to_json(nameless)),
        )


def claim_history(
    connection: sqlite3.Connection,
    fence: int,
    account_ids: Collection[AccountId],
    known: Collection[JobId],
    limit: int,
    now: datetime,
) -> list[HistoryJob]:
    """Claim history jobs; one that names no chat, or what is another owner's, fails on the way."""
    claimed: list[HistoryJob] = []
    end_nameless(connection, HISTORY, now)
    connection.execute(_END_UNASSIGNED, (iso(now),))
    picked = _claim(connection, fence, account_ids, known, limit, now)
    account_histories.begin(connection, picked)
    for row in connection.execute(_HISTORY_ROWS, (to_json(picked),)).fetchall():
        refusal, job_id, account_id, to, is_group, limit_messages, synced, fills_gap, known_top, *come = row
        part_of, takeout, is_whole, cursor, is_listed, failed = come[3:]
        if refusal is not None:
            finish(connection, JobId(job_id), refusal, now)
            continue
        if to is None:
            finish(connection, JobId(job_id), "the job names no chat", now)
            continue
        if not isinstance(to, str):
            finish(connection, JobId(job_id), "the job's telegram_id is not text", now)
            continue
        claimed.append(
            HistoryJob(
                id=JobId(job_id),
                account_id=AccountId(account_id),
                to=to,
                peer=None if is_whole else find_peer(connection, AccountId(account_id), to),
                is_group=bool(is_group),
                limit_messages=max(0, whole(limit_messages, 100)),
                messages_synced=whole(synced, 0),
                fills_gap=bool(fills_gap),
                known_top=known_top,
                below=come[0],
                seen=come[1],
                tries=come[2],
                whole=AccountHistory(cursor, bool(is_listed), failed) if is_whole else None,
                part_of=part_of,
                takeout=takeout,
            )
        )
    return claimed + account_histories.abandoned(connection, account_ids, known)


def add_synced(
    connection: sqlite3.Connection, job_id: JobId, new: int, *, below: int, seen: int, total: int | None
) -> None:
    """Add to what a history job has found, and note how far it has come."""
    connection.execute(
        "update sync_history_jobs set messages_synced = messages_synced + ? where id = ?", (new, job_id)
    )
    connection.execute(
        "update tgworker_job_claims set below = ?, seen = ?, total = coalesce(?, total), tries = 0"
        " where job_id = ?",
        (below, seen, total, job_id),
    )
    account_histories.add_synced(connection, job_id, new)


def finish(connection: sqlite3.Connection, job_id: JobId, error: str | None, now: datetime) -> None:
    """End a job that is being processed; one that has ended stays as it is."""
    connection.execute(
        "update sync_history_jobs set status = ?, error_message = ?, processed_at = ?"
        " where id = ? and status = 'processing'",
        ("completed" if error is None else "failed", error, iso(now), job_id),
    )
    account_histories.end(connection, job_id, error)
    connection.execute("delete from tgworker_job_claims where job_id = ?", (job_id,))
    connection.execute("delete from tgworker_gap_jobs where job_id = ?", (job_id,))


def _claim(
    connection: sqlite3.Connection,
    fence: int,
    account_ids: Collection[AccountId],
    known: Collection[JobId],
    limit: int,
    now: datetime,
) -> list[str]:
    picked = [
        job_id
        for (job_id,) in connection.execute(
            _OPEN,
            {
                "accounts": to_json(sorted(account_ids)),
                "fence": fence,
                "known": to_json(sorted(known)),
                "limit": limit,
                "now": seconds(now),
            },
        )
    ]
    jobs = to_json(picked)
    connection.execute(_CLAIM, {"fence": fence, "jobs": jobs})
    connection.execute(
        "update sync_history_jobs set status = 'processing' where id in (select value from json_each(?))",
        (jobs,),
    )
    return picked
