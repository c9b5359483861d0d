"""History jobs: claimed while any wait, and read by the account that holds the line, behind live traffic."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn, TypeVar

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import HistoryRead, JobsWaiting, Report
from tgworker.messaging.history_desk import HistoryDesk, HistoryDesks
from tgworker.messaging.history_reading import Reading, page_size, turned
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import HistoryJob, HistoryPage, Peer
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.store_ports import HistoryQueue, HistoryStore

T = TypeVar("T")

TABLE = "sync_history_jobs"

OLDEST = timedelta(days=90)
"""Nothing older is fetched: the application shows no more."""

COURTESY_S = 5.0
"""So long a page waits for sends that are on their way. An account that always sends must get on, too."""


async def run_history(
    pulse: Pulse,
    *,
    store: HistoryQueue,
    desks: HistoryDesks,
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Claim history jobs for accounts that are online and have none; returns never.

    Args:
        pulse: This loop's sign of life.
        store: Where the jobs are.
        desks: Where they go.
        limits: ``jobs_every_s`` and the database deadline.
        delays: Backoff while the store is away.
        report: Hears how many wait, and of outages.
        task_status: Started at once.

    Cancellation: jobs on desks go on being read. A claim whose answer was cut off is handed over again.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    last = 0
    while True:
        pulse.beat()
        try:
            with pulse.cycle(limits.cycle_s):
                waiting = await within(pulse, "database.history", limits.database_s, store.count_history)
                known, idle = desks.known(), desks.idle()
                if idle and waiting > len(known):
                    claim = partial(store.claim_history, idle, known=known, limit=len(idle))
                    desks.hand_over(await within(pulse, "database.history", limits.database_s, claim))
        except StoreAway as error:
            await outage.wait("history", error)
            continue
        outage.over("history")
        if waiting != last:
            report(JobsWaiting(TABLE, waiting))
            last = waiting
        pulse.expect(limits.jobs_every_s)
        with trio.move_on_after(limits.jobs_every_s):
            await desks.wait_news()


class HistoryReader:
    """Reads the jobs of one account, one after the other, while its line lives.

    Args:
        pulse: Shows the operations; the line's keepalive beats.
        desk: The account's jobs.
        sends: The account's desk of attempts: what is sent goes first.
        connection: The line.
        store: Where messages go.
        limits: The deadlines.
        delays: Backoff after a page that Telegram did not give.
        outage: This reader's view of the store.
        report: Hears of jobs that ended.
        now: The calendar, aware, for what is too old.
        ring: Tells who hands out jobs that there is room for one.
        tell_files: Tells who fetches files that there are some.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        desk: HistoryDesk,
        sends: Desk,
        connection: Connection,
        store: HistoryStore,
        limits: Limits,
        delays: Delays,
        outage: Outage,
        report: Report,
        now: Callable[[], datetime],
        ring: Callable[[], None],
        tell_files: Callable[[], None],
    ) -> None:
        self._pulse = pulse
        self._desk = desk
        self._sends = sends
        self._connection = connection
        self._store = store
        self._limits = limits
        self._delays = delays
        self._outage = outage
        self._report = report
        self._now = now
        self._ring = ring
        self._tell_files = tell_files

    async def run(self) -> NoReturn:
        """Read until cancelled, or until the line breaks (`TelegramAway`).

        Cancellation: every page that was stored stays; the job is handed over again and goes on below it.
        """
        while True:
            job = await self._desk.next()
            await self._read(job)
            self._desk.done(job)
            if not self._desk.jobs:
                self._ring()

    async def _read(self, job: HistoryJob) -> None:
        began_s = trio.current_time()
        reading, new = Reading.of(job), 0
        peer = job.peer or await self._ask(lambda: self._connection.resolve(job.to), "telegram.entity")
        refusal = peer if isinstance(peer, Refused) else None
        while not reading.done and isinstance(peer, Peer):
            await self._wait_for_sends()
            page = await self._ask(
                partial(self._connection.history, peer, below=reading.below, limit=page_size(job, reading)),
                "telegram.history",
            )
            if isinstance(page, Refused):
                refusal = page
                break
            page = page.younger_than(self._now() - OLDEST)
            added = await self._save(job, reading, page)
            if any(message.file for message in page.messages):
                self._tell_files()
            reading, new = turned(job, reading, page), new + added
        error = None if refusal is None else refusal.reason
        await self._outage.insist(
            "database.finish_history",
            self._limits.database_s,
            partial(self._store.finish_history, job.id, error=error),
        )
        took_s = trio.current_time() - began_s
        self._report(HistoryRead(job.account_id, job.id, reading.seen - job.seen, new, took_s, error))

    async def _save(self, job: HistoryJob, reading: Reading, page: HistoryPage) -> int:
        if page.lowest_id is None:
            return 0
        return await self._outage.insist(
            "database.save_history",
            self._limits.database_s,
            partial(
                self._store.save_history,
                job,
                page.messages,
                page.peers,
                below=page.lowest_id,
                seen=reading.seen + len(page.messages),
            ),
        )

    async def _wait_for_sends(self) -> None:
        with trio.move_on_after(COURTESY_S):
            await self._sends.wait_idle()

    async def _ask(
        self, question: Callable[[], Awaitable[T | Deferred | Refused]], operation: str
    ) -> T | Refused:
        """Ask Telegram until it answers with something other than "later"."""
        limit_s = self._limits.entity_s if operation == "telegram.entity" else self._limits.send_s
        tries = 0
        while True:
            answer: T | Refused | Deferred | None = None
            with self._pulse.deadline(operation, limit_s):
                answer = await question()
            if answer is not None and not isinstance(answer, Deferred):
                return answer
            tries += 1
            await trio.sleep(self._delays(tries) if answer is None else answer.retry_after_s)
