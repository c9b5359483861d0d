"""One request, a heartbeat, against a real HTTP server, and every way in which it may fail."""

import base64
import itertools
import json
import math
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from supabase.loopback_http import Answered, Asked, HangUp, LoopbackHttp, open_loopback_http
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.models import Heartbeat, LoopStatus, Secret, WorkerStatus
from tgworker.messaging.store_ports import HeartbeatWriter
from tgworker.supabase.circuit import CEILING_S
from tgworker.supabase.errors import KeyRefused, RequestBroken, RpcRaised, SchemaDiffers
from tgworker.supabase.events import RequestFailed, SupabaseEvent
from tgworker.supabase.heartbeat import SupabaseHeartbeat
from tgworker.supabase.rest import Rest, open_rest

JWT = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(b'{"role":"service_role"}').decode() + ".c2ln"
WRITTEN = b'{"written": true}'
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
        yield SupabaseHeartbeat(rest), rest


@pytest.fixture
async def server() -> AsyncGenerator[LoopbackHttp]:
    async with open_loopback_http() as running:
        yield running


async def test_a_call_is_a_post_with_the_key_and_a_request_id(server: LoopbackHttp) -> None:
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
        await heartbeat.write(HEARTBEAT)
    asked, again = server.asked
    assert (asked.method, asked.target) == ("POST", "/rest/v1/rpc/tgworker_heartbeat")
    assert asked.header("Content-Type") == ["application/json"]
    assert asked.header("apikey") == [JWT]
    assert asked.header("Authorization") == [f"Bearer {JWT}"]
    (request_id,) = asked.header("X-Request-Id")
    assert re.fullmatch(r"[0-9a-f]{16}", request_id)
    assert again.header("X-Request-Id") != [request_id]
    assert json.loads(asked.body) == {
        "p_worker": "telegram-main",
        "p_incarnation": 1_795_000_000,
        "p_seq": 7,
        "p_status": "degraded",
        "p_loops": {
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
    assert server.asked[0].target == "/inbox/rest/v1/rpc/tgworker_heartbeat"


async def test_a_loop_that_never_beat_is_written_as_json_can(server: LoopbackHttp) -> None:
    loops = {"jobs": LoopStatus(math.inf, alive=True, restarts=0, operation=None, verdict=None)}
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(Heartbeat("w", WorkerStatus.STARTING, loops, 1, 1))
    assert json.loads(server.asked[0].body)["p_loops"]["jobs"]["last_ping_ago"] is None


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
    assert name_of(SupabaseHeartbeat(rest)) == "supabase"


async def test_nobody_there_is_an_outage() -> None:
    async with open_loopback_http() as server:
        gone = server.url
    async with writing(gone) as (heartbeat, _):
        with pytest.raises(StoreAway) as caught:
            await heartbeat.write(HEARTBEAT)
    assert str(caught.value) == "Supabase (tgworker_heartbeat) cannot be reached"
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


MIGRATE = "run `python -m tgworker migrate`, or correct SUPABASE_URL"


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b'{"code":"PGRST301","message":"JWT hunter2"}', KeyRefused, f"refuses the key: {RIGHT_KEY}"),
        (403, b'{"code":"42501","message":"hunter2"}', KeyRefused, f"not let this key do that: {RIGHT_KEY}"),
        (404, b'{"code":"PGRST202"}', SchemaDiffers, f"it has no such table or function: {MIGRATE}"),
        (404, b'{"code":"42883"}', SchemaDiffers, f"it has no such table or function: {MIGRATE}"),
        (404, b"<html>hunter2</html>", SchemaDiffers, f"it has no such table or function: {MIGRATE}"),
        (409, b'{"code":"23503","details":"hunter2"}', StoreRefused, "constraint or trigger"),
        (400, b'{"code":"P0001","message":"hunter2"}', StoreRefused, "constraint or trigger"),
        (400, b'{"code":"22P02","message":"hunter2"}', RequestBroken, "a bug, report it"),
        (400, b'{"code":"PGRST102"}', RequestBroken, "a bug, report it"),
        (301, b"", StoreRefused, "it sends elsewhere: put the project's own URL into SUPABASE_URL"),
        (503, b'{"code":"PGRST000"}', StoreAway, "answered 503 PGRST000: it cannot just now"),
        (503, b'{"code":"57P03"}', StoreAway, "answered 503 57P03: it cannot just now"),
        (504, b'{"code":"PGRST003"}', StoreAway, "answered 504 PGRST003: it cannot just now"),
        (500, b'{"code":"57014"}', StoreAway, "answered 500 57014: it cannot just now"),
        (502, b"<html>hunter2</html>", StoreAway, "answered 502: it cannot just now"),
        (429, b'{"code":"hunter2 hunter2"}', StoreAway, "answered 429: it cannot just now"),
        (408, b"[" * 100_000, StoreAway, "answered 408: it cannot just now"),
        (
            409,
            b'{"code":"PT409","details":"lease_lost","message":"its own words"}',
            RpcRaised,
            "its own words",
        ),
        (200, b"<html>hunter2</html>", StoreRefused, "answered what this program does not know"),
        (200, b'{"written": "hunter2"}', StoreRefused, "answered what this program does not know"),
    ],
)
async def test_a_no_is_one_line_with_its_remedy_and_the_next_call_is_made(
    status: int,
    body: bytes,
    kind: type[Exception],
    said: str,
    server: LoopbackHttp,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def say_no(_asked: Asked) -> Answered:
        return Answered(status, body, (("Location", "https://elsewhere.test/"), ("Retry-After", "3600")))

    async with writing(server.url) as (heartbeat, _):
        server.answer, normal = say_no, server.answer
        with pytest.raises(kind) as caught:
            await heartbeat.write(HEARTBEAT)
        assert type(caught.value) is kind
        assert said in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)
        server.answer = normal
        await trio.sleep(CEILING_S)  # whatever Retry-After says
        await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 2


