"""Whether a line lives is told by its own ping and its own tasks, never by Telethon."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.outcomes import Sent
from tgworker.sandbox import Fault
from tgworker.telegram import LoopFailed, TelethonConnection


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


def client_of(line: TelethonConnection) -> Any:
    return line._client


async def lost(line: TelethonConnection, within_s: float = 0) -> str:
    with trio.fail_after(within_s + 0.001):
        return await line.wait_lost()


async def test_a_ping_is_answered(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        await trio.sleep(7)
        before = line.last_heard_at
        await line.ping()
        assert before < line.last_heard_at == trio.current_time() == 7


async def test_anything_that_comes_in_is_a_sign_of_life(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        await trio.sleep(7)
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        await receive_texts(line, 1)
        assert line.last_heard_at == 7


@pytest.mark.parametrize("method", ["raw", "ping"])
async def test_a_ping_into_a_hole_ends_at_its_deadline_and_the_line_is_still_good(
    autojump_clock: MockClock, world: World, method: str
) -> None:
    async with world.online(0) as line:
        heard = line.last_heard_at
        hole = world.sandbox.faults.set(Fault("blackhole", method=method))
        for number in range(1, 4):
            with trio.move_on_after(5) as deadline:
                await line.ping()
            assert deadline.cancelled_caught
            assert trio.current_time() == 5 * number
        assert line.last_heard_at == heard
        world.sandbox.faults.clear(hole)
        await line.ping()
        assert line.last_heard_at == trio.current_time() == 15


async def test_a_line_that_the_server_drops_is_lost_at_once_and_stays_lost(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("drop", method="raw", count=1))
        with pytest.raises(TelegramAway):
            await line.ping()
        assert await lost(line) in {"Telegram closed the line", "the line broke: Connection reset by peer"}
        world.sandbox.faults.clear()
        await trio.sleep(3600)
        with pytest.raises(TelegramAway):
            await line.ping()
        assert world.sandbox.statistics().connections == 1  # nothing reconnects by itself


async def test_a_line_that_the_server_half_closes_is_lost(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("half_close", method="ping"))
        with pytest.raises(TelegramAway), trio.fail_after(5):
            await line.ping()
        assert await lost(line)


async def test_an_idle_line_lives_for_days_without_telethons_pings(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        with trio.move_on_after(2 * 24 * 3600) as days:
            await line.wait_lost()
        assert days.cancelled_caught
        await line.ping()
        assert client_of(line)._keepalive_handle.done()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("_sender._send_loop_handle", "send loop"),
        ("_sender._recv_loop_handle", "receive loop"),
        ("_sender._connection._send_task", "line's send loop"),
        ("_sender._connection._recv_task", "line's receive loop"),
        ("_updates_handle", "update loop"),
    ],
)
async def test_a_loop_of_telethons_that_ends_loses_the_line(
    autojump_clock: MockClock, world: World, path: str, name: str
) -> None:
    async with world.online(0) as line:
        task: Any = client_of(line)
        for part in path.split("."):
            task = getattr(task, part)
        task.cancel()
        assert name in await lost(line)
        with pytest.raises(TelegramAway), trio.fail_after(1):
            await line.ping()
        await trio.testing.wait_all_tasks_blocked()  # the server hears of it
        assert world.sandbox.statistics().open == 0  # what is lost is hung up, not left open


async def test_a_failure_in_the_update_loop_loses_the_line(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.online(0) as line:

        def broken(*_: object) -> None:
            raise KeyError("a text that must not be quoted")

        monkeypatch.setattr(type(client_of(line)._message_box), "process_updates", broken)
        world.sandbox.send_text(world.id(1), world.id(0), "hi")
        assert await lost(line) == "the line broke: KeyError"


async def test_whoever_waits_for_an_answer_is_told_when_the_send_loop_dies(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("blackhole", method="ping"))

        async def kill() -> None:
            await trio.testing.wait_all_tasks_blocked()
            client_of(line)._sender._send_loop_handle.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with pytest.raises(TelegramAway), trio.fail_after(1):
                await line.ping()


# ------------------------------------------------ the account's loop


async def test_what_fails_in_the_loop_unseen_is_reported_and_kills_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:

        async def unawaited() -> None:
            raise ValueError("a text that must not be quoted")

        def callback(_: str) -> None:
            raise KeyError("a text that must not be quoted")

        line._loop.call_soon(callback, "an argument that must not be quoted")
        task = asyncio.ensure_future(unawaited(), loop=line._loop)
        await trio.testing.wait_all_tasks_blocked()
        del task
        gc.collect()
        peer = await world.peer(line, 1)
        assert isinstance(await line.send_text(peer, "hi", random_id=1), Sent)
    failures = [event for event in world.events if isinstance(event, LoopFailed)]
    assert [(f.what, f.error.split()[0]) for f in failures] == [
        ("Exception in callback", "KeyError"),
        ("Task exception was never retrieved", "ValueError"),
    ]
    assert "must not be quoted" not in str(failures)


async def test_one_accounts_loop_is_not_anothers(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line, world.online(1) as other:
        assert line._loop is not other._loop
        client_of(line)._updates_handle.cancel()
        assert await lost(line)
        await other.ping()


async def test_the_stacks_show_what_telethon_waits_for(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("blackhole", method="ping"))

        async def look() -> None:
            await trio.testing.wait_all_tasks_blocked()
            stacks.append(line.stacks())

        stacks: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            with trio.move_on_after(1):
                await line.ping()
        (text,) = stacks
        for function in ("_ping_aio", "_update_loop", "_recv_loop", "_send_loop", "read_packet"):
            assert function in text
        assert world.telegram.stacks(world.account(0).id) is not None
    assert world.telegram.stacks(world.account(0).id) is None
