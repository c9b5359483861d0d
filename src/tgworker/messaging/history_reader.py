"""Reads an account's history jobs, behind its live traffic: pages are fetched while others are stored."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn, TypeVar

import trio

from tgworker.messaging.bounded import Delays, Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import AccountGone, AccountRefused, Away, StoreFault, StoreMismatch
from tgworker.messaging.events import HistoryRead, Report
from tgworker.messaging.gate import Gate
from tgworker.messaging.history_desk import HistoryDesk
from tgworker.messaging.history_reading import Reading, page_sizes, turned
from tgworker.messaging.history_words import bug, given_up, in_words, lines_lost
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import HistoryJob, HistoryPage, Peer
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.store_ports import HistoryStore
from tgworker.messaging.traffic import Traffic

T = TypeVar("T")

METHOD = "messages.getHistory"
"""What waits are kept under that Telegram announces for it, in Telegram's spelling."""

COURTESY_S = 5.0
"""So long a page waits for what is on its way, out or in. An account that is always busy must get on, too."""

AHEAD = 4
"""So many pages may wait to be stored, and are stored in one call then: no more messages than a commit of
`inbound` takes. One more is in the fetcher's hand."""

MOST_TRIES = 20
"""So often a page is asked for that does not come, though Telegram announces no wait. With backoff up to a
minute that is a quarter of an hour."""

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
    """

    read: int
    new: int = 0
    error: str | None = None
    ending: Exception | None = None


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
        ring: Callable[[], None],
        tell_files: Callable[[], None],
    ) -> None:
        self._pulse = pulse
        self._desk = desk
        self._sends = sends
        self._traffic = traffic
        self._connection = connection
        self._find = find
        self._gate = gate
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
        course = _Course(job.seen)
        if job.tries >= MOST_CLAIMS:
            course.error = lines_lost(job.tries)
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
                while not reading.done:
                    page = await self._page(peer, reading, *page_sizes(job, reading, most))
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

    async def _page(self, peer: Peer, reading: Reading, size: int, ahead: int) -> HistoryPage | Refused:
        """Ask Telegram for a page until it answers with something other than "later"."""
        tries = 0
        while True:
            if (wait := self._gate.wait_of(METHOD)) is not None:
                await trio.sleep_until(wait.until_s)
            await self._let_go_first()
            answer: HistoryPage | Refused | Deferred | None = None
            with self._pulse.deadline("telegram.history", self._limits.send_s):
                answer = await self._connection.history(
                    peer, below=reading.below, limit=size, ahead=0 if self._is_busy() else ahead
                )
            if isinstance(answer, HistoryPage | Refused):
                return answer
            if isinstance(answer, Deferred) and answer.holds_up is not HoldsUp.ROW:
                self._gate.announced(METHOD, answer.retry_after_s, answer.reason)
                await trio.sleep(answer.retry_after_s)
                continue
            tries += 1
            reason = answer.reason if answer else f"Telegram did not answer within {self._limits.send_s:g} s"
            if tries >= MOST_TRIES:
                return Refused(given_up(tries, reason))
            await trio.sleep(max(self._delays(tries), answer.retry_after_s if answer else 0))

    def _is_busy(self) -> bool:
        return self._sends.in_flight > 0 or self._traffic.is_busy

    async def _let_go_first(self) -> None:
        if not self._is_busy():
            return
        with trio.move_on_after(COURTESY_S):
            await self._sends.wait_idle()
            await self._traffic.wait_idle()


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
