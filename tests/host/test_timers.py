"""Timers of a hosted loop: exact on trio's clock, and gone when they are cancelled."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tgworker.telegram.host import HostLoop, open_host, open_hosted_loop


@pytest.fixture
async def loop() -> AsyncGenerator[HostLoop]:
    async with open_hosted_loop() as loop:
        yield loop


async def test_timers_ring_in_their_order_at_their_second_of_trios_clock(
    autojump_clock: MockClock, loop: HostLoop
) -> None:
    rang: list[tuple[str, float]] = []
    began = trio.current_time()

    def ring(name: str) -> None:
        rang.append((name, loop.time() - began))

    loop.call_later(86_400, ring, "day")
    loop.call_at(began + 7.25, ring, "at")
    loop.call_later(0.5, ring, "soon")
    loop.call_at(began - 5, ring, "past")
    await trio.sleep(86_400)
    await trio.sleep(1)
    assert rang == [("past", 0.0), ("soon", 0.5), ("at", 7.25), ("day", 86_400.0)]


async def test_an_earlier_timer_set_by_a_trio_task_wakes_a_loop_that_sleeps_for_a_later_one(
    autojump_clock: MockClock, loop: HostLoop
) -> None:
    rang: list[float] = []
    began = trio.current_time()
    loop.call_later(3600, lambda: rang.append(loop.time() - began))
    await trio.sleep(10)
    loop.call_later(5, lambda: rang.append(loop.time() - began))
    await trio.sleep(4000)
    assert rang == [15.0, 3600.0]


async def test_asyncios_own_timeouts_and_sleeps_are_exact(autojump_clock: MockClock, loop: HostLoop) -> None:
    async def job_aio() -> list[float]:
        began, times = loop.time(), []
        await asyncio.sleep(3)
        times.append(loop.time() - began)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(86_400)
        times.append(loop.time() - began)
        done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(60))], timeout=59)
        assert (len(done), len(pending)) == (0, 1)
        times.append(loop.time() - began)
        return times

    assert await loop.run_aio_coroutine(job_aio()) == [3.0, 13.0, 72.0]


async def test_a_cancelled_timer_never_rings(autojump_clock: MockClock, loop: HostLoop) -> None:
    rang: list[str] = []
    first = loop.call_later(5, rang.append, "first")
    loop.call_later(6, rang.append, "second")
    await trio.sleep(1)
    first.cancel()
    await trio.sleep(3600)
    assert rang == ["second"]
    assert first.cancelled()


@pytest.mark.parametrize("stock", [False, True])
async def test_timers_that_are_cancelled_by_the_thousand_leave_nothing_behind(
    autojump_clock: MockClock, stock: bool
) -> None:
    # What Telethon does with each update: a timer of 15 minutes, and away with the one before.
    async with open_host(stock=stock) as loop:
        loop.call_later(60, print)  # before them all: they are never the next to ring
        timers: list[weakref.ref[Any]] = []

        def alive() -> int:
            return sum(timer() is not None for timer in timers)

        async def arm_and_cancel_aio() -> int:
            most = 0
            for number in range(5_000):
                timer = loop.call_later(900, print)
                timers.append(weakref.ref(timer))
                await asyncio.sleep(0)
                timer.cancel()
                if number % 500 == 0:
                    most = max(most, alive())
            return most

        most = await loop.run_aio_coroutine(arm_and_cancel_aio())
        gc.collect()
        if stock:
            assert alive() == 5_000  # what the switch back to trio-asyncio's loop costs
        else:
            assert most <= 250


async def test_timers_due_at_the_end_still_ring_and_later_ones_do_not(autojump_clock: MockClock) -> None:
    rang: list[str] = []
    async with open_hosted_loop() as loop:
        loop.call_later(0, rang.append, "due")
        later = loop.call_later(1, rang.append, "later")
    await trio.sleep(10)
    assert rang == ["due"]
    assert later.cancelled()


async def test_a_loop_with_nothing_to_do_takes_no_steps(autojump_clock: MockClock) -> None:
    class Steps(trio.abc.Instrument):
        taken = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.taken += "HostLoop" in task.name or "_main_loop" in task.name

    async with open_hosted_loop() as loop:
        loop.call_later(30 * 86_400, print)
        await trio.testing.wait_all_tasks_blocked()
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(86_400)
        trio.lowlevel.remove_instrument(steps)
    assert steps.taken == 0
