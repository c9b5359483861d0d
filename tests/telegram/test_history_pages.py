"""A chat's history, as the real client reads it from the sandbox."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.models import HistoryPage, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.sandbox import Fault


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=2) as world:
        yield world


async def test_pages_go_backwards_and_each_is_oldest_first(world: World) -> None:
    me, peer = world.sandbox.users
    for number in range(250):
        world.sandbox.send_text(*((peer.id, me.id) if number % 2 else (me.id, peer.id)), f"m {number}")
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        below, pages = 0, list[HistoryPage]()
        while True:
            page = await line.history(found, below=below, limit=100)
            assert isinstance(page, HistoryPage)
            if page.lowest_id is None:
                break
            below = page.lowest_id
            pages.append(page)
    assert [len(page.messages) for page in pages] == [100, 100, 50]
    assert pages[0].total == 250
    texts = [message.text for page in reversed(pages) for message in page.messages]
    assert texts == [f"m {number}" for number in range(250)]
    assert {message.outgoing for message in pages[0].messages} == {True, False}
    assert pages[0].highest_id > pages[0].messages[0].telegram_id > pages[1].highest_id
    assert any(each.chat_id == peer.id and each.access_hash for each in pages[0].peers)


async def test_what_telegram_says_instead_is_a_value(world: World) -> None:
    peer = Peer(world.sandbox.users[1].id, PeerKind.USER, access_hash=1)
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("flood_wait", method="messages.getHistory", seconds=9, count=1))
        assert await line.history(peer, below=0, limit=10) == Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD)
        world.sandbox.faults.set(
            Fault("rpc_error", method="messages.getHistory", code=400, message="CHANNEL_PRIVATE", count=1)
        )
        assert await line.history(peer, below=0, limit=10) == Refused("CHANNEL_PRIVATE")


async def test_a_page_that_was_asked_for_ahead_is_asked_for_once(world: World) -> None:
    me, peer = world.sandbox.users
    for number in range(30):
        world.sandbox.send_text(peer.id, me.id, f"m {number}")
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        texts: list[str] = []
        below = 0
        # The second is what was said to come, the third is something else.
        for limit, ahead in ((10, 10), (10, 10), (5, 5)):
            page = await line.history(found, below=below, limit=limit, ahead=ahead)
            assert isinstance(page, HistoryPage)
            assert page.lowest_id is not None
            below = page.lowest_id
            texts = [each.text for each in page.messages] + texts
        assert texts == [f"m {number}" for number in range(5, 30)]
        await trio.sleep(1)  # the answer is there
        world.sandbox.faults.set(Fault("flood_wait", method="messages.getHistory", seconds=9, count=1))
        assert isinstance(await line.history(found, below=below, limit=5), HistoryPage)
        assert isinstance(await line.history(found, below=0, limit=5, ahead=5), Deferred)
        assert isinstance(await line.history(found, below=0, limit=5, ahead=5), HistoryPage)
    # (What was asked ahead and wanted by nobody went with the line.)
