"""Reactions that came while no line was held are asked for, chat by chat, once for a line."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_until
from tgworker.messaging.changes import Reacted
from tgworker.messaging.models import Peer, Position
from tgworker.sandbox import Fault
from tgworker.telegram import TelethonConnection
from tgworker.telegram.missed_reactions import ASK_EVERY_S, ASK_S, MOST_CHATS

ASK = "messages.getUnreadReactions"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


async def leave(world: World, *chats: int) -> tuple[Position, list[Peer]]:
    """Write into chats, and be offline; returns how far everything was heard, and who is known."""
    async with world.online(0) as line:
        for chat in chats:
            world.sandbox.send_text(world.id(0), chat, "mine")
        batches = await receive_until(
            line, lambda messages: sum(message.text == "mine" for message in messages) == len(chats)
        )
        position = batches[-1].position
        assert position is not None
        return position, [peer for batch in batches for peer in batch.peers]


def react(world: World, chat: int, user: int, *reactions: str) -> None:
    theirs = world.id(0) if chat > 0 else chat
    line = next(each for each in world.sandbox.chat(world.id(user), theirs) if each.text == "mine")
    world.sandbox.phone.send_reaction(world.id(user), theirs, line.id, *reactions)


async def reactions(line: TelethonConnection, within_s: float = 600) -> list[Reacted]:
    """All that comes in so many seconds."""
    found: list[Reacted] = []
    with trio.move_on_after(within_s):
        while True:
            batch = await line.updates.receive()
            found += [change for change in batch.changes if isinstance(change, Reacted)]
    return found


def rooms(world: World) -> tuple[int, int, int]:
    """A private chat, a group and a supergroup of all three users."""
    others = [world.id(0), world.id(2)]
    group = world.sandbox.rooms.create_group(world.id(1), others, "Group").peer
    return world.id(1), group, world.sandbox.rooms.create_channel(world.id(1), others, "Room").peer


async def test_what_others_gave_meanwhile_is_told_whole(autojump_clock: MockClock, world: World) -> None:
    chats = rooms(world)
    position, peers = await leave(world, *chats)
    for chat in chats:
        react(world, chat, 1, "👍")
    react(world, chats[1], 2, "👍")
    async with world.open(0) as line:
        await line.connect(position, peers)
        for _ in range(3):
            await line.compare()
        told = await reactions(line)
        assert {each.chat_id: dict(each.counts) for each in told} == {
            chats[0]: {"👍": 1},
            chats[1]: {"👍": 2},
            chats[2]: {"👍": 1},
        }
        assert len(told) == 3
        assert {user for each in told for user, _ in each.by} == {world.id(1), world.id(2)}
        for _ in range(8):
            await line.compare()
        assert await reactions(line) == []
        assert world.sandbox.statistics().requests[ASK] == 3


async def test_where_nobody_reacted_nobody_is_asked(autojump_clock: MockClock, world: World) -> None:
    position, peers = await leave(world, *rooms(world))
    async with world.open(0) as line:
        await line.connect(position, peers)
        await line.compare()
        assert await reactions(line) == []
    assert ASK not in world.sandbox.statistics().requests


@pytest.mark.parametrize(
    ("fault", "at_s"),
    [
        (Fault("flood_wait", method=ASK, seconds=300, count=1), 300),
        (Fault("rpc_error", method=ASK, message="PEER_ID_INVALID", count=1), None),
        (Fault("blackhole", method=ASK, count=1), None),
    ],
    ids=["flood", "refused", "silence"],
)
async def test_a_chat_that_gets_no_answer_holds_up_no_other(
    autojump_clock: MockClock, world: World, fault: Fault, at_s: float | None
) -> None:
    first, _, second = rooms(world)
    position, peers = await leave(world, first, second)
    for chat in (first, second):
        react(world, chat, 1, "👍")
    async with world.open(0) as line:
        await line.connect(position, peers)
        world.sandbox.faults.set(fault)
        await line.compare()
        if at_s is None:
            assert len(await reactions(line, ASK_S + ASK_EVERY_S + 1)) == 1
        else:
            assert await reactions(line, at_s - 1) == []
            assert len(await reactions(line, 2 + ASK_EVERY_S)) == 2
        assert await reactions(line) == []


async def test_not_all_of_very_many_chats_are_asked_about(autojump_clock: MockClock, world: World) -> None:
    others = [world.id(0)]
    count = MOST_CHATS + 5
    chats = [world.sandbox.rooms.create_group(world.id(1), others, f"G{n}").peer for n in range(count)]
    position, peers = await leave(world, *chats)
    for chat in chats:
        react(world, chat, 1, "👍")
    async with world.open(0) as line:
        await line.connect(position, peers)
        await line.compare()
        assert len(await reactions(line, ASK_EVERY_S * 10 - 1)) == 10
        assert len(await reactions(line)) == MOST_CHATS - 10
