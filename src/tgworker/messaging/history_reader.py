"""Reads an account's history jobs, behind its live traffic: pages are fetched while others are stored."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn

import trio

from tgworker.messaging.bounded import Delays, Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import AccountGone, AccountRefused, Away, StoreFault, StoreMismatch
from tgworker.messaging.events import HistoryRead, Report
from tgworker.messaging.gate import Gate
from tgworker.messaging.history_asking import HistoryAsking
from tgworker.messaging.history_desk import HistoryDesk
from tgworker.messaging.history_reading import Reading, page_sizes, turned
from tgworker.messaging.history_words import bug, in_words, lines_lost
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import HistoryJob, HistoryPage, Peer
from tgworker.messaging.outcomes import TAKEOUT_OVER, Refused
from tgworker.messaging.ports import Connection, Pulse, Vault
from tgworker.messaging.store_ports import HistoryStore
from tgworker.messaging.traffic import Traffic
from tgworker.messaging.whole_account import Advance, WholeAccount

METHOD = "messages.getHistory"
"""What waits are kept under that Telegram announces for it, in Telegram's spelling."""

AHEAD = 4
"""So many pages may wait to be stored, and are stored in one call then: no more messages than a commit of
`inbound` takes. One more is in the fetcher's hand."""

NO_LIMIT = "limit_messages: write how many messages are to be read, from 1 on"

MOST_CLAIMS = 10
"""So often a job is handed over again without a page in between: one that kills the line, or the worker, each
time must not do so for ever."""


_Fetched = tuple[HistoryPage, Reading]
"""A page, and how far it is after it."""


@dataclass(slots=True)
class _Course:
    """What has come of one job so far.

    Attributes:
        read: So many messages were read, those of earlier claims included.
        new: So many of them were new.
        error: Why it failed.
        ending: What ended the reading that is nothing about the job.
        takeout: The takeout session that it is read in.
    """

    read: int
    new: int = 0
    error: str | None = None
    ending: Exception | None = None
    takeout: int | None = None


