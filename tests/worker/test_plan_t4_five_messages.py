"""The plan's test 4: five messages in a row are with Telegram within 10 s; on loopback, within 1 s."""

from pathlib import Path

import pytest
import trio

from tgworker.messaging.events import SendFinished
from worker.worker_world import World, open_world

FIVE = [f"message {number}" for number in range(1, 6)]


async def send_five(world: World) -> None:
    for text in FIVE:
        await world.give(text)
    while len(world.seen(SendFinished)) < len(FIVE):
        await trio.sleep(0.005)


async def test_five_messages_arrive_in_order_within_10_s(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        started_at_s = world.now_s
        await send_five(world)
        assert world.now_s - started_at_s < 10
        assert world.arrived() == FIVE


@pytest.mark.slow
async def test_five_messages_arrive_on_loopback_within_1_s_of_real_time(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        started_at_s = world.now_s
        await send_five(world)
        assert world.now_s - started_at_s < 1
        assert world.arrived() == FIVE
