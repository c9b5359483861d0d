"""Who is online and who types is told at once, aside from the log, of people who are known."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from telethon.tl import types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.presence import ONLINE_FOR_S, Presence
from tgworker.telegram import TelethonConnection
from tgworker.telegram.inbox import CAPACITY
from tgworker.telegram.presence import MOST_ONLINE_S, presence_of, presence_only

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TYPING, CANCEL = types.SendMessageTypingAction(), types.SendMessageCancelAction()
ADA = 200


def status(what: Any) -> Any:
    return types.UpdateUserStatus(ADA, what)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (
            status(types.UserStatusOnline(NOON + timedelta(seconds=250))),
            Presence(ADA, is_online=True, online_for_s=250),
        ),
        (status(types.UserStatusOnline(None)), Presence(ADA, is_online=True, online_for_s=ONLINE_FOR_S)),
        (
            status(types.UserStatusOnline(NOON + timedelta(days=365))),
            Presence(ADA, is_online=True, online_for_s=MOST_ONLINE_S),
        ),
        (status(types.UserStatusOnline(NOON)), Presence(ADA, is_online=False, last_seen_at=NOON)),
        (status(types.UserStatusOffline(NOON)), Presence(ADA, is_online=False, last_seen_at=NOON)),
        (status(types.UserStatusRecently()), Presence(ADA, is_online=False)),
        (status(types.UserStatusEmpty()), None),
        (types.UpdateUserTyping(ADA, TYPING), Presence(ADA, is_typing=True)),
        (types.UpdateUserTyping(ADA, types.SendMessageUploadPhotoAction(5)), Presence(ADA, is_typing=True)),
        (types.UpdateUserTyping(ADA, CANCEL), Presence(ADA, is_typing=False)),
        (types.UpdateUserTyping(ADA, types.SpeakingInGroupCallAction()), None),
        (
            types.UpdateChatUserTyping(3, types.PeerUser(ADA), TYPING),
            Presence(ADA, is_typing=True, typing_in=-3),
        ),
        (
            types.UpdateChannelUserTyping(4, types.PeerUser(ADA), TYPING),
            Presence(ADA, is_typing=True, typing_in=-1_000_000_000_004),
        ),
        (types.UpdateChannelUserTyping(4, types.PeerChannel(4), TYPING), None),
        (types.UpdateUser(ADA), None),
    ],
)
def test_what_an_update_says_of_presence(update: Any, expected: Presence | None) -> None:
    assert presence_of(update, NOON) == expected


def test_only_packets_of_nothing_but_presence_are_taken_aside() -> None:
    typing = types.UpdateUserTyping(ADA, TYPING)
    assert presence_only(types.UpdateShort(typing, NOON)) == ((typing,), NOON)
    assert presence_only(types.Updates([typing, typing], [], [], NOON, 0)) == ([typing, typing], NOON)
    assert presence_only(types.Updates([typing], [], [], NOON, 7)) is None  # has a place in the sequence
    assert presence_only(types.Updates([typing, types.UpdateUser(ADA)], [], [], NOON, 0)) is None
    assert presence_only(types.Updates([], [], [], NOON, 0)) is None
    assert presence_only(types.UpdatesTooLong()) is None


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def push(line: TelethonConnection, packet: Any) -> None:
    client: Any = line._client
    client._updates_queue.put_nowait(packet)


async def test_presence_comes_at_once_though_the_store_takes_no_messages(
    autojump_clock: MockClock, world: World
) -> None:
    heard: list[Presence] = []
    async with world.online(0) as line:
        line.hear_presence(heard.append)
        await world.peer(line, 1)
        for number in range(CAPACITY + 10):  # nobody receives them: the client waits
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
        await trio.testing.wait_all_tasks_blocked()
        heard.clear()
        queued = line.statistics().packets
        for _ in range(5000):  # five times what the queue holds
            push(line, types.UpdateShort(types.UpdateUserTyping(world.id(1), TYPING), NOON))
        assert heard == [Presence(world.id(1), is_typing=True)] * 5000
        assert line.statistics().packets == queued
        assert trio.current_time() == 0


async def test_strangers_and_we_ourselves_are_not_told_of(autojump_clock: MockClock, world: World) -> None:
    heard: list[Presence] = []
    async with world.online(0) as line:
        line.hear_presence(heard.append)
        await world.peer(line, 1)
        await trio.sleep(1)
        heard.clear()
        for user_id in (world.id(0), world.id(1), 123456):
            online = types.UpdateUserStatus(user_id, types.UserStatusRecently())
            push(line, types.UpdateShort(online, NOON))
    assert heard == [Presence(world.id(1), is_online=False)]


async def test_among_other_updates_it_is_heard_too_and_whose_message_is_there_types_no_more(
    autojump_clock: MockClock, world: World
) -> None:
    heard: list[Presence] = []
    async with world.online(0) as line:
        line.hear_presence(heard.append)
        ada = (await world.peer(line, 1)).chat_id
        await trio.sleep(1)
        heard.clear()
        typing = types.UpdateUserTyping(ada, TYPING)
        push(line, types.Updates([typing, types.UpdateUser(123456)], [], [], NOON, 0))
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [Presence(ada, is_typing=True)]
        world.sandbox.send_text(ada, world.id(0), "here it is")
        assert await receive_texts(line, 1) == ["here it is"]
        assert heard[1:] == [Presence(ada, is_typing=False)]


async def test_an_account_that_is_only_held_online_does_not_say_so(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0):
        await trio.sleep(600)
    assert "account.updateStatus" not in world.sandbox.statistics().requests
