"""The process's status server: where it listens, what it says of that, and that it answers early."""

import io
import json
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from tgworker.app import status_service
from tgworker.app.metrics import WorkerMetrics
from tgworker.app.reload import LiveSettings
from tgworker.app.status import StoreState
from tgworker.app.status_service import StatusService, address_of, unusable
from tgworker.messaging.events import StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import WorkerStatus
from tgworker.operations import status_server
from tgworker.operations.logs import Threshold, make_logger
from tgworker.operations.probes import alive, ready, started
from tgworker.operations.status_socket import StatusUnavailable
from tgworker.sandbox import Fault
from tgworker.settings import Settings, StatusBind, load_settings
from tgworker.supervision import Backoff, ChildSpec, SupervisorSpec, open_supervisor
from tgworker.supervision.testing import lone_pulse
from worker.processes import open_town
from worker.worker_world import World, open_world, wait_until


class Process:
    """A process with a status server and no worker."""

    def __init__(self, bind: str = "127.0.0.1:0", *, configured: bool = True) -> None:
        self.stream = io.StringIO()
        host, _, port = bind.rpartition(":")
        settings = load_settings({"HOME": "/home/ada", "TGWORKER_STATUS_BIND": bind}, require=())
        if not configured:
            settings = with_bind(settings, StatusBind(host=host, port=int(port), configured=False))
        live = LiveSettings(settings, lambda: settings, Threshold("info"))
        log = make_logger(self.stream, json=True, level="info", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.service = StatusService(live, log, lambda: None, WorkerMetrics(lambda: None).text)

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def address(self) -> str:
        self.service.tell()
        return str(self.said()[-1]["address"])


def with_bind(settings: Settings, bind: StatusBind) -> Settings:
    return Settings(
        **{name: getattr(settings, name) for name in Settings.__slots__ if name != "status_bind"},
        status_bind=bind,
    )


async def taken() -> tuple[trio.SocketListener, str]:
    """Somebody else's listener, and its address."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener, address_of(*listener.socket.getsockname())


async def get(address: str, path: str) -> tuple[int, Mapping[str, Any]]:
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://{address}{path}")
    return response.status_code, response.json()


async def test_a_configured_address_that_is_taken_is_one_clear_line() -> None:
    listener, address = await taken()
    async with listener:
        with pytest.raises(StatusUnavailable) as caught:
            async with Process(address).service.listening():
                pytest.fail("it listens")
    assert str(caught.value) == (
        f"TGWORKER_STATUS_BIND {address} is taken: stop who has it, or set another address, or off"
    )


async def test_the_default_address_that_is_taken_is_a_warning() -> None:
    listener, address = await taken()
    process = Process(address, configured=False)
    async with listener, process.service.listening():
        assert not process.service.listens
        assert process.said() == []
        process.service.tell()
    (line,) = process.said()
    assert (line["level"], line["event"]) == ("warning", "status server does not listen")
    assert f"{address} is taken" in line["reason"]


async def test_off_listens_nowhere_and_says_nothing() -> None:
    process = Process("off")
    async with process.service.listening():
        process.service.tell()
        assert not process.service.listens
        await process.service.serve_early()
    assert process.said() == []


async def test_an_address_of_another_machine_cannot_be_used() -> None:
    with pytest.raises(StatusUnavailable, match=r"TGWORKER_STATUS_BIND 192\.0\.2\.1:8787 cannot be used"):
        async with Process("192.0.2.1:8787").service.listening():
            pytest.fail("it listens")


def test_a_name_that_nobody_resolves_in_time_is_named() -> None:
    bind = StatusBind(host="fe80::1", port=1, configured=True)
    assert unusable(bind, trio.TooSlowError()) == (
        "TGWORKER_STATUS_BIND [fe80::1]:1 cannot be used (the name is not resolved):"
        " set host:port with an address of this machine, or off"
    )


async def test_probes_are_answered_before_there_is_a_worker_and_by_its_child_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_service, "EARLY_AFTER_S", 0)
    process = Process()
    ended = trio.Event()

    async def early() -> None:
        await process.service.serve_early()
        ended.set()

    async with process.service.listening(), trio.open_nursery() as nursery:
        address = process.address()
        nursery.start_soon(early)
        assert await get(address, "/healthz") == (200, {"alive": True})
        assert await get(address, "/startupz") == (503, {"started": False})
        assert await get(address, "/readyz") == (
            503,
            {"ready": False, "status": "starting", "reason": "the store does not answer"},
        )
        assert (await get(address, "/status"))[0] == 503
        await nursery.start(process.service.serve, lone_pulse())
        await ended.wait()
        assert (await get(address, "/healthz"))[0] == 200
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_a_server_that_breaks_is_started_again_on_the_same_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_http = status_server.serve_http
    broken = trio.Event()

    async def breaks_once(*args: Any, task_status: trio.TaskStatus[None], **options: Any) -> None:
        if broken.is_set():
            await serve_http(*args, task_status=task_status, **options)
        else:
            task_status.started()
            await trio.lowlevel.checkpoint()
            broken.set()
            raise OSError("the first one breaks")

    monkeypatch.setattr(status_server, "serve_http", breaks_once)
    process = Process()
    spec = SupervisorSpec(
        children=(ChildSpec("status_server", process.service.serve, backoff=Backoff(0.01)),)
    )
    async with process.service.listening(), open_supervisor(spec, rng=Random(1)) as supervisor:
        address = process.address()
        assert await get(address, "/healthz") == (200, {"alive": True})
        assert broken.is_set()
        assert supervisor.snapshot().child("root.status_server").restarts == 1


# ---------------------------------------------------------------- what a worker says


def test_an_outage_of_the_store_holds_until_it_is_over_or_the_next_try_must_have_been_made() -> None:
    state = StoreState(10)
    assert not state.away(0)
    state.note(StoreUnavailable("database.claim", "locked", 2), 100)
    assert state.away(100)
    assert state.away(112.9)
    assert not state.away(113)
    state.note(StoreUnavailable("database.claim", "locked", 2), 200)
    state.note(StoreBack("database.claim", 1), 201)
    assert not state.away(201)


def probes(world: World) -> tuple[bool, bool, bool]:
    facts = world.worker.facts()
    return alive(facts).ok, ready(facts).ok, started(facts).ok


async def test_a_worker_is_alive_then_started_then_ready_and_an_outage_of_telegram_is_not_ready(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=Limits()) as world:
        assert probes(world) == (True, False, False)
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)
        assert probes(world) == (True, True, True)
        hole = world.sandbox.faults.set(Fault("blackhole", method="connect"))
        world.sandbox.drop_connections()
        await wait_until(lambda: world.worker.status() is WorkerStatus.DEGRADED)
        assert probes(world) == (True, False, True)
        assert ready(world.worker.facts()).body["reason"] == "no account has a line to Telegram"
        world.sandbox.faults.clear(hole)
        await wait_until(lambda: ready(world.worker.facts()).ok)


# ---------------------------------------------------------------- processes


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_worker_s_probes_over_the_wire_and_a_second_one_on_its_address(tmp_path: Path) -> None:
    async with open_town(tmp_path) as quiet:
        listener, address = await taken()
        await listener.aclose()
        quiet.env = {**quiet.env, "TGWORKER_STATUS_BIND": address, "TGWORKER_STATUS_TOKEN": "a-token"}
        await quiet.login(quiet.facts["users"][0], "me")
        async with quiet.worker() as worker:
            await quiet.wait_online()
            assert await get(address, "/healthz") == (200, {"alive": True})
            assert await get(address, "/readyz") == (200, {"ready": True, "status": "online"})
            assert await get(address, "/startupz") == (200, {"started": True})
            assert (await get(address, "/status"))[0] == 401
            assert (await get(address, "/metrics"))[0] == 401
            async with httpx.AsyncClient(headers={"Authorization": "Bearer a-token"}) as client:
                details = (await client.get(f"http://{address}/status")).json()
                metrics = await client.get(f"http://{address}/metrics")
            assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert 'tgworker_accounts{state="online"} 1.0\n' in metrics.text
            assert 'tgworker_children{child="account"} 1.0\n' in metrics.text
            assert 'tgworker_heartbeats_written_total{writer="embedded"}' in metrics.text
            assert "tgworker_store_up 1.0\n" in metrics.text
            assert details["pid"] == worker.pid
            assert set(details) == set(await quiet.status()) - {"answers", "last_freeze"}
            paths = [child["path"] for child in details["tree"]["children"]]
            assert {"root.status_server", "root.sweep"} <= set(paths)

            quiet.env = {**quiet.env, "TGWORKER_DATA_DIR": str(tmp_path / "other")}
            second = await quiet.command("run", "--no-guard")
            assert second.returncode == 2
            assert second.stderr.decode() == (
                f"tgworker: TGWORKER_STATUS_BIND {address} is taken: stop who has it,"
                " or set another address, or off\n"
            )
            os.kill(worker.pid, signal.SIGTERM)
            assert await worker.wait() == 0
