"""Updates in their rarer forms, as a server that wants to save bytes or has forgotten some sends them."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts, receive_until
from tgworker.telegram import TelethonConnection, UpdatesSkipped
from tgworker.telegram.books import LineLost
from tgworker.telegram.peers import peers_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


async def test_a_stranger_in_a_short_update_is_introduced_with_the_message(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.behave(pushes="short")
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        (batch,) = await receive_until(line, lambda messages: len(messages) == 1)
        assert [(m.text, m.sender_id) for m in batch.messages] == [("hi", world.id(1))]
        stranger = next(peer for peer in batch.peers if peer.chat_id == world.id(1))
        assert stranger.access_hash is not None
        assert await line.resolve(str(world.id(1))) == stranger
    assert trio.current_time() == 0


async def test_whoever_is_known_needs_no_introduction(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        await world.peer(line, 1)
        world.sandbox.behave(pushes="short")
        asked: list[str] = []
        client: Any = line._client
        ask = client.ask_aio

        async def ask_aio(request: Any, **options: Any) -> Any:
            asked.append(type(request).__name__)
            return await ask(request, **options)

        monkeypatch.setattr(client, "ask_aio", ask_aio)
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        assert await receive_texts(line, 1) == ["hi"]
        assert asked == []


async def test_a_message_comes_even_if_nobody_introduces_its_sender(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        world.sandbox.behave(pushes="short")
        client: Any = line._client

        async def ask_aio(request: Any, **_: Any) -> Any:
            raise LineLost("the line broke")

        monkeypatch.setattr(client, "ask_aio", ask_aio)
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        assert await receive_texts(line, 1) == ["hi"]


async def test_what_telegram_has_forgotten_is_said_and_the_line_goes_on(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        client: Any = line._client
        ask = client.ask_aio
        at = client._message_box.session_state()[0]["pts"]

        async def ask_aio(request: Any, **options: Any) -> Any:
            if isinstance(request, functions.updates.GetDifferenceRequest):
                return types.updates.DifferenceTooLong(at + 1000)
            return await ask(request, **options)

        monkeypatch.setattr(client, "ask_aio", ask_aio)
        client._updates_queue.put_nowait(types.UpdatesTooLong())
        batch = await line.updates.receive()
        assert batch.position is not None
        assert (batch.messages, batch.position.pts) == ((), at + 1000)
    assert world.events == [UpdatesSkipped(world.account(0).id, chats=0, private=True)]


CHANNEL = types.Channel(77, "News", types.ChatPhotoEmpty(), NOON, access_hash=770)


def post(number: int) -> Any:
    return types.Message(
        id=number, peer_id=types.PeerChannel(77), date=NOON, message=f"post {number}", post=True
    )


def with_a_channel(line: TelethonConnection, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sandbox has no channels: its answer is written here, Telethon's way through it is real."""
    asked: list[Any] = []
    client: Any = line._client
    ask = client.ask_aio

    async def ask_aio(request: Any, **options: Any) -> Any:
        if isinstance(request, functions.updates.GetChannelDifferenceRequest):
            asked.append(request)
            return types.updates.ChannelDifference(request.pts + 1, [post(5)], [], [CHANNEL], [], final=True)
        return await ask(request, **options)

    monkeypatch.setattr(client, "ask_aio", ask_aio)
    return asked


async def test_a_channel_is_caught_up_from_its_stored_position(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        start = (await line.updates.receive()).position
        assert start is not None
    async with world.open(0) as line:
        await line.connect(replace(start, channels={77: 4}), peers_of([CHANNEL]))
        asked = with_a_channel(line, monkeypatch)
        client: Any = line._client
        client._updates_queue.put_nowait(types.UpdateShort(types.UpdateChannelTooLong(77), NOON))
        batches = await receive_until(line, lambda messages: len(messages) == 1)
    assert [(request.channel, request.pts) for request in asked] == [(types.InputChannel(77, 770), 4)]
    assert batches[-1].messages[0].chat_id == -1_000_000_000_077
    assert batches[-1].position is not None
    assert batches[-1].position.channels == {77: 5}


async def test_a_channel_that_was_met_on_the_line_is_caught_up_too(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        asked = with_a_channel(line, monkeypatch)
        client: Any = line._client
        new = types.UpdateNewChannelMessage(post(1), 4, 1)
        client._updates_queue.put_nowait(types.Updates([new], [], [CHANNEL], NOON, 0))
        client._updates_queue.put_nowait(types.UpdateShort(types.UpdateChannelTooLong(77), NOON))
        assert await receive_texts(line, 2) == ["post 1", "post 5"]
    assert [(request.channel, request.pts) for request in asked] == [(types.InputChannel(77, 770), 4)]
