"""Calls that can be cut off: deadlines hold, two never overlap, nothing is half-done, outages are named."""

import resource
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from embedded.embedded_kit import EmbeddedKit
from tgworker.embedded import in_threads, inline
from tgworker.embedded.database import Database
from tgworker.embedded.errors import StoreDamaged
from tgworker.messaging.errors import StoreAway

T = TypeVar("T")

#: Takes minutes if nobody interrupts it, and never returns to Python meanwhile.
ENDLESS = """
with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000000000)
select sum(i) from n
"""


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table if not exists t (a)")


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("insert into t values (1)")


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("select count(*) from t").fetchone()[0]
    return found


@contextmanager
def opened(path: Path, *, busy_s: float = 5) -> Generator[Database]:
    database = Database(path, run_sync=in_threads(), prepare=prepare, busy_s=busy_s)
    try:
        yield database
    finally:
        database.close()


async def test_a_deadline_cuts_a_statement_that_would_run_for_minutes(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        started = time.perf_counter()
        with trio.move_on_after(0.1) as scope:
            await database.read(lambda connection: connection.execute(ENDLESS).fetchone())
        assert scope.cancelled_caught
        # The statement was interrupted, so that the connection is free for the next call.
        with trio.fail_after(20):
            assert await database.read(count) == 0
        assert time.perf_counter() - started < 20


async def test_a_call_that_was_cut_off_leaves_nothing_half_done(tmp_path: Path) -> None:
    def work(connection: sqlite3.Connection) -> None:
        insert(connection)
        connection.execute(ENDLESS).fetchone()

    with opened(tmp_path / "db") as database:
        with trio.move_on_after(0.1):
            await database.write(work)
        assert await database.read(count) == 0
        await database.write(insert)
        assert await database.read(count) == 1


async def test_a_call_that_was_cut_off_between_two_statements_does_not_begin_the_second(
    tmp_path: Path,
) -> None:
    inside, release = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        insert(connection)
        inside.set()
        release.wait(30)
        connection.execute(ENDLESS).fetchone()

    with opened(tmp_path / "db") as database:
        await cut_off(database.write, work, when=inside)
        release.set()
        with trio.fail_after(20):
            assert await database.read(count) == 0


async def test_a_call_that_was_cut_off_before_its_connection_was_ready_does_not_begin(tmp_path: Path) -> None:
    inside, release = threading.Event(), threading.Event()
    ran: list[str] = []

    def slowly(connection: sqlite3.Connection) -> None:
        inside.set()
        release.wait(30)
        prepare(connection)

    database = Database(tmp_path / "db", run_sync=in_threads(), prepare=slowly)
    await cut_off(database.read, lambda _: ran.append("cut off"), when=inside)
    release.set()
    await database.read(lambda _: ran.append("next"))
    assert ran == ["next"]
    database.close()


async def cut_off(
    how: Callable[[Callable[[sqlite3.Connection], object]], Awaitable[object]],
    work: Callable[[sqlite3.Connection], object],
    *,
    when: threading.Event,
) -> None:
    """Begin a call, and cancel it once the event is set."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(how, work)
        await trio.to_thread.run_sync(when.wait)
        nursery.cancel_scope.cancel(reason="its deadline")


async def test_a_call_that_does_not_heed_the_interruption_delays_its_successor_and_never_meets_it(
    tmp_path: Path,
) -> None:
    """A thread stuck in the kernel cannot be interrupted; the deadline holds, and the next call waits."""
    inside = threading.Event()
    release = threading.Event()
    at_work: list[str] = []

    def stuck(connection: sqlite3.Connection) -> None:
        at_work.append("stuck")
        insert(connection)
        inside.set()
        release.wait(30)
        at_work.remove("stuck")

    def follower(connection: sqlite3.Connection) -> list[str]:
        return list(at_work)

    with opened(tmp_path / "db") as database:
        await cut_off(database.write, stuck, when=inside)
        assert at_work == ["stuck"]
        with trio.move_on_after(0.05) as scope:
            await database.read(follower)
        assert scope.cancelled_caught
        release.set()
        assert await database.read(follower) == []
        # Nobody waited for it any more: it was undone, not done in secret.
        assert await database.read(count) == 0


async def test_a_cancelled_wait_for_the_connection_runs_nothing(tmp_path: Path) -> None:
    inside, release = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold(connection: sqlite3.Connection) -> None:
        inside.set()
        release.wait(30)

    with opened(tmp_path / "db") as database:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.read, hold)
            await trio.to_thread.run_sync(inside.wait)
            with trio.move_on_after(0.02) as scope:
                await database.read(lambda _: ran.append("second"))
            assert scope.cancelled_caught
            release.set()
        assert ran == []


async def test_even_a_runner_without_a_queue_overlaps_no_two_calls(tmp_path: Path) -> None:
    async def all_at_once(call: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)

    inside, release = threading.Event(), threading.Event()
    ran: list[str] = []

    def stuck(connection: sqlite3.Connection) -> None:
        inside.set()
        release.wait(30)
        ran.append("first")

    database = Database(tmp_path / "db", run_sync=all_at_once, prepare=prepare)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.read, stuck)
        await trio.to_thread.run_sync(inside.wait)
        with trio.move_on_after(0.05):
            await database.read(lambda _: ran.append("cancelled"))
        release.set()
    await database.read(lambda _: ran.append("last"))
    assert ran == ["first", "last"]
    database.close()


async def test_another_process_lock_is_an_outage_that_ends_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with opened(path, busy_s=0.05) as database:
        await database.write(insert)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreAway, match="locked by another process"):
            await database.write(insert)
        assert await database.read(count) == 1  # reading goes on
        other.execute("rollback")
        other.close()
        await database.write(insert)
        assert await database.read(count) == 2


async def test_a_full_disk_is_an_outage_that_ends_by_itself(tmp_path: Path) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.executemany("insert into t values (?)", [("x" * 4000,)] * 100)

    with opened(tmp_path / "db") as database:
        await database.write(insert)
        await database.read(lambda connection: connection.execute("pragma max_page_count = 10").fetchone())
        with pytest.raises(StoreAway, match="disk full"):
            await database.write(fill)
        assert await database.read(count) == 1
        await database.read(lambda connection: connection.execute("pragma max_page_count = 10000").fetchone())
        await database.write(fill)
        assert await database.read(count) == 101


async def test_an_error_of_the_disk_is_an_outage_and_a_new_connection_serves_after_it(tmp_path: Path) -> None:
    """A file size limit makes writes fail as a broken disk does (``SIGXFSZ`` is ignored by Python)."""

    def fill(connection: sqlite3.Connection) -> None:
        connection.executemany("insert into t values (?)", [("x" * 4000,)] * 200)

    with opened(tmp_path / "db") as database:
        await database.write(insert)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StoreAway, match="disk"):
                await database.write(fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await database.write(fill)
        assert await database.read(count) == 201


async def test_a_file_that_goes_away_before_the_first_call_is_an_outage(tmp_path: Path) -> None:
    with opened(tmp_path / "gone" / "db") as database:
        with pytest.raises(StoreAway, match="cannot be opened"):
            await database.read(count)
        (tmp_path / "gone").mkdir()
        assert await database.read(count) == 0


async def test_no_database_is_damage_and_no_outage(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"x" * 8192)
    with opened(tmp_path / "db") as database, pytest.raises(StoreDamaged, match="not a database"):
        await database.read(count)


async def test_a_mistake_in_our_sql_is_no_outage(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await database.read(lambda connection: connection.execute("select * from nowhere"))
        assert await database.read(count) == 0


async def test_a_closed_store_is_away(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        await database.write(insert)
    with pytest.raises(StoreAway, match="closed"):
        await database.read(count)


async def test_closing_does_not_wait_for_a_call_that_is_stuck(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        with trio.move_on_after(0.05):
            await database.read(lambda connection: connection.execute(ENDLESS).fetchone())
        started = time.perf_counter()
    assert time.perf_counter() - started < 20


async def test_the_deadline_of_the_plan_holds_to_the_second_on_the_mock_clock(
    kit: EmbeddedKit, autojump_clock: trio.testing.MockClock
) -> None:
    """The store takes ``run_sync`` as it is given: here one that never comes back."""

    async def never(call: Callable[[], T], /) -> T:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    database = Database(kit.folder.database, run_sync=never, prepare=prepare)
    started = trio.current_time()
    with trio.move_on_after(10) as scope:
        await database.write(insert)
    assert scope.cancelled_caught
    assert trio.current_time() - started == 10


async def test_inline_calls_are_checkpoints(tmp_path: Path) -> None:
    with trio.testing.assert_checkpoints():
        assert await inline(lambda: 5) == 5
    with trio.CancelScope() as scope:
        scope.cancel()
        await inline(lambda: pytest.fail("ran although it was cancelled"))
    assert scope.cancelled_caught
