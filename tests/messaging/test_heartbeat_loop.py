"""The heartbeat is written every 15 s to the second, whatever its writers and the loops do."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import RecordingPulse, Reports, Weather
from tgworker.messaging.events import HeartbeatMissed, HeartbeatWritten
from tgworker.messaging.heartbeat import STALLED_VERDICTS, run_heartbeat, worker_status
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Heartbeat, LoopStatus, WorkerStatus


class FakeWriter:
    """Fills `store_ports.HeartbeatWriter`: an older number never overwrites a newer one."""

    def __init__(self, name: str = "embedded") -> None:
        self.name = name
        self.weather = Weather()
        self.written: list[tuple[float, int]] = []

    async def write(self, heartbeat: Heartbeat) -> None:
        await self.weather.face("write", lambda: self._write(heartbeat))

    def _write(self, heartbeat: Heartbeat) -> None:
        if not self.written or heartbeat.seq > self.written[-1][1]:
            self.written.append((trio.current_time(), heartbeat.seq))


class Composer:
    """Counts heartbeats, as the worker does, and says what it is told to."""

    def __init__(self) -> None:
        self.now = WorkerStatus.ONLINE
        self._numbers = count(1)

    def status(self) -> WorkerStatus:
        return self.now

    def __call__(self) -> Heartbeat:
        return Heartbeat("telegram-main", self.now, {}, 1, next(self._numbers))


@asynccontextmanager
async def beating(
    *writers: FakeWriter,
    composer: Composer | None = None,
    report: Reports | None = None,
    limits: Limits | None = None,
    watched: bool = True,
) -> AsyncGenerator[RecordingPulse]:
    pulse, composer = RecordingPulse(), composer or Composer()
    async with trio.open_nursery() as nursery:
        if watched:
            nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(
                run_heartbeat,
                pulse,
                writers=writers,
                compose=composer,
                status=composer.status,
                limits=limits or Limits(),
                report=report or Reports(),
            )
        )
        yield pulse
        nursery.cancel_scope.cancel()


EVERY_15_S: Sequence[float] = range(0, 3600, 15)


async def test_a_heartbeat_is_written_at_once_and_then_every_15_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, report = FakeWriter(), Reports()
    async with beating(writer, report=report):
        await trio.sleep(3599)
    assert [at for at, _ in writer.written] == list(EVERY_15_S)
    assert [seq for _, seq in writer.written] == list(range(1, 241))
    assert report.of(HeartbeatWritten)[0] == HeartbeatWritten("embedded", 1, "online", 0)


async def test_heartbeats_come_on_the_second_while_every_writer_hangs_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, report = FakeWriter(), Reports()
    writer.weather.will("write", *["hang"] * 1000)
    async with beating(writer, report=report):
        await trio.sleep(3599)
    assert writer.weather.times("write") == list(EVERY_15_S)
    missed = [(at, event) for at, event in report.at if isinstance(event, HeartbeatMissed)]
    assert [at for at, _ in missed] == [at + 10 for at in EVERY_15_S]
    assert missed[0][1] == HeartbeatMissed("embedded", 1, "no answer within 10 s")


async def test_heartbeats_come_on_the_second_although_the_database_may_take_longer_than_they_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer = FakeWriter()
    writer.weather.will("write", *["hang"] * 1000)
    async with beating(writer, limits=Limits(database_s=300)):
        await trio.sleep(3599)
    assert writer.weather.times("write") == list(EVERY_15_S)


async def test_the_pause_between_two_heartbeats_is_announced(autojump_clock: trio.testing.MockClock) -> None:
    writer = FakeWriter()
    async with beating(writer, limits=Limits(heartbeat_every_s=300)):
        await trio.sleep(1000)  # the watch fails after 60 s of silence
    assert [at for at, _ in writer.written] == [0, 300, 600, 900]


async def test_a_writer_that_hangs_delays_no_other(autojump_clock: trio.testing.MockClock) -> None:
    well, ill = FakeWriter(), FakeWriter("supabase")
    ill.weather.will("write", *["hang"] * 1000)
    async with beating(ill, well):
        await trio.sleep(3599)
    assert [at for at, _ in well.written] == list(EVERY_15_S)
    assert ill.written == []


async def test_heartbeats_go_on_while_every_other_loop_hangs(autojump_clock: trio.testing.MockClock) -> None:
    async def hang() -> None:
        with trio.CancelScope(shield=True):
            await released.wait()

    writer, released = FakeWriter(), trio.Event()
    async with trio.open_nursery() as loops:
        for _ in range(4):
            loops.start_soon(hang)
        async with beating(writer):
            await trio.sleep(3599)
        assert [at for at, _ in writer.written] == list(EVERY_15_S)
        released.set()


async def test_a_missed_heartbeat_is_not_repeated_the_next_one_is_due_as_always(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, report = FakeWriter(), Reports()
    writer.weather.will("write", "away", "away", "ok")
    async with beating(writer, report=report):
        await trio.sleep(31)
    assert writer.written == [(30, 3)]
    assert report.of(HeartbeatMissed) == [HeartbeatMissed("embedded", n, "it is away") for n in (1, 2)]


async def test_a_writer_that_hangs_holds_up_nobodys_start(autojump_clock: trio.testing.MockClock) -> None:
    writer = FakeWriter()
    writer.weather.will("write", "hang")
    async with beating(writer):
        assert trio.current_time() == 0


async def test_a_restarted_loop_goes_on_counting_so_that_its_heartbeats_are_taken_for_new_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, composer = FakeWriter(), Composer()
    async with beating(writer, composer=composer):
        await trio.sleep(100)
    async with beating(writer, composer=composer):
        await trio.sleep(20)
    assert writer.written[-2:] == [(100, 8), (115, 9)]


async def test_what_a_sleeping_machine_missed_is_not_made_up_for(mock_clock: trio.testing.MockClock) -> None:
    writer = FakeWriter()
    async with beating(writer, watched=False):
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(607)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(8)
        await trio.testing.wait_all_tasks_blocked()
    assert writer.written == [(0, 1), (607, 2), (615, 3)], "one at once, the next on the old grid"


async def test_a_status_that_changes_is_written_within_a_second_and_off_the_grid(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, composer = FakeWriter(), Composer()
    composer.now = WorkerStatus.STARTING
    async with beating(writer, composer=composer):
        await trio.sleep(0.2)
        composer.now = WorkerStatus.ONLINE
        await trio.sleep(20)
        composer.now = WorkerStatus.DEGRADED
        await trio.sleep(0.1)
        composer.now = WorkerStatus.ONLINE  # nobody looked
        await trio.sleep(20)
    assert [at for at, _ in writer.written] == [0, 1, 15, 30]


async def test_a_status_that_flaps_is_written_once_a_second_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, composer = FakeWriter(), Composer()
    async with beating(writer, composer=composer):
        for _ in range(100):
            await trio.sleep(0.1)
            composer.now = (
                WorkerStatus.ONLINE if composer.now is WorkerStatus.DEGRADED else WorkerStatus.DEGRADED
            )
    assert len(writer.written) <= 11


async def test_news_that_cannot_be_written_holds_up_no_heartbeat(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, composer = FakeWriter(), Composer()
    writer.weather.will("write", "ok", "hang")
    async with beating(writer, composer=composer):
        await trio.sleep(11.5)
        composer.now = WorkerStatus.DEGRADED
        await trio.sleep(10)
    assert [at for at, _ in writer.written] == [0, 15]


# ---------------------------------------------------------------- what the worker is

WELL = LoopStatus(1, alive=True, restarts=0, operation=None, verdict=None)


def ended(verdict: str, *, alive: bool = False) -> LoopStatus:
    return LoopStatus(1, alive=alive, restarts=1, operation=None, verdict=verdict)


@pytest.mark.parametrize(
    ("loop", "accounts_away", "status"),
    [
        (WELL, 0, WorkerStatus.ONLINE),
        (WELL, 1, WorkerStatus.DEGRADED),
        (ended("raised"), 0, WorkerStatus.DEGRADED),
        (ended("returned"), 0, WorkerStatus.DEGRADED),
        (ended("raised", alive=True), 0, WorkerStatus.ONLINE),
        (ended("silent", alive=True), 0, WorkerStatus.ONLINE),
        *(
            (ended(verdict), accounts, WorkerStatus.STALLED)
            for verdict in STALLED_VERDICTS
            for accounts in (0, 1)
        ),
    ],
)
def test_the_workers_status_follows_from_its_loops_and_accounts(
    loop: LoopStatus, accounts_away: int, status: WorkerStatus
) -> None:
    loops = {"sync": WELL, "outbound": loop, "history": WELL, "jobs": WELL}
    assert worker_status(loops, accounts_away=accounts_away) is status


def test_a_loop_that_hung_outweighs_one_that_crashed() -> None:
    loops = {"sync": ended("raised"), "outbound": ended("silent")}
    assert worker_status(loops, accounts_away=3) is WorkerStatus.STALLED
