"""A look into the history: what counts as a copy of a message of which nobody knows whether it was sent."""

from collections.abc import AsyncGenerator

import pytest
from telethon.tl import types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.errors import AccountRefused, TelegramAway
from tgworker.messaging.formatted import Entity, EntityKind
from tgworker.messaging.models import Look, Peer
from tgworker.messaging.outcomes import Deferred, Refused, Sent
from tgworker.sandbox import Fault
from tgworker.telegram.connection import TelethonConnection
from tgworker.telegram.looking import PAGE, PAGES, comparable

HISTORY = "GetHistoryRequest"
BOLD = (Entity(EntityKind.BOLD, 0, 2),)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


async def look(
    line: TelethonConnection, peer: Peer, text: str, above: int = 0, entities: tuple[Entity, ...] = ()
) -> tuple[list[int], bool]:
    found = await line.look_for(peer, text, above=above, entities=entities)
    assert isinstance(found, Look)
    return [copy.telegram_id for copy in found.copies], found.whole


async def test_only_what_the_account_wrote_itself_above_that_id_is_a_copy(world: World) -> None:
    me, other = world.id(0), world.id(1)
    before = world.sandbox.send_text(me, other, "hi").sender_message_id
    mine = world.sandbox.send_text(me, other, "hi").sender_message_id
    world.sandbox.send_text(other, me, "hi")
    world.sandbox.send_text(me, other, "hi there")
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert await look(line, peer, "hi", before) == ([mine], True)
        assert await look(line, peer, "hi") == ([mine, before], True)
        assert await look(line, peer, " hi\n", before) == ([mine], True)  # the server strips texts
        assert await look(line, peer, "hello", before) == ([], True)


async def test_what_was_sent_is_found_with_its_time(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        sent = await line.send_text(peer, "hi", random_id=1)
        found = await line.look_for(peer, "hi", above=0)
        assert isinstance(sent, Sent)
        assert isinstance(found, Look)
        assert [(copy.telegram_id, copy.sent_at) for copy in found.copies] == [
            (sent.telegram_id, sent.sent_at)
        ]


async def test_other_formatting_is_another_message(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        bold = await line.send_text(peer, "hi", random_id=1, entities=BOLD)
        plain = await line.send_text(peer, "hi", random_id=2)
        assert isinstance(bold, Sent)
        assert isinstance(plain, Sent)
        assert await look(line, peer, "hi", entities=BOLD) == ([bold.telegram_id], True)
        assert await look(line, peer, "hi") == ([plain.telegram_id], True)


async def test_a_look_goes_back_page_by_page_and_says_where_it_gave_up(world: World) -> None:
    me, other = world.id(0), world.id(1)
    mine = world.sandbox.send_text(me, other, "hi").sender_message_id
    for number in range(2 * PAGE + 50):
        world.sandbox.send_text(other, me, str(number))
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert await look(line, peer, "hi", mine - 1) == ([mine], True)
        for number in range((PAGES - 2) * PAGE):
            world.sandbox.send_text(other, me, str(number))
        assert await look(line, peer, "hi", mine - 1) == ([], False)


async def test_a_history_that_cannot_be_read_now_is_asked_for_later(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("flood_wait", method=HISTORY, seconds=7, count=1))
        assert await line.look_for(peer, "hi", above=0) == Deferred(7, "FLOOD_WAIT_7")
        world.sandbox.faults.set(Fault("rpc_error", method=HISTORY, code=500, message="INTERNAL", count=1))
        assert await line.look_for(peer, "hi", above=0) == Deferred(5, "INTERNAL")
        world.sandbox.faults.set(
            Fault("rpc_error", method=HISTORY, code=400, message="CHANNEL_PRIVATE", count=1)
        )
        assert await line.look_for(peer, "hi", above=0) == Refused("CHANNEL_PRIVATE")


async def test_a_line_that_breaks_or_an_account_that_is_refused_is_no_answer(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("drop", method=HISTORY, count=1))
        with pytest.raises(TelegramAway):
            await line.look_for(peer, "hi", above=0)
    async with world.online(0) as line:
        world.sandbox.faults.set(
            Fault("rpc_error", method=HISTORY, code=401, message="SESSION_REVOKED", count=1)
        )
        with pytest.raises(TelegramAway):
            await line.look_for(peer, "hi", above=0)
        with pytest.raises(AccountRefused):
            await line.wait_lost()


def test_what_the_server_does_to_a_text_makes_it_no_other() -> None:
    sent = comparable(
        "  see it at x.example  ",
        [
            types.MessageEntityBold(0, 5),
            types.MessageEntityTextUrl(6, 2, "http://X.example"),
            types.InputMessageEntityMentionName(9, 2, types.InputUser(7, 1)),
            types.MessageEntityItalic(21, 2),
        ],
    )
    kept = comparable(
        "see it at x.example",
        [
            types.MessageEntityBold(0, 3),
            types.MessageEntityTextUrl(4, 2, "https://x.example/"),
            types.MessageEntityMentionName(7, 2, 7),
            types.MessageEntityUrl(10, 9),
        ],
    )
    assert sent == kept


@pytest.mark.parametrize(
    "other",
    [
        types.MessageEntityItalic(0, 2),
        types.MessageEntityBold(0, 1),
        types.MessageEntityTextUrl(0, 2, "x.example"),
        types.MessageEntityPre(0, 2, "python"),
    ],
)
def test_formatting_that_a_person_chose_does(other: object) -> None:
    assert comparable("hi", [other]) != comparable("hi", [types.MessageEntityBold(0, 2)])
    assert comparable("hi", [other]) == comparable("hi", [other])
