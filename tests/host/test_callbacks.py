"""Callbacks of a hosted loop: who may ask for them, in which order they run, and whom they keep waiting."""

import asyncio
import contextvars
import signal
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import sniffio
import trio
import trio_asyncio
from trio.testing import wait_all_tasks_blocked

import tgworker.telegram.host.loop
from tgworker.telegram.host import HostLoop, open_hosted_loop


@pytest.fixture
async def loop() -> AsyncGenerator[HostLoop]:
    async with open_hosted_loop() as loop:
        yield loop


async def test_callbacks_run_in_the_order_in_which_they_were_asked_for(loop: HostLoop) -> None:
    ran: list[int] = []
    done = trio.Event()

    def first() -> None:
        ran.append(1)
        loop.call_soon(ran.append, 4)
        loop.call_soon(done.set)

    loop.call_soon(first)
    for number in (2, 3):
        loop.call_soon(ran.append, number)
    assert ran == []  # never within call_soon itself
    await done.wait()
    assert ran == [1, 2, 3, 4]


async def test_a_cancelled_callback_does_not_run(loop: HostLoop) -> None:
    ran: list[int] = []
    loop.call_soon(ran.append, 1).cancel()
    loop.call_soon(ran.append, 2)
    await loop.synchronize()
    assert ran == [2]


async def test_a_loop_that_sleeps_is_woken_from_another_thread(loop: HostLoop) -> None:
    ran: list[int] = []
    done = trio.Event()

    def work() -> None:
        for number in range(1000):
            assert not loop.call_soon_threadsafe(ran.append, number).cancelled()
        loop.call_soon_threadsafe(done.set)

    await wait_all_tasks_blocked()
    thread = threading.Thread(target=work)
    thread.start()
    with trio.fail_after(10):
        await done.wait()
    thread.join()
    assert ran == list(range(1000))


async def test_a_thread_that_comes_too_late_is_told_or_ignored() -> None:
    ran: list[int] = []
    async with open_hosted_loop() as loop:
        pass
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon_threadsafe(ran.append, 1)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon(ran.append, 2)
    with pytest.raises(RuntimeError, match="loop is closed"):
        loop.call_later(0, ran.append, 3)

    async with open_hosted_loop() as loop:
        await loop.stop().wait()
        loop.call_soon_threadsafe(ran.append, 4)  # on its way while the loop is closed
        loop.close()
        await wait_all_tasks_blocked()
    assert ran == []


async def test_a_signal_wakes_the_loop(loop: HostLoop) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    came: list[str] = []
    done = trio.Event()

    def on_signal(word: str) -> None:
        came.append(word)
        done.set()

    loop.add_signal_handler(signal.SIGUSR1, on_signal, "usr1")
    await wait_all_tasks_blocked()
    signal.raise_signal(signal.SIGUSR1)
    with trio.fail_after(10):
        await done.wait()
    assert came == ["usr1"]
    assert loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) == before


async def test_callbacks_see_asyncio_and_everybody_else_sees_trio(loop: HostLoop) -> None:
    seen: list[Any] = []
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the caller's")

    def look() -> None:
        seen.extend((sniffio.current_async_library(), asyncio.get_running_loop() is loop, variable.get()))

    loop.call_soon(look)
    await loop.synchronize()
    assert seen == ["asyncio", True, "the caller's"]
    assert sniffio.current_async_library() == "trio"
    assert trio_asyncio._loop._orig_run_get() is None  # C's own variable: nobody's between two turns


async def test_callbacks_without_end_do_not_starve_trio(loop: HostLoop) -> None:
    turns, stop = 0, False

    def again() -> None:
        nonlocal turns
        turns += 1
        if not stop:
            loop.call_soon(again)

    loop.call_soon(again)
    with trio.fail_after(20):
        for _ in range(50):
            await trio.sleep(0.001)
    stop = True
    assert turns > 50  # nor does trio starve them


async def test_a_turn_ends_when_a_trio_task_has_got_what_it_waited_for(
    loop: HostLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the answers to fifty senders would be handed on all at once, and nothing sent meanwhile."""
    monkeypatch.setattr(tgworker.telegram.host.loop, "TURN_S", 60.0)  # nothing else ends it
    ran = 0

    def again() -> None:
        nonlocal ran
        ran += 1
        if ran < 1000:
            loop.call_soon(again)

    async def job_aio() -> None:
        loop.call_soon(again)

    class Steps(trio.abc.Instrument):
        def __init__(self) -> None:
            self.ran_before: list[int] = []

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.ran_before.append(ran)

    await wait_all_tasks_blocked()
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await loop.run_aio_coroutine(job_aio())
    trio.lowlevel.remove_instrument(steps)
    assert next(count for count in steps.ran_before if count) < 10


async def test_in_debug_mode_asyncio_watches(loop: HostLoop, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0

    def slow() -> None:
        trio.lowlevel.current_clock()

    handle = loop.call_soon(slow)
    assert "created at" in repr(handle)
    await loop.synchronize()
    assert "slow" in caplog.text
    assert "took" in caplog.text
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.call_soon(asyncio.sleep)
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.call_soon_threadsafe(asyncio.sleep)
    loop.set_debug(False)
    await loop.synchronize()


def test_a_host_in_guest_mode_keeps_its_own_running_loop() -> None:
    """Under trio's guest mode the thread has another loop: it is there again after each turn."""
    steps: list[Any] = []
    outcomes: list[Any] = []
    host = asyncio.SelectorEventLoop()

    async def main() -> None:
        async with open_hosted_loop() as loop:
            await loop.run_aio_coroutine(asyncio.sleep(0.001))
            assert trio_asyncio._loop._orig_run_get() is host

    ready = threading.Semaphore(0)

    def run_soon(step: Any) -> None:
        steps.append(step)
        ready.release()

    asyncio._set_running_loop(host)
    try:
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=run_soon,
            done_callback=outcomes.append,
            host_uses_signal_set_wakeup_fd=True,
        )
        while not outcomes:
            assert ready.acquire(timeout=10)
            steps.pop(0)()
    finally:
        asyncio._set_running_loop(None)
        host.close()
    outcomes[0].unwrap()
