"""The plan's heartbeat request, against a real HTTP server, and every way in which it may fail."""

import base64
import json
import math
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import httpx
import pytest
import trio

from supabase.loopback_http import Answered, Asked, HangUp, LoopbackHttp, open_loopback_http
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.models import Heartbeat, LoopStatus, Secret, WorkerStatus
from tgworker.messaging.ports import HeartbeatWriter
from tgworker.supabase.heartbeat import SupabaseHeartbeat
from tgworker.supabase.rest import Rest, open_rest

AT = datetime(2026, 11, 23, 23, 4, 5, 678901, tzinfo=timezone(timedelta(hours=1)))
JWT = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(b'{"role":"service_role"}').decode() + ".c2ln"
RIGHT_KEY = "put the project's service_role or sb_secret_… key into SUPABASE_SERVICE_ROLE_KEY"
HEARTBEAT = Heartbeat(
    worker_id="telegram-main",
    status=WorkerStatus.DEGRADED,
    loops={
        "sync": LoopStatus(0.25, alive=True, restarts=0, operation=None, verdict=None),
        "outbound": LoopStatus(61.5, alive=False, restarts=3, operation="send", verdict="silent"),
    },
    incarnation=1_795_000_000,
    seq=7,
)


@asynccontextmanager
async def writing(
    url: str, key: str = JWT, *, max_connections: int = 4
) -> AsyncGenerator[tuple[SupabaseHeartbeat, Rest]]:
    async with open_rest(url, Secret(key), max_connections=max_connections) as rest:
        yield SupabaseHeartbeat(rest, now=lambda: AT), rest


@pytest.fixture
async def server() -> AsyncGenerator[LoopbackHttp]:
    async with open_loopback_http() as running:
        yield running


async def test_the_request_is_the_plan_s_to_the_letter(server: LoopbackHttp) -> None:
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("POST", "/rest/v1/worker_heartbeats?on_conflict=worker_id")
    assert asked.header("Prefer") == ["resolution=merge-duplicates,return=minimal"]
    assert asked.header("Content-Type") == ["application/json"]
    assert asked.header("apikey") == [JWT]
    assert asked.header("Authorization") == [f"Bearer {JWT}"]
    assert json.loads(asked.body) == {
        "worker_id": "telegram-main",
        "status": "degraded",
        "last_heartbeat_at": "2026-11-23T22:04:05.678901+00:00",
        "loops_status": {
            "sync": {"last_ping_ago": 0.25, "alive": True, "restarts": 0, "operation": None, "verdict": None},
            "outbound": {
                "last_ping_ago": 61.5,
                "alive": False,
                "restarts": 3,
                "operation": "send",
                "verdict": "silent",
            },
        },
    }


async def test_a_secret_key_is_no_bearer_token(server: LoopbackHttp) -> None:
    async with writing(server.url, "sb_secret_abc") as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
    (asked,) = server.asked
    assert asked.header("apikey") == ["sb_secret_abc"]
    assert asked.header("Authorization") == []


async def test_a_project_below_a_path_is_asked_there(server: LoopbackHttp) -> None:
    async with writing(f"{server.url}/inbox") as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
    assert server.asked[0].target == "/inbox/rest/v1/worker_heartbeats?on_conflict=worker_id"


async def test_a_loop_that_never_beat_is_written_as_json_can(server: LoopbackHttp) -> None:
    loops = {"jobs": LoopStatus(math.inf, alive=True, restarts=0, operation=None, verdict=None)}
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(Heartbeat("w", WorkerStatus.STARTING, loops, 1, 1))
    assert json.loads(server.asked[0].body)["loops_status"]["jobs"]["last_ping_ago"] is None


async def test_one_connection_serves_many_heartbeats(server: LoopbackHttp) -> None:
    async with writing(server.url) as (heartbeat, _):
        for _ in range(5):
            await heartbeat.write(HEARTBEAT)
    assert (len(server.asked), server.connections) == (5, 1)


