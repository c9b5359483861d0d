"""What Telegram no longer tells: which chats' history has to be read, known before the position is."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from telethon.errors import TypeNotFoundError
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.models import Position
from tgworker.messaging.update_batches import Gap
from tgworker.sandbox import Fault
from tgworker.telegram import DifferenceDelayed, TelethonConnection, UpdatesSkipped, dialogs
from tgworker.telegram.missed import MARGIN
from tgworker.telegram.peers import CHANNEL_MARK, bare_id, peers_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEWS = types.Channel(77, "News", types.ChatPhotoEmpty(), NOON, access_hash=770)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=4) as world:
        yield world


def answered(
    line: TelethonConnection, monkeypatch: pytest.MonkeyPatch, kind: type[Any], answer: Callable[[Any], Any]
) -> list[float]:
    """Let requests of a kind be answered by ``answer``, or by the server where it returns nothing."""
    client: Any = line._client
    ask = client.ask_aio
    asked: list[float] = []

    async def ask_aio(request: Any, **options: Any) -> Any:
        if isinstance(request, kind):
            asked.append(trio.current_time())
            found = answer(request)
            if found is not None:
                return found
        return await ask(request, **options)

    monkeypatch.setattr(client, "ask_aio", ask_aio)
    return asked


def forgetful(line: TelethonConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the server has forgotten the account's updates, but not its chats."""

    def too_long(request: Any) -> Any:
        return types.updates.DifferenceTooLong(request.pts + 1000)

    answered(line, monkeypatch, functions.updates.GetDifferenceRequest, too_long)


async def begun(world: World) -> Position:
    async with world.open(0) as line:
        await line.connect(None, [])
        position = (await line.updates.receive()).position
        assert position is not None
        return position


# ------------------------------------------------ the account's own log


