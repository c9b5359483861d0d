"""Groups, supergroups, channels: ids of their own, logs of their own; what we send there comes once."""

from collections.abc import AsyncGenerator
from typing import Any
from unittest.mock import ANY

import pytest
import trio
from trio.testing import MockClock

from sandbox.unmodified_files import PICTURE
from telegram.telegram_world import World, open_world, receive_until
from tgworker.messaging.models import ChatMessage, Peer, PeerKind, Position
from tgworker.messaging.outcomes import Sent
from tgworker.telegram import TelethonConnection
from tgworker.telegram.peers import bare_id, kind_of


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def of_type(messages: list[ChatMessage], message_type: str) -> list[ChatMessage]:
    return [message for message in messages if message.message_type == message_type]


async def texts(line: TelethonConnection, count: int) -> list[ChatMessage]:
    """The next messages that are texts."""

    batches = await receive_until(line, lambda messages: len(of_type(messages, "text")) >= count)
    return of_type([message for batch in batches for message in batch.messages], "text")


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
        batches = await receive_until(line, lambda messages: len(of_type(messages, "text")) >= 2)
        messages = [message for batch in batches for message in batch.messages]
        after = of_type(messages, "text")
        position = (await _position(line, world)).channels
    assert [(m.chat_id, m.text) for m in before] == [(group, "one"), (group, "two")]
    assert [(m.chat_id, m.text) for m in after] == [(supergroup, "three"), (supergroup, "four")]
    assert {(m.chat_id, str(m.raw_payload)) for m in of_type(messages, "service_migrate")} == {
        (group, str({"action": "ChatMigrateTo", "migrated_to": supergroup})),
        (supergroup, str({"action": "ChannelMigrateFrom", "title": "Group", "migrated_from": group})),
    }
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


def act(world: World, room: int) -> list[tuple[str, int, dict[str, Any]]]:
    """Everything that a room tells of itself; returns its messages: their type, who it was, what they say."""
    sandbox, rooms = world.sandbox, world.sandbox.rooms
    owner, member = world.id(1), world.id(2)
    sandbox.send_text(owner, room, "to be pinned")
    pinned = sandbox.chat(world.id(0), room)[-1].id
    sandbox.phone.update_pinned_message(owner, room, sandbox.chat(owner, room)[-1].id)
    rooms.edit_title(room, "Other")
    rooms.edit_photo(room, PICTURE)
    rooms.edit_photo(room, None)
    rooms.remove_member(room, member)
    rooms.add_member(room, member)
    rooms.remove_member(room, member, by=member)
    rooms.import_chat_invite(member, rooms.export_chat_invite(room))
    return [
        ("service_pin", owner, {"action": "PinMessage", "pinned": pinned, "reply_to": pinned}),
        ("service_title", owner, {"action": "ChatEditTitle", "title": "Other"}),
        ("service_photo", owner, {"action": "ChatEditPhoto", "photo_id": ANY}),
        ("service_photo_removed", owner, {"action": "ChatDeletePhoto"}),
        ("service_kick", owner, {"action": "ChatDeleteUser", "users": [member]}),
        ("service_add", owner, {"action": "ChatAddUser", "users": [member]}),
        ("service_leave", member, {"action": "ChatDeleteUser", "users": [member]}),
        ("service_join", member, {"action": "ChatJoinedByLink", "invited_by": owner}),
    ]


@pytest.mark.parametrize("kind", ["group", "supergroup"])
async def test_what_a_room_tells_of_itself_says_who_did_what_to_whom(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    rooms, owner, others = world.sandbox.rooms, world.id(1), [world.id(0), world.id(2)]
    async with world.online(0) as line:
        if kind == "group":
            room = rooms.create_group(owner, others, "Room").peer
            created = [("service_create", owner, {"action": "ChatCreate", "title": "Room", "users": ANY})]
        else:
            room = rooms.create_channel(owner, others, "Room").peer
            created = [("service_add", owner, {"action": "ChatAddUser", "users": others})]
        expected = [*created, *act(world, room)]
        if kind == "supergroup":
            rooms.remove_member(room, world.id(2))
            rooms.add_member(room, world.id(2), by=world.id(2))  # without a link, as to a public one
            expected += [
                ("service_kick", owner, {"action": "ChatDeleteUser", "users": [world.id(2)]}),
                ("service_join", world.id(2), {"action": "ChatAddUser", "users": [world.id(2)]}),
            ]
        batches = await receive_until(line, lambda messages: len(messages) > len(expected))
    told = [message for batch in batches for message in batch.messages if message.message_type != "text"]
    assert {message.chat_id for message in told} == {room}
    assert [(each.message_type, each.sender_id, each.raw_payload) for each in told] == expected
    assert [peer.title for batch in batches for peer in batch.peers if peer.chat_id == room][-1] == "Other"


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
