"""systemd is told when the service is ready, that it is well, and when it stops: to the exact second."""

import math
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.testing

from supervision.supervision_helpers import SEED, child, delays
from tgworker.supervision import (
    Backoff,
    ChildEnded,
    ChildReady,
    ChildSnapshot,
    ChildSpec,
    ChildState,
    ChildWedged,
    Intensity,
    IntensityExceeded,
    Operation,
    Pulse,
    Restart,
    Snapshot,
    Subtree,
    Supervisor,
    SupervisorSpec,
    SupervisorState,
    Verdict,
    Wedged,
    open_supervisor,
)
from tgworker.supervision._conversation import Conversation, ailment
from tgworker.supervision.systemd import NotifySystemd, Systemd, from_environ, notify
from tgworker.supervision.testing import (
    EventRecorder,
    Hangs,
    Lingers,
    Raises,
    RefusesToDie,
    Runs,
    ScriptedChild,
    lone_pulse,
)

EXTEND = "EXTEND_TIMEOUT_USEC=30000000"


# ---------------------------------------------------------------- what systemd told the process


def test_the_environment_is_given_and_says_whom_to_notify_and_how_often() -> None:
    environ = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000", "HOME": "/"}
    assert from_environ(environ) == Systemd("/run/systemd/notify", 30.0)
    assert from_environ({"NOTIFY_SOCKET": "@tg"}) == Systemd("@tg", None)
    assert from_environ({}) == Systemd(None, None)
    assert from_environ({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": ""}) == Systemd(None, None)


def test_a_watchdog_that_concerns_another_process_is_none_of_ours() -> None:
    environ = {"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "4711"}
    assert from_environ(environ, pid=4711).watchdog_s == 1.5
    assert from_environ(environ, pid=4712).watchdog_s is None
    assert from_environ(environ | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 1.5
    assert from_environ(environ | {"WATCHDOG_PID": ""}).watchdog_s == 1.5


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"NOTIFY_SOCKET": "run/notify"}, "neither an absolute path nor @ and a name"),
        ({"NOTIFY_SOCKET": "@"}, "neither"),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, "neither"),
        ({"WATCHDOG_USEC": "0"}, "must be more than 0"),
        ({"WATCHDOG_USEC": "-5"}, "'-5' is not a number of microseconds"),
        ({"WATCHDOG_USEC": "٣"}, "is not a number of microseconds"),
        ({"WATCHDOG_USEC": "soon"}, "is not a number of microseconds"),
    ],
)
def test_values_that_systemd_would_not_give_are_refused(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_environ(environ)


@pytest.mark.parametrize("watchdog_s", [0.0, -1.0, math.inf, math.nan])
def test_a_watchdog_needs_a_time(watchdog_s: float) -> None:
    with pytest.raises(ValueError, match="more than 0, and finite"):
        Systemd("/run/notify", watchdog_s)


def test_somebody_must_be_critical() -> None:
    with pytest.raises(ValueError, match="at least one child must be critical"):
        NotifySystemd(Systemd(), critical=())


def test_importing_it_reads_no_environment_and_opens_nothing() -> None:
    code = """
import os, sys
class Watched(dict):
    def get(self, key, default=None):
        assert key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"), key
        return dict.get(self, key, default)
    def __getitem__(self, key):
        assert self.get(key) is not None
        return dict.__getitem__(self, key)
os.environ = Watched(os.environ)
import trio, socket
socket.socket = None
import tgworker.supervision.systemd
assert not {"telethon", "httpx", "trio_asyncio", "pytest"} & set(sys.modules)
"""
    environ = {**os.environ, "NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "nonsense"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environ)


# ---------------------------------------------------------------- a systemd that listens


@dataclass
class Listener:
    """The other end: a real datagram socket, read without waiting."""

    address: str
    sock: socket.socket
    status: str = ""

    def heard(self) -> list[list[str]]:
        """The messages since the last time, each as its lines."""
        messages: list[list[str]] = []
        while True:
            try:
                messages.append(self.sock.recv(65_536).decode().split("\n"))
            except BlockingIOError:
                return messages

    def lines(self) -> list[str]:
        """The lines of all messages since the last time, but for the status, which is kept."""
        lines = [line for message in self.heard() for line in message]
        for line in lines:
            if line.startswith("STATUS="):
                self.status = line.removeprefix("STATUS=")
        return [line for line in lines if not line.startswith("STATUS=")]


@contextmanager
def listening(address: str) -> Generator[Listener]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Listener(address, sock)


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@tgworker-test-{tmp_path}"
    with listening(address) as one:
        yield one


def test_a_program_without_an_event_loop_can_notify_too(listener: Listener) -> None:
    notify(listener.address, "READY=1", "STATUS=Grüße")
    notify(listener.address, f"MAINPID={os.getpid()}")
    assert listener.heard() == [["READY=1", "STATUS=Grüße"], [f"MAINPID={os.getpid()}"]]


@pytest.mark.parametrize("assignment", ["READY", "STATUS=two\nlines", ""])
def test_what_is_no_assignment_is_not_sent(assignment: str, listener: Listener) -> None:
    with pytest.raises(ValueError, match="is not one line of NAME=value"):
        notify(listener.address, "READY=1", assignment)
    assert listener.heard() == []


def test_a_socket_where_nobody_listens_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        notify(str(tmp_path / "gone"), "READY=1")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# ---------------------------------------------------------------- who is well (pure)


def seen(state: ChildState = ChildState.READY, **more: object) -> ChildSnapshot:
    healthy = ChildSnapshot(
        id="x",
        path="root.x",
        state=state,
        alive=True,
        incarnation=1,
        beat_age_s=0.0,
        expects_within_s=None,
        operations=(),
        cycle=None,
        last=None,
        attempt=0,
        restart_in_s=None,
        supervisor=None,
    )
    return replace(healthy, **more)  # type: ignore[arg-type] # the fields of a snapshot


def nested(state: SupervisorState) -> Snapshot:
    return Snapshot(path="root.x", at_s=0, state=state, failure=None, children=())


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (seen(), None),
        (None, "does not exist"),
        (seen(ChildState.WAITING, alive=False), "is waiting"),
        (seen(ChildState.STARTING), "is starting"),
        (seen(ChildState.STOPPING), "is stopping"),
        (seen(ChildState.BACKING_OFF, alive=False), "is backing-off"),
        (seen(ChildState.WEDGED), "is wedged"),
        (seen(ChildState.STOPPED, alive=False), "is stopped"),
        (seen(operations=(Operation("send", 30, 29, 1), Operation("write", 10, 10, 0))), None),
        (
            seen(operations=(Operation("send", 30, 29, 1), Operation("write", 10, 11, -1))),
            "does not end write",
        ),
        (seen(supervisor=nested(SupervisorState.RUNNING)), None),
        (seen(supervisor=nested(SupervisorState.STOPPING)), "is stopping"),
    ],
)
def test_a_child_is_well_if_it_is_alive_ready_and_not_overdue(
    one: ChildSnapshot | None, wrong: str | None
) -> None:
    assert ailment(one) == wrong


