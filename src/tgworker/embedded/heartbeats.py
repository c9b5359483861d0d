"""Heartbeats, in a file of their own that anybody may read at any time."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from tgworker.embedded.connection import prepare_file
from tgworker.embedded.database import Database, RunSync, in_threads
from tgworker.embedded.folder import create_private
from tgworker.embedded.values import from_iso, json_object, to_json
from tgworker.messaging.models import Heartbeat
from tgworker.messaging.records import HeartbeatRecord

BUSY_S = 2.0
"""Seconds to wait for another writer of heartbeats: a write takes less than a millisecond, and one that is
stopped in the middle of it should not stop the next heartbeat too."""

_TABLE = """
create table if not exists worker_heartbeats (
    worker_id text primary key not null,
    status text not null,
    last_heartbeat_at text not null,
    loops_status text not null,
    incarnation integer not null,
    seq integer not null
)
"""

_WRITE = """
insert into worker_heartbeats (worker_id, status, last_heartbeat_at, loops_status, incarnation, seq)
values (:worker, :status, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), :loops, :incarnation, :seq)
on conflict (worker_id) do update set
    status = excluded.status, last_heartbeat_at = excluded.last_heartbeat_at,
    loops_status = excluded.loops_status, incarnation = excluded.incarnation, seq = excluded.seq
where (excluded.incarnation, excluded.seq) > (incarnation, seq)
"""

_FORGET = """
delete from worker_heartbeats
where worker_id <> ? and last_heartbeat_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')
"""
"""Of workers that are gone; of the one that writes, the last word stays however old it is."""

_READ = """
select status, last_heartbeat_at, (julianday('now') - julianday(last_heartbeat_at)) * 86400.0, loops_status,
    incarnation, seq
from worker_heartbeats where worker_id = ?
"""


class HeartbeatFile:
    """The table ``worker_heartbeats`` in its own file. Fills `HeartbeatWriter` and `HeartbeatReader`.

    Args:
        path: The file; it is made on the first call.
        run_sync: How blocking calls are run; in threads if nothing else is said.
    """

    name = "embedded"

    def __init__(self, path: Path, *, run_sync: RunSync | None = None) -> None:
        with suppress(OSError):  # SQLite will say what is wrong when it is asked
            create_private(path)
        self._database = Database(path, run_sync=run_sync or in_threads(), prepare=_prepare, busy_s=BUSY_S)

    async def write(self, heartbeat: Heartbeat) -> None:
        """Commit one heartbeat under SQLite's clock; an older ``(incarnation, seq)`` changes nothing.

        Raises:
            StoreAway: An outage.
            StoreDamaged: The file is damaged.
        """
        await self._database.write(lambda connection: _write(connection, heartbeat))

    def write_now(self, heartbeat: Heartbeat) -> None:
        """The same, blocking: for a process without a loop. Raises as `write`."""
        self._database.now(lambda connection: _write(connection, heartbeat), writing=True)

    def next_order_now(self, worker_id: str) -> tuple[int, int]:
        """The ``(incarnation, seq)`` that follows what stands there. Blocking. Raises as `write`."""
        last = self._database.now(lambda connection: _read(connection, worker_id), writing=False)
        return (0, 1) if last is None else (last.incarnation, last.seq + 1)

    async def read(self, worker_id: str) -> HeartbeatRecord | None:
        """A worker's row, if it ever wrote one. Raises as `write`."""
        return await self._database.read(lambda connection: _read(connection, worker_id))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _prepare(connection: sqlite3.Connection) -> None:
    # A heartbeat that a power failure takes away is of no use to anybody: no fsync, and the lock is short.
    prepare_file(connection, synchronous="normal")
    connection.execute(_TABLE)


def _write(connection: sqlite3.Connection, heartbeat: Heartbeat) -> None:
    loops = {
        name: {
            "last_ping_ago": round(loop.last_ping_ago, 3),
            "alive": loop.alive,
            "restarts": loop.restarts,
            "operation": loop.operation,
            "verdict": loop.verdict,
        }
        for name, loop in heartbeat.loops.items()
    }
    connection.execute(
        _WRITE,
        {
            "worker": heartbeat.worker_id,
            "status": heartbeat.status.value,
            "loops": to_json(loops),
            "incarnation": heartbeat.incarnation,
            "seq": heartbeat.seq,
        },
    )
    connection.execute(_FORGET, (heartbeat.worker_id,))


def _read(connection: sqlite3.Connection, worker_id: str) -> HeartbeatRecord | None:
    row = connection.execute(_READ, (worker_id,)).fetchone()
    if row is None:
        return None
    status, last_heartbeat_at, age_s, loops_status, incarnation, seq = row
    written_at = from_iso(last_heartbeat_at)
    assert written_at is not None
    return HeartbeatRecord(
        worker_id=worker_id,
        status=status,
        last_heartbeat_at=written_at,
        age_s=age_s,
        loops_status=dict(json_object(loops_status)),
        incarnation=incarnation,
        seq=seq,
    )
