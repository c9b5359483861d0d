"""A worker's metrics: of a whole worker on the mock clock, asked as Prometheus asks."""

from pathlib import Path

import httpx
import pytest
import trio.testing
from prometheus_client.parser import text_string_to_metric_families

from tgworker.app.metrics import WorkerMetrics, child_of
from tgworker.app.worker import Worker
from tgworker.messaging import events as messaging
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import WorkerStatus
from tgworker.operations.status_app import StatusApp
from tgworker.supervision import Event
from worker.worker_world import World, open_world, wait_until

ALIVE = (
    "heartbeat",
    "status",
    "outbound",
    "history",
    "jobs",
    "logins",
    "presence",
    "account_supervisor",
    "accounts",
    "account",
)
"""The children of a worker with one account and a store of its own."""


async def scraped(metrics: WorkerMetrics, worker: Worker) -> tuple[str, dict[tuple[str, ...], float]]:
    """The text, and what a parser of Prometheus' own reads in it."""
    app = StatusApp(
        facts=worker.facts,
        details=worker.describe,
        metrics=metrics.text,
        token=lambda: None,
        open_to_all=False,
        failed=lambda error: pytest.fail(repr(error)),
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8787") as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    return response.text, {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def told(metrics: WorkerMetrics, world: World) -> None:
    """Tell the metrics all that the world has noted."""
    for noted in world.notes:
        if isinstance(noted.event, Event):
            metrics.supervision(noted.event)
        elif isinstance(noted.event, messaging.CATALOGUE):
            metrics.messaging(noted.event)
    world.notes.clear()


async def test_what_a_worker_did_and_is_and_whom_it_does_not_name(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=Limits()) as world:
        metrics = WorkerMetrics(lambda: world.worker)
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)
        for number in range(3):
            await world.give(f"recognisable text {number}")
        world.sandbox.send_text(world.peer.id, world.me.id, "recognisable answer")
        await wait_until(lambda: len(world.arrived()) == 3 and bool(world.seen(messaging.Ingested)))
        await world.until(20)
        world.saboteur.hang("root.outbound")
        world.saboteur.crash(f"root.account.{world.account}", ConnectionError("scripted"))
        await world.until(100)
        heartbeats = len(world.seen(messaging.HeartbeatWritten))
        assert heartbeats >= 7, "at 0 s, 15 s, …, 90 s"
        told(metrics, world)
        text, found = await scraped(metrics, world.worker)

    assert found["tgworker_sends_total", "sent"] == 3
    assert found["tgworker_send_duration_seconds_count", "sent"] == 3
    assert found["tgworker_ingested_messages_total", "new"] >= 1
    assert found["tgworker_heartbeats_written_total", "embedded"] == heartbeats
    assert found["tgworker_child_endings_total", "outbound", "silent"] == 1
    assert found["tgworker_child_endings_total", "account", "raised"] == 1
    assert found["tgworker_child_restarts_total", "account"] == 1
    assert valued(found, "tgworker_children") == dict.fromkeys(ALIVE, 1)
    assert valued(found, "tgworker_accounts") == {"online": 1}
    assert found["tgworker_store_up",] == 1
    assert found["tgworker_updates_waiting",] == 0
    phone = world.me.phone
    assert world.account not in text
    assert phone
    assert phone not in text
    assert "recognisable" not in text


def valued(found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    """The values of a metric with one label that are not 0."""
    return {key[1]: value for key, value in found.items() if key[0] == name and value}


def test_before_there_is_a_worker_the_store_is_not_up_and_nobody_has_an_account() -> None:
    text = WorkerMetrics(lambda: None).text().decode()
    assert "\ntgworker_store_up 0.0\n" in text
    assert text.count("\ntgworker_accounts{") == 8
    assert 'tgworker_accounts{state="online"} 0.0\n' in text


@pytest.mark.parametrize(
    ("path", "child"),
    [
        ("root", "root"),
        ("root.outbound", "outbound"),
        ("root.account", "account_supervisor"),
        ("root.account.0b7c1f8e-0000", "account"),
        ("root.account.0b7c1f8e-0000.below", "account"),
        ("root.services.one", "services.one"),
    ],
)
def test_all_accounts_are_one_child(path: str, child: str) -> None:
    assert child_of(path) == child
