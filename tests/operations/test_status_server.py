"""The status server on real sockets: clients that are slow, deaf, many or mad harm nobody."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tgworker.operations import status_server
from tgworker.operations.probes import WorkerFacts
from tgworker.operations.status_app import StatusApp
from tgworker.operations.status_server import reachable_from_elsewhere, serve_http

WELL = WorkerFacts(
    supervised=True, stopping=False, synced=True, status="online", store_away=False, telegram_away=False
)
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MUCH = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Served:
    """A server, and what went wrong in it."""

    def __init__(self, listeners: list[trio.SocketListener]) -> None:
        self.listeners = listeners
        self.failures: list[Exception] = []
        self.details: Mapping[str, Any] = {"much": "x" * 20_000_000}
        self.scope = trio.CancelScope()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        app = StatusApp(
            facts=lambda: WELL,
            details=lambda: self.details,
            metrics=lambda: b"",
            token=lambda: None,
            open_to_all=False,
            failed=self.failures.append,
        )
        with self.scope:
            await serve_http(app, self.listeners, failed=self.failures.append, task_status=task_status)

    async def connect(self) -> trio.SocketStream:
        host, port = self.listeners[0].socket.getsockname()
        return await trio.open_tcp_stream(host, port)

    async def healthy(self) -> bool:
        async with await self.connect() as stream:
            try:
                await stream.send_all(HEALTHZ)
                return (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            except trio.BrokenResourceError:
                return False


@asynccontextmanager
async def serving() -> AsyncGenerator[Served]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    served = Served(listeners)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(served.run)
            yield served
            nursery.cancel_scope.cancel(reason="the test is over")
    finally:
        for listener in listeners:
            await listener.aclose()


async def everything(stream: trio.SocketStream) -> bytes:
    try:
        return b"".join([chunk async for chunk in stream])
    except trio.BrokenResourceError:
        return b"(broken)"


async def test_a_probe_over_the_wire() -> None:
    async with serving() as served, await served.connect() as stream:
        await stream.send_all(HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head, _, body = (await everything(stream)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"hypercorn" not in head
        assert json.loads(body) == {"alive": True}


async def test_a_client_that_says_nothing_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as served, await served.connect() as stream:
        assert await everything(stream) == b""
        assert trio.current_time() == 5


async def test_a_client_that_drips_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as served, await served.connect() as stream:
        with suppress(trio.BrokenResourceError):
            while trio.current_time() < 30:
                await stream.send_all(b"G")
                await trio.sleep(1)
        assert trio.current_time() <= 12


async def test_a_client_that_takes_no_answer_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as served, await served.connect() as deaf:
        await deaf.send_all(MUCH)
        await trio.sleep(11)
        assert len(await everything(deaf)) < 20_000_000
        assert await served.healthy()


async def test_a_deaf_client_does_not_keep_a_server_alive_that_is_told_to_stop(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as served, await served.connect() as deaf:
        await deaf.send_all(MUCH)
        await deaf.receive_some(1)
        await trio.testing.wait_all_tasks_blocked()
        served.scope.cancel(reason="the test says so")
        await trio.testing.wait_all_tasks_blocked()
        assert served.scope.cancelled_caught
        assert trio.current_time() == 0


async def test_one_client_too_many_is_hung_up_on_and_the_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_server, "MOST_CLIENTS", 2)
    async with serving() as served, await served.connect() as first, await served.connect() as second:
        await trio.testing.wait_all_tasks_blocked()
        async with await served.connect() as third:
            assert await everything(third) in {b"", b"(broken)"}
        for stream in (first, second):
            await stream.send_all(HEALTHZ)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await first.aclose()
        while not await served.healthy():
            await trio.sleep(0.01)


UPGRADE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
NONSENSE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
    "head too long": b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
    "body": b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc",
    "websocket": UPGRADE
    + b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "h2c": UPGRADE + b"h2c\r\nHTTP2-Settings: !\r\n\r\n",
    "bytes": bytes(range(256)) * 16,
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_ends_its_own_connection_at_most(
    nonsense: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving() as served:
        async with await served.connect() as mad:
            with suppress(trio.BrokenResourceError):
                await mad.send_all(nonsense)
                await everything(mad)
        assert trio.current_time() <= 15
        assert await served.healthy()


async def test_a_client_that_is_gone_keeps_no_place(autojump_clock: trio.testing.MockClock) -> None:
    async with serving() as served:
        for _ in range(3 * status_server.MOST_CLIENTS):
            assert await served.healthy()
        assert trio.current_time() < 1
        async with await served.connect() as polite:
            await polite.send_all(HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert (await everything(polite)).startswith(b"HTTP/1.1 200")
        assert trio.current_time() < 1


async def test_a_client_that_goes_away_in_the_middle_ends_nothing() -> None:
    async with serving() as served:
        async with await served.connect() as hasty:
            await hasty.send_all(MUCH)
            await hasty.receive_some(10)
        assert await served.healthy()
        assert served.failures == []


async def test_who_comes_next_serves_on_the_same_listeners() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    for _ in range(2):
        served = Served(listeners)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(served.run))
            assert await served.healthy()
            nursery.cancel_scope.cancel(reason="the next, please")
    for listener in listeners:
        await listener.aclose()


async def test_who_can_reach_a_listener() -> None:
    here = await trio.open_tcp_listeners(0, host="127.0.0.1")
    everywhere = await trio.open_tcp_listeners(0, host="0.0.0.0")
    try:
        assert not reachable_from_elsewhere(here)
        assert reachable_from_elsewhere([*here, *everywhere])
    finally:
        for listener in [*here, *everywhere]:
            await listener.aclose()
