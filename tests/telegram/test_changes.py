"""Edits, deletes, reads, reactions and pins become changes: live, missed, and in the order of the log."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.tl import types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.changes import Deleted, Edited, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.hearing import behind
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram import TelethonConnection
from tgworker.telegram.batches import batch_of, position_of
from tgworker.telegram.changes import changes_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ONE = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
ME = 100
CHANNEL = -1_000_000_000_004
HEART, FIRE = types.ReactionEmoji("\u2764"), types.ReactionEmoji("\U0001f525")


def said(text: str = "hi", **changes: Any) -> Any:
    fields: dict[str, Any] = {"id": 7, "peer_id": types.PeerUser(200), "date": NOON, "message": text}
    return types.Message(**(fields | changes))


def reactions(*counts: Any, **more: Any) -> Any:
    return types.MessageReactions(list(counts), **more)


# ------------------------------------------------ values


@pytest.mark.parametrize(
    "update",
    [
        types.UpdateDeleteMessages([], 9, 0),
        types.UpdateDeleteChannelMessages(4, [], 9, 0),
        types.UpdatePinnedMessages(types.PeerUser(200), [], 9, 0, pinned=True),
        types.UpdateReadHistoryInbox(types.PeerUser(200), 8, 3, 9, 1, top_msg_id=5),  # of one topic
        types.UpdateUserTyping(200, types.SendMessageTypingAction()),
        types.UpdateUserName(200, "A", "B", []),
    ],
)
def test_updates_that_change_no_message(update: Any) -> None:
    assert changes_of(update, ME) == ()


def test_an_edit_is_the_whole_message_as_it_is_now() -> None:
    for update in (types.UpdateEditMessage, types.UpdateEditChannelMessage):
        (change,) = changes_of(update(said("new", edit_date=ONE), 9, 1), ME)
        assert isinstance(change, Edited)
        assert (change.message.chat_id, change.message.telegram_id, change.message.text) == (200, 7, "new")
        assert change.edited_at == ONE


def test_a_hidden_edit_has_no_time_and_says_that_the_reactions_are_gone() -> None:
    edited, gone = changes_of(types.UpdateEditMessage(said(edit_date=ONE, edit_hide=True), 9, 1), ME)
    assert isinstance(edited, Edited)
    assert edited.edited_at is None
    assert gone == Reacted(200, 7, {})


def test_reactions_are_counted_and_name_their_givers() -> None:
    told = reactions(
        types.ReactionCount(HEART, 2, chosen_order=1),
        types.ReactionCount(types.ReactionCustomEmoji(2**60), 1, chosen_order=0),
        types.ReactionCount(types.ReactionPaid(), 50),
        recent_reactions=[
            types.MessagePeerReaction(types.PeerUser(200), NOON, HEART),
            types.MessagePeerReaction(types.PeerChannel(4), NOON, FIRE),
        ],
    )
    expected = Reacted(
        -3,
        7,
        {"\u2764": 2, f"custom:{2**60}": 1, "paid": 50},
        (f"custom:{2**60}", "\u2764"),
        ((200, "\u2764"), (CHANNEL, "\U0001f525")),
    )
    assert changes_of(types.UpdateMessageReactions(types.PeerChat(3), 7, told), ME) == (expected,)
    message = said(peer_id=types.PeerChat(3), reactions=told, edit_date=ONE, edit_hide=True)
    assert changes_of(types.UpdateEditMessage(message, 9, 1), ME)[1] == expected


def test_reactions_that_leave_out_which_are_ours_do_not_say_that_none_is() -> None:
    told = reactions(types.ReactionCount(HEART, 2), min=True)
    (change,) = changes_of(types.UpdateMessageReactions(types.PeerUser(200), 7, told), ME)
    assert isinstance(change, Reacted)
    assert change.own is None


def test_an_edited_service_message_and_an_empty_one_do_no_harm() -> None:
    service = types.MessageService(
        id=8, peer_id=types.PeerChat(4), date=NOON, action=types.MessageActionPinMessage()
    )
    (change,) = changes_of(types.UpdateEditMessage(service, 9, 1), ME)
    assert isinstance(change, Edited)
    assert change.edited_at is None
    assert changes_of(types.UpdateEditMessage(types.MessageEmpty(8, types.PeerUser(200)), 9, 1), ME) == ()


def test_a_batch_has_its_changes_in_order_and_reactions_that_a_new_message_has_already() -> None:
    updates = [
        types.UpdateNewMessage(said(reactions=reactions(types.ReactionCount(HEART, 1))), 6, 1),
        types.UpdateReadHistoryOutbox(types.PeerUser(200), 8, 7, 1),
        types.UpdateDeleteMessages([7], 8, 1),
    ]
    state = position_of(({"pts": 8, "qts": 0, "date": NOON, "seq": 1}, {}))
    batch = batch_of(updates, [], [], position=state, self_id=ME)
    assert batch.changes == (Reacted(200, 7, {"\u2764": 1}), ReadByThem(200, 8), Deleted(None, (7,)))


# ------------------------------------------------ from the server


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


async def receive_changes(line: TelethonConnection, count: int) -> list[UpdateBatch]:
    """Batches until they have so many changes; an hour without them is a failure."""
    batches: list[UpdateBatch] = []
    with trio.fail_after(3600):
        while sum(len(batch.changes) for batch in batches) < count:
            batches.append(await line.updates.receive())
    return batches


def told(batches: list[UpdateBatch]) -> list[Any]:
    """The changes, edits by their text and place."""
    return [
        (each.message.chat_id, each.message.telegram_id, each.message.text)
        if isinstance(each, Edited)
        else each
        for batch in batches
        for each in batch.changes
    ]


def chat_of(world: World, kind: str) -> int:
    """A chat of users 0 and 1, as user 0 calls it."""
    match kind:
        case "group":
            return world.sandbox.rooms.create_group(world.id(1), [world.id(0)], "Group").peer
        case "supergroup":
            return world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
        case _:
            return world.id(1)


def write(world: World, chat: int) -> None:
    """Three messages in a chat, the first of which user 0 wrote."""
    theirs_as = world.id(0) if chat == world.id(1) else chat  # what user 1 calls the chat
    world.sandbox.send_text(world.id(0), chat, "mine")
    world.sandbox.send_text(world.id(1), theirs_as, "theirs")
    world.sandbox.send_text(world.id(1), theirs_as, "gone")


def act(world: World, chat: int) -> list[Any]:
    """Let things happen to the messages of a chat; returns what user 0 is told of it."""
    me, other, sandbox = world.id(0), world.id(1), world.sandbox
    theirs_as = me if chat == other else chat
    *_, first, second, third = sandbox.chat(me, chat)
    *_, first_there, second_there, third_there = sandbox.chat(other, theirs_as)
    sandbox.edit_text(other, theirs_as, second_there.id, "theirs, better")
    sandbox.read_chat(other, theirs_as, first_there.id)
    sandbox.read_chat(me, chat, second.id)
    sandbox.delete_messages(other, theirs_as, [third_there.id])
    for each in (first_there, second_there):
        sandbox.phone.update_pinned_message(other, theirs_as, each.id)
    sandbox.phone.update_pinned_message(me, chat, first.id, unpin=True)
    sandbox.phone.update_pinned_message(other, theirs_as, first_there.id)
    sandbox.phone.unpin_all_messages(other, theirs_as)
    sandbox.edit_text(me, chat, first.id, "mine, from the phone")
    return [
        (chat, second.id, "theirs, better"),
        ReadByThem(chat, first.id),
        ReadByUs(chat, second.id, 1),
        Deleted(chat if chat < -(10**12) else None, (third.id,)),
        Pinned(chat, (first.id,), True),
        Pinned(chat, (second.id,), True),
        Pinned(chat, (first.id,), False),
        Pinned(chat, (first.id,), True),
        Pinned(chat, (first.id, second.id), False),
        (chat, first.id, "mine, from the phone"),
    ]


@pytest.mark.parametrize("kind", ["person", "group", "supergroup"])
async def test_what_happens_to_messages_is_told_live_in_order(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    async with world.online(0) as line:
        chat = chat_of(world, kind)
        write(world, chat)
        expected = act(world, chat)
        assert told(await receive_changes(line, len(expected))) == expected


@pytest.mark.parametrize("kind", ["person", "group", "supergroup"])
async def test_what_happens_to_messages_while_nobody_listens_is_told_later_in_order(
    autojump_clock: MockClock, world: World, kind: str
) -> None:
    async with world.online(0) as line:
        chat = chat_of(world, kind)
        write(world, chat)
        batches: list[UpdateBatch] = []
        while not any(message.text == "gone" for batch in batches for message in batch.messages):
            batches.append(await line.updates.receive())
        peers = [peer for batch in batches for peer in batch.peers]
    expected = act(world, chat)
    reads: list[Any] = []
    if kind == "supergroup":  # reads move no log there
        expected = [each for each in expected if not isinstance(each, ReadByThem | ReadByUs)]
        *_, first, second = world.sandbox.chat(world.id(0), chat)
        reads = [ReadByThem(chat, first.id), ReadByUs(chat, second.id, 3)]  # three pins were said
    async with world.open(0) as line:
        await line.connect(batches[-1].position, peers)
        assert told(await receive_changes(line, len(expected))) == expected
        for _ in range(2):  # once is enough
            await line.compare()
        assert told(await receive_changes(line, len(reads))) == reads
        with trio.move_on_after(60) as silence:
            await receive_changes(line, 1)
        assert silence.cancelled_caught


async def test_what_was_read_in_a_channel_is_told_after_the_messages_that_were(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.behave(channel_hints=False)
    async with world.online(0) as line:
        room = chat_of(world, "supergroup")
        world.sandbox.send_text(world.id(1), room, "one")
        batch = await line.updates.receive()
        while not any(message.text == "one" for message in batch.messages):
            batch = await line.updates.receive()
    for text in ("two", "three"):
        world.sandbox.send_text(world.id(1), room, text)
    *_, second, _ = world.sandbox.chat(world.id(0), room)
    world.sandbox.read_chat(world.id(0), room, second.id)
    async with world.open(0) as line:
        await line.connect(batch.position, batch.peers)
        logs = behind(await line.compare(), line.heard())
        with trio.move_on_after(60) as silence:
            await receive_changes(line, 1)
        assert silence.cancelled_caught
        line.catch_up(logs)
        assert await receive_texts(line, 2) == ["two", "three"]
        await line.compare()
        assert told(await receive_changes(line, 1)) == [ReadByUs(room, second.id, 1)]


@pytest.mark.parametrize("pushes", ["update", "edit"])
async def test_a_reaction_is_told_in_either_form(
    autojump_clock: MockClock, world: World, pushes: str
) -> None:
    world.sandbox.behave(reactions=pushes)
    async with world.online(0) as line:
        mine = world.sandbox.send_text(world.id(0), world.id(1), "mine").sender_message_id
        (theirs,) = world.sandbox.chat(world.id(1), world.id(0))
        world.sandbox.phone.send_reaction(world.id(1), world.id(0), theirs.id, "\U0001f525")
        batches = await receive_changes(line, 1)
        world.sandbox.phone.send_reaction(world.id(1), world.id(0), theirs.id)
        batches += await receive_changes(line, 1)
    changes = [each for batch in batches for each in batch.changes]
    assert [each for each in changes if isinstance(each, Reacted)] == [
        Reacted(world.id(1), mine, {"\U0001f525": 1}, (), ((world.id(1), "\U0001f525"),)),
        Reacted(world.id(1), mine, {}),
    ]
    assert all(each.edited_at is None for each in changes if isinstance(each, Edited))


async def test_what_was_read_elsewhere_in_a_channel_outlasts_a_gap_in_its_log(
    autojump_clock: MockClock, world: World
) -> None:
    """Telethon holds such an update behind the gap, and forgets it when the difference has closed that."""
    async with world.online(0) as line:
        room = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
        world.sandbox.send_text(world.id(1), room, "one")
        client: Any = line._client
        batches = [await line.updates.receive()]
        while not any(message.text == "one" for message in batches[-1].messages):
            batches.append(await line.updates.receive())
        put = client._updates_queue.put_nowait
        lost: list[Any] = []
        client._updates_queue.put_nowait = lost.append  # what is pushed now never arrives
        world.sandbox.send_text(world.id(1), room, "two")
        await trio.testing.wait_all_tasks_blocked()
        client._updates_queue.put_nowait = put
        assert lost
        (*_, last) = world.sandbox.chat(world.id(0), room)
        world.sandbox.read_chat(world.id(0), room)
        batches = await receive_changes(line, 1)
    assert [message.text for batch in batches for message in batch.messages] == ["two"]
    assert [each for batch in batches for each in batch.changes] == [ReadByUs(room, last.id, 0)]


async def test_what_was_read_elsewhere_in_a_channel_is_told_though_its_log_has_gone_on(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        room = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
        for text in ("one", "two"):
            world.sandbox.send_text(world.id(1), room, text)
        await trio.testing.wait_all_tasks_blocked()
        client: Any = line._client
        at = client.box.map[-room - 10**12].pts
        late = types.UpdateReadChannelInbox(-room - 10**12, 1, 1, at - 1)
        client._updates_queue.put_nowait(types.UpdateShort(late, NOON))
        batches = await receive_changes(line, 1)
    assert [each for batch in batches for each in batch.changes] == [ReadByUs(room, 1, 1)]
