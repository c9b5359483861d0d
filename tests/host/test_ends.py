"""How a hosted loop ends: errors, cancellation, and what is still to be done when it is left."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from tgworker.telegram.host import HostLoop, open_hosted_loop


@pytest.fixture
async def loop() -> AsyncGenerator[HostLoop]:
    async with open_hosted_loop() as loop:
        yield loop


def fail(error: BaseException) -> None:
    raise error


async def test_an_error_in_a_callback_reaches_the_handler_and_the_others_run(loop: HostLoop) -> None:
    told: list[Any] = []
    ran: list[int] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    error = ValueError("mine")
    loop.call_soon(fail, error)
    loop.call_soon(ran.append, 1)
    loop.call_later(0, fail, error)
    await trio.sleep(0.01)
    await loop.synchronize()
    assert ran == [1]
    assert told == [error, error]


async def test_without_a_handler_an_error_ends_the_loop_as_trio_asyncio_promises() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="mine"), flatten_subgroups=True):
        async with open_hosted_loop() as loop:
            loop.call_soon(fail, ValueError("mine"))
            await trio.sleep(10)


@pytest.mark.parametrize("by", ["trio task", "timer", "file"])
async def test_an_exit_in_a_callback_ends_the_loop_whoever_turned_it(by: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.RaisesGroup(SystemExit, flatten_subgroups=True), trio.fail_after(10):
        async with open_hosted_loop() as loop:
            match by:
                case "trio task":
                    loop.call_soon(fail, SystemExit(3))
                case "timer":
                    loop.call_later(0.001, fail, SystemExit(3))
                case _:
                    loop.add_reader(ours, fail, SystemExit(3))
                    await wait_all_tasks_blocked()
                    theirs.sendall(b"x")
            await trio.sleep_forever()


async def test_cancellation_goes_through_asyncio_and_comes_back_as_trios(loop: HostLoop) -> None:
    steps: list[str] = []

    async def job_aio() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            steps.append("told")
            await asyncio.sleep(0.001)  # it may still tidy up
            steps.append("tidied")
            raise

    with trio.move_on_after(0.01) as scope:
        await loop.run_aio_coroutine(job_aio())
    assert scope.cancelled_caught
    assert steps == ["told", "tidied"]


async def test_a_coroutine_that_answers_a_cancellation_with_a_result_is_heard(loop: HostLoop) -> None:
    async def job_aio() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "done anyway"
        return "never"

    with trio.move_on_after(0.01):
        assert await loop.run_aio_coroutine(job_aio()) == "done anyway"


async def test_asyncios_own_cancellation_is_no_trio_cancellation(loop: HostLoop) -> None:
    async def job_aio() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(3600)

    with pytest.raises(asyncio.CancelledError):
        await loop.run_aio_coroutine(job_aio())


async def test_a_coroutine_for_a_closed_loop_is_refused_and_not_left_unawaited() -> None:
    async with open_hosted_loop() as loop:
        pass
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        await loop.run_aio_coroutine(asyncio.sleep(0))


async def test_leaving_cancels_the_tasks_and_waits_for_them() -> None:
    steps: list[str] = []

    async def job_aio() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            steps.append("tidied")

    async with open_hosted_loop() as loop:
        task = loop.create_task(job_aio())
        await wait_all_tasks_blocked()
    assert task.cancelled()
    assert steps == ["tidied"]
    assert loop.is_closed()
    assert not loop.is_running()


async def test_a_cancelled_host_is_left_with_its_tasks_told() -> None:
    tasks: list[Any] = []
    with trio.move_on_after(0.01) as scope:
        async with open_hosted_loop() as loop:
            tasks.append(loop.create_task(asyncio.sleep(3600)))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert tasks[0].cancelled()


async def test_async_generators_are_finished_with_the_loop() -> None:
    steps: list[str] = []

    async def numbers_aio() -> AsyncGenerator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            steps.append("finished")

    generator = numbers_aio()

    async def first_aio() -> int:
        return await anext(generator)

    async with open_hosted_loop() as loop:
        assert await loop.run_aio_coroutine(first_aio()) == 1
    assert steps == ["finished"]


async def test_trio_tasks_can_be_started_from_asyncio_and_fail_into_their_future(loop: HostLoop) -> None:
    async def in_trio(number: int) -> int:
        await trio.lowlevel.checkpoint()
        if number < 0:
            raise ValueError("negative")
        return number + 1

    async def job_aio() -> int:
        with pytest.raises(ValueError, match="negative"):
            await loop.trio_as_future(in_trio, -1)
        return int(await loop.trio_as_future(in_trio, 41))

    assert await loop.run_aio_coroutine(job_aio()) == 42


async def test_a_trio_task_that_comes_too_late_fails_into_its_future() -> None:
    """trio-asyncio's own loop breaks down over it."""
    found: list[Any] = []

    async def generator_aio() -> AsyncGenerator[None]:
        try:
            yield
        finally:  # runs after the trio tasks of the loop have ended
            try:
                await host.trio_as_future(trio.sleep, 0)
            except RuntimeError as error:
                found.append(str(error))

    generator = generator_aio()

    async def first_aio() -> None:
        await anext(generator)

    async with open_hosted_loop() as host:
        await host.run_aio_coroutine(first_aio())
    assert found == ["Nursery is closed to new arrivals"]


async def test_callbacks_that_ask_for_others_for_ever_do_not_keep_a_loop_from_being_left() -> None:
    turns = 0

    def again() -> None:
        nonlocal turns
        turns += 1
        host.call_soon(again)

    with trio.fail_after(30):
        async with open_hosted_loop() as host:
            host.call_soon(again)
    assert turns > 0
    assert host.is_closed()


async def test_a_stopped_loop_can_be_closed_at_once(loop: HostLoop) -> None:
    await loop.stop().wait()
    assert not loop.is_running()
    loop.close()
    assert loop.is_closed()


async def test_hosts_side_by_side_and_inside_each_other_keep_apart() -> None:
    async def loop_aio() -> object:
        await asyncio.sleep(0.001)
        return asyncio.get_running_loop()

    async with open_hosted_loop() as outer:

        async def one() -> None:
            async with open_hosted_loop() as inner:
                assert await inner.run_aio_coroutine(loop_aio()) is inner
                assert await outer.run_aio_coroutine(loop_aio()) is outer

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
        assert await outer.run_aio_coroutine(loop_aio()) is outer
