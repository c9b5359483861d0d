"""Formatted texts over the wire, and how long the server lets a message be."""

from collections.abc import AsyncGenerator

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.outcomes import Sent
from tgworker.sandbox import Fault
from tgworker.telegram.limits import REFRESH_S, TextLimits, limits_of
from tgworker.telegram.peers import input_peer

CONFIG = "GetConfigRequest"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


async def seen_by(world: World, user: int) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """What a user sees of his chat with the first one, oldest first: texts and their formatting."""
    async with world.online(user) as line:
        peer = await world.peer(line, 0)
        request = functions.messages.GetHistoryRequest(input_peer(peer), 0, None, 0, 100, 0, 0, 0)
        assert line._client is not None
        answer = await line._cross(line._client.ask_aio, request)
        return [
            (each.message, [(type(e).__name__, e.offset, e.length) for e in each.entities or ()])
            for each in reversed(answer.messages)
        ]


@pytest.mark.parametrize("answers", ["short", "full"])
async def test_formatting_arrives(autojump_clock: MockClock, world: World, answers: str) -> None:
    world.sandbox.behave(answers=answers)
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        text = f"\U0001f44b **hi** [you](tg://user?id={peer.chat_id}) [nobody](tg://user?id=99) `x`"
        formatted = world.telegram.format_text(text, "markdown")
        assert isinstance(formatted, FormattedText)
        sent = await line.send_text(peer, formatted.text, random_id=7, entities=formatted.entities)
        assert isinstance(sent, Sent)
    assert await seen_by(world, 1) == [
        (
            "\U0001f44b hi you nobody x",
            [("MessageEntityBold", 3, 2), ("MessageEntityMentionName", 6, 3), ("MessageEntityCode", 17, 1)],
        )
    ]


async def test_the_limit_is_the_servers(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        assert line.text_limit == 4096
    world.sandbox.behave(message_length_max=1000)
    async with world.online(0) as line:
        assert line.text_limit == 1000
    assert trio.current_time() == 0  # asked for together with all the rest


async def test_the_limit_is_read_again(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.behave(message_length_max=1000)
        await trio.sleep(REFRESH_S - 1)
        assert line.text_limit == 4096
        await trio.sleep(2)
        assert line.text_limit == 1000


async def test_a_server_that_does_not_say_its_limit_delays_a_line_by_seconds_and_stops_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.behave(message_length_max=1000)
    world.sandbox.faults.set(Fault("blackhole", method="GetAppConfigRequest"))
    async with world.online(0) as line:
        assert trio.current_time() == 2
        assert line.text_limit == 1000
        peer = await world.peer(line, 1)
        assert isinstance(await line.send_text(peer, "hi", random_id=1), Sent)


async def test_a_limit_that_is_refused_is_the_one_before(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.behave(message_length_max=1000)
        world.sandbox.faults.set(Fault("rpc_error", method=CONFIG, code=420, message="FLOOD_WAIT_9"))
        await trio.sleep(REFRESH_S + 1)
        assert line.text_limit == 4096
    assert world.events == []


def app_config(**values: float) -> types.help.AppConfig:
    pairs = [types.JsonObjectValue(key, types.JsonNumber(value)) for key, value in values.items()]
    return types.help.AppConfig(1, types.JsonObject([types.JsonObjectValue("x", types.JsonNull()), *pairs]))


def test_what_the_server_says_of_captions_depends_on_the_account() -> None:
    config = app_config(caption_length_limit_default=1500, caption_length_limit_premium=3000)
    known = TextLimits(text=4000, caption=1000)
    assert limits_of(None, config, known, premium=False) == TextLimits(4000, 1500)
    assert limits_of(None, config, known, premium=True) == TextLimits(4000, 3000)
    assert limits_of(None, types.help.AppConfigNotModified(), known, premium=True) == known
    assert limits_of(None, app_config(caption_length_limit_default=-5), known, premium=False) == known


def test_formatting_is_a_value() -> None:
    assert Entity(EntityKind.TEXT_URL, 1, 2, "https://secret.example").end == 3
    assert "secret" not in repr(Entity(EntityKind.TEXT_URL, 1, 2, "https://secret.example"))
    assert "words" not in repr(FormattedText("words"))
