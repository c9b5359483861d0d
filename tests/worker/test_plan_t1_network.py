"""The plan's test 1: the network is gone, every deadline expires at its second, and nothing is lost."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import trio

from supabase.loopback_http import Answered, Asked, open_loopback_http
from tgworker.messaging.events import HeartbeatMissed, SendFinished
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Secret
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import Fault
from tgworker.supabase.heartbeat import SupabaseHeartbeat
from tgworker.supabase.rest import open_rest
from tgworker.supervision import ChildEnded, OperationExpired
from worker.worker_world import World, open_world, wait_until


@contextmanager
def black_hole(world: World) -> Generator[None]:
    faults = [world.sandbox.faults.set(Fault("blackhole", method=method)) for method in ("raw", "connect")]
    yield
    for fault in faults:
        world.sandbox.faults.clear(fault)


def expiries(world: World, operation: str) -> list[tuple[float, OperationExpired]]:
    return [(at_s, event) for at_s, event in world.seen(OperationExpired) if event.operation == operation]


async def test_a_network_that_is_gone_for_20_s_costs_deadlines_and_no_message(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    # The ping's deadline is stretched here so that the entity's, which ends with the line, can be seen too.
    limits = Limits(ping_busy_s=9, ping_s=9, outbound_every_s=0.5)
    away = False

    async def answer(_asked: Asked) -> Answered:
        if away:
            await trio.sleep_forever()
        return Answered()

    async with (
        open_loopback_http(answer) as http,
        open_rest(http.url, Secret("sb_secret_test")) as rest,
        open_world(tmp_path, limits=limits, heartbeats=[SupabaseHeartbeat(rest)]) as world,
    ):
        known = await world.give("before")
        await world.until(29.25)
        assert await world.state_of(known) is OutboxState.SENT
        newcomer = world.sandbox.add_user()  # nobody had met him when the account was introduced

        with black_hole(world):
            away = True
            await world.give("into the hole")
            await world.give("to a name that is not known yet", to=f"@{newcomer.username}")
            await world.until(49.25)
            away = False

        # The outbox is asked at 29.5 s; the heartbeat is due at 30 s.
        (ping,) = expiries(world, "telegram.ping")
        assert (round(ping[0], 6), ping[1].elapsed_s) == (29.5 + 9 + 9, 9)
        (database,) = expiries(world, "heartbeat.supabase")
        assert (round(database[0], 6), database[1].elapsed_s) == (30 + 10, 10)
        (entity,) = expiries(world, "telegram.entity")
        assert (round(entity[0], 6), entity[1].elapsed_s) == (29.5 + 15, 15)
        assert [missed.writer for _, missed in world.seen(HeartbeatMissed)] == ["supabase"]

        await wait_until(lambda: len(world.arrived()) == 2 and len(world.arrived(newcomer)) == 1)
        assert world.arrived() == ["before", "into the hole"]
        assert world.arrived(newcomer) == ["to a name that is not known yet"]
        assert not world.seen(ChildEnded), "the loops went on"
        await world.until(200)
        assert len(world.arrived()) + len(world.arrived(newcomer)) == 3, "and nothing came twice"
        assert http.asked[-1].method == "POST"


async def test_with_default_limits_a_black_hole_is_noticed_within_10_s_while_work_waits(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=Limits(outbound_every_s=0.5)) as world:
        await world.until(19.75)
        with black_hole(world):
            await world.give("into the hole")
            await world.until(39.75)
        (ping,) = expiries(world, "telegram.ping")
        assert round(ping[0], 6) == 20 + 4 + 5
        await wait_until(lambda: world.arrived() == ["into the hole"])


async def test_with_the_ping_off_a_send_into_the_hole_is_cut_at_exactly_30_s(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    limits = Limits(ping_busy_s=math.inf, ping_idle_s=math.inf, outbound_every_s=0.5)
    async with open_world(tmp_path, limits=limits) as world:
        await world.give("before")
        await world.until(19.75)
        with black_hole(world):
            await world.give("into the hole")
            await world.until(59.75)
        (send,) = expiries(world, "telegram.send")
        assert (round(send[0], 6), send[1].elapsed_s) == (20 + 30, 30)
        doubt = [event for _, event in world.seen(SendFinished) if event.outcome == "unknown"]
        assert [event.reason for event in doubt] == ["no answer within 30 s"]
        await world.until(300)
        assert world.arrived() == ["before", "into the hole"]
        assert not world.seen(ChildEnded)
