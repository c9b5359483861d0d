"""History jobs for whole accounts: those of their chats, their takeout session, and what they wait for."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from tgworker.embedded.inbound import owner_of
from tgworker.embedded.peers import save_peers
from tgworker.embedded.values import new_id, seconds, to_json
from tgworker.messaging.models import WHOLE_ACCOUNT, AccountHistory, AccountId, HistoryJob, JobId, Peer

_BEGIN = """
insert into tgworker_account_histories (job_id, integration_account_id)
select id, integration_account_id from sync_history_jobs
where id in (select value from json_each(?)) and telegram_id in ('all', '0')
on conflict (job_id) do nothing
"""

_CHATS = """
insert into tgworker_account_chats (job_id, whole_id, chat_id, n)
select json_extract(c.value, '$[1]'), :whole, json_extract(c.value, '$[0]'),
    c.key + (select coalesce(max(n) + 1, 0) from tgworker_account_chats where whole_id = :whole)
from json_each(:chats) c
where exists (select 1 from sync_history_jobs s where s.id = json_extract(c.value, '$[1]'))
"""

_FILE = """
insert into sync_history_jobs (id, owner_id, workspace_id, integration_account_id, telegram_id,
    telegram_name, is_group, limit_messages)
select json_extract(c.value, '$[1]'), w.owner_id, w.workspace_id, w.integration_account_id,
    cast(json_extract(c.value, '$[0]') as text),
    coalesce(p.title, nullif(trim(coalesce(p.first_name, '') || ' ' || coalesce(p.last_name, '')), '')),
    json_extract(c.value, '$[0]') < 0, w.limit_messages
from json_each(:chats) c
join sync_history_jobs w on w.id = :whole
left join tgworker_peers p on p.integration_account_id = w.integration_account_id
    and p.chat_id = json_extract(c.value, '$[0]')
where not exists (select 1 from tgworker_account_chats t
    where t.whole_id = :whole and t.chat_id = json_extract(c.value, '$[0]'))
order by c.key
"""

_ARE_ABANDONED = """
from tgworker_account_histories h where h.takeout is not null
    and not exists (select 1 from sync_history_jobs j
        where j.id = h.job_id and j.status in ('pending', 'processing'))
"""

_ABANDONED = f"""
select h.job_id, h.integration_account_id, h.takeout {_ARE_ABANDONED}
    and h.integration_account_id in (select value from json_each(:accounts))
    and h.job_id not in (select value from json_each(:known))
"""  # noqa: S608 - put together from constants

_COUNT_ABANDONED = f"select count(*) {_ARE_ABANDONED}"

_END = """
update tgworker_account_histories as h set takeout = null, chats = c.chats, failed = c.failed
from (select count(*) as chats, count(*) filter (where s.status = 'failed') as failed
    from tgworker_account_chats t join sync_history_jobs s on s.id = t.job_id where t.whole_id = :job) c
where h.job_id = :job and exists (
    select 1 from sync_history_jobs w where w.id = :job and w.status not in ('pending', 'processing'))
returning chats, failed
"""


def begin(connection: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    """Note those of these jobs that are for whole accounts."""
    connection.execute(_BEGIN, (to_json(job_ids),))


def file_chats(
    connection: sqlite3.Connection,
    job: HistoryJob,
    chat_ids: Sequence[int],
    peers: Sequence[Peer],
    cursor: str | None,
) -> None:
    """File a job for each chat that has none by this one; see `HistoryStore.file_chats`."""
    owner_id, _ = owner_of(connection, job.account_id)
    save_peers(connection, job.account_id, owner_id, peers)
    filed = {
        "whole": job.id,
        "chats": to_json([(each, new_id()) for each in dict.fromkeys(chat_ids)]),
    }
    connection.execute(_FILE, filed)
    connection.execute(_CHATS, filed)
    connection.execute(
        "update tgworker_account_histories set cursor = ?, is_listed = ? where job_id = ?",
        (cursor, cursor is None, job.id),
    )
    connection.execute(
        "update sync_history_jobs set error_message = null where id = ? and status = 'processing'", (job.id,)
    )
    connection.execute(
        "update tgworker_job_claims set tries = 0, fence = iif(?, null, fence) where job_id = ?",
        (cursor is None, job.id),
    )


def abandoned(
    connection: sqlite3.Connection, account_ids: Collection[AccountId], known: Collection[JobId]
) -> list[HistoryJob]:
    """What is left of jobs for whole accounts that the application has ended: their takeout sessions."""
    asked = {"accounts": to_json(sorted(account_ids)), "known": to_json(sorted(known))}
    ended = AccountHistory(is_listed=True, is_ended=True)
    return [
        HistoryJob(
            JobId(job_id), AccountId(account), WHOLE_ACCOUNT, None, False, 0, 0, whole=ended, takeout=takeout
        )
        for job_id, account, takeout in connection.execute(_ABANDONED, asked)
    ]


def count_abandoned(connection: sqlite3.Connection) -> int:
    """How many of them there are."""
    count: int = connection.execute(_COUNT_ABANDONED).fetchone()[0]
    return count


def keep_takeout(connection: sqlite3.Connection, job: HistoryJob, takeout: str | None) -> None:
    """See `HistoryStore.keep_takeout`."""
    connection.execute(
        "update tgworker_account_histories set takeout = ? where job_id = ?",
        (takeout, job.part_of or job.id),
    )
    connection.execute(
        "delete from tgworker_account_histories where job_id = ? and takeout is null"
        " and not exists (select 1 from sync_history_jobs where id = job_id)",
        (job.id,),
    )


def put_off(connection: sqlite3.Connection, job_id: JobId, wait_s: float, note: str, now: datetime) -> None:
    """See `HistoryStore.put_history_off`."""
    connection.execute(
        "update sync_history_jobs set status = 'pending', error_message = ?"
        " where id = ? and status = 'processing'",
        (note, job_id),
    )
    connection.execute(
        "update tgworker_account_histories set not_before = ? where job_id = ?",
        (seconds(now + timedelta(seconds=wait_s)), job_id),
    )
    connection.execute("update tgworker_job_claims set fence = null, tries = 0 where job_id = ?", (job_id,))


def add_synced(connection: sqlite3.Connection, job_id: JobId, new: int) -> None:
    """Count what a chat's job has found for the account's, too."""
    connection.execute(
        "update sync_history_jobs set messages_synced = messages_synced + ?"
        " where id = (select whole_id from tgworker_account_chats where job_id = ?)",
        (new, job_id),
    )


def end(connection: sqlite3.Connection, job_id: JobId, error: str | None) -> None:
    """A job has ended: what is kept of one for a whole account is how many chats it had."""
    ended = connection.execute(_END, {"job": job_id}).fetchone()
    if ended is None:
        return
    chats, failed = ended
    if error is None and failed:
        connection.execute(
            "update sync_history_jobs set error_message = ? where id = ?",
            (some_failed(failed, chats), job_id),
        )
    connection.execute("delete from tgworker_account_chats where whole_id = ?", (job_id,))


def some_failed(failed: int, chats: int) -> str:
    """What a job for a whole account says that has ended and could not read all."""
    return f"{failed} of {chats} chats could not be read: their own jobs say why"
