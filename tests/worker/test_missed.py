"""A whole worker that was away for too long for Telegram's memory: nothing is missing in the end."""

from pathlib import Path

import trio
import trio.testing

from tgworker.messaging.events import AccountChanged, HistoryMissed
from tgworker.messaging.models import AccountState
from tgworker.sandbox import Fault
from worker.worker_world import World, open_world


async def held(world: World, chat: int) -> list[str]:
    transcript = await world.store.transcript(world.account, direction="inbound")
    return sorted(text for chat_id, text in transcript if chat_id == chat and text)


async def test_what_telegram_no_longer_tells_is_read_from_the_histories_by_itself(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        room = world.sandbox.rooms.create_channel(world.peer.id, [world.me.id], "Room").peer
        await world.until(2)
        for chat in (world.me.id, room):
            world.sandbox.send_text(world.peer.id, chat, "000")
        await world.until(5)
        assert (await held(world, world.peer.id), await held(world, room)) == (["000"], ["000"])
        world.sandbox.behave(difference_remembers=50, channel_difference_remembers=50)
        world.sandbox.faults.set(Fault("drop", method="connect", count=8))
        world.sandbox.drop_connections()
        for number in range(1, 150):
            for chat in (world.me.id, room):
                world.sandbox.send_text(world.peer.id, chat, f"{number:03d}")
        await world.until(300)
        everything = [f"{number:03d}" for number in range(150)]
        assert await held(world, world.peer.id) == everything
        assert await held(world, room) == everything
        for chat in (world.me.id, room):
            world.sandbox.send_text(world.peer.id, chat, "on")
        await world.until(310)
        assert await held(world, world.peer.id) == [*everything, "on"]
        assert await held(world, room) == [*everything, "on"]
        assert sum(event.chats for _, event in world.seen(HistoryMissed)) == 2
        states = [event.state for _, event in world.seen(AccountChanged)]
        assert AccountState.RECONNECTING in states
        assert states[-1] is AccountState.ONLINE