async def test_the_chats_in_which_something_happened_come_with_the_position(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        forgetful(line, monkeypatch)
        client: Any = line._client
        client._updates_queue.put_nowait(types.UpdatesTooLong())
        world.sandbox.send_text(world.id(1), world.id(0), "missed")
        top = world.sandbox.chats(world.id(0))[0].last_id
        world.sandbox.send_text(world.id(0), world.id(2), "from the phone")
        batch = await line.updates.receive()
        assert batch.position is not None
        assert (batch.messages, batch.position.pts) == ((), client.box.stands()[0])
        # Our own message may be stored before what came before it: that it is there proves nothing.
        assert set(batch.gaps) == {Gap(world.id(1), top), Gap(world.id(2), None)}
    assert world.events == [UpdatesSkipped(world.account(0).id, chats=2, private=True)]


async def test_chats_that_were_quiet_since_are_not_read(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = await begun(world)
    world.sandbox.send_text(world.id(1), world.id(0), "long before")
    later = replace(start, date=start.date + int(MARGIN.total_seconds()) + 60)
    async with world.open(0) as line:
        await line.connect(later, [])
        forgetful(line, monkeypatch)
        client: Any = line._client
        client._updates_queue.put_nowait(types.UpdatesTooLong())
        while (batch := await line.updates.receive()).position == later:
            pass
        assert batch.gaps == ()


async def test_the_position_waits_until_telegram_has_said_which_chats(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandbox.send_text(world.id(1), world.id(0), "missed")
    world.sandbox.faults.set(Fault("flood_wait", method="GetDialogsRequest", seconds=40, count=1))
    world.sandbox.faults.set(
        Fault("rpc_error", method="GetDialogsRequest", code=500, message="INTERNAL", count=2)
    )
    world.sandbox.faults.set(Fault("blackhole", method="GetDialogsRequest", count=1))
    async with world.online(0) as line:
        forgetful(line, monkeypatch)
        client: Any = line._client
        client._updates_queue.put_nowait(types.UpdatesTooLong())
        batch = await line.updates.receive()
        assert [gap.chat_id for gap in batch.gaps] == [world.id(1)]
        assert trio.current_time() == 40 + 1 + 2 + 30 + 4
    waits = [event.retry_after_s for event in world.events if isinstance(event, DifferenceDelayed)]
    assert waits == [40, 1, 2, 4]


async def test_however_many_chats_there_are_all_are_looked_at(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "DIALOGS_PER_PAGE", 1)
    writers = [world.sandbox.add_user().id for _ in range(dialogs.DIALOG_PAGES + 2)]
    for writer in writers:
        world.sandbox.send_text(writer, world.id(0), "missed")
    async with world.online(0) as line:
        forgetful(line, monkeypatch)
        line.catch_up([0])
        batch = await line.updates.receive()
        assert {gap.chat_id for gap in batch.gaps} == set(writers)


async def test_an_archive_that_is_listed_as_one_entry_is_read_too(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in (1, 2):
        world.sandbox.send_text(world.id(user), world.id(0), "missed")
    async with world.online(0) as line:
        client: Any = line._client
        everything: Any = await line._cross(
            client.ask_aio, functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0)
        )
        folder = types.DialogFolder(
            types.Folder(1, "Archive"), types.PeerUser(world.id(1)), 1, 0, 0, 0, 0, pinned=True
        )
        asked: list[int | None] = []

        def listed(request: Any) -> Any:
            asked.append(request.folder_id)
            archived = request.folder_id == 1
            own = [each for each in everything.dialogs if (each.peer.user_id == world.id(1)) is archived]
            shown = own if archived else [folder, *own]
            return types.messages.Dialogs(shown, everything.messages, [], everything.users)

        answered(line, monkeypatch, functions.messages.GetDialogsRequest, listed)
        forgetful(line, monkeypatch)
        line.catch_up([0])
        batch = await line.updates.receive()
        assert {gap.chat_id for gap in batch.gaps} == {world.id(1), world.id(2)}
        assert asked == [None, 1]
        while (await line.compare()).more:  # the entry has no pts, and is no channel's
            pass


# ------------------------------------------------ channels


async def test_a_channel_that_was_away_for_too_long_has_a_gap(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = await begun(world)
    dialog = types.Dialog(types.PeerChannel(77), 900, 0, 0, 0, 0, 0, 0, types.PeerNotifySettings(), pts=500)
    too_long = types.updates.ChannelDifferenceTooLong(dialog, [], [NEWS], [], final=True)
    rest = types.updates.ChannelDifferenceEmpty(500, final=True)
    async with world.open(0) as line:
        await line.connect(replace(start, channels={77: 4}), peers_of([NEWS]))
        answered(
            line,
            monkeypatch,
            functions.updates.GetChannelDifferenceRequest,
            lambda request: too_long if request.pts == 4 else rest,
        )
        line._ready().client.catch_up_nowait([77])
        gaps: list[Gap] = []
        while True:
            batch = await line.updates.receive()
            gaps += batch.gaps
            if batch.position is not None and batch.position.channels == {77: 500}:
                break
        assert gaps == [Gap(-77 - CHANNEL_MARK, None)]
    assert world.events == [UpdatesSkipped(world.account(0).id, chats=1, private=False)]


async def test_a_channel_that_cannot_be_asked_for_has_a_gap_and_is_no_longer_followed(
    autojump_clock: MockClock, world: World
) -> None:
    start = await begun(world)
    async with world.open(0) as line:
        await line.connect(replace(start, channels={77: 4}), [])  # no access hash is stored
        line._ready().client.catch_up_nowait([77])
        world.sandbox.send_text(world.id(1), world.id(0), "then")
        gaps: list[Gap] = []
        position = None
        while not gaps:
            batch = await line.updates.receive()
            gaps, position = list(batch.gaps), batch.position
        assert gaps == [Gap(-77 - CHANNEL_MARK, None)]
        assert position is not None
        assert position.channels == {}


async def test_a_channel_that_was_never_met_and_has_too_much_to_tell_has_a_gap(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        client: Any = line._client
        news = types.UpdateChannelTooLong(77, pts=900)
        client._updates_queue.put_nowait(types.Updates([news], [], [NEWS], NOON, 0))
        batch = await line.updates.receive()
        assert batch.gaps == (Gap(-77 - CHANNEL_MARK, None),)
        assert batch.position is not None
        assert batch.position.channels == {77: 900}  # and is followed from here


async def test_a_stored_access_hash_is_enough(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:
        line._book.learn(peers_of([NEWS]))  # met elsewhere than in the update log
        client: Any = line._client
        post = types.Message(1, types.PeerChannel(77), NOON, "post", post=True)
        asked = answered(
            line,
            monkeypatch,
            functions.updates.GetChannelDifferenceRequest,
            lambda request: types.updates.ChannelDifference(
                request.pts + 1, [replaced(post)], [], [NEWS], [], final=True
            ),
        )
        new = types.UpdateNewChannelMessage(post, 4, 1)
        client._updates_queue.put_nowait(types.Updates([new], [], [], NOON, 0))
        client.catch_up_nowait([77])
        assert await receive_texts(line, 2) == ["post", "second"]
        assert len(asked) == 1
    assert world.events == []


def replaced(post: Any) -> Any:
    return types.Message(2, post.peer_id, NOON, "second", post=True)


# ------------------------------------------------ what this Telethon cannot read


async def test_a_difference_that_cannot_be_read_is_passed_over(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask again would bring the same again, for ever, and nothing else would come in."""

    def unreadable(request: Any) -> Any:
        raise TypeNotFoundError(0x12345678, b"")

    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("deaf", method="push", user=world.id(0), count=1))
        world.sandbox.send_text(world.id(1), world.id(0), "with something new in it")
        answered(line, monkeypatch, functions.updates.GetDifferenceRequest, unreadable)
        line._ready().client.catch_up_nowait()
        batch = await line.updates.receive()
        assert [gap.chat_id for gap in batch.gaps] == [world.id(1)]
        world.sandbox.send_text(world.id(1), world.id(0), "the line goes on")
        assert await receive_texts(line, 1) == ["the line goes on"]


async def test_a_channels_difference_that_cannot_be_read_is_passed_over(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(request: Any) -> Any:
        raise TypeNotFoundError(0x12345678, b"")

    room = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
    async with world.online(0) as line:
        world.sandbox.send_text(world.id(1), room, "met")
        assert await receive_texts(line, 1) == ["met"]
        world.sandbox.faults.set(Fault("deaf", method="push", user=world.id(0), count=1))
        world.sandbox.send_text(world.id(1), room, "with something new in it")
        answered(line, monkeypatch, functions.updates.GetChannelDifferenceRequest, unreadable)
        line.catch_up([bare_id(room)])
        while not (batch := await line.updates.receive()).gaps:
            pass
        assert batch.gaps == (Gap(room, None),)
        await trio.testing.wait_all_tasks_blocked()  # the client has passed it over, too
        monkeypatch.undo()
        world.sandbox.send_text(world.id(1), room, "the line goes on")
        assert await receive_texts(line, 1) == ["the line goes on"]


# ------------------------------------------------ a server that really forgets


async def test_a_server_that_forgot_the_log_and_a_channels_is_asked_for_their_histories(
    autojump_clock: MockClock, world: World
) -> None:
    room = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "Room").peer
    async with world.online(0) as line:
        world.sandbox.send_text(world.id(1), room, "met")
        batch = await line.updates.receive()
        assert batch.position is not None
    world.sandbox.behave(difference_remembers=5, channel_difference_remembers=5)
    for number in range(10):
        world.sandbox.send_text(world.id(1), world.id(0), f"missed {number}")
        world.sandbox.send_text(world.id(1), room, f"missed {number}")
    last = world.sandbox.chat(world.id(0), world.id(1))[-1].id
    async with world.open(0) as line:
        await line.connect(batch.position, batch.peers)
        line.catch_up([bare_id(room)])
        gaps: set[Gap] = set()
        while len(gaps) < 2:
            batch = await line.updates.receive()
            gaps |= set(batch.gaps)
        assert gaps == {Gap(world.id(1), last), Gap(room, None)}
        world.sandbox.send_text(world.id(1), room, "on")
        world.sandbox.send_text(world.id(1), world.id(0), "on")
        assert await receive_texts(line, 2) == ["on", "on"]
