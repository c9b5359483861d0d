"""Who of the contacts is online is asked for once on each line, and told of like any other presence."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.presence import Presence
from tgworker.sandbox import Fault
from tgworker.telegram import TelethonConnection
from tgworker.telegram.statuses import ASK_EVERY_S, ASK_S, TRIES

GET_STATUSES = "contacts.getStatuses"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def asked(world: World) -> int:
    return world.sandbox.statistics().requests.get(GET_STATUSES, 0)


async def listen(world: World, line: TelethonConnection, *users: int) -> list[Presence]:
    """What is heard from now on of users whom the account knows."""
    heard: list[Presence] = []
    for user in users:
        await world.peer(line, user)
    line.hear_presence(heard.append)
    return heard


async def test_who_came_and_went_while_no_line_was_held_is_told_once(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.phone.update_status(world.id(1), seconds=60)
    world.sandbox.phone.update_status(world.id(2), offline=True)
    async with world.online(0) as line:
        heard = await listen(world, line, 1, 2)
        await trio.sleep(3600)
        one, other = heard
        assert (one.chat_id, one.is_online) == (world.id(1), True)
        assert 55 <= one.online_for_s <= 60
        assert (other.chat_id, other.is_online) == (world.id(2), False)
        assert other.last_seen_at is not None
        assert asked(world) == 1


async def test_of_whom_the_account_does_not_know_nothing_is_told(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        heard = await listen(world, line, 2)
        await trio.sleep(1)
        assert heard == [Presence(world.id(2), is_online=False)]


async def test_a_line_that_the_server_forgot_asks_again_but_not_at_once(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        heard = await listen(world, line, 1)
        await trio.sleep(1)
        for _ in range(5):
            world.sandbox.forget_sessions(world.id(0))
            world.sandbox.phone.update_status(world.id(1))  # nobody hears it
            await line.ping()
        await trio.sleep(ASK_EVERY_S - 2)
        assert (len(heard), asked(world)) == (1, 1)
        await trio.sleep(3 * ASK_EVERY_S)
        assert [each.is_online for each in heard] == [False, True]
        assert asked(world) == 2


@pytest.mark.parametrize(
    ("fault", "at_s"),
    [
        (Fault("flood_wait", method=GET_STATUSES, seconds=300, count=1), 300),
        (Fault("blackhole", method=GET_STATUSES, count=1), ASK_S + ASK_EVERY_S),
    ],
    ids=["flood", "silence"],
)
async def test_what_telegram_does_not_answer_now_is_asked_for_later(
    autojump_clock: MockClock, world: World, fault: Fault, at_s: float
) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(fault)
        heard = await listen(world, line, 1)
        await trio.sleep(at_s - 1)
        assert heard == []
        await trio.sleep(2)
        assert len(heard) == 1


async def test_what_telegram_never_answers_is_given_up(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("blackhole", method=GET_STATUSES))
        heard = await listen(world, line, 1)
        await trio.sleep(3600)
        assert (heard, asked(world)) == ([], TRIES)


async def test_who_is_refused_is_not_asked_again(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("rpc_error", method=GET_STATUSES, message="USER_BOT_INVALID"))
        heard = await listen(world, line, 1)
        await trio.sleep(3600)
        assert (heard, asked(world)) == ([], 1)
        await line.ping()
