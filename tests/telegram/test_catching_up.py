"""When Telegram is asked for what was missed, and that nothing else waits for it."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.errors import FloodWaitError, RPCError
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.sandbox import Fault
from tgworker.telegram import DifferenceDelayed, TelethonConnection
from tgworker.telegram.peers import peers_of
from tgworker.telegram.update_box import CHANNEL_IDLE_S, UpdateBox

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GET_DIFFERENCE = "GetDifferenceRequest"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


def delays(world: World) -> list[tuple[float, str]]:
    return [
        (event.retry_after_s, event.reason) for event in world.events if isinstance(event, DifferenceDelayed)
    ]


async def test_a_difference_that_is_never_answered_is_asked_for_again(
    autojump_clock: MockClock, world: World
) -> None:
    """The line lives, pings are answered: Telethon would wait for this one answer for ever."""
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("blackhole", method=GET_DIFFERENCE, count=2))
        world.sandbox.faults.set(Fault("accept_mute", method="SendMessageRequest", count=1))
        peer = await world.peer(line, 1)
        with trio.move_on_after(1):
            await line.send_text(peer, "mine", random_id=7)  # its update is in the answer that is lost
        world.sandbox.send_text(world.id(1), world.id(0), "theirs")
        assert await receive_texts(line, 2) == ["mine", "theirs"]
        assert trio.current_time() == 1 + 0.5 + 30 + 1 + 30 + 2
    assert delays(world) == [(1, "no answer within 30 s"), (2, "no answer within 30 s")]


async def test_what_comes_in_order_is_taken_while_a_difference_waits(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("flood_wait", method=GET_DIFFERENCE, seconds=300, count=1))
        line._ready().client.catch_up_nowait()
        await trio.sleep(1)
        world.sandbox.send_text(world.id(1), world.id(0), "now")
        assert await receive_texts(line, 1) == ["now"]
        assert trio.current_time() == 1
    assert delays(world) == [(300, "FLOOD_WAIT_300")]


async def test_a_session_that_the_server_forgot_is_caught_up(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        asked = world.sandbox.statistics().requests.get("updates.getDifference", 0)
        assert world.sandbox.forget_sessions(world.id(0)) == 1
        world.sandbox.send_text(world.id(1), world.id(0), "to nobody")
        with trio.move_on_after(10) as silence:
            await line.updates.receive()
        assert silence.cancelled_caught
        await line.ping()  # the next packet begins a new session
        assert await receive_texts(line, 1) == ["to nobody"]
        assert trio.current_time() == 10
        assert world.sandbox.statistics().requests["updates.getDifference"] == asked + 1


async def test_the_beginning_of_a_line_is_no_reason_to_ask_twice(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0):
        await trio.sleep(60)
        assert world.sandbox.statistics().requests["updates.getDifference"] == 1


# ------------------------------------------------ channels


def scripted(
    line: TelethonConnection, monkeypatch: pytest.MonkeyPatch, *script: Any
) -> list[tuple[int, float]]:
    """Channel differences are answered by this script, then by one new post each."""
    client: Any = line._client
    ask, answers = client.ask_aio, list(script)
    asked: list[tuple[int, float]] = []

    async def ask_aio(request: Any, **options: Any) -> Any:
        if not isinstance(request, functions.updates.GetChannelDifferenceRequest):
            return await ask(request, **options)
        channel: int = getattr(request.channel, "channel_id")  # noqa: B009 # a union, for the type checker
        asked.append((channel, trio.current_time()))
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        post = types.Message(request.pts, types.PeerChannel(channel), NOON, f"in {channel}", post=True)
        return types.updates.ChannelDifference(request.pts + 1, [post], [], [], [], final=True)

    monkeypatch.setattr(client, "ask_aio", ask_aio)
    return asked


def channels(*ids: int) -> Any:
    return peers_of(types.Channel(n, "News", types.ChatPhotoEmpty(), NOON, access_hash=n) for n in ids)


async def test_a_flood_wait_of_one_channel_holds_all_channels_and_nothing_else(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.open(0) as line:
        await line.connect(None, channels(7, 8))
        start = (await line.updates.receive()).position
        assert start is not None
    async with world.open(0) as line:
        await line.connect(replace(start, channels={7: 1, 8: 1}), channels(7, 8))
        asked = scripted(line, monkeypatch, FloodWaitError(None, capture=40))
        line._ready().client.catch_up_nowait([7, 8])
        await trio.sleep(1)
        world.sandbox.send_text(world.id(1), world.id(0), "private")
        assert await receive_texts(line, 1) == ["private"]
        assert trio.current_time() == 1
        assert sorted(await receive_texts(line, 2)) == ["in 7", "in 8"]
        assert trio.current_time() == 40
        assert sorted(at for _, at in asked) == [0, 40, 40]
    assert delays(world) == [(40, "FLOOD_WAIT_40")]


async def test_trouble_in_one_channel_holds_that_one_only(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.open(0) as line:
        await line.connect(None, channels(7, 8))
        start = (await line.updates.receive()).position
        assert start is not None
    async with world.open(0) as line:
        await line.connect(replace(start, channels={7: 1, 8: 1}), channels(7, 8))
        trouble = [RPCError(None, "PERSISTENT_TIMESTAMP_OUTDATED", 500), RPCError(None, "ODD", 400)]
        asked = scripted(line, monkeypatch, *trouble)
        line._ready().client.catch_up_nowait([7])
        await trio.testing.wait_all_tasks_blocked()
        line._ready().client.catch_up_nowait([8])
        await trio.sleep(0.5)
        assert [channel for channel, _ in asked] == [7, 8]
        assert sorted(await receive_texts(line, 2)) == ["in 7", "in 8"]
        assert trio.current_time() == 1
    assert delays(world) == [(1, "PERSISTENT_TIMESTAMP_OUTDATED"), (1, "ODD")]


async def test_a_quiet_channel_is_asked_seldom_and_a_gap_in_it_at_once(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.open(0) as line:
        await line.connect(None, channels(7, 8))
        start = (await line.updates.receive()).position
        assert start is not None
    async with world.open(0) as line:
        await line.connect(replace(start, channels={7: 1, 8: 1}), channels(7, 8))
        asked = scripted(line, monkeypatch)
        await trio.sleep(CHANNEL_IDLE_S - 1)
        assert asked == []
        client: Any = line._client
        post = types.Message(5, types.PeerChannel(7), NOON, "late", post=True)
        late = types.UpdateNewChannelMessage(post, 5, 1)
        client._updates_queue.put_nowait(types.Updates([late], [], [], NOON, 0))
        assert await receive_texts(line, 1) == ["in 7"]
        assert asked == [(7, CHANNEL_IDLE_S - 0.5)]
        await trio.sleep(1000)
        assert [channel for channel, _ in asked] == [7, 8]


# ------------------------------------------------ nothing of a difference is dropped


class Log:
    """A logger that nobody reads."""

    def log(self, *_: Any, **__: Any) -> None: ...


async def test_a_difference_is_handed_on_with_all_that_it_tells(
    autojump_clock: MockClock, world: World
) -> None:
    """Telethon drops a delete in it: its ``pts`` is behind the one after the difference."""
    async with world.online(0) as line:
        client: Any = line._client
        told: list[Any] = []

        async def note() -> None:
            box: Any = UpdateBox(Log(), lambda _: None)
            begin: Any = types.updates.State(10, 0, NOON, 1, 0)
            end: Any = types.updates.State(11, 0, NOON, 1, 0)
            box.set_state(begin)
            box.try_set_channel_state(7, 4)
            box.getting_diff_for.update(box.map)
            deleted = types.UpdateDeleteMessages([5], pts=11, pts_count=1)
            named = types.UpdateMessageID(9, 900)
            whole: Any = types.updates.Difference([], [], [named, deleted], [], [], end)
            told.extend(box.apply_difference(whole, client._mb_entity_cache)[0])
            gone = types.UpdateDeleteChannelMessages(7, [5], pts=5, pts_count=1)
            request = functions.updates.GetChannelDifferenceRequest(
                types.InputChannel(7, 7), types.ChannelMessagesFilterEmpty(), 4, 100
            )
            part: Any = types.updates.ChannelDifference(6, [], [gone], [], [], final=True)
            told.extend(box.apply_channel_difference(request, part, client._mb_entity_cache)[0])

        await line._cross(note)
        assert [type(update).__name__ for update in told] == [
            "UpdateMessageID",
            "UpdateDeleteMessages",
            "UpdateDeleteChannelMessages",
        ]