# ---------------------------------------------------------------- a service under systemd


@dataclass
class Service:
    """A supervised tree whose first child speaks with a listening systemd."""

    supervisor: Supervisor
    recorder: EventRecorder
    systemd: Listener
    start: float


@asynccontextmanager
async def service(
    listener: Listener,
    *children: ChildSpec,
    critical: tuple[str, ...] = ("root.work",),
    watchdog_s: float | None = 30.0,
    status: Callable[[Snapshot], str] = lambda snapshot: snapshot.state.value,
    intensity: Intensity | None = None,
) -> AsyncGenerator[Service]:
    door = NotifySystemd(Systemd(listener.address, watchdog_s), critical, status)
    spec = SupervisorSpec(
        children=(ChildSpec("systemd", start=door), *children), intensity=intensity or Intensity.unlimited()
    )
    recorder = EventRecorder()
    start = trio.current_time()
    async with open_supervisor(spec, rng=random.Random(SEED), observers=(recorder,)) as supervisor:
        yield Service(supervisor, recorder, listener, start)


def work(start: ScriptedChild) -> ChildSpec:
    return replace(child(start, "work"), start_within_s=None)


async def test_ready_is_said_at_the_moment_at_which_every_critical_child_is_ready(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    other = replace(child(ScriptedChild(Runs(), ready_after_s=7), "other"), start_within_s=None)
    never = replace(child(ScriptedChild(Runs(), ready_after_s=math.inf), "never"), start_within_s=None)
    slow = work(ScriptedChild(Runs(), ready_after_s=12))
    async with service(listener, slow, other, never, critical=("root.work", "root.other")) as this:
        await trio.sleep(1)
        assert listener.lines() == [EXTEND]
        assert listener.status == "starting; root.work is starting; root.other is starting"
        await trio.sleep(10.5)
        assert listener.lines() == []
        assert listener.status == "starting; root.work is starting"
        await this.recorder.wait_for(ChildReady, "root.work")
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == this.start + 12
        assert listener.heard() == [["READY=1", "WATCHDOG=1", "STATUS=running"]]


async def test_the_watchdog_is_fed_at_every_half_of_its_time(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    fed: list[float] = []
    async with service(listener, work(ScriptedChild(Runs())), watchdog_s=20.0) as this:
        for _ in range(45):
            await trio.testing.wait_all_tasks_blocked()
            fed += [trio.current_time() - this.start for line in listener.lines() if line == "WATCHDOG=1"]
            await trio.sleep(1)
    assert fed == [0, 10, 20, 30, 40]


async def test_the_watchdog_starves_while_a_critical_child_is_down_and_eats_when_it_is_well_again(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    script = ScriptedChild(Raises(OSError(), after_s=14), Runs())
    down_for_s = delays(40)[0]
    assert 5 < down_for_s < 15, "the seed decides"
    async with service(listener, replace(work(script), backoff=Backoff(40, 1, 40))) as this:
        await trio.sleep(1)
        assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
        await trio.sleep(16)  # past 15 s, when it should have been fed
        assert listener.lines() == []
        assert listener.status == "running; root.work is backing-off"
        await this.recorder.wait_for(ChildReady, "root.work", count=2)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == this.start + 14 + down_for_s
        assert listener.lines() == ["WATCHDOG=1"]
        assert listener.status == "running"
        await trio.sleep(14.5)
        assert listener.lines() == []
        await trio.sleep(1)
        assert listener.lines() == ["WATCHDOG=1"]


async def test_children_that_are_not_critical_may_crash_as_they_like(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    fragile = child(ScriptedChild(Raises(OSError(), after_s=1)), "fragile")
    async with service(listener, work(ScriptedChild(Runs())), fragile) as this:
        await trio.sleep(1)
        assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
        for _ in range(20):
            await trio.sleep(15)
            assert listener.lines() == ["WATCHDOG=1"]
        assert len(this.recorder.of(ChildEnded)) > 5


async def test_an_operation_that_is_over_its_deadline_and_does_not_end_starves_the_watchdog(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    async def stuck(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(10)
        with pulse.deadline("telegram.send", 2), trio.CancelScope(shield=True):
            await trio.sleep(8.5)  # from 10 to 18.5; due at 12
        await trio.sleep_forever()

    async with service(listener, child(stuck, "work")) as this:
        await trio.sleep(14)
        assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
        await trio.sleep(4.4)
        assert listener.heard() == [["STATUS=running; root.work does not end telegram.send"]]
        await trio.sleep(0.2)
        # It was looked at at 15, 16, 17 and 18; that the operation ended, at 18.5, is an event.
        assert listener.heard() == [["WATCHDOG=1", "STATUS=running"]]
        await trio.sleep_until(this.start + 33)
        assert listener.lines() == []
        await trio.sleep(1)
        assert listener.lines() == ["WATCHDOG=1"]


async def test_a_child_that_becomes_well_without_an_event_is_noticed_within_a_second(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    async def stuck(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.deadline("send", 14) as deadline:
            with trio.CancelScope(shield=True):
                await trio.sleep(16.5)
            deadline.extend(1_000)  # progress was made after all
            with trio.CancelScope(shield=True):
                await trio.sleep(10)
        await trio.sleep_forever()

    async with service(listener, child(stuck, "work")):
        await trio.sleep(16.9)
        assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
        assert listener.status == "running; root.work does not end send"
        await trio.sleep(0.2)
        assert listener.lines() == ["WATCHDOG=1"]
        await trio.sleep(10)


async def test_a_critical_child_deep_in_the_tree_counts_with_all_that_is_above_it(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    script = ScriptedChild(Raises(OSError(), after_s=10), Runs())
    leaf = replace(child(script, "leaf"), backoff=Backoff(30, 1, 30))
    branch = child(Subtree(SupervisorSpec(children=(leaf,), intensity=Intensity.unlimited())), "branch")
    async with service(listener, branch, critical=("root.branch.leaf",)) as this:
        await trio.sleep(9)
        assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
        assert listener.status == "running"
        await trio.sleep(2)
        assert listener.lines() == []
        assert listener.status == "running; root.branch.leaf is backing-off"
        await this.supervisor.stop_child("branch")
        await trio.testing.wait_all_tasks_blocked()
        assert listener.lines() == []
        assert listener.status == "running; root.branch.leaf does not exist"


async def test_a_name_that_is_misspelt_is_visible_at_once_and_the_service_never_ready(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    async with service(listener, work(ScriptedChild(Runs())), critical=("root.wrok",)):
        await trio.sleep(1_000)
        assert listener.heard() == [["STATUS=starting; root.wrok does not exist"]]


async def test_more_time_to_start_is_asked_for_while_the_critical_children_live(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    asked: list[float] = []
    script = ScriptedChild(Hangs(), Raises(OSError()), Runs(), ready_after_s=math.inf)
    spec = replace(work(script), start_within_s=40, backoff=Backoff(1_000, 1, 1_000))
    async with service(listener, spec) as this:
        for _ in range(100):
            await trio.testing.wait_all_tasks_blocked()
            asked += [trio.current_time() - this.start for line in listener.lines() if line == EXTEND]
            await trio.sleep(1)
        assert asked == [0, 15, 30], "not any more after 40, when it failed"


async def test_without_a_watchdog_it_says_what_happens_and_else_nothing(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    async with service(listener, work(ScriptedChild(Runs())), watchdog_s=None):
        await trio.sleep(10_000)
        assert listener.lines() == [EXTEND, "READY=1"]
    assert listener.lines() == ["STOPPING=1", EXTEND]


async def test_stopping_is_said_first_and_time_is_asked_for_as_long_as_it_takes(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    said: list[tuple[float, list[str]]] = []
    slow = replace(child(ScriptedChild(Lingers(40)), "slow"), stop_within_s=50)

    async def listen(start: float) -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked()
            said.extend((trio.current_time() - start, message) for message in listener.heard())
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        async with service(listener, slow, work(ScriptedChild(Lingers(3)))) as this:
            await this.supervisor.wait_ready()
            await trio.sleep(20)
            listener.heard()
            nursery.start_soon(listen, trio.current_time())
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert said == [
        (0, ["STOPPING=1", EXTEND, "STATUS=stopping"]),
        (15, [EXTEND]),
        (30, [EXTEND]),
    ]


async def test_as_the_last_child_it_still_says_that_the_service_stops(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    spec = SupervisorSpec(children=(work(ScriptedChild(Lingers(3))),))
    async with open_supervisor(spec, rng=random.Random(1)) as supervisor:
        await supervisor.wait_ready()
        door = NotifySystemd(Systemd(listener.address), ("root.work",))
        for _ in range(2):
            supervisor.start_child(ChildSpec("systemd", start=door))
            await trio.sleep(1)
            assert listener.lines() == ["READY=1"]
            await supervisor.stop_child("systemd")
            assert listener.lines() == [], "the service goes on"
        supervisor.start_child(ChildSpec("systemd", start=door))
        await trio.sleep(1)
        assert listener.lines() == ["READY=1"]
    assert listener.heard() == [["STOPPING=1", EXTEND, "STATUS=stopping"]]


async def test_a_service_that_gives_up_says_why(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    crash = child(ScriptedChild(Raises(OSError("no\nroute"), after_s=5)), "crash")

    async def run() -> None:
        intensity = Intensity(restarts=0, period_s=60)
        async with service(listener, work(ScriptedChild(Runs())), crash, intensity=intensity):
            await trio.sleep_forever()

    with pytest.raises(IntensityExceeded, match="1 failures within 60 s"):
        await run()
    assert listener.lines()[-2:] == ["STOPPING=1", EXTEND]
    assert listener.status == (
        "stopping; root: 1 failures within 60 s, the last of root.crash (raised: OSError: no route)"
    )


async def test_a_wedged_critical_child_is_named(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    release = trio.Event()

    async def serve() -> None:
        async with service(listener, work(ScriptedChild(RefusesToDie(release)))) as this:
            await trio.sleep(20)
            await this.supervisor.stop_child("work")

    async def expect_failure() -> None:
        with pytest.raises(Wedged, match=r"root\.work is wedged"):
            await serve()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_failure)
        try:
            await trio.sleep(22)
            assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1", "WATCHDOG=1"]
            assert listener.status == "running; root.work is stopping"
            await trio.sleep(4)
            assert listener.lines() == ["STOPPING=1", EXTEND]
            assert listener.status.startswith("stopping; root.work is wedged: did not end within 5 s")
        finally:
            release.set()


async def test_the_status_may_be_the_services_own_and_is_said_when_it_changes(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    accounts = 3

    def status(snapshot: Snapshot) -> str:
        return f"{accounts} accounts\nonline, " + "x" * 400

    async with service(listener, work(ScriptedChild(Runs())), status=status):
        await trio.sleep(1)
        assert listener.lines()[-2:] == ["READY=1", "WATCHDOG=1"]
        assert listener.status.startswith("3 accounts online, xxx")
        assert listener.status.endswith("x…")
        assert len(listener.status) == 300
        await trio.sleep(15)
        assert listener.heard() == [["WATCHDOG=1"]]
        accounts = 2
        await trio.sleep(15)
        assert listener.lines() == ["WATCHDOG=1"]
        assert listener.status.startswith("2 accounts online")


async def test_without_systemd_it_sleeps(autojump_clock: trio.testing.MockClock) -> None:
    door = NotifySystemd(from_environ({}), ("root.work",))
    spec = SupervisorSpec(children=(ChildSpec("systemd", start=door), work(ScriptedChild(Runs()))))
    recorder = EventRecorder()
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)) as supervisor:
        await supervisor.wait_ready()
        await trio.sleep(1_000)
    endings = [(event.path, event.ending.verdict) for event in recorder.of(ChildEnded)]
    assert endings == [("root.work", Verdict.STOPPED), ("root.systemd", Verdict.STOPPED)]


async def test_if_systemd_cannot_be_reached_the_child_fails_and_is_restarted_like_any_other(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    address = str(tmp_path / "notify")
    door = ChildSpec("systemd", start=NotifySystemd(Systemd(address, 30), ("root.work",)))
    spec = SupervisorSpec(children=(door, work(ScriptedChild(Runs()))), intensity=Intensity.unlimited())
    recorder = EventRecorder()
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)):
        ended = await recorder.wait_for(ChildEnded)
        assert (ended.path, ended.ending.verdict) == ("root.systemd", Verdict.RAISED)
        assert isinstance(ended.error, FileNotFoundError)
        await trio.sleep(100)
        assert not recorder.of(ChildEnded, "root.work")
        with listening(address) as listener:
            await trio.sleep(100)
            assert "READY=1" in listener.lines()


def fill(listener: Listener) -> int:
    """Send until there is room for no message more; returns how many there are."""
    sent = 0
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(listener.address)
            before = sent
            with suppress(BlockingIOError):
                while True:
                    sock.send(b"X=1")
                    sent += 1
            if sent == before:
                return sent


async def test_a_systemd_that_does_not_read_is_waited_for_without_holding_anybody_up(tmp_path: Path) -> None:
    # Real time: what is waited for is a real socket.
    with listening(str(tmp_path / "notify")) as listener:
        filled = fill(listener)
        async with service(listener, work(ScriptedChild(Runs()))) as this:
            await this.supervisor.wait_ready()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert listener.lines() == ["X=1"] * filled
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]


async def test_a_systemd_that_never_reads_again_cannot_hold_up_the_stop(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with listening(str(tmp_path / "notify")) as listener:
        async with service(listener, work(ScriptedChild(Runs()))) as this:
            await trio.sleep(1)
            listener.lines()
            filled = fill(listener)
        assert trio.current_time() == this.start + 1 + 1
        assert not this.recorder.of(ChildWedged)
        assert len(listener.heard()) == filled


async def test_what_could_not_be_sent_before_it_was_cancelled_is_sent_after_all(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with listening(str(tmp_path / "notify")) as listener:

        async def read_at_last() -> None:
            await trio.sleep(3.5)
            assert listener.lines() == ["X=1"] * filled

        async with trio.open_nursery() as nursery:
            async with service(listener, work(ScriptedChild(Lingers(3)))) as this:
                await trio.sleep(1)
                assert listener.lines() == [EXTEND, "READY=1", "WATCHDOG=1"]
                filled = fill(listener)
                nursery.start_soon(read_at_last)
            # Stopped from 1 on; it could say so at 4.5 only, and was itself stopped at 4.
            assert trio.current_time() == this.start + 4.5
        assert listener.lines() == ["STOPPING=1", EXTEND]


async def test_only_a_running_child_can_speak_for_its_supervisor() -> None:
    door = NotifySystemd(Systemd("/nowhere"), ("root.work",))
    with pytest.raises(RuntimeError, match="lone: this pulse belongs to no running child"):
        await door(lone_pulse(), task_status=trio.TASK_STATUS_IGNORED)


async def test_thousands_of_other_children_do_not_make_it_talk_or_look(
    listener: Listener, autojump_clock: trio.testing.MockClock
) -> None:
    looks = 0

    def status(snapshot: Snapshot) -> str:
        nonlocal looks
        looks += 1
        return "running"

    async with service(listener, work(ScriptedChild(Runs())), status=status, watchdog_s=None) as this:
        await trio.sleep(1)
        before = looks
        for number in range(1_000):
            this.supervisor.start_child(
                replace(child(ScriptedChild(Hangs()), f"c{number}"), restart=Restart.TEMPORARY)
            )
        await trio.sleep(1)
        assert looks == before


# ---------------------------------------------------------------- the conversation itself (pure)


def picture(
    at_s: float, *children: ChildSnapshot, state: SupervisorState = SupervisorState.RUNNING
) -> Snapshot:
    return Snapshot(path="root", at_s=at_s, state=state, failure=None, children=children)


def test_there_is_a_time_to_look_again_only_while_something_can_become_due() -> None:
    talk = Conversation(("root.x",), 30.0, lambda _: "fine")
    assert talk.say(picture(0, seen(ChildState.STARTING))) == (EXTEND, "STATUS=starting; root.x is starting")
    assert talk.next_s == 15
    assert talk.say(picture(1, seen(ChildState.BACKING_OFF, alive=False))) == (
        "STATUS=starting; root.x is backing-off",
    )
    assert talk.next_s == math.inf
    assert talk.say(picture(2, seen())) == ("READY=1", "WATCHDOG=1", "STATUS=fine")
    assert talk.next_s == 17
    assert talk.say(picture(3, seen())) == ()
    assert talk.next_s == 17
    assert talk.say(picture(17, seen(ChildState.WEDGED))) == ("STATUS=fine; root.x is wedged",)
    assert talk.next_s == 18
    assert talk.say(picture(18, seen())) == ("WATCHDOG=1", "STATUS=fine")
    assert talk.next_s == 33
    assert talk.say(picture(20, state=SupervisorState.STOPPING)) == ("STOPPING=1", EXTEND)
    assert talk.next_s == 35
    assert talk.say(picture(35, state=SupervisorState.STOPPED)) == (EXTEND,)


def test_a_very_impatient_watchdog_is_looked_after_more_often_than_every_second() -> None:
    talk = Conversation(("root.x",), 0.5, lambda _: "fine")
    talk.say(picture(0, seen()))
    assert talk.next_s == 0.25
    talk.say(picture(0.25, seen(ChildState.STARTING)))
    assert talk.next_s == 0.5


@pytest.mark.parametrize(
    ("children", "asks"),
    [
        pytest.param((), False, id="nobody of that name, nor above"),
        pytest.param(
            (seen(ChildState.WAITING, alive=False),), True, id="what contains it waits for its turn"
        ),
        pytest.param((seen(ChildState.STARTING),), True, id="what contains it starts"),
        pytest.param((seen(ChildState.READY),), False, id="what contains it has started, without it"),
        pytest.param((seen(ChildState.BACKING_OFF, alive=False),), False, id="what contains it failed"),
        pytest.param((seen(ChildState.STOPPED, alive=False),), False, id="what contains it has ended"),
    ],
)
def test_time_is_asked_for_only_if_a_child_that_does_not_exist_yet_can_be_expected(
    children: tuple[ChildSnapshot, ...], asks: bool
) -> None:
    talk = Conversation(("root.x.leaf",), None, lambda _: "fine")
    assert (EXTEND in talk.say(picture(0, *children))) is asks
