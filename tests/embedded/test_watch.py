"""The watch over the file: it sees what others write and what comes due, costs no thread, and never spins."""

import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from contracts.store_kit import OWNER, Inbox
from embedded.embedded_kit import EmbeddedKit
from messaging.messaging_fakes import RecordingPulse, Reports, no_delay
from tgworker.embedded import inline
from tgworker.embedded.database import Database
from tgworker.embedded.watch import WAIT_S, FileWatch
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.outbound import run_outbound
from tgworker.messaging.outcomes import Deferred, Settled
from tgworker.messaging.pace import Pace, PaceLimits
from tgworker.messaging.ports import Work
from tgworker.messaging.wakeup import run_wakeup

LOOK_S = 0.125
ANY = AccountId("any")


@pytest.fixture
async def inbox(kit: EmbeddedKit) -> Inbox:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1, phone="+44 20 7946 0000")
    return Inbox(kit, account)


async def waits(kit: EmbeddedKit) -> tuple[bool, float]:
    """What a wait answers, and after how long."""
    began = trio.current_time()
    found = await kit.store.watch(every_s=LOOK_S).wait([ANY], jobs_of=[])
    return bool(found), trio.current_time() - began


async def test_what_another_process_writes_is_seen_with_the_next_look(
    kit: EmbeddedKit, inbox: Inbox, autojump_clock: trio.testing.MockClock
) -> None:
    chat = inbox.chat("500")
    assert await inbox.claim() == []
    assert await waits(kit) == (False, WAIT_S)
    inbox.write(chat, "hi")
    assert await waits(kit) == (True, LOOK_S)
    assert len(await inbox.claim()) == 1


async def test_what_this_process_writes_rings_nobody(
    kit: EmbeddedKit, inbox: Inbox, autojump_clock: trio.testing.MockClock
) -> None:
    assert await inbox.claim() == []
    await kit.store.record_synced([inbox.account])
    assert await waits(kit) == (False, WAIT_S)


async def test_it_rings_until_a_claim_finds_nothing(
    kit: EmbeddedKit, inbox: Inbox, autojump_clock: trio.testing.MockClock
) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "hi")
    (attempt,) = await inbox.claim()
    assert await waits(kit) == (True, LOOK_S)
    assert await inbox.claim(known=[attempt.message_id]) == []
    assert await waits(kit) == (False, WAIT_S)


async def test_a_row_that_was_put_off_rings_when_its_time_comes(
    kit: EmbeddedKit, inbox: Inbox, autojump_clock: trio.testing.MockClock
) -> None:
    inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    outcome = Settled(attempt, Deferred(60, "FLOOD_WAIT_60"))
    for _ in range(2):
        assert list((await kit.store.turn([outcome], {inbox.account: 1}, known=())).attempts) == []
    kit.calendar.advance(59.9)
    assert await waits(kit) == (False, WAIT_S)
    kit.calendar.advance(0.1)
    assert await waits(kit) == (True, LOOK_S)
    assert len(await inbox.claim()) == 1


async def test_an_idle_outbox_is_asked_seldom_and_a_row_is_found_with_the_next_look(
    kit: EmbeddedKit, inbox: Inbox, autojump_clock: trio.testing.MockClock
) -> None:
    chat = inbox.chat("500")
    dispatch, limits, report = Dispatch(), Limits(), Reports()
    pace = Pace(PaceLimits(fast_s=0.1, slow_s=0.1, watched_s=5, hush_s=0.1))
    pulses = RecordingPulse(), RecordingPulse()
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(inbox.account) as desk:
            outbound = partial(
                run_outbound,
                pulses[0],
                store=kit.store,
                dispatch=dispatch,
                limits=limits,
                delays=no_delay,
                report=report,
                pace=pace,
            )
            await nursery.start(outbound)
            ringing = partial(
                run_wakeup,
                pulses[1],
                wakeup=kit.store.watch(every_s=LOOK_S),
                dispatch=dispatch,
                pace=pace,
                limits=limits,
                delays=no_delay,
                report=report,
            )
            await nursery.start(ringing)
            await trio.sleep(30)
            before = len(pulses[0].named("database.turn"))
            await trio.sleep(60)
            assert len(pulses[0].named("database.turn")) - before == 60 / 5
            inbox.write(chat, "hi")
            with trio.fail_after(LOOK_S + 0.001):
                assert (await desk.take()).text == "hi"
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_a_wait_ends_in_time_and_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    looks: list[float] = []

    def look() -> bool:
        looks.append(trio.current_time())
        return False

    began = trio.current_time()
    assert await FileWatch(look, lambda: False, every_s=2.0).wait([ANY], jobs_of=[]) is Work.NOTHING
    assert [at - began for at in looks] == [2, 4, 6]
    with trio.move_on_after(1) as scope:
        await FileWatch(look, lambda: False, every_s=2.0).wait([ANY], jobs_of=[])
    assert scope.cancelled_caught


# ---------------------------------------------------------------- looking past a call


def database(path: Path) -> Database:
    return Database(path / "t.db", run_sync=inline, prepare=lambda _: None)


def fail(error: Exception) -> Callable[[sqlite3.Connection], bool]:
    def look(_connection: sqlite3.Connection) -> bool:
        raise error

    return look


async def test_where_it_cannot_look_there_may_be_something(tmp_path: Path) -> None:
    some = database(tmp_path)
    assert some.peek(lambda _: False) is True, "not open yet"
    await some.read(lambda connection: connection.execute("select 1").fetchone())
    assert some.peek(lambda _: False) is False
    assert some.peek(fail(sqlite3.OperationalError("disk I/O error"))) is True
    with pytest.raises(ZeroDivisionError):
        some.peek(fail(ZeroDivisionError()))
    assert some.peek(lambda _: False) is False, "and it looks on"
    some.close()


def test_while_a_call_runs_nobody_waits_for_it(tmp_path: Path) -> None:
    some = database(tmp_path)
    begun, end = threading.Event(), threading.Event()

    def work(_connection: sqlite3.Connection) -> None:
        begun.set()
        assert end.wait(30)

    thread = threading.Thread(target=lambda: some.now(work, writing=False))
    thread.start()
    assert begun.wait(30)
    assert some.peek(lambda _: True) is False
    end.set()
    thread.join(30)
    assert some.peek(lambda _: True) is True
    some.close()


async def test_a_job_that_another_process_files_is_seen_once_until_the_next_is_written(
    autojump_clock: trio.testing.MockClock, inbox: Inbox
) -> None:
    kit = inbox.kit
    assert isinstance(kit, EmbeddedKit)
    watch = kit.store.watch(every_s=LOOK_S)
    assert await watch.wait([], jobs_of=[ANY]) is Work.NOTHING
    chat = inbox.chat("500")
    payload = f'{{"conversation_id": "{chat}"}}'
    kit.app.insert("message_jobs", owner_id=OWNER, action="mark_read", payload=payload)
    began = trio.current_time()
    assert await watch.wait([], jobs_of=[ANY]) is Work.JOBS
    assert trio.current_time() - began == LOOK_S
    assert await watch.wait([], jobs_of=[ANY]) is Work.NOTHING
    assert len((await kit.store.claim_jobs([inbox.account], known=())).jobs) == 1
    inbox.chat("501")
    assert await watch.wait([], jobs_of=[ANY]) is Work.NOTHING
