"""Names follow changes: told, or asked for aside, seldom and many at once."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.tl import types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.models import Peer, PeerKind
from tgworker.sandbox import Fault
from tgworker.telegram import TelethonConnection
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import bare_id
from tgworker.telegram.renaming import ASK_EVERY_S, ASK_S, MOST_WANTED, Renaming, changed, renamed

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA = Peer(9, PeerKind.USER, 99, "Ada", "L", username="ada", phone="4470", photo_id=5, is_contact=True)


def test_a_new_name_replaces_the_old_one_and_nothing_else() -> None:
    names = [types.Username("old"), types.Username("countess", active=True)]
    updates = [types.UpdateUserName(9, "Augusta", "", names), types.UpdateUserPhone(9, "4471")]
    assert renamed(updates, PeerBook([ADA])) == (
        Peer(9, PeerKind.USER, 99, "Augusta", username="countess", phone="4471", photo_id=5, is_contact=True),
    )
    assert renamed([types.UpdateUserName(9, "Ada", "L", [])], PeerBook([ADA]))[0].username is None


def test_the_name_of_a_stranger_is_nobodys() -> None:
    assert renamed([types.UpdateUserName(8, "A", "B", [])], PeerBook([ADA])) == ()


def test_who_only_changed_is_named_once() -> None:
    updates = [
        types.UpdateUser(9),
        types.UpdateUser(9),
        types.UpdateChat(3),
        types.UpdateChannel(4),
        types.UpdateUserStatus(9, types.UserStatusRecently()),
    ]
    assert changed(updates) == (9, -3, -1_000_000_000_004)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=4) as world:
        yield world


def push(line: TelethonConnection, *updates: Any) -> None:
    client: Any = line._client
    client._updates_queue.put_nowait(types.Updates(list(updates), [], [], NOON, 0))


async def receive_peers(line: TelethonConnection) -> dict[int, Peer]:
    """The peers of the next batch that has some; an hour without is a failure."""
    with trio.fail_after(3600):
        while True:
            batch = await line.updates.receive()
            if batch.peers:
                return {peer.chat_id: peer for peer in batch.peers}


async def test_a_name_that_is_told_comes_with_the_batch(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        before = await world.peer(line, 1)
        world.sandbox.phone.update_profile(world.id(1), first_name="Augusta", last_name="King")
        peer = (await receive_peers(line))[world.id(1)]
        assert (peer.first_name, peer.last_name, peer.username) == ("Augusta", "King", before.username)
        world.sandbox.phone.update_username(world.id(1), "")
        peer = (await receive_peers(line))[world.id(1)]
        assert (peer.first_name, peer.username) == ("Augusta", None)
        assert peer.access_hash == before.access_hash
        assert await line.resolve(str(world.id(1))) == peer
    assert trio.current_time() == 0


async def test_who_is_called_otherwise_than_before_is_told_by_the_list_of_chats(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        group = world.sandbox.rooms.create_group(world.id(1), [world.id(0)], "Group").peer
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        while not (batch := await line.updates.receive()).messages:
            pass
        await line.compare()
        with trio.move_on_after(60) as silence:
            await receive_peers(line)
        assert silence.cancelled_caught  # nothing is new
        peers = [await line.resolve(str(chat)) for chat in (world.id(1), group)]
    world.sandbox.phone.update_profile(world.id(1), first_name="Augusta")
    async with world.open(0) as line:
        known = [peer for peer in peers if isinstance(peer, Peer)]
        await line.connect(batch.position, [*known, replace(known[1], title="Once")])
        await line.compare()
        told = await receive_peers(line)
        assert {chat_id: (peer.first_name, peer.title) for chat_id, peer in told.items()} == {
            world.id(1): ("Augusta", None),
            group: (None, "Group"),
        }


async def test_who_only_changed_is_asked_for_together_and_seldom(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        group = world.sandbox.rooms.create_group(world.id(1), [world.id(0)], "Group").peer
        room = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
        for user in (1, 2):
            await world.peer(line, user)
        for chat in (group, room):
            assert isinstance(await line.resolve(str(chat)), Peer)
        with trio.move_on_after(20):
            while True:
                await line.updates.receive()
        before = Counter(world.sandbox.statistics().requests)
        push(
            line,
            types.UpdateUser(world.id(1)),
            types.UpdateChat(-group),
            types.UpdateChannel(bare_id(room)),
            types.UpdateUser(123456),  # a stranger
        )
        peers = await receive_peers(line)
        assert {world.id(1): None, group: "Group", room: "Room"}.items() <= {
            chat_id: peer.title for chat_id, peer in peers.items()
        }.items()
        assert trio.current_time() == 20
        push(line, types.UpdateUser(world.id(2)))
        await trio.sleep(1)
        push(line, types.UpdateUser(world.id(1)))
        assert (await receive_peers(line)).keys() == {world.id(1), world.id(2)}
        assert trio.current_time() == 20 + ASK_EVERY_S
        assert Counter(world.sandbox.statistics().requests) - before == {
            "users.getUsers": 2,
            "messages.getChats": 1,
            "channels.getChannels": 1,
        }


async def test_messages_do_not_wait_for_names_that_telegram_does_not_tell(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        await world.peer(line, 1)
        world.sandbox.faults.set(Fault("blackhole", method="GetUsersRequest", count=1))
        push(line, types.UpdateUser(world.id(1)))
        await trio.sleep(1)
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        while not (batch := await line.updates.receive()).messages:
            pass
        assert (batch.messages[0].text, trio.current_time()) == ("hi", 1)
        await trio.sleep(ASK_S)
        push(line, types.UpdateUser(world.id(1)))
        assert world.id(1) in await receive_peers(line)
        assert trio.current_time() == ASK_S + ASK_EVERY_S


def test_whoever_changes_is_not_remembered_without_end() -> None:
    known = [Peer(number, PeerKind.USER, 1) for number in range(1, 2 * MOST_WANTED)]
    renaming = Renaming(Inbox(), PeerBook(known))
    renaming.want(peer.chat_id for peer in known)
    assert len(renaming._wanted) == MOST_WANTED
