"""What the embedded store forgets: old settled rows of the outbox, and claims of jobs that are none any more.

The outbox has no index by age: each settle would pay for it. It is walked instead, a bounded piece at a time.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tgworker.embedded.values import seconds, to_json
from tgworker.messaging.limits import Retention

AT_ONCE: Final = 2000
"""So many rows are looked at in one piece: a millisecond or two."""

_OUTBOX = """
select seq, case
    when state in ('sent', 'cancelled', 'expired') then settled_at < :old
    when state in ('dead', 'unsure') then settled_at < :old_failed end
from tgworker_outbox where seq > :after order by seq limit :limit
"""

_CLAIMS = """
select c.job_id from tgworker_job_claims c
where not exists (select 1 from sync_history_jobs j where j.id = c.job_id and j.status = 'processing')
    and not exists (select 1 from message_jobs j
        where j.id = c.job_id and j.status in ('pending', 'processing'))
limit :limit
"""

# What a row or a job has become since it was looked at decides again.
_REMOVE_ROWS = """
delete from tgworker_outbox where seq in (select value from json_each(:rows)) and (
    (state in ('sent', 'cancelled', 'expired') and settled_at < :old)
    or (state in ('dead', 'unsure') and settled_at < :old_failed))
"""

# Of whole accounts that the application has ended, or removed.
_CHATS = """
select t.job_id from tgworker_account_chats t
where not exists (select 1 from sync_history_jobs w
        where w.id = t.whole_id and w.status in ('pending', 'processing'))
    and not exists (select 1 from sync_history_jobs j
        where j.id = t.job_id and j.status in ('pending', 'processing'))
limit :limit
"""

_FILES = """
select message_id from tgworker_files
where settled_at is not null and settled_at < max(:old, :old_failed)
    and settled_at < case state when 'failed' then :old_failed else :old end
limit :limit
"""

_REMOVE_FILES = """
delete from tgworker_files where message_id in (select value from json_each(:files)) and state <> 'pending'
"""

_REMOVE_CLAIMS = f"""
delete from tgworker_job_claims
where job_id in (select value from json_each(:claims)) and job_id in ({_CLAIMS.replace(":limit", "-1")})
"""  # noqa: S608 - constants

_REMOVE_CHATS = "delete from tgworker_account_chats where job_id in (select value from json_each(:chats))"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the walk.

    Attributes:
        rows: Rows of the outbox that are old enough.
        claims: Claims of jobs that nobody processes.
        chats: Jobs for chats that belong to no job for a whole account any more.
        files: What became of files of messages, where that is old enough.
        after: Where the next piece begins; 0: at the beginning again.
    """

    rows: list[int]
    claims: list[str]
    chats: list[str]
    files: list[str]
    after: int

    def __bool__(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.rows or self.claims or self.chats or self.files)

    @property
    def is_full(self) -> bool:
        """Whether there is certainly more."""
        return len(self.files) == AT_ONCE


def look(connection: sqlite3.Connection, after: int, retention: Retention, now: datetime) -> Piece:
    """Look through the next piece. Reads only."""
    seen = connection.execute(_OUTBOX, {**_ages(retention, now), "after": after, "limit": AT_ONCE}).fetchall()
    claims = [job_id for (job_id,) in connection.execute(_CLAIMS, {"limit": AT_ONCE})]
    chats = [job_id for (job_id,) in connection.execute(_CHATS, {"limit": AT_ONCE})]
    files = [row for (row,) in connection.execute(_FILES, {**_ages(retention, now), "limit": AT_ONCE})]
    after = seen[-1][0] if len(seen) == AT_ONCE else 0
    return Piece([seq for seq, is_due in seen if is_due], claims, chats, files, after)


def remove(connection: sqlite3.Connection, piece: Piece, retention: Retention, now: datetime) -> None:
    """Remove what `look` found, as far as it still is what it was; parts go with their rows."""
    connection.execute(_REMOVE_ROWS, {**_ages(retention, now), "rows": to_json(piece.rows)})
    connection.execute(_REMOVE_FILES, {"files": to_json(piece.files)})
    connection.execute(_REMOVE_CHATS, {"chats": to_json(piece.chats)})
    connection.execute(_REMOVE_CLAIMS, {"claims": to_json(piece.claims)})


def _ages(retention: Retention, now: datetime) -> dict[str, float]:
    return {
        "old": seconds(now - timedelta(days=retention.days)),
        "old_failed": seconds(now - timedelta(days=retention.failed_days)),
    }
