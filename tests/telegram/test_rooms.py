"""Groups, supergroups, channels: ids of their own, logs of their own; what we send there comes once."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_until
from tgworker.messaging.models import ChatMessage, Peer, PeerKind, Position
from tgworker.messaging.outcomes import Sent
from tgworker.telegram import TelethonConnection
from tgworker.telegram.peers import bare_id, kind_of


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


async def texts(line: TelethonConnection, count: int) -> list[ChatMessage]:
    """The next messages that are texts."""

    def of(messages: list[ChatMessage]) -> list[ChatMessage]:
        return [message for message in messages if message.message_type == "text"]

    batches = await receive_until(line, lambda messages: len(of(messages)) >= count)
    return of([message for batch in batches for message in batch.messages])


async def test_a_group_that_becomes_a_supergroup_goes_on_under_other_ids(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        group = world.sandbox.rooms.create_group(world.id(1), [world.id(0), world.id(2)], "Group").peer
        for text in ("one", "two"):
            world.sandbox.send_text(world.id(1), group, text)
        before = await texts(line, 2)
        supergroup = world.sandbox.rooms.migrate(group).peer
        for text in ("three", "four"):
            world.sandbox.send_text(world.id(2), supergroup, text)
        after = await texts(line, 2)
        position = (await _position(line, world)).channels
    assert [(m.chat_id, m.text) for m in before] == [(group, "one"), (group, "two")]
    assert [(m.chat_id, m.text) for m in after] == [(supergroup, "three"), (supergroup, "four")]
    assert (kind_of(group), kind_of(supergroup)) == (PeerKind.CHAT, PeerKind.CHANNEL)
    # The new log begins anew, with numbers that the account has used already.
    assert after[0].telegram_id < before[0].telegram_id + 100
    assert position == {bare_id(supergroup): world.sandbox.rooms.get(supergroup).pts}


async def _position(line: TelethonConnection, world: World) -> Position:
    world.sandbox.send_text(world.id(1), world.id(0), "done")
    batches = await receive_until(line, lambda messages: any(m.text == "done" for m in messages))
    position = batches[-1].position
    assert position is not None
    return position


@pytest.mark.parametrize("answers", ["short", "full"])
@pytest.mark.parametrize("kind", ["group", "supergroup", "person"])
async def test_what_we_send_is_told_by_the_answer_and_what_the_phone_sends_by_the_log(
    autojump_clock: MockClock, world: World, kind: str, answers: str
) -> None:
    world.sandbox.behave(answers=answers)
    async with world.online(0) as line:
        match kind:
            case "group":
                chat = world.sandbox.rooms.create_group(world.id(1), [world.id(0)], "Group").peer
            case "supergroup":
                chat = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
            case _:
                chat = world.id(1)
        peer = await line.resolve(str(chat))
        assert isinstance(peer, Peer)
        outcome = await line.send_text(peer, "from here", random_id=7)
        assert isinstance(outcome, Sent)
        world.sandbox.send_text(world.id(0), chat, "from the phone")
        (message,) = await texts(line, 1)
        assert (message.text, message.outgoing, message.chat_id) == ("from the phone", True, chat)
        with trio.move_on_after(60):
            while True:
                batch = await line.updates.receive()
                assert [m.text for m in batch.messages if m.message_type == "text"] == []
    held = [entry.text for entry in world.sandbox.chat(world.id(0), chat)]
    assert held == ["from here", "from the phone"]
