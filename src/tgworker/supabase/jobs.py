"""Jobs: the application's ``sync_history_jobs`` and ``message_jobs``."""

import math
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import trio

from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.models import (
    AccountHistory,
    AccountId,
    HistoryJob,
    JobId,
    JobMessage,
    MessageJob,
    Peer,
)
from tgworker.messaging.store_ports import JobTurn
from tgworker.messaging.values import storable
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import PeerRow, Row, fences_json, peers_json

COUNT_AGAIN_S = 1.0
"""Both tables are counted in one call: who asks for the other one within this time gets the same answer."""

LOOK_AGAIN_S = 29.0
"""The same for what is only shown, or looked at in case that no wake-up told of it. Less than the loops'
30 s: of two who ask so often one gets what the other was told."""


class _Job(Row):
    job_id: JobId
    account: AccountId
    fence: int
    to: str | None
    peer: PeerRow | None


class _Whole(Row):
    cursor: str | None
    is_listed: bool
    failed: int
    is_ended: bool = False


class _History(_Job):
    is_group: bool
    limit_messages: int
    messages_synced: int
    fills_gap: bool
    known_top: int | None
    below: int
    seen: int
    tries: int
    whole: _Whole | None = None
    part_of: JobId | None = None
    takeout: str | None = None


class _About(Row):
    type: str
    state: str | None
    error: str | None
    parts: int
    files: int


class _Message(_Job):
    attempt: int
    action: str
    payload: dict[str, Any] | None
    telegram_ids: list[int]
    message: _About | None
    target: str | None


class _Histories(Row):
    jobs: list[_History]


class _Messages(Row):
    jobs: list[_Message]
    waiting: int = 0


_Jobs = TypeVar("_Jobs", _Histories, _Messages)


class _Finished(Row):
    finished: list[JobId]
    stale: list[JobId]


class _Settled(Row):
    settled: list[JobId]
    stale: list[JobId]


class _Pending(Row):
    history: int
    jobs: int
    unsure: int
    logins: int


class Jobs:
    """Fills the job side of `tgworker.messaging.store_ports`: history, jobs, what is pending.

    Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are claimed with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases
        # Under which token each job was claimed that has not ended.
        self._fences: dict[JobId, int] = {}
        self._counted = _Pending(0, 0, 0, 0)
        self._counted_at_s = -math.inf
        self._counting = trio.Lock()

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        """See the port."""
        answer = await self._claim("tgworker_claim_history", account_ids, known, limit, _Histories)
        return [
            HistoryJob(
                id=row.job_id,
                account_id=row.account,
                to=row.to or "",
                peer=None if row.peer is None else row.peer.peer(),
                is_group=row.is_group,
                limit_messages=row.limit_messages,
                messages_synced=row.messages_synced,
                fills_gap=row.fills_gap,
                known_top=row.known_top,
                below=row.below,
                seen=row.seen,
                tries=row.tries,
                whole=None
                if row.whole is None
                else AccountHistory(
                    row.whole.cursor, row.whole.is_listed, row.whole.failed, row.whole.is_ended
                ),
                part_of=row.part_of,
                takeout=row.takeout,
            )
            for row in answer.jobs
        ]

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        """See the port."""
        answer = await self._claim("tgworker_claim_jobs", account_ids, known, limit, _Messages)
        jobs = tuple(
            MessageJob(
                id=row.job_id,
                account_id=row.account,
                action=row.action,
                payload=row.payload,
                to=row.to,
                peer=None if row.peer is None else row.peer.peer(),
                telegram_ids=tuple(row.telegram_ids),
                attempt=row.attempt,
                message=_about(row.message),
                target=row.target,
            )
            for row in answer.jobs
        )
        return JobTurn(jobs, answer.waiting)

    async def finish(self, job_id: JobId, *, error: str | None = None) -> None:
        """See the port ``finish_history``."""
        fence = self._fences.get(job_id)
        if fence is None:
            return  # it ended already, or was never ours
        item = {"job_id": job_id, "fence": fence, "error": None if error is None else storable(error)}
        await self._rest.call("tgworker_finish_jobs", {"p_items": [item]}, _Finished)
        self._fences.pop(job_id, None)

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        chats = list(dict.fromkeys(chat_ids))
        said = {"p_chats": chats, "p_peers": peers_json(peers), "p_cursor": cursor}
        await self._say("tgworker_file_chats", job, said)

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._say("tgworker_keep_takeout", job, {"p_takeout": takeout})

    async def put_off(self, job: HistoryJob, seconds: float, note: str) -> None:
        """See the port ``put_history_off``."""
        said = {"p_seconds": seconds, "p_note": storable(note)}
        await self._say("tgworker_put_history_off", job, said)

    async def _say(self, function: str, job: HistoryJob, said: dict[str, Any]) -> None:
        fence = self._leases.fence(job.account_id)
        with raised_for(self._leases, job.account_id):
            asked = {"p_account": job.account_id, "p_fence": fence, "p_job": job.id, **said}
            await self._rest.do(function, asked)

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        """See the port."""
        items = [
            {
                "job_id": each.job_id,
                "fence": self._fences[each.job_id],
                "ended": each.ended,
                "error": None if each.error is None else storable(each.error),
                "retry_after_s": each.retry_after_s,
                "was_tried": each.was_tried,
            }
            for each in verdicts
            if each.job_id in self._fences  # others ended already, or were never ours
        ]
        if not items:
            return
        await self._rest.call("tgworker_settle_jobs", {"p_items": items}, _Settled)
        for each in verdicts:
            self._fences.pop(each.job_id, None)

    async def count_history(self) -> int:
        """See the port."""
        return (await self._count()).history

    async def count_jobs(self) -> int:
        """See the port."""
        return (await self._count(LOOK_AGAIN_S)).jobs

    async def count_unsure(self) -> int:
        """See `tgworker.messaging.store_ports.Sweeper`."""
        return (await self._count(LOOK_AGAIN_S)).unsure

    async def count_logins(self) -> int:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        return (await self._count(LOOK_AGAIN_S)).logins

    async def _count(self, again_s: float = COUNT_AGAIN_S) -> _Pending:
        # (Who asks in the same moment waits for the answer to the first.)
        async with self._counting:
            if trio.current_time() - self._counted_at_s > again_s:
                self._counted = await self._rest.call("tgworker_count_pending", {}, _Pending)
                self._counted_at_s = trio.current_time()
            return self._counted

    async def _claim(
        self,
        function: str,
        account_ids: Collection[AccountId],
        known: Collection[JobId],
        limit: int,
        answer: type[_Jobs],
    ) -> _Jobs:
        fences = self._leases.fences(account_ids)
        if not fences and answer is _Histories:
            return answer([])
        claimed = await self._rest.call(
            function,
            {
                "p_holder": self._leases.holder,
                "p_accounts": fences_json(fences),
                "p_known": sorted(known),
                "p_limit": limit,
            },
            answer,
        )
        self._fences.update((row.job_id, row.fence) for row in claimed.jobs)
        return claimed


def _about(row: _About | None) -> JobMessage | None:
    return None if row is None else JobMessage(row.type, row.state, row.error, row.parts, row.files)
