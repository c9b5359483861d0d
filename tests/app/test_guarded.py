"""What a worker does for its guard: beats, footprints, and news of heartbeats."""

import os
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import pytest
import trio
import trio.testing

from tgworker.app.guarded import Steps, Told, UnderGuard, beat, leaving_footprints
from tgworker.guard import Beat, Committed, Footprints, Held, Link, Quiet
from tgworker.guard._link import Ear, Message
from tgworker.messaging.accounts import Hold
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import Heartbeat, WorkerStatus
from tgworker.supervision import ChildSpec, OperationExpired, Pulse, Restart, SupervisorSpec, open_supervisor

HEARTBEAT = Heartbeat("w", WorkerStatus.ONLINE, {}, 1, 7)


@dataclass
class Pipe:
    link: Link
    fd: int

    def heard(self) -> list[Message]:
        try:
            return Ear().hear(os.read(self.fd, 65_536))
        except BlockingIOError:
            return []


@pytest.fixture
def pipe() -> Generator[Pipe]:
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    yield Pipe(Link(write_fd, Footprints()), read_fd)
    os.close(read_fd)
    os.close(write_fd)


@pytest.mark.parametrize(("freeze_after_s", "every_s"), [(1, 0.1), (10, 1), (60, 1)])
async def test_the_loop_shows_itself_ten_times_in_a_limit_or_once_a_second(
    pipe: Pipe, freeze_after_s: float, every_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: beat(pipe.link, freeze_after_s=freeze_after_s))
        await trio.sleep(every_s * 3.5)
        nursery.cancel_scope.cancel()
    assert pipe.heard() == [Beat()] * 4


def test_announced_silence_ends_with_a_beat_and_not_when_the_next_one_is_due(pipe: Pipe) -> None:
    guard = UnderGuard(pipe.link, {}, freeze_after_s=10, account_of=lambda path: None)
    with guard.quiet():
        assert pipe.heard() == [Quiet(300)]
    assert pipe.heard() == [Beat()]
    with pytest.raises(StoreAway), guard.quiet():
        raise StoreAway("locked")
    assert pipe.heard() == [Quiet(300), Beat()]


async def test_a_committed_heartbeat_is_told_and_one_that_was_not_is_not(pipe: Pipe) -> None:
    class Writer:
        name = "embedded"
        away = False

        async def write(self, heartbeat: Heartbeat) -> None:
            if self.away:
                raise StoreAway("gone")

    writer = Writer()
    told = Told(writer, pipe.link)
    await told.write(HEARTBEAT)
    assert pipe.heard() == [Committed("embedded", HEARTBEAT)]
    writer.away = True
    with pytest.raises(StoreAway):
        await told.write(HEARTBEAT)
    assert pipe.heard() == []


def test_the_steps_of_an_account_s_tasks_are_its_own() -> None:
    """Tasks that the account's child started count, too; nobody runs while the loop waits."""
    footprints = Footprints()
    seen: dict[str, str | None] = {}

    async def child(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async def deeper() -> None:
            seen["deeper"] = footprints.account()

        task_status.started()
        seen["child"] = footprints.account()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deeper)

    class Waiting(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            seen["waiting"] = footprints.account()

    async def main() -> None:
        specs = [
            leaving_footprints(
                ChildSpec(name, child, restart=Restart.TEMPORARY),
                footprints=footprints,
                account_of=lambda path: "0a1b" if path.endswith("account") else None,
            )
            for name in ("account", "loop")
        ]
        for spec in specs:
            seen.clear()
            async with open_supervisor(SupervisorSpec("root", children=(spec,)), rng=Random(1)):
                await trio.testing.wait_all_tasks_blocked()
            results.append(dict(seen))

    results: list[dict[str, str | None]] = []
    trio.run(main, instruments=[Steps(footprints), Waiting()])
    assert results == [
        {"child": "0a1b", "deeper": "0a1b", "waiting": None},
        {"child": None, "deeper": None, "waiting": None},
    ]


async def test_an_account_s_number_is_free_again_when_its_child_has_ended() -> None:
    footprints = Footprints()
    spec = leaving_footprints(ChildSpec("a", _crash), footprints=footprints, account_of=lambda path: "0a1b")
    pulse = Pulse("root.a", 1, _Nobody(), trio.current_time)
    for _ in range(10_000):
        with pytest.raises(RuntimeError, match="a crash"):
            await spec.start(pulse, task_status=trio.TASK_STATUS_IGNORED)
    assert footprints.enter("another")


async def _crash(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    raise RuntimeError("a crash")


class _Nobody:
    """A pulse's keeper that has nothing to do."""

    def sooner(self, due_s: float) -> None: ...

    def operation_expired(self, event: OperationExpired) -> None: ...


async def test_what_the_guard_says_of_accounts_on_trio_s_clock(
    pipe: Pipe,
    autojump_clock: trio.testing.MockClock,
) -> None:
    await trio.sleep(100)
    now = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    held = {"late": Held(0, ""), "bad": Held(now.timestamp() + 3600, "quarantined: it has frozen the worker")}
    guard = UnderGuard(pipe.link, held, freeze_after_s=10, account_of=lambda path: None)
    assert guard.holds(start_last_s=30, now=now) == {
        "late": Hold(130, None),
        "bad": Hold(3700, "quarantined: it has frozen the worker; tried again at 2026-11-26 13:00 UTC"),
    }
