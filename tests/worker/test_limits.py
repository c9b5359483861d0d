"""A whole worker against a server that holds accounts to limits, as Telegram does."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tgworker.messaging.events import WaitAnnounced
from tgworker.messaging.pacing import PUBLISHED, UNPACED, Rates
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import Limits, Rate
from worker.worker_world import World, open_world, wait_until


async def online(world: World) -> None:
    await wait_until(lambda: world.worker.states.online() == 1)


def numbers(count: int) -> list[str]:
    return [str(n) for n in range(count)]


async def test_at_telegrams_own_limits_it_is_never_asked_to_wait(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await online(world)
        world.sandbox.limit(Limits.published())
        group = world.sandbox.rooms.create_channel(
            world.peer.id, [world.me.id, world.stranger.id], "Room"
        ).peer
        await trio.sleep(1)
        began_s = world.now_s
        for text in numbers(30):
            for to in (world.peer.id, world.stranger.id, group):
                await world.give(text, to=str(to))
        await wait_until(lambda: len(world.arrived()) == 30, every_s=0.1)
        assert 25 <= world.now_s - began_s < 27, "five at once, then one a second"
        assert world.arrived() == world.arrived(world.stranger) == numbers(30)
        await wait_until(lambda: not world.worker.dispatch.known(), every_s=1)
        while any(row.state is not OutboxState.SENT for row in await world.store.list_outbox()):
            await trio.sleep(1)
        assert 100 <= world.now_s - began_s < 102, "five at once, then one every four seconds"
        assert world.sandbox.statistics().floods == {}
        assert world.seen(WaitAnnounced) == []


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(chat=Rate(5, 0.5)), 3),
        (Limits(account=Rate(5, 0.5)), 8),
        (Limits(account=Rate(5, 0.5), premium=True), 60),
    ],
    ids=["chats are slower", "accounts are slower", "for want of Premium"],
)
async def test_limits_that_nobody_published_are_learned(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, limits: Limits, most: int
) -> None:
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await online(world)
        world.sandbox.limit(limits)
        for text in numbers(40):
            await world.give(text)
        with trio.fail_after(600):
            await wait_until(lambda: len(world.arrived()) == 40, every_s=0.1)
        assert world.arrived() == numbers(40)
        assert sum(world.sandbox.statistics().floods.values()) <= most


@pytest.mark.parametrize("rates", [PUBLISHED, UNPACED], ids=["paced", "unpaced"])
async def test_slow_mode_is_obeyed_after_one_answer(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, rates: Rates
) -> None:
    async with open_world(tmp_path, rates=rates) as world:
        await online(world)
        group = world.sandbox.rooms.create_channel(world.peer.id, [world.me.id], "Room").peer
        await trio.sleep(1)
        world.sandbox.rooms.set_slowmode(group, 30)
        began_s = world.now_s
        messages = [await world.give(text, to=str(group)) for text in numbers(6)]
        await world.give("elsewhere")
        await trio.sleep(1)
        assert world.arrived() == ["elsewhere"]
        while await world.state_of(messages[-1]) is not OutboxState.SENT:
            await trio.sleep(0.1)
        assert 154 <= world.now_s - began_s < 160
        assert world.sandbox.statistics().floods == {"SLOWMODE_WAIT": 1}


async def test_an_account_that_wrote_to_too_many_strangers_goes_on_with_the_others(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await online(world)
        first, second = (world.sandbox.add_user(stranger=True) for _ in range(2))
        world.sandbox.limit(Limits(strangers=1))
        await world.give("hello", to=f"@{first.username}")
        await wait_until(lambda: world.arrived(first) == ["hello"])
        cold = await world.give("hello", to=f"@{second.username}")
        await wait_until(lambda: bool(world.seen(WaitAnnounced)))
        await world.give("and more", to=f"@{first.username}")
        await world.give("a contact")
        await wait_until(lambda: world.arrived(first) == ["hello", "and more"])
        await wait_until(lambda: world.arrived() == ["a contact"])
        assert world.arrived(second) == []
        assert await world.state_of(cold) is OutboxState.DEFERRED
        third = world.sandbox.add_user(stranger=True)
        await world.give("hello", to=f"@{third.username}")
        await trio.sleep(60)
        assert world.sandbox.statistics().floods == {"PEER_FLOOD": 1}, "not asked in vain"
        assert len(await world.store.list_outbox([OutboxState.DEFERRED])) == 2
