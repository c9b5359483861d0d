"""The status server's answers: in process, as ASGI."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
import trio.testing
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tgworker.messaging.models import Secret
from tgworker.operations.probes import WorkerFacts
from tgworker.operations.status_app import StatusApp

WELL = WorkerFacts(
    supervised=True, stopping=False, synced=True, status="online", store_away=False, telegram_away=False
)
AWAY = replace(WELL, store_away=True)
TOKEN = "recognisable-token"


@dataclass
class Worker:
    """What the application asks, and what a test makes of it."""

    facts: WorkerFacts = WELL
    details: Mapping[str, Any] | None = field(default_factory=lambda: {"worker_id": "x", "pid": 7})
    metrics: bytes = b"# HELP x_total X.\n# TYPE x_total counter\nx_total 7.0\n"
    token: Secret | None = None
    open_to_all: bool = False
    failures: list[Exception] = field(default_factory=list[Exception])

    def app(self) -> StatusApp:
        return StatusApp(
            facts=lambda: self.facts,
            details=self.describe,
            metrics=lambda: self.metrics,
            token=lambda: self.token,
            open_to_all=self.open_to_all,
            failed=self.failures.append,
        )

    def describe(self) -> Mapping[str, Any] | None:
        if self.details == {}:
            raise LookupError("no such thing")
        return self.details

    def client(self, base_url: str = "http://127.0.0.1:8787") -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app()), base_url=base_url)


@pytest.fixture
async def worker(autojump_clock: trio.testing.MockClock) -> Worker:
    return Worker()


async def get(
    worker: Worker, path: str, *, base_url: str = "http://127.0.0.1:8787", **headers: str
) -> httpx.Response:
    async with worker.client(base_url) as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/healthz", {"alive": True}),
        ("/readyz", {"ready": True, "status": "online"}),
        ("/startupz", {"started": True}),
    ],
)
async def test_a_probe_of_a_worker_that_is_well(path: str, body: object, worker: Worker) -> None:
    response = await get(worker, path)
    assert (response.status_code, response.json()) == (200, body)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


async def test_an_outage_is_alive_and_not_ready(worker: Worker) -> None:
    worker.facts = AWAY
    assert (await get(worker, "/healthz")).status_code == 200
    response = await get(worker, "/readyz")
    assert response.status_code == 503
    assert response.json()["reason"] == "the store does not answer"


async def test_startup_is_refused_until_the_accounts_were_read(worker: Worker) -> None:
    worker.facts = replace(WELL, synced=False)
    assert (await get(worker, "/startupz")).status_code == 503
    worker.facts = WELL
    assert (await get(worker, "/startupz")).status_code == 200


async def test_probes_are_open_to_everybody_and_details_want_the_token(worker: Worker) -> None:
    worker.token, worker.open_to_all = Secret(TOKEN), True
    assert (await get(worker, "/healthz", base_url="http://worker.example")).status_code == 200
    for header in ("", TOKEN, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        response = await get(worker, "/status", Authorization=header)
        assert response.status_code == 401, header
        assert response.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in response.text
    for header in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
        response = await get(worker, "/status", base_url="http://worker.example", Authorization=header)
        assert (response.status_code, response.json()) == (200, {"worker_id": "x", "pid": 7})


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8787"])
async def test_without_a_token_details_are_for_this_machine(host: str, worker: Worker) -> None:
    assert (await get(worker, "/status", Host=host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "192.0.2.1", "", "127.0.0.1.example"])
async def test_a_page_from_elsewhere_cannot_read_along(host: str, worker: Worker) -> None:
    response = await get(worker, "/status", Host=host)
    assert response.status_code == 403
    assert "TGWORKER_STATUS_TOKEN" in response.json()["error"]


async def test_without_a_token_nobody_sees_details_where_everybody_can_ask(worker: Worker) -> None:
    worker.open_to_all = True
    assert (await get(worker, "/status")).status_code == 403
    assert (await get(worker, "/readyz")).status_code == 200


async def test_metrics_are_text_for_who_may_see_details_also_before_there_is_a_worker(worker: Worker) -> None:
    worker.details = None
    response = await get(worker, "/metrics")
    assert (response.status_code, response.content) == (200, worker.metrics)
    assert response.headers["content-type"] == CONTENT_TYPE_PLAIN_0_0_4
    assert response.headers["cache-control"] == "no-store"
    assert (await get(worker, "/metrics", Host="evil.example")).status_code == 403
    worker.open_to_all = True
    assert (await get(worker, "/metrics")).status_code == 403
    worker.token = Secret(TOKEN)
    assert (await get(worker, "/metrics")).status_code == 401
    for base_url in ("http://127.0.0.1:8787", "http://worker.example"):
        response = await get(worker, "/metrics", base_url=base_url, Authorization=f"Bearer {TOKEN}")
        assert (response.status_code, response.content) == (200, worker.metrics)


async def test_a_head_of_the_metrics_has_their_length_and_not_them(worker: Worker) -> None:
    async with worker.client() as client:
        head = await client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(worker.metrics)


async def test_details_before_there_is_a_worker(worker: Worker) -> None:
    worker.details = None
    assert (await get(worker, "/status")).status_code == 503


async def test_paths_that_do_not_exist_are_told_from_those_that_do_only_to_who_may_ask(
    worker: Worker,
) -> None:
    assert (await get(worker, "/nowhere")).status_code == 404
    worker.token = Secret(TOKEN)
    assert (await get(worker, "/nowhere")).status_code == 401


async def test_other_methods_are_refused(worker: Worker) -> None:
    async with worker.client() as client:
        response = await client.post("/healthz")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
        head = await client.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def test_an_answer_that_fails_is_told_and_ends_nothing(worker: Worker) -> None:
    worker.details = {}
    response = await get(worker, "/status")
    assert response.status_code == 500
    assert response.json() == {"error": "the worker cannot answer that just now: its log says why"}
    assert [type(failure) for failure in worker.failures] == [LookupError]
    assert "no such thing" not in response.text
    assert (await get(worker, "/healthz")).status_code == 200


async def test_a_websocket_is_closed_and_other_kinds_of_scope_are_left_alone(worker: Worker) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is waited for")

    await worker.app()({"type": "websocket"}, receive, send)
    await worker.app()({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "websocket.close"}]
