"""The application's ``message_jobs``: which may be done now, by whom, and which never will be."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tgworker.embedded import deciding
from tgworker.embedded.jobs import MESSAGE, end_nameless
from tgworker.embedded.peers import find_peer
from tgworker.embedded.values import from_iso, iso, json_object_or_none, seconds, to_json
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.models import AccountId, JobId, JobMessage, MessageId, MessageJob
from tgworker.messaging.records import CancelAnswer
from tgworker.messaging.store_ports import JobTurn
from tgworker.messaging.values import storable

TYPING_FOR = timedelta(seconds=10)
"""Who types is shown for 6 s: what is older than this came too late."""

NAMED_WITHIN_S = 900.0
"""So long after a message was sent its id may still become known."""

MOST_CLAIMS = 10
"""A job that was in hand whenever the worker died, so often in a row, is what it dies of."""

MOST_PAYLOAD = 262_144
"""Characters."""

OPEN_STATES = frozenset({"waiting", "resolving", "deferred", "held", "sending"})

_TELEGRAM = frozenset(AccountKind)

ABOUT_A_MESSAGE = frozenset({"edit", "delete", "react", "pin", "unpin", "forward"})

_OPEN = """
select j.id, j.action, j.status, j.created_at, j.owner_id, j.message_id,
    coalesce(j.integration_account_id, m.integration_account_id, o.integration_account_id,
        (select l.integration_account_id from messages l
            join integration_accounts b on b.id = l.integration_account_id
                and b.type in ('telegram_user', 'telegram_bot')
            where l.conversation_id = c.id order by l.sent_at desc limit 1),
        (select case when count(*) = 1 then min(b.id) end from integration_accounts b
            where b.owner_id = j.owner_id and b.type = 'telegram_user' and b.is_active)) as account_id,
    j.integration_account_id is not null as is_named,
    m.id is not null as has_message, m.owner_id as message_owner, m.channel, m.conversation_id,
    m.message_type, m.external_message_id,
    j.chat_named is not null as names_chat, c.id as chat_id, c.owner_id as chat_owner,
    o.state, o.error, o.parts, o.settled_at, o.chat_id as sent_to, o.cancel_asked_at,
    coalesce(json_array_length(o.files), 0) as files,
    (select count(*) from tgworker_outbox_parts p
        where p.message_id = o.message_id and p.telegram_id is not null) as parts_known,
    k.job_id is not null as is_seen, k.fence, coalesce(k.attempts, 0) as attempts, k.not_before
from (
    select *, rowid as n, case when typeof(payload) = 'text' and json_valid(payload) then
        case when json_type(payload) = 'object' then json_extract(payload, '$.conversation_id') end
        end as chat_named
    from message_jobs where status in ('pending', 'processing')
) j
left join messages m on m.id = j.message_id
left join tgworker_outbox o on o.message_id = j.message_id
left join conversations c on c.id = coalesce(m.conversation_id, j.chat_named)
left join tgworker_job_claims k on k.job_id = j.id
order by j.created_at, j.n
"""

_END_ODD = """
update message_jobs
set status = 'failed', error_message = 'its action or owner_id is not text', processed_at = ?
where status in ('pending', 'processing') and (typeof(action) <> 'text' or typeof(owner_id) <> 'text')
"""

_ACCOUNTS = "select id, owner_id, type from integration_accounts"

_SEE = """
insert into tgworker_job_claims (job_id) select value from json_each(?) where true on conflict do nothing
"""

# (The same claim again, because its answer was lost or its holder forgot it, is no new attempt.)
_CLAIM = """
insert into tgworker_job_claims (job_id, fence, attempts)
select value, :fence, 1 from json_each(:jobs) where true
on conflict (job_id) do update
set attempts = attempts + (fence is not excluded.fence), fence = excluded.fence, not_before = null
"""

_PROCESSING = """
update message_jobs set status = 'processing'
where id in (select value from json_each(?)) and status = 'pending'
"""

_UNSEEN = """
select exists (select 1 from message_jobs j where j.status = 'pending'
        and not exists (select 1 from tgworker_job_claims k where k.job_id = j.id))
    or exists (select 1 from sync_history_jobs j where j.status = 'pending'
        and not exists (select 1 from tgworker_job_claims k where k.job_id = j.id))
    or exists (select 1 from tgworker_login_requests where ended_at is null and ticket is null)
