"""Requests leave the sender's books when their callers do, and all at once when the line does."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import trio_asyncio

from tgworker.telegram.books import Answer, LineLost, NeverSent, fail_all
from tgworker.telegram.invoke import invoke_aio


class Books:
    """The part of a sender that requests stand in."""

    def __init__(self) -> None:
        self._send_queue = SimpleNamespace(_deque=deque[Any]())
        self._pending_state: dict[int, Any] = {}

    def send(self, request: Any) -> asyncio.Future[Any]:
        state = SimpleNamespace(
            future=Answer(self, loop=asyncio.get_running_loop()), msg_id=None, request=request
        )
        self._send_queue._deque.append(state)
        return state.future  # type: ignore[no-any-return] # SimpleNamespace

    def transmit(self) -> None:
        for number, state in enumerate(self._send_queue._deque, 1):
            state.msg_id = number
            self._pending_state[number] = state
        self._send_queue._deque.clear()

    @property
    def empty(self) -> bool:
        return not self._send_queue._deque and not self._pending_state


@pytest.mark.parametrize("transmitted", [False, True])
async def test_a_cancelled_request_is_forgotten_in_the_same_step(transmitted: bool) -> None:
    async def scene() -> None:
        books = Books()
        kept, cancelled = books.send("kept"), books.send("cancelled")
        if transmitted:
            books.transmit()
        cancelled.cancel()
        assert [s.request for s in [*books._send_queue._deque, *books._pending_state.values()]] == ["kept"]
        kept.cancel()
        assert books.empty

    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(scene)()


async def test_a_task_that_is_cancelled_takes_its_request_along() -> None:
    async def scene() -> None:
        books = Books()
        task = asyncio.ensure_future(invoke_aio(books, "request"))
        await asyncio.sleep(0)
        books.transmit()
        task.cancel()
        assert books.empty  # before the task has even noticed
        with pytest.raises(asyncio.CancelledError):
            await task

    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(scene)()


async def test_somebody_elses_cancellation_becomes_an_error_of_the_line() -> None:
    async def scene() -> None:
        books = Books()
        task = asyncio.ensure_future(invoke_aio(books, "request"))
        await asyncio.sleep(0)
        books._send_queue._deque[0].future.cancel()  # Telethon's disconnect() does this to whoever waits
        with pytest.raises(LineLost):
            await task

    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(scene)()


async def test_a_line_that_is_lost_tells_what_left_and_what_did_not() -> None:
    async def scene() -> None:
        books = Books()
        left = books.send("left")
        books.transmit()
        stayed = books.send("stayed")
        again = books.send("to be sent again with another salt")
        books._send_queue._deque[1].msg_id = 9
        fail_all(books, "the line broke")
        assert books.empty
        for future, error in ((left, LineLost), (stayed, NeverSent), (again, LineLost)):
            assert type(future.exception()) is error

    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(scene)()