@pytest.mark.parametrize("code", ["40P01", "40001", "57P01", "08006", "23505"])
async def test_what_may_be_well_at_once_is_asked_again_at_once(server: LoopbackHttp, code: str) -> None:
    async def twice(_asked: Asked) -> Answered:
        if len(server.asked) == 2:
            server.answer = normal
        return Answered(500, json.dumps({"code": code}).encode())

    normal, server.answer = server.answer, twice
    async with writing(server.url) as (heartbeat, _):
        await heartbeat.write(HEARTBEAT)
    assert len({asked.header("X-Request-Id")[0] for asked in server.asked}) == 1
    assert len(server.asked) == 3


async def test_what_is_never_well_is_asked_three_times_and_then_an_outage(server: LoopbackHttp) -> None:
    async def deadlock(_asked: Asked) -> Answered:
        return Answered(500, b'{"code":"40P01"}')

    server.answer = deadlock
    async with writing(server.url) as (heartbeat, _):
        with pytest.raises(StoreAway, match="40P01: it cannot just now"):
            await heartbeat.write(HEARTBEAT)
    assert len(server.asked) == 3


async def test_failures_are_told_with_the_id_of_their_request(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def slow_no(_asked: Asked) -> Answered:
        await trio.sleep(2)
        return Answered(503, b'{"code":"PGRST001"}')

    async def black_hole(_asked: Asked) -> Answered:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    told: list[SupabaseEvent] = []
    async with open_rest(server.url, Secret(JWT), observer=told.append) as rest:
        heartbeat = SupabaseHeartbeat(rest)
        await heartbeat.write(HEARTBEAT)
        server.answer = slow_no
        with pytest.raises(StoreAway):
            await heartbeat.write(HEARTBEAT)
        server.answer = black_hole
        await trio.sleep(1)
        with trio.move_on_after(10):
            await heartbeat.write(HEARTBEAT)
        with trio.move_on_after(0.5):  # its caller went away: no failure of the request's
            await heartbeat.write(HEARTBEAT)
    ids = [asked.header("X-Request-Id")[0] for asked in server.asked]
    assert told == [
        RequestFailed(ids[1], "tgworker_heartbeat", "503 PGRST001", 2),
        RequestFailed(ids[2], "tgworker_heartbeat", "no answer before its deadline", 10),
    ]


async def test_a_key_that_is_refused_is_tried_by_one_at_a_time_and_the_others_are_told_why(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    async def refuse(_asked: Asked) -> Answered:
        return Answered(401, b'{"code":"PGRST301"}')

    said: set[str] = set()
    async with writing(server.url) as (heartbeat, _):
        normal, server.answer = server.answer, refuse
        for _ in range(600):  # a minute
            with pytest.raises(KeyRefused) as caught:
                await heartbeat.write(HEARTBEAT)
            said.add(str(caught.value))
            await trio.sleep(0.1)
        assert said == {
            f"Supabase (tgworker_heartbeat) answered 401 PGRST301: it refuses the key: {RIGHT_KEY}"
        }
        assert 60 / CEILING_S / 2 < len(server.asked) < 60 / CEILING_S * 3
        server.answer = normal
        await trio.sleep(CEILING_S)
        await heartbeat.write(HEARTBEAT)


async def test_while_it_is_away_one_request_asks_and_the_others_fail_at_once(
    server: LoopbackHttp, autojump_clock: trio.testing.MockClock
) -> None:
    """Twenty tasks, each as impatient as a loop is: the database's return is noticed within a second."""
    away = True
    at: list[float] = []

    async def answer(_asked: Asked) -> Answered:
        at.append(trio.current_time())
        return Answered(503, b'{"code":"PGRST000"}') if away else Answered(200, b'{"written": true}')

    async def loop(rng: random.Random) -> None:
        while True:
            try:
                await heartbeat.write(HEARTBEAT)
            except StoreAway:
                await trio.sleep(rng.uniform(0, 0.5))
            else:
                back.append(trio.current_time())
                return

    back: list[float] = []
    server.answer = answer
    async with open_rest(server.url, Secret(JWT), rng=random.Random(1)) as rest:
        heartbeat = SupabaseHeartbeat(rest)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(loop, random.Random(number))
            await trio.sleep(60)
            away = False
            asked = len(at)
    # (The first four were on their way before anybody knew.)
    assert 60 / 0.5 < asked < 60 / 0.5 * 4
    assert all(later - earlier > 0 for earlier, later in itertools.pairwise(at[4:asked]))
    assert len(back) == 20
    assert max(back) <= 61


async def test_a_connection_closed_while_idle_costs_no_heartbeat(server: LoopbackHttp) -> None:
    async def goodbye(_asked: Asked) -> Answered:
        return Answered(200, WRITTEN, then_hang_up=True)

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
        with pytest.raises(StoreAway, match=r"^Supabase \(tgworker_heartbeat\) broke off its answer$"):
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
        return Answered(200, WRITTEN)

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
        return Answered(200, WRITTEN)

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
        return Answered(200, WRITTEN)

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