"""

_WAITING = "select count(*) from message_jobs where status = 'pending'"

_END = """
update message_jobs set status = ?, error_message = ?, processed_at = ?
where id = ? and status in ('pending', 'processing')
"""

_OURS = "select 1 from tgworker_job_claims where job_id = ? and fence = ?"

_PUT_BACK = """
update tgworker_job_claims set fence = null, attempts = max(0, attempts - ?), not_before = ? where job_id = ?
"""

_PENDING = "update message_jobs set status = 'pending' where id = ? and status = 'processing'"

_FACTS = """
select j.id, case when length(j.payload) <= :most then j.payload else '' end, j.payload is null, i.value,
    k.attempts,
    (select json_group_array(p.telegram_id) from (
        select telegram_id from tgworker_outbox_parts
        where message_id = j.message_id and telegram_id is not null order by part) p),
    (select json_group_array(t.telegram_id) from (
        select telegram_id from tgworker_message_keys
        where message_id = j.message_id and scope = json_extract(picked.value, '$[1]')
        order by telegram_id) t),
    (select min(t.chat_id) from tgworker_message_keys t
        where t.message_id = j.message_id and t.scope = json_extract(picked.value, '$[1]')),
    (select x.value from conversations d
        join contact_identities x on x.id = d.primary_identity_id and x.type = 'telegram_user'
        where j.message_id is not null and d.owner_id = j.owner_id and d.id =
            case when typeof(j.payload) = 'text' and json_valid(j.payload) then
                case when json_type(j.payload) = 'object' then
                    json_extract(j.payload, '$.conversation_id') end end)
from json_each(:jobs) picked cross join message_jobs j on j.id = json_extract(picked.value, '$[0]')
cross join tgworker_job_claims k on k.job_id = j.id
left join conversations c on c.id = json_extract(picked.value, '$[2]')
left join contact_identities i on i.id = c.primary_identity_id and i.type = 'telegram_user'
order by picked.key
"""


_Accounts = Mapping[str, tuple[str, str]]
"""Owner and type of each."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A job that has not ended, and what it hangs on."""

    id: str
    action: str
    status: str
    created_at: Any
    owner_id: str
    message_id: str | None
    account_id: str | None
    is_named: int
    has_message: int
    message_owner: str | None
    channel: str | None
    conversation_id: str | None
    message_type: str | None
    external_message_id: str | None
    names_chat: int
    chat_id: str | None
    chat_owner: str | None
    state: str | None
    error: str | None
    parts: int | None
    settled_at: float | None
    sent_to: int | None
    cancel_asked_at: float | None
    files: int
    parts_known: int
    is_seen: int
    fence: int | None
    attempts: int
    not_before: float | None

    @property
    def lane(self) -> tuple[str | None, bool]:
        """What it keeps its order in. Typing is about nothing that others do, and is worthless when late."""
        return self.chat_id, self.action == "typing"

    def waits(self, now_s: float) -> bool:
        """Whether its message is not sent yet, or its id is not known yet."""
        if self.action not in ABOUT_A_MESSAGE:
            return False
        if self.state in OPEN_STATES:
            return True
        return (
            self.state == "sent"
            and self.parts_known < (self.parts or 1)
            and self.settled_at is not None
            and self.settled_at + NAMED_WITHIN_S > now_s
        )


