"""The embedded store's own side of forgetting: in pieces, and without a write where nothing is due."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox
from embedded.embedded_kit import EmbeddedKit, open_kit
from tgworker.embedded import HeartbeatFile, inline
from tgworker.embedded.forgetting import AT_ONCE
from tgworker.messaging.limits import Retention
from tgworker.messaging.models import Heartbeat, WorkerStatus

KEEP = Retention()
AN_AGE = timedelta(days=31)


@pytest.fixture
def kit(tmp_path: Path) -> Generator[EmbeddedKit]:
    with open_kit(tmp_path / "data") as kit:
        yield kit


def fill(kit: EmbeddedKit, conversation: str, rows: int) -> None:
    """Rows of the outbox that were sent now, by the calendar."""
    with closing(sqlite3.connect(kit.folder.database, isolation_level=None)) as database:
        database.execute(
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < ?)"
            " insert into tgworker_outbox (message_id, conversation_id, local_id, state, settled_at)"
            " select lower(hex(randomblob(16))), ?, 'local-x', 'sent', ? from n",
            (rows, conversation, kit.calendar.today.timestamp()),
        )


def count(kit: EmbeddedKit) -> int:
    return len(kit.app.rows("tgworker_outbox"))


async def test_a_walk_takes_a_piece_at_a_time_and_begins_again(kit: EmbeddedKit) -> None:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
    chat = Inbox(kit, account).chat("500")
    fill(kit, chat, 2 * AT_ONCE + 5)
    # Nothing is due: no piece asks to be followed at once.
    assert [await kit.store.sweep(KEEP) for _ in range(4)] == [False] * 4
    kit.calendar.today += AN_AGE
    fill(kit, chat, 10)
    # (The walk stands behind the first piece.)
    left = [(await kit.store.sweep(KEEP), count(kit)) for _ in range(4)]
    assert left == [
        (True, AT_ONCE + 15),
        (False, AT_ONCE + 10),
        (True, 10),
        (False, 10),
    ]


async def test_nothing_is_written_where_there_is_nothing_to_remove(kit: EmbeddedKit) -> None:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
    fill(kit, Inbox(kit, account).chat("500"), 3)
    with closing(sqlite3.connect(kit.folder.database, isolation_level=None)) as application:
        application.execute("begin immediate")  # nobody else may write now
        assert await kit.store.sweep(KEEP) is False
        application.execute("rollback")


async def test_heartbeats_of_workers_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    heartbeats = HeartbeatFile(tmp_path / "heartbeats.db", run_sync=inline)
    try:
        for worker in ("gone", "quiet", "here"):
            await heartbeats.write(Heartbeat(worker, WorkerStatus.ONLINE, {}, 1, 1))
        with closing(sqlite3.connect(tmp_path / "heartbeats.db", isolation_level=None)) as file:
            for worker, days in (("gone", 31), ("quiet", 29), ("here", 31)):
                then = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                file.execute(
                    "update worker_heartbeats set last_heartbeat_at = ? where worker_id = ?", (then, worker)
                )
        # Its own word counts however old it is: a late one is still no newer than what stands there.
        await heartbeats.write(Heartbeat("here", WorkerStatus.OFFLINE, {}, 1, 0))
        found = {worker: await heartbeats.read(worker) for worker in ("gone", "quiet", "here")}
        assert [worker for worker, row in found.items() if row is not None] == ["quiet", "here"]
        assert found["here"] is not None
        assert found["here"].status == "online"
    finally:
        heartbeats.close()
