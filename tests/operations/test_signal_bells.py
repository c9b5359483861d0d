"""Signals that ask for something: each is heard, whenever it comes, and none ends the process."""

import os
import signal
from collections.abc import Generator

import pytest
import trio
import trio.testing

from tgworker.operations.signals import Bell, signal_bells


@pytest.fixture
def bell() -> Generator[Bell]:
    with signal_bells(signal.SIGUSR1, signal.SIGHUP) as bells:
        yield bells[signal.SIGUSR1]


def send(number: signal.Signals = signal.SIGUSR1) -> None:
    os.kill(os.getpid(), number)


async def test_a_signal_before_the_wait_is_heard_once(
    bell: Bell, autojump_clock: trio.testing.MockClock
) -> None:
    send()
    send()
    await bell.wait()
    with trio.move_on_after(1) as second:
        await bell.wait()
    assert second.cancelled_caught


async def test_each_signal_during_the_wait_is_heard(
    bell: Bell, autojump_clock: trio.testing.MockClock
) -> None:
    heard: list[float] = []

    async def listen() -> None:
        while True:
            await bell.wait()
            heard.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        for at_s in (1, 2, 3):
            await trio.sleep_until(at_s)
            send()
            send()
        await trio.sleep(1)
        nursery.cancel_scope.cancel(reason="the test is over")
    assert heard == [1, 2, 3]


async def test_another_signal_rings_another_bell(bell: Bell, autojump_clock: trio.testing.MockClock) -> None:
    send(signal.SIGHUP)
    with trio.move_on_after(1) as waiting:
        await bell.wait()
    assert waiting.cancelled_caught


def test_a_signal_after_the_loop_does_no_harm(bell: Bell) -> None:
    async def hear() -> None:
        send()
        await bell.wait()

    trio.run(hear)
    send()


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with signal_bells(signal.SIGUSR1):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
