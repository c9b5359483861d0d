"""Takeout sessions of the real client against the sandbox."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.models import ChatList, HistoryPage, Peer
from tgworker.messaging.outcomes import Deferred, HoldsUp, NotYetAllowed, Refused
from tgworker.sandbox import Fault, Limits, Rate

INIT = "account.initTakeoutSession"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def states(world: World) -> list[str]:
    return [each.state for each in world.sandbox.takeouts(world.sandbox.users[0].id)]


async def test_a_session_is_begun_for_messages_and_finished(world: World) -> None:
    async with world.online(0) as line:
        takeout = await line.open_takeout()
        assert isinstance(takeout, int)
        (session,) = world.sandbox.takeouts(world.sandbox.users[0].id)
        assert session.parts == ("message_users", "message_chats", "message_megagroups", "message_channels")
        assert await line.close_takeout(takeout, success=True) is None
        assert await line.close_takeout(takeout, success=False) is None  # over already
        second = await line.open_takeout()
        assert isinstance(second, int)
        assert await line.close_takeout(second, success=False) is None
    assert states(world) == ["success", "failure"]


async def test_who_has_to_wait_is_told_how_long_until_the_owner_allows_it(world: World) -> None:
    world.sandbox.behave(takeout_delay_s=86400)
    async with world.online(0) as line:
        assert await line.open_takeout() == NotYetAllowed(86400, "TAKEOUT_INIT_DELAY_86400")
        await trio.sleep(10)
        assert await line.open_takeout() == NotYetAllowed(86390, "TAKEOUT_INIT_DELAY_86390")
        world.sandbox.allow_takeout(world.sandbox.users[0].id)
        assert isinstance(await line.open_takeout(), int)


async def test_what_telegram_says_instead_is_a_value(world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("flood_wait", INIT, seconds=9, count=1))
        assert await line.open_takeout() == Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD)
        world.sandbox.faults.set(Fault("rpc_error", INIT, message="NO_EXPORTS", count=1))
        assert await line.open_takeout() == Refused("NO_EXPORTS")
        assert await line.chats(None, takeout=12345) == Refused("TAKEOUT_INVALID")


async def test_a_history_is_read_within_it_under_limits_of_its_own(world: World) -> None:
    me, peer, _ = world.sandbox.users
    for number in range(30):
        world.sandbox.send_text(peer.id, me.id, f"m {number}")
    world.sandbox.limit(Limits(methods={"messages.getHistory": Rate(1, 0.1)}))
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        takeout = await line.open_takeout()
        assert isinstance(takeout, int)
        texts: list[str] = []
        below = 0
        while True:
            page = await line.history(found, below=below, limit=10, ahead=10, takeout=takeout)
            assert isinstance(page, HistoryPage)
            if page.lowest_id is None:
                break
            texts = [message.text for message in page.messages] + texts
            below = page.lowest_id
        assert texts == [f"m {number}" for number in range(30)]
        assert await line.close_takeout(takeout, success=True) is None
        again = await line.history(found, below=0, limit=10, takeout=takeout)
        assert again == Refused("TAKEOUT_INVALID")


async def test_all_chats_are_listed_page_by_page_and_a_place_can_be_kept(world: World) -> None:
    me, peer, _ = world.sandbox.users
    rooms = [world.sandbox.rooms.create_group(me.id, [peer.id], f"Room {number}") for number in range(130)]
    channel = world.sandbox.rooms.create_channel(me.id, [peer.id], "Channel")
    world.sandbox.send_text(me.id, channel.peer, "hello")
    world.sandbox.send_text(peer.id, me.id, "hello")
    listed: list[int] = []
    cursor = None
    for _ in range(9):
        async with world.online(0) as line:  # each page over another line
            takeout = await line.open_takeout()
            assert isinstance(takeout, int)
            page = await line.chats(cursor, takeout=takeout)
            assert isinstance(page, ChatList)
            assert {each.chat_id for each in page.peers} >= set(page.chat_ids)
            listed += page.chat_ids
            cursor = page.cursor
        if cursor is None:
            break
    assert sorted(listed) == sorted([peer.id, channel.peer, *(each.peer for each in rooms)])


@pytest.mark.parametrize("place", ["", "{}", "[1]", "[1e300, 1, 1, null, false]", '["x", 1, 1, 0, true]'])
async def test_what_is_no_place_in_the_list_is_its_beginning(world: World, place: str) -> None:
    me, peer, _ = world.sandbox.users
    world.sandbox.send_text(peer.id, me.id, "hello")
    async with world.online(0) as line:
        page = await line.chats(place)
        assert isinstance(page, ChatList)
        assert page.chat_ids == (peer.id,)