class HistoryReader:
    """Reads the jobs of one account, one after the other, while its line lives.

    Args:
        pulse: Shows the operations; the line's keepalive beats.
        desk: The account's jobs.
        sends: The account's desk of attempts: what is sent goes first.
        traffic: What comes in and is being committed: that goes first, too.
        connection: The line.
        find: Finds a chat that the account does not know yet, as the resolver's budget allows.
        gate: Keeps waits that Telegram announced, for the next process, too.
        store: Where messages go.
        limits: The deadlines, and how much is read.
        delays: Backoff after a page that Telegram did not give.
        outage: This reader's view of the store.
        report: Hears of jobs that ended.
        now: The calendar, aware, for what is too old.
        vault: Seals the ids of takeout sessions.
        ring: Tells who hands out jobs that there is room for one.
        tell_files: Tells who fetches files that there are some.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        desk: HistoryDesk,
        sends: Desk,
        traffic: Traffic,
        connection: Connection,
        find: Callable[[str], Awaitable[Peer | Refused]],
        gate: Gate,
        store: HistoryStore,
        limits: Limits,
        delays: Delays,
        outage: Outage,
        report: Report,
        now: Callable[[], datetime],
        vault: Vault,
        ring: Callable[[], None],
        tell_files: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._connection = connection
        self._find = find
        self._store = store
        self._limits = limits
        self._outage = outage
        self._report = report
        self._now = now
        self._ring = ring
        self._tell_files = tell_files
        self._asking = HistoryAsking(
            pulse, gate=gate, sends=sends, traffic=traffic, limits=limits, delays=delays
        )
        self._whole = WholeAccount(
            self._asking,
            connection=connection,
            store=store,
            vault=vault,
            limits=limits,
            outage=outage,
            now=now,
        )

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
        course = _Course(job.seen)
        if job.tries >= MOST_CLAIMS:
            course.error = lines_lost(job.tries)
            if job.whole is not None:
                await self._whole.close(job, success=False)
        elif job.whole is not None:
            if not await self._advance(job, course):
                return
        elif job.limit_messages <= 0:
            course.error = NO_LIMIT
        else:
            await self._read_through(job, course)
        if course.ending is not None:
            raise course.ending
        finish = partial(self._store.finish_history, job.id, error=course.error)
        await self._outage.insist("database.finish_history", self._limits.database_s, finish)
        took_s = trio.current_time() - began_s
        self._report(
            HistoryRead(job.account_id, job.id, course.read - job.seen, course.new, took_s, course.error)
        )

    async def _advance(self, job: HistoryJob, course: _Course) -> bool:
        """Go on with a job for a whole account; whether it has ended."""
        try:
            came_of_it = await self._whole.advance(job)
        except Exception as error:  # noqa: BLE001 - as in `_fetch`
            self._note(course, error)
            if course.ending is None:
                await self._whole.close(job, success=False)
            return True
        if isinstance(came_of_it, Refused):
            course.error = came_of_it.reason
        return came_of_it is not Advance.LET_GO

    async def _read_through(self, job: HistoryJob, course: _Course) -> None:
        """Fetch and store, both at once.

        What goes wrong stands in the course: out of a nursery it would come wrapped into groups.
        """
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[_Fetched](AHEAD)
            nursery.start_soon(self._fetch, job, course, send)
            try:
                async for first in receive:
                    page, reading = _with_what_waits(first, receive)
                    course.new += await self._save(job, page, reading)
                    course.read = reading.seen
                    if any(message.file for message in page.messages):
                        self._tell_files()
            except Exception as error:  # noqa: BLE001 - as in `_fetch`
                self._note(course, error)
                nursery.cancel_scope.cancel(reason="a page of history cannot be stored")

    async def _fetch(
        self,
        job: HistoryJob,
        course: _Course,
        pages: trio.MemorySendChannel[_Fetched],
    ) -> None:
        """Ask for one page after the other; whatever one job meets, the account's messages go on."""
        async with pages:
            try:
                peer = job.peer or await self._find(job.to)
                if isinstance(peer, Refused):
                    course.error = in_words(peer.reason)
                    return
                most = self._limits.history.most_messages
                oldest = self._now() - timedelta(days=self._limits.history.days)
                reading = Reading.of(job, most)
                course.takeout = self._whole.takeout_of(job)
                while not reading.done:
                    page = await self._page(job, course, peer, reading)
                    if isinstance(page, Refused):
                        course.error = in_words(page.reason)
                        return
                    page = page.younger_than(oldest)
                    reading = turned(job, reading, page, most)
                    if page.lowest_id is not None:
                        await pages.send((page, reading))
            except Exception as error:  # noqa: BLE001 - noted: a bug that this job meets, or the line's end
                self._note(course, error)

    def _note(self, course: _Course, error: Exception) -> None:
        if isinstance(error, Away | AccountRefused | AccountGone | StoreFault | StoreMismatch):
            course.ending = error
        else:
            course.error = bug(error)

    async def _save(self, job: HistoryJob, page: HistoryPage, reading: Reading) -> int:
        save = partial(
            self._store.save_history,
            job,
            page.messages,
            page.peers,
            below=reading.below,
            seen=reading.seen,
            total=page.total,
        )
        return await self._outage.insist("database.save_history", self._limits.database_s, save)

    async def _page(
        self, job: HistoryJob, course: _Course, peer: Peer, reading: Reading
    ) -> HistoryPage | Refused:
        """Ask for a page, in the job's takeout session as long as there is one."""
        size, ahead = page_sizes(job, reading, self._limits.history.most_messages)
        while True:
            page = await self._asking.ask(
                METHOD,
                lambda: self._connection.history(
                    peer,
                    below=reading.below,
                    limit=size,
                    ahead=0 if self._asking.is_busy else ahead,
                    takeout=course.takeout,
                ),
            )
            if course.takeout is None or isinstance(page, HistoryPage) or page.reason not in TAKEOUT_OVER:
                return page
            course.takeout = None
            await self._whole.forget_takeout(job)


def _with_what_waits(first: _Fetched, receive: trio.MemoryReceiveChannel[_Fetched]) -> _Fetched:
    """A page with those that wait behind it."""
    page, reading = first
    for _ in range(AHEAD):  # (when one is taken, the fetcher puts down the one in its hand)
        try:
            later, reading = receive.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            break
        page = page.with_older(later)
    return page, reading
