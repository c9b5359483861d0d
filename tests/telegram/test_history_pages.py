"""A chat's history, as the real client reads it from the sandbox."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.tl import types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.models import HistoryPage, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.sandbox import Fault
from tgworker.telegram import history
from tgworker.telegram.history import as_it_is_now, raw_page_aio
from tgworker.telegram.line import _Line
from tgworker.telegram.line_state import LineState
from tgworker.telegram.messages import message_of

FIRE = "\U0001f525"


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


async def test_what_became_of_a_message_before_anybody_looked_is_in_its_payload(world: World) -> None:
    """In the words in which the store notes what the update log tells of it."""
    me, peer = world.sandbox.users
    for text in ("plain", "edited", "liked", "pinned"):
        world.sandbox.send_text(peer.id, me.id, text)
    _, edited, _, _ = world.sandbox.chat(peer.id, me.id)
    _, _, liked, pinned = world.sandbox.chat(me.id, peer.id)
    world.sandbox.edit_text(peer.id, me.id, edited.id, "edited, better")
    world.sandbox.phone.send_reaction(me.id, peer.id, liked.id, FIRE)
    world.sandbox.phone.update_pinned_message(me.id, peer.id, pinned.id)
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        page = await line.history(found, below=0, limit=10)
    assert isinstance(page, HistoryPage)
    payloads = {each.text: each.raw_payload for each in page.messages if each.text}
    stamp = payloads["edited, better"]["edited_at"]
    assert (stamp[-5:], datetime.fromisoformat(stamp).tzinfo) == (".000Z", UTC)
    assert payloads == {
        "plain": {},
        "edited, better": {"edited_at": stamp},
        "liked": {
            "reactions": {"counts": {FIRE: 1}, "own": [FIRE], "by": [{"from": me.id, "reaction": FIRE}]}
        },
        "pinned": {"pinned": True},
    }


def test_an_edit_that_is_not_to_be_shown_is_none_and_a_service_message_has_none() -> None:
    peer, date = types.PeerUser(2), datetime(2026, 1, 1, tzinfo=UTC)
    hidden = types.Message(5, peer_id=peer, date=date, message="hi", edit_date=date, edit_hide=True)
    service = types.MessageService(5, peer_id=peer, date=date, action=types.MessageActionHistoryClear())
    for message in (hidden, service):
        assert as_it_is_now(message, 1) == message_of(message, 1)
    assert as_it_is_now(types.MessageEmpty(5, None), 1) is None


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


async def test_each_page_is_asked_for_once_the_one_above_it_has_come_two_ahead_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    page_aio = raw_page_aio

    async def asks_aio(client: Any, peer: Any, below: int, limit: int, takeout: Any = None) -> Any:
        asked.append((below, limit))
        return await page_aio(client, peer, below, limit, takeout)

    monkeypatch.setattr(history, "raw_page_aio", asks_aio)
    me, peer = world.sandbox.users
    for number in range(500):
        world.sandbox.send_text(peer.id, me.id, f"m {number}")
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        page = await line.history(found, below=0, limit=100, ahead=350)
        assert isinstance(page, HistoryPage)
        await trio.sleep(1)
        assert asked == [(0, 100), (401, 100), (301, 100)], "nobody wants more yet"
        page = await line.history(found, below=401, limit=100, ahead=250)
        assert isinstance(page, HistoryPage)
        assert [page.highest_id, page.lowest_id] == [400, 301]
        await trio.sleep(1)
        assert asked[3:] == [(201, 100)]
        await line.history(found, below=301, limit=100, ahead=150)
        await line.history(found, below=201, limit=100, ahead=50)
        await trio.sleep(1)
        assert asked[4:] == [(101, 50)], "as far as was said"
        page = await line.history(found, below=101, limit=50)
        assert isinstance(page, HistoryPage)
        assert [page.highest_id, page.lowest_id] == [100, 51]
        assert len(asked) == 5


async def test_the_next_page_is_asked_for_before_this_one_is_made_sense_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    write, send, read = LineState.write_data_as_message, _Line._send, as_it_is_now

    def writes(state: LineState, buffer: Any, data: bytes, content_related: bool, **more: Any) -> Any:
        done.extend(["request"] * content_related)
        return write(state, buffer, data, content_related, **more)

    def sends(line: _Line, data: bytes) -> None:
        done.append("on its way")
        send(line, data)

    def reads(message: Any, self_id: int) -> Any:
        done.append("made sense of")
        return read(message, self_id)

    me, peer = world.sandbox.users
    for number in range(2):
        world.sandbox.send_text(peer.id, me.id, f"m {number}")
    async with world.online(0) as line:
        found = await line.resolve(str(peer.id))
        assert isinstance(found, Peer)
        await trio.sleep(1)  # whatever else there is to say is said
        monkeypatch.setattr(LineState, "write_data_as_message", writes)
        monkeypatch.setattr(_Line, "_send", sends)
        monkeypatch.setattr(history, "as_it_is_now", reads)
        assert isinstance(await line.history(found, below=0, limit=1, ahead=1), HistoryPage)
    before = done[: done.index("made sense of")]
    assert before.count("request") == 2
    assert before[-1] == "on its way"
