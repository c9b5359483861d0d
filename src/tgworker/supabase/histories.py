"""History jobs as people ask for them."""

from collections.abc import Collection, Sequence

import msgspec

from tgworker.messaging.models import AccountId, JobId
from tgworker.messaging.records import HistoryRecord
from tgworker.messaging.values import new_id, storable
from tgworker.supabase.insisting import insist
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Requested(Row):
    job_id: JobId


class _History(Row):
    job_id: JobId
    account_id: AccountId | None = msgspec.field(name="account")
    to: str | None
    status: str
    limit_messages: int
    synced: int
    seen: int
    total: int | None
    error: str | None
    part_of: JobId | None = None
    chats: int | None = None
    chats_done: int = 0
    chats_failed: int = 0
    is_listed: bool = False


class Histories:
    """Fills `tgworker.messaging.books.HistoryBook`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def request(self, account_id: AccountId, to: str, limit: int) -> JobId:
        """See the book: ``request_history``. Where nobody answers, the same row is given a few times."""
        job_id = JobId(new_id())
        asked = {"p_account": account_id, "p_job": job_id, "p_to": storable(to), "p_limit": limit}
        with raised_for(None, None):
            await insist(self._rest, "tgworker_request_history", asked, _Requested)
        return job_id

    async def list(self, job_ids: Collection[JobId] | None, limit: int) -> Sequence[HistoryRecord]:
        """See the book: ``histories``."""
        ids = None if job_ids is None else sorted(job_ids)
        rows = await self._rest.call("tgworker_histories", {"p_ids": ids, "p_limit": limit}, list[_History])
        return [HistoryRecord(**msgspec.structs.asdict(row)) for row in rows]
