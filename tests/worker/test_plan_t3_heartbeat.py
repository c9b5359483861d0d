"""The plan's test 3: the heartbeat is written every 15 s while every other loop hangs."""

from dataclasses import replace
from pathlib import Path

import trio

from tgworker.messaging.events import HeartbeatWritten
from tgworker.messaging.models import Heartbeat
from tgworker.supervision import ChildSpec, RestartScheduled
from tgworker.supervision.testing import Hangs, ScriptedChild
from worker.worker_world import open_world


class Rows:
    """A heartbeat writer that keeps what it is given."""

    name = "rows"

    def __init__(self) -> None:
        self.rows: list[tuple[float, Heartbeat]] = []

    async def write(self, heartbeat: Heartbeat) -> None:
        await trio.lowlevel.checkpoint()
        self.rows.append((trio.current_time(), heartbeat))


def hang_all_but_the_heartbeat(spec: ChildSpec) -> ChildSpec:
    if spec.id in {"heartbeat", "status", "account"}:
        return spec
    return replace(spec, start=ScriptedChild(Hangs()))


async def test_the_heartbeat_is_written_every_15_s_while_every_other_loop_hangs(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    rows = Rows()
    async with open_world(tmp_path, heartbeats=[rows], adjust=hang_all_but_the_heartbeat) as world:
        await world.until(301)
        times_s = [round(at_s - world.began_at, 6) for at_s, _ in rows.rows]
        assert times_s == [15.0 * beat for beat in range(21)]
        assert [row.seq for _, row in rows.rows] == list(range(1, 22))
        assert len(world.seen(HeartbeatWritten)) == 2 * 21, "the store's own file has them too"

        hung = {event.path for _, event in world.seen(RestartScheduled)}
        assert hung == {
            f"root.{name}" for name in ("accounts", "outbound", "history", "jobs", "logins", "presence")
        }
        last = rows.rows[-1][1]
        assert set(last.loops) == {"sync", "outbound", "history", "jobs"}
        assert {loop.verdict for loop in last.loops.values()} == {"silent"}
        assert all(loop.restarts == 4 for loop in last.loops.values())
    assert rows.rows[-1][1].status == "offline"
