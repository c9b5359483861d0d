"""Message jobs in the hands of the account that holds the line."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn, assert_never

import trio

from tgworker.messaging.account_kinds import Ability, AccountKind, lack
from tgworker.messaging.bounded import Outage
from tgworker.messaging.changes import Deleted
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import JobFinished, Report
from tgworker.messaging.gate import Gate
from tgworker.messaging.job_actions import (
    ACTIONS,
    Action,
    Delete,
    Edit,
    Forward,
    MarkRead,
    Pin,
    React,
    Typing,
    is_gone,
    job_random_id,
    read_action,
)
from tgworker.messaging.job_desk import JobDesk, JobFlight
from tgworker.messaging.job_edits import plan_edit
from tgworker.messaging.job_outcomes import Done, JobAnswer, JobOutcome
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, MessageJob, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Released, Unknown
from tgworker.messaging.planning import Format
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.store_ports import InboundStore
from tgworker.messaging.update_batches import UpdateBatch

AT_ONCE = 4
"""In so many chats one account does jobs at the same time: one that hangs for 30 s holds nobody up."""

COURTESY_S = 0.5
"""So long a job waits for sends that are on their way. An account that always sends must get on, too."""


class JobDoer:
    """Does the jobs of one account while its line lives. Several tasks may `run` it at once.

    Args:
        account_id: The account.
        pulse: Shows the operations; the line's keepalive beats.
        desk: The account's jobs: never two of one conversation at a time.
        sends: The account's desk of attempts: what is sent goes first.
        gate: Keeps the waits that Telegram announced.
        connection: The line.
        store: Is told what was deleted.
        limits: The deadlines.
        outage: Its view of the store.
        report: Hears of jobs that ended.
        format_text: Reads markup.
        kind: What the account is: a bot marks nothing as read.
    """

    def __init__(
        self,
        account_id: AccountId,
        pulse: Pulse,
        *,
        desk: JobDesk,
        sends: Desk,
        gate: Gate,
        connection: Connection,
        store: InboundStore,
        limits: Limits,
        outage: Outage,
        report: Report,
        format_text: Format,
        kind: AccountKind = AccountKind.USER,
    ) -> None:
        self._account_id = account_id
        self._pulse = pulse
        self._desk = desk
        self._sends = sends
        self._gate = gate
        self._connection = connection
        self._store = store
        self._limits = limits
        self._outage = outage
        self._report = report
        self._format_text = format_text
        self._kind = kind

    async def run(self) -> NoReturn:
        """Do one job after the other until cancelled, or until the line breaks (`TelegramAway`).

        Cancellation: the job in hand is filed, as `Released` until Telegram was asked, then as `Unknown`:
        each may be repeated.
        """
        while True:
            job = await self._desk.take()
            began_s = trio.current_time()
            with self._desk.hold(job) as flight:
                try:
                    outcome = await self._do(job, flight)
                except TelegramAway as away:
                    if isinstance(flight.outcome, Unknown):
                        flight.land(Unknown(str(away)))
                    self._tell(job, flight.outcome, began_s)
                    raise
                flight.land(outcome)
            self._tell(job, outcome, began_s)

    def _tell(self, job: MessageJob, outcome: JobOutcome, began_s: float) -> None:
        self._report(
            JobFinished(
                self._account_id,
                job.id,
                job.action if job.action in ACTIONS else "unknown",
                job.attempt,
                type(outcome).__name__.lower(),
                trio.current_time() - began_s,
                None if isinstance(outcome, Done) else outcome.reason,
            )
        )

    async def _do(self, job: MessageJob, flight: JobFlight) -> JobOutcome:
        action = read_action(job)
        if isinstance(action, Refused):
            return action
        if is_gone(job):
            return Done()
        method = f"job.{job.action}"
        held_up = self._held_up(action, method)
        if held_up is not None:
            return held_up
        with trio.move_on_after(COURTESY_S):
            await self._sends.wait_idle()
        known = job.peer if job.peer is not None and _is_addressable(job.peer) else None
        peer = known or await self._find(str(job.to))
        to = await self._find(action.to) if isinstance(action, Forward) and isinstance(peer, Peer) else peer
        if not isinstance(peer, Peer):
            return peer
        if not isinstance(to, Peer):
            return to
        if isinstance(action, Forward) and (paced := self._gate.admit_forward(to)) is not None:
            return paced
        flight.begin()
        answer = await self._act(job, action, peer, to)
        if isinstance(answer, Deferred) and answer.holds_up in {HoldsUp.METHOD, HoldsUp.SUBSCRIPTION}:
            self._gate.announced(method, answer.retry_after_s, answer.reason)
        return answer

    def _held_up(self, action: Action, method: str) -> Deferred | None:
        """What Telegram asked the account to wait for, if that concerns this job."""
        wait = self._gate.wait_of(method)
        if wait is None and isinstance(action, Forward):
            wait = self._gate.closed()  # it sends, too
        return None if wait is None else Deferred(wait.until_s - trio.current_time(), wait.reason)

    async def _find(self, to: str) -> Peer | Deferred | Refused | Released:
        found: Peer | Refused | Deferred | None = None
        with self._pulse.deadline("telegram.entity", self._limits.entity_s):
            found = await self._connection.resolve(to)
        return Deferred(5, "Telegram did not say in time whom it is about") if found is None else found

    async def _act(self, job: MessageJob, action: Action, peer: Peer, to: Peer) -> JobAnswer:
        line, ids = self._connection, job.telegram_ids
        match action:
            case Edit():
                return await self._edit(job, action, peer)
            case Delete():
                return await self._delete(peer, ids, for_both=action.for_both)
            case Typing():
                if lack(self._kind, Ability.MARK_READ) is None:
                    answer = await self._ask("telegram.mark_read", partial(line.mark_read, peer, up_to=0))
                    if not isinstance(answer, Done):
                        return answer
                return await self._ask("telegram.typing", partial(line.set_typing, peer))
            case MarkRead():
                up_to = max(ids, default=0)
                return await self._ask("telegram.mark_read", partial(line.mark_read, peer, up_to=up_to))
            case React():
                return await self._ask("telegram.react", partial(line.react, peer, ids[0], action.emoji))
            case Pin():
                pin = partial(
                    line.pin,
                    peer,
                    ids[0],
                    pinned=action.pinned,
                    notify=action.notify,
                    for_both=action.for_both,
                )
                return await self._ask("telegram.pin", pin)
            case Forward():
                random_ids = [job_random_id(job.id, part) for part in range(len(ids))]
                return await self._ask("telegram.forward", partial(line.forward, peer, ids, to, random_ids))
            case _:
                assert_never(action)

    async def _edit(self, job: MessageJob, edit: Edit, peer: Peer) -> JobAnswer:
        line = self._connection
        plan = plan_edit(
            edit,
            job,
            text_limit=line.text_limit,
            caption_limit=line.caption_limit,
            format_text=self._format_text,
        )
        if isinstance(plan, Refused):
            return plan
        for telegram_id, text in plan.edits:
            answer = await self._ask("telegram.edit", partial(line.edit, peer, telegram_id, text))
            if not isinstance(answer, Done):
                return answer
        if plan.surplus:
            return await self._delete(peer, plan.surplus, for_both=True)
        return Done()

    async def _delete(self, peer: Peer, ids: Sequence[int], *, for_both: bool) -> JobAnswer:
        delete = partial(self._connection.delete, peer, ids, for_both=for_both)
        answer = await self._ask("telegram.delete", delete)
        if isinstance(answer, Done):
            # Telegram tells every other device of it, not the one that did it.
            batch = UpdateBatch((), (), (), None, changes=(Deleted(peer.chat_id, tuple(ids)),))
            await self._outage.insist(
                "database.ingest",
                self._limits.database_s,
                partial(self._store.ingest, self._account_id, batch),
            )
        return answer

    async def _ask(self, operation: str, question: Callable[[], Awaitable[JobAnswer]]) -> JobAnswer:
        with self._pulse.deadline(operation, self._limits.send_s):
            return await question()
        return Unknown(f"no answer within {self._limits.send_s:g} s")


def _is_addressable(peer: Peer) -> bool:
    return peer.access_hash is not None or peer.kind is PeerKind.CHAT or peer.is_self
