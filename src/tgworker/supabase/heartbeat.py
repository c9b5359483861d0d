"""The worker's heartbeat in the application's ``worker_heartbeats``, exactly as the plan has it."""

from collections.abc import Callable
from datetime import UTC, datetime

from tgworker.messaging.models import Heartbeat
from tgworker.supabase.rest import Rest


class SupabaseHeartbeat:
    """Writes heartbeats through PostgREST; fills `tgworker.messaging.ports.HeartbeatWriter`.

    The plan fixes the table: four columns, and nothing of ours. So, until the Supabase migrations bring more:

    * ``last_heartbeat_at`` is the worker's clock, not the database's.
    * ``(incarnation, seq)`` has nowhere to stand, and an older heartbeat *can* overwrite a newer one: one
      that was cut off at its deadline may still be carried out, after the next. The row is then wrong until
      the next heartbeat.

    Args:
        rest: The project's REST API.
        now: The calendar time, aware.
    """

    name = "supabase"

    def __init__(self, rest: Rest, *, now: Callable[[], datetime]) -> None:
        self._rest = rest
        self._now = now

    async def write(self, heartbeat: Heartbeat) -> None:
        """Insert or update the worker's row.

        Raises:
            StoreAway: Nobody answers, or not now. `StoreRefused` says that a person must act.

        Cancellation: the row may be written or not.
        """
        await self._rest.upsert(
            "worker_heartbeats",
            {
                "worker_id": heartbeat.worker_id,
                "status": heartbeat.status.value,
                "last_heartbeat_at": self._now().astimezone(UTC).isoformat(),
                "loops_status": heartbeat.loops,
            },
            key_column="worker_id",
        )
