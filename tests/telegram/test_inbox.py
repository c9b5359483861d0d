"""Batches between the account's asyncio loop and the store: in order, bounded, merged."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
import trio_asyncio

from tgworker.messaging.changes import Deleted
from tgworker.messaging.inbound import merged
from tgworker.messaging.models import ChatMessage, Peer, PeerKind, Position
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.inbox import POSITION_QUIET_S, Inbox

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

Put = Callable[[UpdateBatch], Coroutine[Any, Any, None]]


def position(pts: int) -> Position:
    return Position(pts, 0, 0, 0)


def batch(*ids: int, pts: int, peers: tuple[Peer, ...] = ()) -> UpdateBatch:
    messages = tuple(ChatMessage(5, number, 5, False, str(number), "text", NOON) for number in ids)
    return UpdateBatch(messages, peers, tuple((number, number) for number in ids), position(pts))


@asynccontextmanager
async def running(capacity: int = 3) -> AsyncGenerator[tuple[Inbox, Put]]:
    async with trio_asyncio.open_loop(), trio.open_nursery() as nursery:
        inbox = Inbox(capacity)
        nursery.start_soon(inbox.run)
        yield inbox, trio_asyncio.aio_as_trio(inbox.put_aio)
        nursery.cancel_scope.cancel()


async def test_batches_come_out_in_order_and_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (inbox, put):
        await put(batch(1, pts=1))
        assert await inbox.updates.receive() == batch(1, pts=1)
        await put(batch(2, pts=2))
        assert await inbox.updates.receive() == batch(2, pts=2)
        assert trio.current_time() == 0


async def test_what_waits_is_merged_with_the_position_after_the_last(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bob, bobby = Peer(5, PeerKind.USER, 1, "Bob"), Peer(5, PeerKind.USER, 1, "Bobby")
    async with running(capacity=10) as (inbox, put):
        await put(batch(1, pts=1))
        await trio.testing.wait_all_tasks_blocked()  # the first one is on its way out
        await put(batch(2, pts=2, peers=(bob,)))
        await put(batch(3, 4, pts=4, peers=(bobby,)))
        assert await inbox.updates.receive() == batch(1, pts=1)
        assert await inbox.updates.receive() == batch(2, 3, 4, pts=4, peers=(bobby,))


def test_one_batch_is_itself() -> None:
    assert merged(batch(1, pts=1)) == batch(1, pts=1)


async def test_a_full_inbox_makes_the_client_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with running(capacity=3) as (inbox, put):
        done: list[int] = []

        async def client() -> None:
            for number in range(1, 21):
                await put(batch(number, pts=number))
                done.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            await trio.sleep(100)
            assert done == [1, 2, 3, 4]  # one on its way out, three waiting
            received: list[UpdateBatch] = []
            while len(received) < 20 and (not received or received[-1].position != position(20)):
                received.append(await inbox.updates.receive())
        assert [message.telegram_id for b in received for message in b.messages] == list(range(1, 21))
        assert all(len(b.messages) <= 3 for b in received)


async def test_a_waiting_client_can_be_cancelled_and_its_batch_is_not_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(capacity=1) as (inbox, put):
        await put(batch(1, pts=1))
        await trio.testing.wait_all_tasks_blocked()
        await put(batch(2, pts=2))
        with trio.move_on_after(5) as waiting:
            await put(batch(3, pts=3))
        assert waiting.cancelled_caught
        assert trio.current_time() == 5
        assert await inbox.updates.receive() == batch(1, pts=1)
        assert await inbox.updates.receive() == batch(2, pts=2)
        with pytest.raises(trio.WouldBlock):
            inbox.updates.receive_nowait()


async def test_the_first_position_comes_at_once_and_later_ones_wait_for_company(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as (inbox, put):
        await put(batch(pts=1))
        assert await inbox.updates.receive() == batch(pts=1)
        assert trio.current_time() == 0
        await put(batch(pts=2))
        await trio.sleep(POSITION_QUIET_S / 2)
        await put(batch(pts=3))
        assert await inbox.updates.receive() == batch(pts=3)
        assert trio.current_time() == POSITION_QUIET_S
        await put(batch(pts=4))
        await put(batch(5, pts=5))
        assert await inbox.updates.receive() == batch(5, pts=5)
        assert trio.current_time() == POSITION_QUIET_S


async def test_a_batch_that_says_nothing_new_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (inbox, put):
        await put(batch(1, pts=1))
        await put(batch(pts=1))
        assert await inbox.updates.receive() == batch(1, pts=1)
        with trio.move_on_after(100) as silence:
            await inbox.updates.receive()
        assert silence.cancelled_caught


async def test_positions_alone_never_fill_the_inbox(autojump_clock: trio.testing.MockClock) -> None:
    async with running(capacity=3) as (inbox, put):
        await put(batch(1, pts=1))
        for pts in range(2, 1000):
            await put(batch(pts=pts))
        assert await inbox.updates.receive() == batch(1, pts=1)
        assert (await inbox.updates.receive()).position == position(999)


async def test_updates_end_when_the_inbox_stops(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (inbox, put):
        await put(batch(1, pts=1))
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.EndOfChannel):
        await inbox.updates.receive()


async def test_changes_are_handed_on_at_once_and_weigh(autojump_clock: trio.testing.MockClock) -> None:
    gone = UpdateBatch((), (), (), position(2), changes=(Deleted(None, (1, 2)),))
    async with running(capacity=3) as (inbox, put):
        await put(batch(1, pts=1))
        assert await inbox.updates.receive() == batch(1, pts=1)
        await put(gone)
        assert await inbox.updates.receive() == gone
        assert trio.current_time() == 0
        await put(batch(3, pts=3))
        await trio.testing.wait_all_tasks_blocked()  # the first one is on its way out
        await put(gone)
        assert inbox.size == 2
        await put(gone)
        assert inbox.is_full
        received = [await inbox.updates.receive() for _ in range(3)]
        assert [len(each.changes) for each in received] == [0, 1, 1]  # two and two are more than it holds


def test_it_needs_no_loop_to_be_made() -> None:
    async def made() -> None:
        Inbox()

    asyncio.run(made())
