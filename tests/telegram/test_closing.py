"""Leaving a line takes milliseconds in any state, and leaves nothing behind."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.lowlevel

from telegram.telegram_world import World, open_files, open_world
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.outcomes import Outcome, Released, Unknown
from tgworker.sandbox import Fault
from tgworker.telegram import CloseWedged, TelethonConnection

CLOSED_WITHIN_S = 5.0
"""Of real time: what took 10 s, or for ever, before. It takes milliseconds, unless the machine is busy."""


@pytest.fixture(autouse=True)
def _what_was_there_before() -> Generator[None]:
    """Is not looked through again by each `gc.collect`: it is much, and no test here made it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    """On a real clock: closing is measured."""
    async with open_world() as world:
        yield world


class Leaving:
    """Measures from `now` to the end of the block, and looks for what is left then."""

    def __init__(self) -> None:
        gc.collect()
        self._files = open_files()
        self._left_at = 0.0

    def now(self, line: TelethonConnection) -> None:
        """The line is about to be left."""
        self._loop: Any = line._loop
        self._left_at = time.perf_counter()

    async def check(self) -> float:
        """Nothing took long, and nothing is left: no task, no socket, nothing that would warn.

        Returns:
            Seconds that leaving took.
        """
        took = time.perf_counter() - self._left_at
        assert took < CLOSED_WITHIN_S
        assert asyncio.all_tasks(self._loop) == set()
        gc.collect()  # warnings about what was forgotten are errors
        for _ in range(500):  # the server, in this process too, has to notice and close its end
            if open_files() <= self._files:
                break
            await trio.sleep(0.01)
        assert open_files() <= self._files
        return took


async def test_an_idle_line(world: World) -> None:
    leaving = Leaving()
    async with world.online(0) as line:
        leaving.now(line)
    await leaving.check()


async def test_a_line_that_was_never_connected(world: World) -> None:
    leaving = Leaving()
    async with world.open(0) as line:
        leaving.now(line)
    await leaving.check()


@pytest.mark.slow
async def test_a_line_while_updates_stream_in(world: World) -> None:
    took: list[float] = []
    for trial in range(20):  # Python 3.11's wait_for hung in 10 of 20
        leaving = Leaving()
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:

                async def stream() -> None:
                    while True:
                        world.sandbox.send_text(world.id(1), world.id(0), "x")
                        await trio.lowlevel.checkpoint()

                async with world.online(0) as line:
                    nursery.start_soon(stream)
                    with trio.move_on_after(0.01 + 0.003 * trial):
                        async for _ in line.updates:
                            pass
                    leaving.now(line)
                nursery.cancel_scope.cancel()
        took.append(await leaving.check())
    assert min(took) < 0.1  # what it takes where the machine is not busy with something else


@pytest.mark.parametrize("method", ["raw", "GetUsersRequest"])
async def test_a_line_that_somebody_is_still_connecting(world: World, method: str) -> None:
    world.sandbox.faults.set(Fault("blackhole", method=method))
    leaving = Leaving()
    async with trio.open_nursery() as nursery, world.open(0) as line:

        async def connect() -> None:
            with pytest.raises(TelegramAway):
                await line.connect(None, [])

        nursery.start_soon(connect)
        await trio.sleep(0.05)
        leaving.now(line)
    await leaving.check()


@pytest.mark.slow
async def test_a_line_whose_connect_is_cancelled_at_any_moment(world: World) -> None:
    leaving = Leaving()
    for trial in range(30):
        async with world.open(0) as line:
            with trio.move_on_after(0.0005 * trial):
                await line.connect(None, [])
            leaving.now(line)
        await leaving.check()


@pytest.mark.slow
async def test_a_line_with_a_full_send_buffer_into_a_hole() -> None:
    async with open_world(through_tap=True) as world:
        leaving = Leaving()
        outcomes: list[Outcome] = []
        async with trio.open_nursery() as nursery, world.online(0) as line:
            peer = await world.peer(line, 1)
            world.tap.shut()

            async def send(number: int) -> None:
                text = os.urandom(100_000).hex()
                outcomes.append(await line.send_text(peer, text, random_id=number))

            for number in range(1, 101):
                nursery.start_soon(send, number)
            client: Any = line._client
            transport = client._sender._connection._writer.transport
            for _ in range(1000):
                await trio.sleep(0.01)
                if transport.get_write_buffer_size() > 0:
                    break
            assert transport.get_write_buffer_size() > 0
            leaving.now(line)
        world.tap.reopen()
        await leaving.check()
        kinds = [type(outcome) for outcome in outcomes]
        assert len(kinds) == 100
        assert set(kinds) == {Unknown, Released}  # what may have left, and what certainly has not


async def test_a_line_that_the_server_has_dropped(world: World) -> None:
    leaving = Leaving()
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("drop", method="raw", count=1))
        with pytest.raises(TelegramAway):
            await line.ping()
        leaving.now(line)
    await leaving.check()


async def test_a_line_whose_task_swallows_cancellations(world: World) -> None:
    leaving = Leaving()

    async def stubborn() -> None:
        for _ in range(5):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)

    async with world.online(0) as line:
        task = asyncio.ensure_future(stubborn(), loop=line._loop)
        await trio.sleep(0.01)
        leaving.now(line)
    assert task.done()
    await leaving.check()
    assert not any(isinstance(event, CloseWedged) for event in world.events)


# ------------------------------------------------ errors and cancellation of the block


async def test_an_error_in_the_block_comes_out_as_it_is(world: World) -> None:
    with pytest.raises(KeyError, match="the block's own"):
        async with world.online(0):
            raise KeyError("the block's own")
    with pytest.raises(ExceptionGroup) as caught:
        async with world.online(0):
            raise ExceptionGroup("the block's own", [KeyError(1), ValueError(2)])
    assert caught.value.message == "the block's own"


async def test_a_cancelled_block_is_left_at_once(world: World) -> None:
    leaving = Leaving()
    with trio.CancelScope() as scope:
        async with world.online(0) as line:
            leaving.now(line)
            scope.cancel(reason="the test")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    await leaving.check()


async def test_leaving_twenty_lines_at_once() -> None:
    async with open_world(users=20) as world:
        leaving = Leaving()
        async with trio.open_nursery() as nursery:

            async def hold(user: int, *, task_status: trio.TaskStatus[TelethonConnection]) -> None:
                async with world.online(user) as line:
                    task_status.started(line)
                    await trio.sleep_forever()

            lines = [await nursery.start(hold, user) for user in range(20)]
            leaving.now(lines[-1])
            nursery.cancel_scope.cancel()
        await leaving.check()