class JobNews:
    """Whether another process has filed a job, or a login request, that nobody has looked at."""

    def __init__(self) -> None:
        self._seen: tuple[sqlite3.Connection, int] | None = None

    def look(self, connection: sqlite3.Connection) -> bool:
        """Look; takes microseconds as long as nobody writes."""
        seen = (connection, int(connection.execute("pragma data_version").fetchone()[0]))
        if seen == self._seen:
            return False
        self._seen = seen
        return bool(connection.execute(_UNSEEN).fetchone()[0])


def has_open(connection: sqlite3.Connection) -> bool:
    """Whether there is any job that has not ended."""
    query = "select exists (select 1 from message_jobs where status in ('pending', 'processing'))"
    return bool(connection.execute(query).fetchone()[0])


def claim_jobs(
    connection: sqlite3.Connection,
    fence: int,
    account_ids: Collection[AccountId],
    known: Collection[JobId],
    limit: int,
    now: datetime,
) -> JobTurn:
    """Claim message jobs; see `tgworker.messaging.store_ports.JobStore`.

    It reads every job that is open: they are few, or the application does not look at what becomes of them.
    """
    end_nameless(connection, MESSAGE, now)
    connection.execute(_END_ODD, (iso(now),))
    accounts = {row[0]: (row[1], row[2]) for row in connection.execute(_ACCOUNTS)}
    jobs = _open(connection, accounts)
    connection.execute(_SEE, (to_json([job.id for job in jobs if not job.is_seen]),))
    never = {job.id: reason for job in jobs if (reason := _never(job, accounts, fence, now)) is not None}
    for job_id, reason in never.items():
        _end(connection, job_id, reason, now)
    jobs = [job for job in jobs if job.id not in never]
    taken_back = {job.id for job in jobs if _take_back(connection, job, now)}
    if taken_back:
        jobs = [job for job in _open(connection, accounts) if job.id not in taken_back]
    picked = _pick(jobs, fence, frozenset(account_ids), frozenset(known), seconds(now))[:limit]
    ids = to_json([job.id for job in picked])
    connection.execute(_CLAIM, {"fence": fence, "jobs": ids})
    connection.execute(_PROCESSING, (ids,))
    asked = to_json([(job.id, job.account_id, job.chat_id) for job in picked])
    rows = connection.execute(_FACTS, {"jobs": asked, "most": MOST_PAYLOAD}).fetchall()
    waiting: int = connection.execute(_WAITING).fetchone()[0]
    return JobTurn(tuple(_job(connection, job, row) for job, row in zip(picked, rows, strict=True)), waiting)


def settle_jobs(
    connection: sqlite3.Connection, fence: int, verdicts: Sequence[JobVerdict], now: datetime
) -> None:
    """Write what became of jobs that this fence claimed."""
    for each in verdicts:
        if connection.execute(_OURS, (each.job_id, fence)).fetchone() is None:
            continue
        if each.ended:
            _end(connection, each.job_id, each.error, now)
            continue
        not_before = seconds(now) + each.retry_after_s if each.retry_after_s > 0 else None
        connection.execute(_PUT_BACK, (0 if each.was_tried else 1, not_before, each.job_id))
        connection.execute(_PENDING, (each.job_id,))


def _open(connection: sqlite3.Connection, accounts: _Accounts) -> list[_Open]:
    """The jobs that have not ended, but for those of another channel, which are somebody else's."""
    jobs = (_Open(*row) for row in connection.execute(_OPEN).fetchall())
    return [
        job
        for job in jobs
        if accounts.get(job.account_id or "", ("", AccountKind.USER))[1] in _TELEGRAM
        and (job.is_named or job.channel in {None, "telegram"})
    ]


