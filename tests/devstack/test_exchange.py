"""The gateway's connections at exact seconds, against a PostgREST that behaves as the test says."""

import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from tgworker.devstack import Fault, Faults, project_keys
from tgworker.devstack.exchange import IDLE_S
from tgworker.devstack.gateway import Gateway, serve_client
from tgworker.devstack.objects import Objects
from tgworker.devstack.server import Server
from tgworker.devstack.storage import Storage
from tgworker.devstack.upstream import TIMEOUT_S, Upstream

HEADERS = {"apikey": project_keys().secret}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class World:
    """A gateway, and what the PostgREST behind it was asked."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.asked: list[bytes] = []
        self.faults = Faults()
        self.upstream = Upstream(self.socket)
        gateway = Gateway(self.upstream, Storage(Objects(folder / "objects")), project_keys(), self.faults)
        self.server = Server(partial(serve_client, gateway))

    async def ask(self, stream: trio.SocketStream) -> bool:
        """Read one request with a short body, or none."""
        request = b""
        while b"\r\n\r\n" not in request:
            chunk = await stream.receive_some()
            if not chunk:
                return False
            request += chunk
        self.asked.append(request)
        return True

    async def connect(self) -> trio.SocketStream:
        host, _, port = self.server.address.partition(":")
        return await trio.open_tcp_stream(host, int(port))


@asynccontextmanager
async def open_world(
    folder: Path, behave: Callable[[World, trio.SocketStream], Awaitable[None]] | None = None
) -> AsyncGenerator[tuple[World, httpx.AsyncClient]]:
    world = World(folder)
    async with trio.open_nursery() as nursery:
        if behave is not None:
            family = trio.socket.socket(trio.socket.AF_UNIX)
            await family.bind(str(world.socket))
            family.listen()
            listener = trio.SocketListener(family)
            nursery.start_soon(trio.serve_listeners, partial(behave, world), [listener])
        await nursery.start(world.server.serve)
        async with httpx.AsyncClient(
            base_url=f"http://{world.server.address}", headers=HEADERS, timeout=1000
        ) as client:
            yield world, client
        nursery.cancel_scope.cancel()
    await world.upstream.aclose()


async def answers(world: World, stream: trio.SocketStream) -> None:
    async with stream:
        while await world.ask(stream):
            await stream.send_all(OK)


async def hangs(world: World, stream: trio.SocketStream) -> None:
    async with stream:
        await world.ask(stream)
        await trio.sleep_forever()


async def hangs_up(world: World, stream: trio.SocketStream) -> None:
    async with stream:
        await world.ask(stream)


async def breaks_off(world: World, stream: trio.SocketStream) -> None:
    async with stream:
        await world.ask(stream)
        await stream.send_all(OK[:-1])


async def answers_once_a_connection(world: World, stream: trio.SocketStream) -> None:
    async with stream:
        await world.ask(stream)
        await stream.send_all(OK)


async def test_a_silent_postgrest_is_a_504_after_a_minute(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path, hangs) as (_, client):
        began = trio.current_time()
        answer = await client.get("/rest/v1/x")
        assert trio.current_time() - began == TIMEOUT_S == 60
        assert (answer.status_code, answer.json()["message"]) == (504, "The upstream server is timing out")


async def test_a_write_is_never_sent_twice(tmp_path: Path) -> None:
    async with open_world(tmp_path, hangs_up) as (world, client):
        answer = await client.post("/rest/v1/x", json={})
        assert (answer.status_code, len(world.asked)) == (502, 1)


async def test_an_answer_that_breaks_off_does_so_for_the_client(tmp_path: Path) -> None:
    async with open_world(tmp_path, breaks_off) as (_, client):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get("/rest/v1/x")


async def test_connections_are_kept_but_not_those_that_were_closed(tmp_path: Path) -> None:
    async with open_world(tmp_path, answers_once_a_connection) as (world, client):
        for count in range(1, 4):
            assert (await client.post("/rest/v1/x")).status_code == 200
            assert len(world.asked) == count
            await trio.testing.wait_all_tasks_blocked()


async def test_a_postgrest_that_is_not_there_is_a_503(tmp_path: Path) -> None:
    async with open_world(tmp_path) as (_, client):
        answer = await client.get("/rest/v1/x")
        assert (answer.status_code, answer.json()["message"]) == (503, "name resolution failed")


async def test_what_concerns_one_connection_only_is_not_handed_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, answers) as (world, client):
        headers = {"connection": "keep-alive", "te": "trailers", "prefer": "count=exact", "x-mine": "1"}
        await client.get("/rest/v1/x?select=a&b=eq.%2F", headers=headers)
    (asked,) = world.asked
    head, *lines = asked.decode().split("\r\n")
    names = {line.partition(":")[0].lower() for line in lines if line}
    assert head == "GET /x?select=a&b=eq.%2F HTTP/1.1"
    assert names & {"connection", "te"} == set()
    assert {"host", "authorization", "prefer", "x-mine", "content-length"} <= names
    assert f"authorization: Bearer {project_keys().service_role}" in asked.decode()


HALF = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab"


@pytest.mark.parametrize("sent", [b"", b"POST /rest/v1/x HT", HALF])
async def test_a_client_that_says_nothing_is_let_go(
    sent: bytes, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_world(tmp_path) as (world, _), await world.connect() as stream:
        began = trio.current_time()
        await stream.send_all(sent)
        while True:
            try:
                if not await stream.receive_some():
                    break
            except trio.BrokenResourceError:
                break
        # What is refused without its body is answered at once, and waited for no longer than a second.
        assert trio.current_time() - began == (1 if sent == HALF else IDLE_S)


async def test_latency_is_exact(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path, answers) as (world, client):
        for fault, answered in (
            (Fault("delay", seconds=7.5, count=1), 0),
            (Fault("delay_answer", seconds=7.5, count=1), 1),
        ):
            world.asked.clear()
            world.faults.set(fault)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get, "/rest/v1/x")
                await trio.sleep(7)
                assert len(world.asked) == answered
            assert trio.current_time() - began == 7.5
            assert len(world.asked) == 1


async def test_a_frozen_gateway_answers_when_it_thaws(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_world(tmp_path, answers) as (world, client):
        world.server.freeze()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "/rest/v1/x")
            await trio.sleep(30)
            assert world.asked == []
            world.server.thaw()
        assert trio.current_time() - began == 30


async def test_stopping_a_gateway_cuts_those_who_wait(tmp_path: Path) -> None:
    async with open_world(tmp_path, hangs) as (world, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_when_asked, world)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/rest/v1/x")
        await world.server.kill()  # once more is no error


async def kill_when_asked(world: World) -> None:
    while not world.asked:
        await trio.sleep(0.001)
    await world.server.kill()


SEEDS = (
    b"GET /rest/v1/x HTTP/1.1\r\nhost: a\r\napikey: %s\r\n\r\n" % HEADERS["apikey"].encode() * 2,
    b"POST /rest/v1/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"POST /storage/v1/bucket HTTP/1.1\r\nhost: a\r\napikey: %s\r\ncontent-length: 12\r\n\r\n"
    b'{"name":"q"}' % HEADERS["apikey"].encode(),
    b"HEAD /storage/v1/object/q/%ff%fe?token=\xe4.b.c HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n",
    b"\x16\x03\x01\x02\x00 a handshake of TLS",
)


def garbled(rng: random.Random) -> bytes:
    """A request with some bytes changed, taken out or put in."""
    request = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(request))
        request[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    return bytes(request)


async def test_garbage_harms_nobody(tmp_path: Path) -> None:
    rng = random.Random(1)
    async with open_world(tmp_path, answers) as (world, client):
        for _ in range(300):
            async with await world.connect() as stream:
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(garbled(rng))
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
        assert (await client.get("/rest/v1/x")).text == "ok"
