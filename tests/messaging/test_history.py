"""History jobs: how far they read, in what steps, behind what, and what becomes of them."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from messaging.messaging_fakes import (
    ANNA,
    BERT,
    PEER,
    FakeStore,
    FakeVault,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    Weather,
    attempt,
    growing,
    unpaced_gate,
)
from tgworker.messaging.bounded import Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import HistoryRead, JobsWaiting
from tgworker.messaging.gate import Gate
from tgworker.messaging.history import run_history
from tgworker.messaging.history_desk import HistoryDesk, HistoryDesks
from tgworker.messaging.history_reader import METHOD, NO_LIMIT, HistoryReader
from tgworker.messaging.history_reading import PAGE, Reading, page_size, turned
from tgworker.messaging.limits import HistoryLimits, Limits
from tgworker.messaging.models import AccountId, ChatMessage, HistoryJob, HistoryPage, JobId, Peer
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.messaging.traffic import Traffic

NOW = datetime(2026, 11, 26, tzinfo=UTC)
MOST = 500


def job(name: str = "job", account: AccountId = ANNA, *, limit: int = 100) -> HistoryJob:
    return HistoryJob(JobId(name), account, "77", PEER, False, limit, 0)


def gap(known_top: int | None) -> HistoryJob:
    return replace(job(), fills_gap=True, known_top=known_top)


def chat(*ids: int, at: datetime = NOW) -> list[ChatMessage]:
    return [ChatMessage(77, each, 77, False, "hi", "text", at) for each in ids]


# ---------------------------------------------------------------- decisions


def read(one: HistoryJob, there: Sequence[int], stored: set[int]) -> tuple[set[int], int]:
    """What a job stores of a chat, and in how many pages."""
    stored, pages = set(stored), 0
    reading = Reading.of(one, MOST)
    while not reading.done:
        size = page_size(one, reading, MOST)
        assert 0 < size <= PAGE
        ids = sorted(each for each in there if not reading.below or each < reading.below)[-size:]
        found = HistoryPage(tuple(chat(*ids)), (), min(ids, default=None), max(ids, default=0))
        stored |= set(ids)
        reading, pages = turned(one, reading, found, MOST), pages + 1
    return stored, pages


def test_a_job_reads_what_its_limit_says_and_no_more() -> None:
    assert read(job(limit=250), range(1, 1001), set()) == (set(range(751, 1001)), 3)
    assert read(job(limit=250), range(1, 31), set()) == (set(range(1, 31)), 2)  # and nothing before
    assert read(job(limit=0), range(1, 31), set()) == (set(), 0)


def test_a_job_is_granted_no_more_than_the_settings_say() -> None:
    assert read(job(limit=100_000), range(1, 1001), set()) == (set(range(501, 1001)), 5)


def test_a_job_goes_on_where_it_was() -> None:
    assert Reading.of(replace(job(limit=250), below=801, seen=200), MOST) == Reading(801, 200)
    resumed = read(replace(job(limit=250), below=801, seen=200), range(1, 1001), set())
    assert resumed == (set(range(751, 801)), 1)


def test_a_gap_is_read_beyond_any_limit_to_where_the_log_had_come() -> None:
    stored, pages = read(gap(1000), range(1, 3001), set(range(1, 1001)))
    assert (stored, pages) == (set(range(1, 3001)), 21)


def test_an_island_of_known_messages_in_a_gap_does_not_end_it() -> None:
    # A history job of 500 read what was newest, while the log stood at 100.
    stored, _ = read(gap(100), range(1, 1201), {*range(1, 101), *range(601, 1101)})
    assert stored == set(range(1, 1201))


def test_a_gap_of_a_chat_of_which_nothing_is_known_is_read_to_its_beginning() -> None:
    assert read(gap(None), range(1, 1001), set())[0] == set(range(1, 1001))


@given(
    size=st.integers(0, 1500),
    pulled=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 500)), max_size=3),
    log=st.integers(0, 1500),
)
def test_whatever_was_stored_before_a_gap_is_filled(
    size: int, pulled: list[tuple[int, int]], log: int
) -> None:
    """The log was stored up to somewhere, other jobs have read pieces of up to 500 messages."""
    there = range(1, size + 1)
    known = set(range(1, min(log, size) + 1))
    for end, length in pulled:
        known |= set(range(max(1, min(end, size) - length + 1), min(end, size) + 1))
    stored, _ = read(gap(min(log, size) or None), there, known)
    missing = set(there) - stored
    assert not missing, (min(missing), max(missing))


def test_what_is_too_old_is_left_out_and_ends_it() -> None:
    old = chat(1, 2, at=NOW - timedelta(days=91))
    both = HistoryPage((*old, *chat(3)), (), 1, 3)
    young = both.younger_than(NOW - timedelta(days=90))
    assert ([each.telegram_id for each in young.messages], young.is_last) == ([3], True)
    assert turned(job(), Reading(0, 0), young, MOST).done
    assert not HistoryPage((), (), 5, 9).younger_than(NOW).is_last  # deleted messages say nothing of age


# ---------------------------------------------------------------- a reader


@dataclass
class Room:
    connection: ScriptedConnection
    store: FakeStore
    desk: HistoryDesk
    sends: Desk
    report: Reports
    traffic: Traffic
    gate: Gate
    rings: list[float] = field(default_factory=list[float])
    ended: list[BaseException] = field(default_factory=list[BaseException])

    @property
    def pages(self) -> list[tuple[float, int, int]]:
        return self.connection.pages


@asynccontextmanager
async def reader(
    connection: ScriptedConnection | None = None, history: HistoryLimits | None = None
) -> AsyncGenerator[Room]:
    dispatch, pulse, report, store = Dispatch(), RecordingPulse(), Reports(), FakeStore()

    async def find(to: str) -> Peer | Refused:
        found = await room.connection.resolve(to)
        assert not isinstance(found, Deferred)
        return found

    with dispatch.open_desk(ANNA) as sends:
        room = Room(
            connection or ScriptedConnection(),
            store,
            HistoryDesk(),
            sends,
            report,
            Traffic(),
            unpaced_gate(store, report),
        )
        task = HistoryReader(
            pulse,
            desk=room.desk,
            sends=sends,
            traffic=room.traffic,
            find=find,
            gate=room.gate,
            connection=room.connection,
            store=room.store,
            limits=Limits(history=history or HistoryLimits()),
            delays=growing,
            outage=Outage(pulse, report, growing),
            report=report,
            now=lambda: NOW,
            vault=FakeVault(),
            ring=lambda: room.rings.append(trio.current_time()),
            tell_files=lambda: None,
        )

        async def run() -> None:
            try:
                await task.run()
            except TelegramAway as away:
                room.ended.append(away)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield room
            nursery.cancel_scope.cancel()


async def test_a_job_is_read_page_by_page_and_finished(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.chat = chat(*range(1, 1001))
        here.desk.hand_over(job(limit=250))
        await trio.sleep(1)
        assert here.pages == [(0, 0, 100), (0, 901, 100), (0, 801, 50)]
        assert here.store.saves == [(901, 100), (801, 200), (751, 250)]
        assert sorted(here.store.history) == list(range(751, 1001))
        assert here.store.finished == [("job", None)]
        assert here.report.of(HistoryRead) == [HistoryRead(ANNA, JobId("job"), 250, 250, 0)]
        assert (list(here.desk.jobs), here.rings) == ([], [0])


async def test_an_announced_wait_is_waited_out_and_silence_is_cut_at_30_s_and_repeated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(1, 2)
        here.connection.page_script.extend([Deferred(17, "FLOOD_WAIT_17"), None])
        here.desk.hand_over(job())
        await trio.sleep(100)
        assert [at for at, _, _ in here.pages] == [0, 17, 49, 49]  # 17, and 30 and 2 for the second try
        assert here.store.finished == [("job", None)]


async def test_a_refusal_ends_the_job_with_its_reason(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.page_script.append(Refused("CHANNEL_PRIVATE"))
        here.desk.hand_over(job())
        await trio.sleep(1)
        words = "CHANNEL_PRIVATE: the account is not in this chat any more: join it again, then ask again"
        assert here.store.finished == [("job", words)]
        assert here.report.of(HistoryRead)[0].error == words


async def test_who_cannot_be_found_ends_the_job_too(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.resolves = Refused("PEER_NOT_FOUND")
        here.desk.hand_over(replace(job(), peer=None))
        await trio.sleep(1)
        assert (here.pages, here.store.finished) == ([], [("job", "PEER_NOT_FOUND")])


async def test_a_line_that_breaks_leaves_the_job_to_the_next_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(*range(1, 301))
        here.connection.page_script.append(TelegramAway("the line broke"))
        here.desk.hand_over(job())
        await trio.sleep(1)
        assert [str(each) for each in here.ended] == ["the line broke"]
        assert (here.store.saves, here.store.finished) == ([], [])
        assert [each.id for each in here.desk.jobs] == ["job"]


async def test_what_is_being_sent_goes_first_for_five_seconds_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(1)
        with here.sends.fly(attempt("a")):
            here.desk.hand_over(job())
            await trio.sleep(2)
            assert here.pages == []
        await trio.testing.wait_all_tasks_blocked()
        assert here.pages[0][0] == 2
        with here.sends.fly(attempt("b")):
            here.desk.hand_over(job("next"))
            await trio.sleep(10)
            assert [at for at, below, _ in here.pages if below == 0] == [2, 7]


async def test_pages_are_fetched_while_one_is_stored_and_then_stored_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader(history=HistoryLimits(most_messages=1000)) as here:
        here.connection.chat = chat(*range(1, 2001))
        here.store.weather.will("save_history", "slow")
        here.desk.hand_over(job(limit=1000))
        await trio.sleep(0.5)
        # One is being stored, four wait, the sixth is in hand: more there are not in memory.
        assert [below for _, below, _ in here.pages] == [0, 1901, 1801, 1701, 1601, 1501]
        assert here.store.saves == []
        await trio.sleep(60)
        assert here.store.saves[:2] == [(1901, 100), (1401, 600)]
        assert here.store.saves[-1] == (1001, 1000)
        # Each commit has the oldest first.
        assert list(here.store.history)[:600] == [*range(1901, 2001), *range(1401, 1901)]
        assert len(here.store.history) == 1000
        assert here.store.finished == [("job", None)]


async def test_what_was_fetched_when_the_line_broke_is_stored_and_the_next_line_goes_on_below(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader(history=HistoryLimits(most_messages=1000)) as here:
        here.connection.chat = chat(*range(1, 1001))
        here.store.weather.will("save_history", "slow")
        here.desk.hand_over(job(limit=1000))
        await trio.testing.wait_all_tasks_blocked()
        here.connection.page_script.append(TelegramAway("the line broke"))
        await trio.sleep(60)
        assert [str(each) for each in here.ended] == ["the line broke"]
        assert here.store.saves == [(901, 100), (401, 600)]
        assert here.store.finished == []
    async with reader(history=HistoryLimits(most_messages=1000)) as later:
        later.connection.chat = chat(*range(1, 1001))
        later.desk.hand_over(replace(job(limit=1000), below=401, seen=600))
        await trio.sleep(1)
        assert sorted(later.store.history) == list(range(1, 401))
        assert later.store.finished == [("job", None)]


async def test_a_page_is_asked_for_ahead_unless_the_job_ends_before_or_something_is_being_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(*range(1, 1001))
        here.desk.hand_over(job(limit=250))
        await trio.sleep(1)
        assert here.connection.ahead == [150, 50, 0]
        with here.sends.fly(attempt("a")):
            here.desk.hand_over(job("next", limit=200))
            await trio.sleep(20)
        assert here.connection.ahead[3:] == [0, 0]


async def test_limit_and_age_are_as_the_settings_say(autojump_clock: trio.testing.MockClock) -> None:
    async with reader(history=HistoryLimits(most_messages=150, days=7)) as here:
        old = chat(*range(1, 101), at=NOW - timedelta(days=8))
        here.connection.chat = [*old, *chat(*range(101, 401))]
        here.desk.hand_over(job(limit=10_000))
        await trio.sleep(1)
        assert sorted(here.store.history) == list(range(251, 401))
        here.connection.chat = [*old, *chat(101, 102)]
        here.desk.hand_over(job("old", limit=10_000))
        await trio.sleep(1)
        assert sorted(here.store.history) == [101, 102, *range(251, 401)]


async def test_a_wait_that_telegram_announces_outlives_the_process(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(1)
        here.connection.page_script.append(Deferred(300, "FLOOD_WAIT_300", HoldsUp.METHOD))
        here.desk.hand_over(job())
        await trio.sleep(100)
        wait = here.gate.wait_of(METHOD)
        assert wait is not None
        assert (wait.until_s, wait.reason) == (300, "FLOOD_WAIT_300")
        assert here.gate.closed() is None  # sends go on
        await trio.sleep(205)
        assert [at for at, _, _ in here.pages] == [0, 300, 300]
    async with reader() as later:
        later.connection.chat = chat(1)
        later.gate.announced(METHOD, 50, "FLOOD_WAIT_50")  # as `Gate.recall` tells it
        later.desk.hand_over(job())
        await trio.sleep(60)
        assert [round(at) for at, _, _ in later.pages] == [355, 355]


async def test_trouble_without_end_fails_the_job_with_its_reason(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.page_script.extend([Deferred(5, "INTERNAL")] * 20)
        here.desk.hand_over(job())
        here.desk.hand_over(job("next"))
        await trio.sleep(1000)
        assert here.store.finished == [
            ("job", "given up after 20 tries: INTERNAL; ask again later"),
            ("next", None),
        ]


async def test_a_job_over_which_lines_are_lost_again_and_again_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.desk.hand_over(replace(job(), tries=10))
        await trio.sleep(1)
        assert here.pages == []
        ((_, error),) = here.store.finished
        assert error is not None
        assert "10 times over the same page" in error


async def test_a_job_that_meets_a_bug_fails_and_leaves_the_account_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(1)
        here.connection.page_script.append(ValueError("some text of a person's"))
        here.desk.hand_over(job())
        here.desk.hand_over(job("next"))
        await trio.sleep(1)
        assert here.store.finished == [("job", "a bug, report it: ValueError"), ("next", None)]
        assert here.ended == []


async def test_what_comes_in_is_committed_first(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.chat = chat(1)
        with here.traffic.committing():
            here.desk.hand_over(job())
            await trio.sleep(2)
            assert here.pages == []
        await trio.testing.wait_all_tasks_blocked()
        assert here.pages[0][0] == 2


async def test_a_store_that_is_away_repeats_the_page(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.chat = chat(*range(1, 6))
        here.store.weather.will("save_history", "away", "lost")
        here.store.weather.will("finish_history", "away")
        here.desk.hand_over(job())
        await trio.sleep(60)
        assert sorted(here.store.history) == [1, 2, 3, 4, 5]
        assert here.store.finished == [("job", None)]


# ---------------------------------------------------------------- the loop that claims


class Queue:
    """Fills `store_ports.HistoryQueue`."""

    def __init__(self, *jobs: HistoryJob) -> None:
        self.weather = Weather()
        self.jobs = list(jobs)
        self.asked: list[tuple[float, set[str], set[str], int]] = []

    async def count_history(self) -> int:
        return await self.weather.face("count", lambda: len(self.jobs))

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        self.asked.append((trio.current_time(), set(account_ids), set(known), limit))
        found = [each for each in self.jobs if each.account_id in account_ids and each.id not in known]
        return await self.weather.face("claim", lambda: found[:limit])


class SlowQueue(Queue):
    """A claim takes a second."""

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        found = await super().claim_history(account_ids, known=known, limit=limit)
        await trio.sleep(1)
        return found


async def test_jobs_are_claimed_for_idle_accounts_only_and_only_while_any_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue, desks, report = Queue(), HistoryDesks(), Reports()
    loop = partial(
        run_history,
        RecordingPulse(),
        store=queue,
        desks=desks,
        limits=Limits(jobs_every_s=5),
        delays=growing,
        report=report,
    )
    async with trio.open_nursery() as nursery:
        with desks.open(ANNA) as anna, desks.open(BERT) as bert:
            await nursery.start(loop)
            await trio.sleep(7)
            assert queue.asked == []  # nothing waits
            queue.jobs = [job("a"), job("b"), job("c", BERT)]
            await trio.sleep(5)
            assert queue.asked == [(10, {ANNA, BERT}, set(), 2)]
            assert [each.id for each in anna.jobs] == ["a", "b"]
            await trio.sleep(5)
            assert queue.asked[1:] == [(15, {BERT}, {"a", "b"}, 1)]
            assert [each.id for each in bert.jobs] == ["c"]
            await trio.sleep(20)
            assert len(queue.asked) == 2  # whoever has a job is not asked for
            for done in tuple(anna.jobs):
                queue.jobs.remove(done)
                anna.done(done)
            queue.jobs.append(job("d"))
            desks.ring()
            await trio.testing.wait_all_tasks_blocked()
            assert queue.asked[2:] == [(37, {ANNA}, {"c"}, 1)]  # at once
        assert list(desks.known()) == []  # offline: all of it is claimed again later
        assert [event.waiting for event in report.of(JobsWaiting)] == [3, 2]
        nursery.cancel_scope.cancel()


async def test_an_account_that_comes_online_during_a_claim_does_not_wait_for_the_next_poll(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue, desks = SlowQueue(job("a"), job("b", BERT)), HistoryDesks()
    loop = partial(
        run_history,
        RecordingPulse(),
        store=queue,
        desks=desks,
        limits=Limits(jobs_every_s=5),
        delays=growing,
        report=Reports(),
    )
    async with trio.open_nursery() as nursery:
        with desks.open(ANNA):
            await nursery.start(loop)
            await trio.sleep(0.5)
            with desks.open(BERT) as bert:
                await trio.sleep(2)
                assert queue.asked == [(0, {ANNA}, set(), 1), (1, {BERT}, {"a"}, 1)]
                assert [each.id for each in bert.jobs] == ["b"]
        nursery.cancel_scope.cancel()


async def test_a_job_of_an_account_that_went_offline_meanwhile_is_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desks = HistoryDesks()
    desks.hand_over([job()])
    assert list(desks.known()) == []


@pytest.mark.parametrize("happening", ["away", "hang"])
async def test_an_outage_is_outlasted(autojump_clock: trio.testing.MockClock, happening: str) -> None:
    queue, desks, pulse = Queue(job()), HistoryDesks(), RecordingPulse()
    queue.weather.will("count", happening)
    queue.weather.will("claim", happening)
    loop = partial(
        run_history, pulse, store=queue, desks=desks, limits=Limits(), delays=growing, report=Reports()
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        with desks.open(ANNA) as anna:
            await nursery.start(loop)
            await trio.sleep(60)
            assert [each.id for each in anna.jobs] == ["job"]
        nursery.cancel_scope.cancel()


async def test_a_job_that_asks_for_nothing_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.chat = chat(*range(1, 11))
        here.desk.hand_over(job(limit=0))
        await trio.sleep(1)
        assert here.store.history == {}
        assert here.store.finished == [("job", NO_LIMIT)]
