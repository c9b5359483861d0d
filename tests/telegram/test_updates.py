"""What arrives: in order, with the position after it, bounded, and nothing lost."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import SEND, World, open_world, receive_texts, receive_until
from tgworker.messaging.outcomes import Sent
from tgworker.sandbox import Fault
from tgworker.telegram import DifferenceDelayed, UpdatesOverflowed
from tgworker.telegram.line import ACKNOWLEDGED_AT

if TYPE_CHECKING:
    from tgworker.messaging.models import Position

GET_DIFFERENCE = "GetDifferenceRequest"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


async def test_what_comes_in_while_a_new_account_begins_is_not_skipped(
    autojump_clock: MockClock, world: World
) -> None:
    """Telethon asks for the state, then for the difference from there, and throws the difference away."""
    world.sandbox.faults.set(Fault("delay", method=GET_DIFFERENCE, seconds=2, count=1))
    async with trio.open_nursery() as nursery, world.open(0) as line:

        async def write() -> None:
            await trio.sleep(1)
            world.sandbox.send_text(world.id(1), world.id(0), "in between")

        nursery.start_soon(write)
        await line.connect(None, [])
        assert await receive_texts(line, 1) == ["in between"]


async def test_nothing_is_handed_over_before_the_account_is_known(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        stored = (await line.updates.receive()).position
    world.sandbox.send_text(world.id(1), world.id(0), "missed")
    world.sandbox.faults.set(Fault("delay", method="GetUsersRequest", seconds=2, count=1))
    async with trio.open_nursery() as nursery, world.open(0) as line:
        nursery.start_soon(line.connect, stored, [])
        assert await receive_texts(line, 1) == ["missed"]
        assert trio.current_time() == 2  # "self" has a number now, and ids that are told are learned


async def test_messages_come_in_order_with_their_peers_and_the_position_after_them(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        for number in range(100):
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
        batches = await receive_until(line, lambda messages: len(messages) >= 100)
        messages = [message for batch in batches for message in batch.messages]
        assert [message.text for message in messages] == [str(number) for number in range(100)]
        assert {(m.chat_id, m.sender_id, m.outgoing, m.message_type) for m in messages} == {
            (world.id(1), world.id(1), False, "text")
        }
        assert {peer.chat_id for batch in batches for peer in batch.peers} >= {world.id(1)}
        assert all(peer.access_hash is not None for batch in batches for peer in batch.peers)
        positions = [batch.position.pts for batch in batches if batch.position is not None]
        assert positions == sorted(positions)
        last = batches[-1].position
    async with world.open(0) as line:  # the last position is the one after the last message
        await line.connect(last, [])
        world.sandbox.send_text(world.id(1), world.id(0), "next")
        assert await receive_texts(line, 1) == ["next"]


async def test_an_own_message_from_another_device_is_outgoing(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.send_text(world.id(0), world.id(1), "from the phone")
        (batch,) = await receive_until(line, lambda messages: len(messages) == 1)
        (message,) = batch.messages
        assert (message.text, message.outgoing, message.chat_id) == ("from the phone", True, world.id(1))
        assert message.sender_id == world.id(0)


async def test_what_the_line_sent_itself_moves_the_position_and_is_no_message(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        start = (await line.updates.receive()).position
        assert start is not None
        peer = await world.peer(line, 1)
        for number in range(5):
            assert isinstance(await line.send_text(peer, str(number), random_id=number + 1), Sent)
        batch = await line.updates.receive()
        assert batch.messages == ()
        assert batch.position is not None
        assert batch.position.pts == start.pts + 5
        assert trio.current_time() == 1.0  # one position for five sends


async def test_what_was_received_but_not_stored_comes_again(autojump_clock: MockClock, world: World) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        stored = (await line.updates.receive()).position
        world.sandbox.send_text(world.id(1), world.id(0), "seen, not stored")
        await receive_texts(line, 1)
        world.sandbox.send_text(world.id(1), world.id(0), "never received")
        await trio.testing.wait_all_tasks_blocked()
    async with world.open(0) as line:
        await line.connect(stored, [])
        assert await receive_texts(line, 2) == ["seen, not stored", "never received"]


async def test_a_position_moves_only_with_what_is_handed_over(
    autojump_clock: MockClock, world: World
) -> None:
    seen: list[str] = []
    position: Position | None = None
    async with world.open(0) as line:
        await line.connect(None, [])
        position = (await line.updates.receive()).position
    for incarnation in range(10):  # each stores one batch and is gone
        world.sandbox.send_text(world.id(1), world.id(0), f"{incarnation} a")
        async with world.open(0) as line:
            await line.connect(position, [])
            world.sandbox.send_text(world.id(1), world.id(0), f"{incarnation} b")
            batch = await line.updates.receive()
            seen += [message.text for message in batch.messages]
            position = batch.position
    async with world.open(0) as line:
        await line.connect(position, [])
        with trio.move_on_after(5):
            while True:
                seen += [message.text for message in (await line.updates.receive()).messages]
    assert sorted(seen) == sorted(f"{n} {x}" for n in range(10) for x in "ab")


async def test_a_difference_in_slices_moves_the_position_slice_by_slice(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        stored = (await line.updates.receive()).position
    for number in range(20):
        world.sandbox.send_text(world.id(1), world.id(0), str(number))
    world.sandbox.behave(difference_limit=3)
    seen: list[str] = []
    lines = 0
    while len(seen) < 20:  # each line stores one batch and is gone
        async with world.open(0) as line:
            await line.connect(stored, [])
            batch = await line.updates.receive()
            seen += [message.text for message in batch.messages]
            stored = batch.position
            lines += 1
    assert seen == [str(number) for number in range(20)]
    assert lines > 1


@pytest.mark.slow
async def test_a_store_that_does_not_take_them_holds_neither_pings_nor_sends(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        for number in range(3000):
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
            if number % 100 == 0:
                await line.ping()
        assert isinstance(await line.send_text(peer, "through", random_id=1), Sent)
        assert trio.current_time() == 0
        assert any(isinstance(event, UpdatesOverflowed) for event in world.events)
        texts = await receive_texts(line, 3000)
        assert [text for text in texts if text != "through"] == [str(number) for number in range(3000)]


async def test_a_line_may_be_left_while_nobody_takes_its_updates(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0):
        for number in range(2000):
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (Fault("flood_wait", method=GET_DIFFERENCE, seconds=40, count=1), [40]),
        (Fault("rpc_error", method=GET_DIFFERENCE, code=500, message="INTERNAL", count=3), [1, 2, 4]),
    ],
    ids=["flood", "trouble"],
)
async def test_a_difference_that_telegram_will_not_give_now_is_asked_for_again(
    autojump_clock: MockClock, world: World, fault: Fault, waits: list[float]
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        stored = (await line.updates.receive()).position
    world.sandbox.send_text(world.id(1), world.id(0), "missed")
    world.sandbox.faults.set(fault)
    async with world.open(0) as line:
        await line.connect(stored, [])
        assert trio.current_time() == 0
        assert await receive_texts(line, 1) == ["missed"]
        assert trio.current_time() == sum(waits)
    assert [event.retry_after_s for event in world.events if isinstance(event, DifferenceDelayed)] == waits


async def test_a_lost_answer_leaves_a_gap_that_is_filled(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_mute", method=SEND, count=1))
        with trio.move_on_after(1):
            await line.send_text(peer, "mine", random_id=7)
        world.sandbox.send_text(world.id(1), world.id(0), "theirs")
        batches = await receive_until(line, lambda messages: len(messages) >= 2)
        assert [m.text for batch in batches for m in batch.messages] == ["mine", "theirs"]
        assert [random_id for batch in batches for random_id, _ in batch.sent_ids] == [7]


async def test_a_line_that_only_listens_acknowledges_what_it_gets(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        assert line._client is not None
        sender = line._client._sender
        before = {each for state in sender._last_acks for each in state.request.msg_ids} | sender._pending_ack
        most = 0
        for number in range(500):
            world.sandbox.send_text(world.id(1), world.id(0), f"text {number}")
            await trio.testing.wait_all_tasks_blocked()
            most = max(most, len(sender._pending_ack))
        await receive_texts(line, 500)
        assert most < ACKNOWLEDGED_AT
        sent = {each for state in sender._last_acks for each in state.request.msg_ids}
        assert len((sent | sender._pending_ack) - before) >= 500
        assert not sender._send_queue._deque