def _never(job: _Open, accounts: _Accounts, fence: int, now: datetime) -> str | None:
    """Why nobody will ever do it, if so; no account needs to be online for that."""
    if job.fence == fence:
        return None  # it is in hand, and is brought to its end
    if job.account_id is None:
        return "no account: its message and chat had none, and its owner has not just one"
    if job.account_id not in accounts:
        return "its account does not exist"
    if accounts[job.account_id][0] != job.owner_id:
        return "its account belongs to another owner"
    if job.message_id is not None:
        if not job.has_message:
            return "its message does not exist"
        if job.message_owner != job.owner_id:
            return "its message belongs to another owner"
        if job.channel != "telegram":
            return "its message is not on Telegram"
    elif job.chat_id is None:
        if job.names_chat:
            return "its conversation does not exist"
        return "it names no message and no conversation"
    if job.chat_id is not None and job.chat_owner != job.owner_id:
        return "its conversation belongs to another owner"
    if job.action == "typing" and _is_older(job.created_at, now - TYPING_FOR):
        return "it came too late: typing is worth nothing after 10 s"
    if job.attempts >= MOST_CLAIMS:
        return f"given up: the worker ended {job.attempts} times while it had it in hand"
    return None


def _take_back(connection: sqlite3.Connection, job: _Open, now: datetime) -> bool:
    """Delete a message of which nothing has left by cancelling it; returns whether that ends the job."""
    if job.action != "delete" or job.message_id is None or job.state not in OPEN_STATES:
        return False
    if job.cancel_asked_at is not None:
        return False
    message_id = MessageId(job.message_id)
    if deciding.cancel(connection, [message_id], now).get(message_id) is not CancelAnswer.CANCELLED:
        return False
    _end(connection, job.id, None, now)
    return True


def _pick(
    jobs: Sequence[_Open], fence: int, accounts: frozenset[str], known: frozenset[str], now_s: float
) -> list[_Open]:
    """The first of each lane that may be done, what somebody forgot before the rest."""
    lanes: set[tuple[str | None, bool]] = set()
    picked: list[_Open] = []
    for job in jobs:
        if job.lane in lanes or job.waits(now_s):
            continue
        lanes.add(job.lane)
        is_ours = job.fence == fence and job.id in known
        is_due = job.not_before is None or job.not_before <= now_s
        if job.account_id in accounts and is_due and not is_ours:
            picked.append(job)
    return sorted(picked, key=lambda job: job.status == "pending")


def _job(connection: sqlite3.Connection, job: _Open, row: Sequence[Any]) -> MessageJob:
    _, payload, has_none, contact, attempts, parts, keys, chat_id, target = row
    account_id = AccountId(str(job.account_id))
    ids = _numbers(parts) or _numbers(keys)
    if not ids and job.external_message_id is not None and _is_id(job.external_message_id):
        # What the old worker sent has no keys until Telegram tells of it again.
        ids = [int(job.external_message_id)]
    chat = chat_id if chat_id is not None else job.sent_to
    to = str(chat) if chat is not None else contact if isinstance(contact, str) else None
    message = None
    if job.message_id is not None:
        message = JobMessage(
            type=str(job.message_type or "text"),
            state=job.state,
            error=job.error,
            parts=job.parts or 1,
            files=job.files if job.state is not None else int(job.message_type != "text"),
        )
    return MessageJob(
        id=JobId(job.id),
        account_id=account_id,
        action=job.action,
        payload={} if has_none else json_object_or_none(payload),
        to=to,
        peer=None if to is None else find_peer(connection, account_id, to),
        telegram_ids=tuple(ids),
        attempt=attempts,
        message=message,
        target=target,
    )


def _end(connection: sqlite3.Connection, job_id: str, error: str | None, now: datetime) -> None:
    status = "completed" if error is None else "failed"
    connection.execute(_END, (status, None if error is None else storable(error), iso(now), job_id))
    connection.execute("delete from tgworker_job_claims where job_id = ?", (job_id,))


def _is_older(moment: object, than: datetime) -> bool:
    found = from_iso(moment) if isinstance(moment, str) else None
    return found is not None and found < than


def _is_id(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 18


def _numbers(text: str) -> list[int]:
    inner = text.strip("[]")
    return [int(number) for number in inner.split(",")] if inner else []
