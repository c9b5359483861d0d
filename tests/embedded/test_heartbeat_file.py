"""Heartbeats in a file of their own: the database's clock, the newest wins, readable at any time."""

import json
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from embedded.embedded_kit import EmbeddedKit
from tgworker.embedded import HeartbeatFile, inline
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import Heartbeat, LoopStatus, WorkerStatus

LOOPS = {
    "sync": LoopStatus(1.23456, True, 0, None, None),
    "outbound": LoopStatus(75.0, False, 3, "database.claim", "silent"),
}


def beat(seq: int, *, incarnation: int = 1, status: WorkerStatus = WorkerStatus.ONLINE) -> Heartbeat:
    return Heartbeat("telegram-main", status, LOOPS, incarnation, seq)


@pytest.fixture
def heartbeats(tmp_path: Path) -> Generator[HeartbeatFile]:
    file = HeartbeatFile(tmp_path / "heartbeats.db", run_sync=inline)
    yield file
    file.close()


async def test_a_heartbeat_has_the_plans_columns_and_the_databases_clock(
    heartbeats: HeartbeatFile, tmp_path: Path
) -> None:
    await heartbeats.write(beat(1))
    connection = sqlite3.connect(tmp_path / "heartbeats.db")
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("select * from worker_heartbeats").fetchone())
    connection.close()
    assert (row["worker_id"], row["status"]) == ("telegram-main", "online")
    assert (row["incarnation"], row["seq"]) == (1, 1)
    assert json.loads(row["loops_status"]) == {
        "sync": {"last_ping_ago": 1.235, "alive": True, "restarts": 0, "operation": None, "verdict": None},
        "outbound": {
            "last_ping_ago": 75.0,
            "alive": False,
            "restarts": 3,
            "operation": "database.claim",
            "verdict": "silent",
        },
    }
    record = await heartbeats.read("telegram-main")
    assert record is not None
    assert abs(record.last_heartbeat_at.timestamp() - time.time()) < 5
    assert -0.1 < record.age_s < 5
    assert record.loops_status["outbound"]["verdict"] == "silent"


async def test_a_folder_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path / "nowhere" / "heartbeats.db", run_sync=inline)
    with pytest.raises(StoreAway):
        await file.read("telegram-main")
    (tmp_path / "nowhere").mkdir()
    await file.write(beat(1))
    file.close()


async def test_an_unknown_worker_has_no_heartbeat(heartbeats: HeartbeatFile) -> None:
    assert await heartbeats.read("nobody") is None


async def test_an_older_heartbeat_never_overwrites_a_newer_one(heartbeats: HeartbeatFile) -> None:
    async def stored() -> tuple[str, int, int]:
        record = await heartbeats.read("telegram-main")
        assert record is not None
        return record.status, record.incarnation, record.seq

    await heartbeats.write(beat(5))
    await heartbeats.write(beat(4, status=WorkerStatus.STALLED))
    await heartbeats.write(beat(5, status=WorkerStatus.STALLED))
    assert await stored() == ("online", 1, 5)
    await heartbeats.write(beat(1, incarnation=2, status=WorkerStatus.STARTING))
    assert await stored() == ("starting", 2, 1)
    await heartbeats.write(beat(99, incarnation=1, status=WorkerStatus.OFFLINE))
    assert await stored() == ("starting", 2, 1)


async def test_workers_have_rows_of_their_own(heartbeats: HeartbeatFile) -> None:
    await heartbeats.write(beat(1))
    await heartbeats.write(Heartbeat("other", WorkerStatus.DEGRADED, {}, 7, 7))
    first, second = await heartbeats.read("telegram-main"), await heartbeats.read("other")
    assert first is not None
    assert second is not None
    assert (first.status, second.status, second.loops_status) == ("online", "degraded", {})


async def test_heartbeats_go_on_while_the_store_is_locked(kit: EmbeddedKit) -> None:
    """A writer that is stopped in the middle of a transaction holds the store, not the heartbeats."""
    stopped = sqlite3.connect(kit.folder.database, isolation_level=None)
    stopped.execute("begin immediate")
    file = HeartbeatFile(kit.folder.heartbeats, run_sync=inline)
    await file.write(beat(1))
    assert await file.read("telegram-main") is not None
    file.close()
    stopped.execute("rollback")
    stopped.close()


async def test_a_process_without_a_loop_writes_and_others_read_at_any_time(tmp_path: Path) -> None:
    guard = HeartbeatFile(tmp_path / "heartbeats.db")
    worker = HeartbeatFile(tmp_path / "heartbeats.db", run_sync=inline)
    reader = sqlite3.connect(tmp_path / "heartbeats.db", isolation_level=None)
    guard.write_now(beat(1))
    reader.execute("begin")
    assert reader.execute("select seq from worker_heartbeats").fetchone() == (1,)
    await worker.write(beat(2))  # an open reader is in nobody's way
    guard.write_now(beat(3))
    reader.execute("rollback")
    assert reader.execute("select seq from worker_heartbeats").fetchone() == (3,)
    reader.close()
    worker.close()
    guard.close()


async def test_a_locked_heartbeat_file_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgworker.embedded.heartbeats.BUSY_S", 0.05)
    file = HeartbeatFile(tmp_path / "heartbeats.db", run_sync=inline)
    await file.write(beat(1))
    stopped = sqlite3.connect(tmp_path / "heartbeats.db", isolation_level=None)
    stopped.execute("begin immediate")
    with pytest.raises(StoreAway):
        await file.write(beat(2))
    stopped.close()
    await file.write(beat(2))
    file.close()
