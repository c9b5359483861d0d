"""The worker's heartbeat in the application's ``worker_heartbeats``, on the database's clock."""

from datetime import datetime
from typing import Any

import msgspec

from tgworker.messaging.models import Heartbeat
from tgworker.messaging.records import HeartbeatRecord
from tgworker.supabase.rest import Rest


class _Written(msgspec.Struct):
    written: bool


class _Row(msgspec.Struct):
    worker_id: str
    status: str
    last_heartbeat_at: datetime
    age_s: float
    loops_status: dict[str, Any]
    incarnation: int
    seq: int


class SupabaseHeartbeat:
    """Writes and reads heartbeats; fills `messaging.store_ports.HeartbeatWriter` and `HeartbeatReader`.

    Raises and cancellation: as `Rest`.

    Args:
        rest: The project's REST API.
    """

    name = "supabase"

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def write(self, heartbeat: Heartbeat) -> None:
        """See `HeartbeatWriter`: one that is older than what stands there changes nothing."""
        await self._rest.call(
            "tgworker_heartbeat",
            {
                "p_worker": heartbeat.worker_id,
                "p_incarnation": heartbeat.incarnation,
                "p_seq": heartbeat.seq,
                "p_status": heartbeat.status.value,
                "p_loops": heartbeat.loops,
            },
            _Written,
        )

    async def read(self, worker_id: str) -> HeartbeatRecord | None:
        """See `HeartbeatReader`."""
        rows = await self._rest.call("tgworker_heartbeats", {"p_worker": worker_id}, list[_Row])
        if not rows:
            return None
        row = rows[0]
        return HeartbeatRecord(
            worker_id=row.worker_id,
            status=row.status,
            last_heartbeat_at=row.last_heartbeat_at,
            age_s=row.age_s,
            loops_status=row.loops_status,
            incarnation=row.incarnation,
            seq=row.seq,
        )
