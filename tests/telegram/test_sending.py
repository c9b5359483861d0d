"""One attempt to send: what is known afterwards, and that no message is ever sent behind anybody's back."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import SEND, World, open_world, receive_texts, receive_until
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Released, Sent, Unknown
from tgworker.sandbox import Fault


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        world.sandbox.behave(repeats="error")  # a repeated random_id gets RANDOM_ID_DUPLICATE
        yield world


@pytest.mark.parametrize("answers", ["short", "full"])
async def test_a_text_arrives_once_and_its_id_is_known(
    autojump_clock: MockClock, world: World, answers: str
) -> None:
    world.sandbox.behave(answers=answers)
    async with world.online(0) as line, world.online(1) as other:
        sent = await line.send_text(await world.peer(line, 1), "hi \N{WAVING HAND SIGN}", random_id=-(2**62))
        assert isinstance(sent, Sent)
        assert sent.sent_at is not None
        assert [m.id for m in world.sandbox.chat(world.id(0), world.id(1))] == [sent.telegram_id]
        assert await receive_texts(other, 1) == ["hi \N{WAVING HAND SIGN}"]
    assert trio.current_time() == 0


async def test_many_at_once_all_arrive(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        outcomes: list[object] = []

        async def send(number: int) -> None:
            outcomes.append(await line.send_text(peer, str(number), random_id=number))

        async with trio.open_nursery() as nursery:
            for number in range(1, 51):
                nursery.start_soon(send, number)
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert sorted(world.texts(1, 0), key=int) == [str(number) for number in range(1, 51)]


# ------------------------------------------------ refusals and waits


async def test_a_flood_wait_is_handed_on_at_once_and_not_remembered(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("flood_wait", method=SEND, seconds=33, count=1))
        assert await line.send_text(peer, "hi", random_id=1) == Deferred(33, "FLOOD_WAIT_33", HoldsUp.METHOD)
        assert isinstance(await line.send_text(peer, "hi", random_id=1), Sent)
    assert trio.current_time() == 0
    assert world.texts(1, 0) == ["hi"]


async def test_a_final_no_is_final(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(
            Fault("rpc_error", method=SEND, code=403, message="CHAT_WRITE_FORBIDDEN", count=1)
        )
        assert await line.send_text(peer, "hi", random_id=1) == Refused("CHAT_WRITE_FORBIDDEN")
        stranger = Peer(-1_000_000_000_123, PeerKind.CHANNEL)
        assert isinstance(await line.send_text(stranger, "hi", random_id=2), Refused)


async def test_trouble_inside_telegram_is_not_retried_privately(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("rpc_error", method=SEND, code=500, message="INTERNAL", count=1))
        assert await line.send_text(peer, "hi", random_id=1) == Unknown("INTERNAL")
        world.sandbox.faults.set(Fault("rpc_error", method=SEND, code=-503, message="Timeout", count=1))
        assert await line.send_text(peer, "hi", random_id=1) == Unknown("TIMEOUT")
    assert trio.current_time() == 0
    assert world.texts(1, 0) == []


async def test_a_text_that_no_packet_can_hold_is_refused(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert await line.send_text(peer, "x" * 1_100_000, random_id=1) == Refused("MESSAGE_TOO_LONG")
        assert isinstance(await line.send_text(peer, "x", random_id=2), Sent)


# ------------------------------------------------ answers that are lost


@pytest.mark.parametrize("repeats", ["error", "original"])
async def test_a_repeat_is_a_success_with_the_same_id_and_no_delay(
    autojump_clock: MockClock, world: World, repeats: str
) -> None:
    world.sandbox.behave(repeats=repeats)
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        sent = await line.send_text(peer, "hi", random_id=7)
        asked = world.sandbox.statistics().requests["updates.getDifference"]
        again = await line.send_text(peer, "hi", random_id=7)
        assert world.sandbox.statistics().requests["updates.getDifference"] == asked  # the id was known
        assert isinstance(sent, Sent)
        assert isinstance(again, Sent)
        assert again.telegram_id == sent.telegram_id
    assert (
        trio.current_time() == 0
    )  # Telethon by itself sleeps for 12 s over a RANDOM_ID_DUPLICATE, and fails
    assert world.texts(1, 0) == ["hi"]


@pytest.mark.parametrize("difference_limit", [1000, 1])
async def test_an_answer_that_never_comes_is_cut_off_and_the_id_is_read_back(
    autojump_clock: MockClock, world: World, difference_limit: int
) -> None:
    world.sandbox.behave(difference_limit=difference_limit)
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_mute", method=SEND, count=1))
        with trio.move_on_after(30) as deadline:
            await line.send_text(peer, "hi", random_id=7)
        assert deadline.cancelled_caught
        assert trio.current_time() == 30
        again = await line.send_text(peer, "hi", random_id=7)
        assert isinstance(again, Sent)
        assert [again.telegram_id] == [m.id for m in world.sandbox.chat(world.id(0), world.id(1))]
        assert trio.current_time() == 30
    assert world.texts(1, 0) == ["hi"]


async def test_a_line_that_breaks_after_acceptance_leaves_one_message(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_drop", method=SEND, count=1))
        assert isinstance(await line.send_text(peer, "hi", random_id=7), Unknown)
        assert await line.wait_lost()
    async with world.online(0) as line:
        assert isinstance(await line.send_text(peer, "hi", random_id=7), Sent)
    assert world.texts(1, 0) == ["hi"]


async def test_the_update_log_tells_the_id_of_a_message_sent_by_an_earlier_line(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        start = (await line.updates.receive()).position
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_drop", method=SEND, count=1))
        await line.send_text(peer, "hi", random_id=7)
    (original,) = world.sandbox.chat(world.id(0), world.id(1))
    async with world.open(0) as line:
        await line.connect(start, [])
        batches = await receive_until(line, lambda messages: len(messages) >= 1)
        assert [pair for batch in batches for pair in batch.sent_ids] == [(7, original.id)]
        assert [(m.text, m.outgoing) for batch in batches for m in batch.messages] == [("hi", True)]
        asked = world.sandbox.statistics().requests["updates.getDifference"]
        again = await line.send_text(peer, "hi", random_id=7)
        assert isinstance(again, Sent)
        assert again.telegram_id == original.id
        assert world.sandbox.statistics().requests["updates.getDifference"] == asked  # the log has told it


async def test_a_duplicate_whose_id_nobody_tells_is_still_sent(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_drop", method=SEND, count=1))
        await line.send_text(peer, "hi", random_id=7)
    async with world.online(0) as line:  # starts after the message: no log of its own tells of it
        world.sandbox.faults.set(Fault("rpc_error", method=SEND, code=500, message="RANDOM_ID_DUPLICATE"))
        assert await line.send_text(peer, "hi", random_id=7) == Sent(None)
    assert world.texts(1, 0) == ["hi"]


async def test_an_error_while_reading_the_id_back_does_not_unsend(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("rpc_error", method=SEND, code=500, message="RANDOM_ID_DUPLICATE"))
        world.sandbox.faults.set(Fault("flood_wait", method="GetDifferenceRequest", seconds=9))
        assert await line.send_text(peer, "hi", random_id=7) == Sent(None)
    assert trio.current_time() == 0


@pytest.mark.parametrize("repeats", ["error", "original"])
async def test_a_repeat_of_an_attempt_long_ago_is_found_from_where_the_line_began(
    autojump_clock: MockClock, world: World, repeats: str
) -> None:
    world.sandbox.behave(repeats=repeats)
    async with world.open(0) as line:
        await line.connect(None, [])
        start = (await line.updates.receive()).position
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("accept_drop", method=SEND, count=1))
        await line.send_text(peer, "hi", random_id=7)
    (original,) = world.sandbox.chat(world.id(0), world.id(1))
    async with world.open(0) as line:
        await line.connect(start, [])
        again = await line.send_text(peer, "hi", random_id=7)  # before any update was received
        assert isinstance(again, Sent)
        assert again.telegram_id == original.id


# ------------------------------------------------ another salt


async def test_a_new_salt_delays_nothing_and_doubles_nothing(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        for number in range(1, 11):
            world.sandbox.turn_salt()
            assert isinstance(await line.send_text(peer, str(number), random_id=number), Sent)
    assert trio.current_time() == 0
    assert world.texts(1, 0) == [str(number) for number in range(1, 11)]


# ------------------------------------------------ no ghosts


@pytest.mark.parametrize("method", ["raw", SEND])
async def test_a_send_into_a_hole_is_cut_at_its_second_and_never_delivered_later(
    autojump_clock: MockClock, world: World, method: str
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        hole = world.sandbox.faults.set(Fault("blackhole", method=method))
        with trio.move_on_after(30) as deadline:
            await line.send_text(peer, "ghost", random_id=1)
        assert deadline.cancelled_caught
        assert trio.current_time() == 30
        world.sandbox.faults.clear(hole)
        assert isinstance(await line.send_text(peer, "real", random_id=2), Sent)
        await trio.sleep(600)
    assert world.texts(1, 0) == ["real"]


async def test_a_cancelled_send_is_not_repeated_when_the_line_breaks(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("blackhole", method=SEND, count=1))
        with trio.move_on_after(1):
            await line.send_text(peer, "ghost", random_id=1)
        world.sandbox.faults.set(Fault("drop", method="raw", count=1))
        with pytest.raises(TelegramAway):
            await line.ping()
        await trio.sleep(600)
    assert world.texts(1, 0) == []


async def test_a_send_under_a_breaking_line_is_unknown(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("drop", method=SEND))
        assert isinstance(await line.send_text(peer, "hi", random_id=1), Unknown)
        assert await line.wait_lost()
        assert isinstance(await line.send_text(peer, "hi", random_id=1), Released)
    assert isinstance(await line.send_text(peer, "hi", random_id=1), Unknown | Released)
    assert world.texts(1, 0) == []


async def test_leaving_the_line_answers_who_is_still_sending(autojump_clock: MockClock, world: World) -> None:
    outcomes: list[object] = []
    async with trio.open_nursery() as nursery, world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(Fault("blackhole", method=SEND))

        async def send() -> None:
            outcomes.append(await line.send_text(peer, "hi", random_id=1))

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
    (outcome,) = outcomes
    assert isinstance(outcome, Unknown)
    assert trio.current_time() == 0