async def test_the_environment_s_proxies_are_not_looked_at(
    server: LoopbackHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 1


def test_it_is_a_heartbeat_writer() -> None:
    def name_of(writer: HeartbeatWriter) -> str:
        return writer.name

    rest = Rest("http://127.0.0.1:1", Secret(JWT), max_connections=1)
    assert name_of(SupabaseHeartbeat(rest, now=lambda: AT)) == "supabase"


async def test_nobody_there_is_an_outage() -> None:
    async with open_loopback_http() as server:
        gone = server.url
    async with writing(gone) as (heartbeat, _):
        with pytest.raises(StoreAway) as caught:
            await heartbeat.write(HEARTBEAT)
    assert str(caught.value) == "Supabase (worker_heartbeats) cannot be reached"
    assert not isinstance(caught.value, StoreRefused)


async def test_a_black_hole_is_cut_by_the_caller_s_deadline_and_the_next_heartbeat_arrives(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def black_hole(_asked: Asked) -> Answered:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async with writing(server.url, max_connections=1) as (heartbeat, _):
        server.answer, normal = black_hole, server.answer
        for expected_s in (10, 20):
            with trio.move_on_after(10) as deadline:
                await heartbeat.write(HEARTBEAT)
            assert deadline.cancelled_caught
            assert trio.current_time() == expected_s
        server.answer = normal
        await heartbeat.write(HEARTBEAT)
        assert trio.current_time() == 20
    assert len(server.asked) == 3


async def test_a_caller_without_a_deadline_is_cut_by_the_backstop(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def black_hole(_asked: Asked) -> Answered:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    server.answer = black_hole
    async with writing(server.url) as (heartbeat, _):
        with pytest.raises(StoreAway, match="does not answer in time"):
            await heartbeat.write(HEARTBEAT)
    assert trio.current_time() == 30


@pytest.mark.parametrize(
    ("status", "body", "refused", "said"),
    [
        (
            401,
            b'{"code":"PGRST301","message":"JWT hunter2"}',
            True,
            f"answered 401 PGRST301: it refuses the key: {RIGHT_KEY}",
        ),
        (
            403,
            b'{"code":"42501","message":"hunter2"}',
            True,
            f"answered 403 42501: it does not let this key write: {RIGHT_KEY}",
        ),
        (
            404,
            b'{"code":"PGRST205"}',
            True,
            "answered 404 PGRST205: it has no such table: create it, or correct SUPABASE_URL",
        ),
        (
            400,
            b'{"code":"PGRST204"}',
            True,
            "answered 400 PGRST204: it does not take it: compare the table's columns with the plan's",
        ),
        (
            409,
            b"",
            True,
            "answered 409: it does not take it: compare the table's columns with the plan's",
        ),
        (301, b"", True, "answered 301: it sends elsewhere: put the project's own URL into SUPABASE_URL"),
        (503, b'{"code":"PGRST000"}', False, "answered 503 PGRST000: it cannot just now"),
        (500, b'{"code":"57014"}', False, "answered 500 57014: it cannot just now"),
        (502, b"<html>hunter2</html>", False, "answered 502: it cannot just now"),
        (429, b'{"code":"hunter2 hunter2"}', False, "answered 429: it cannot just now"),
        (408, b"[" * 100_000, False, "answered 408: it cannot just now"),
    ],
)
async def test_a_no_is_one_line_with_its_remedy(
    status: int, body: bytes, refused: bool, said: str, server: LoopbackHttp
) -> None:
    async def say_no(_asked: Asked) -> Answered:
        return Answered(status, body, (("Location", "https://elsewhere.test/"), ("Retry-After", "3600")))

    async with writing(server.url) as (heartbeat, _):
        server.answer, normal = say_no, server.answer
        with pytest.raises(StoreAway) as caught:
            await heartbeat.write(HEARTBEAT)
        assert str(caught.value) == f"Supabase (worker_heartbeats) {said}"
        assert isinstance(caught.value, StoreRefused) is refused
        server.answer = normal
        await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 2


async def test_a_connection_closed_while_idle_costs_no_heartbeat(server: LoopbackHttp) -> None:
    async def goodbye(_asked: Asked) -> Answered:
        return Answered(then_hang_up=True)

    async with writing(server.url) as (heartbeat, _):
        server.answer, normal = goodbye, server.answer
        await heartbeat.write(HEARTBEAT)
        server.answer = normal
        await heartbeat.write(HEARTBEAT)
    assert (len(server.asked), server.connections) == (2, 2)


async def test_a_connection_that_tears_under_a_request_costs_no_heartbeat(server: LoopbackHttp) -> None:
    async def tear_once(_asked: Asked) -> Answered:
        server.answer = normal
        raise HangUp

    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
        server.answer, normal = tear_once, server.answer
        await heartbeat.write(HEARTBEAT)
    assert [asked.body for asked in server.asked] == [server.asked[0].body] * 3


async def test_a_server_that_always_hangs_up_is_an_outage(server: LoopbackHttp) -> None:
    async def tear(_asked: Asked) -> Answered:
        raise HangUp

    server.answer = tear
    async with writing(server.url) as (heartbeat, _):
        with pytest.raises(StoreAway, match=r"^Supabase \(worker_heartbeats\) broke off its answer$"):
            await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 2


async def test_a_server_that_speaks_no_http_is_an_outage() -> None:
    async def babble(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, babble, 0)
        port = listeners[0].socket.getsockname()[1]
        async with writing(f"http://127.0.0.1:{port}") as (heartbeat, _):
            with pytest.raises(StoreAway, match="broke off its answer"):
                await heartbeat.write(HEARTBEAT)
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_more_tasks_than_connections_take_turns(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def slowly(_asked: Asked) -> Answered:
        await trio.sleep(5)
        return Answered()

    server.answer = slowly
    async with writing(server.url, max_connections=2) as (heartbeat, _), trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(heartbeat.write, HEARTBEAT)
    assert trio.current_time() == 15
    assert server.connections == 2


async def test_a_thousand_cancelled_requests_do_not_wedge_the_pool(server: LoopbackHttp) -> None:
    """httpcore#1093: without the limiter every slot is lost, and all later requests are PoolTimeouts.

    On the real clock: it needs requests that are cut off while others are just being connected, and a mock
    clock stands still meanwhile.
    """
    draw = random.Random(7)

    async def slowly(_asked: Asked) -> Answered:
        await trio.sleep(draw.uniform(0, 0.02))
        return Answered()

    async def hasty(heartbeat: SupabaseHeartbeat) -> None:
        for _ in range(40):
            with trio.move_on_after(draw.uniform(0, 0.02)):
                await heartbeat.write(HEARTBEAT)

    server.answer = slowly
    async with writing(server.url) as (heartbeat, rest):
        client = rest._client
        async with trio.open_nursery() as nursery:
            for _ in range(25):
                nursery.start_soon(hasty, heartbeat)
        for _ in range(8):
            await heartbeat.write(HEARTBEAT)
        assert rest._client is client
        assert rest._limiter.statistics().borrowed_tokens == 0


async def test_a_wedged_pool_is_replaced(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def wedged(request: httpx.Request) -> httpx.Response:
        raise httpx.PoolTimeout("no slot", request=request)

    async with writing(server.url) as (heartbeat, rest):
        await rest._client.aclose()
        rest._client = broken = httpx.AsyncClient(
            base_url=server.url, transport=httpx.MockTransport(wedged), trust_env=False
        )
        with pytest.raises(StoreAway, match="had no free connection: the connections were replaced"):
            await heartbeat.write(HEARTBEAT)
        assert broken.is_closed
        await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 1


async def test_requests_that_run_while_the_pool_is_replaced_are_repeated(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def slowly(_asked: Asked) -> Answered:
        await trio.sleep(5)
        return Answered()

    server.answer = slowly
    async with writing(server.url) as (heartbeat, rest), trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.write, HEARTBEAT)
        await trio.sleep(1)
        await rest._replace(rest._client)
    assert trio.current_time() == 6
    assert len(server.asked) == 2


async def test_a_bug_of_ours_is_no_outage(server: LoopbackHttp) -> None:
    async with writing(server.url, "not\na header") as (heartbeat, _):
        with pytest.raises(httpx.LocalProtocolError):
            await heartbeat.write(HEARTBEAT)
    async with writing("ftp://127.0.0.1") as (heartbeat, _):
        with pytest.raises(httpx.UnsupportedProtocol):
            await heartbeat.write(HEARTBEAT)


async def test_leaving_closes_the_connections_even_when_cancelled(server: LoopbackHttp) -> None:
    clients: list[httpx.AsyncClient] = []
    with trio.CancelScope() as scope:
        async with writing(server.url) as (heartbeat, rest):
            await heartbeat.write(HEARTBEAT)
            clients.append(rest._client)
            scope.cancel(reason="the worker stops")
            await trio.sleep_forever()
    assert [client.is_closed for client in clients] == [True]


async def test_no_key_is_shown(server: LoopbackHttp) -> None:
    async with writing(server.url) as (heartbeat, rest):
        shown = repr(rest) + repr(heartbeat)
    assert JWT not in shown
