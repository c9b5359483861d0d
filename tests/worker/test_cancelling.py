"""Cancelling and expiry through the whole worker, with the real client: what has not left is not sent."""

from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from tgworker.messaging.pacing import PUBLISHED
from tgworker.messaging.records import CancelAnswer, OutboxState
from tgworker.sandbox import Fault
from worker.test_long_texts import settled, written
from worker.worker_world import World, open_world

SEND = "SendMessageRequest"


async def flooded(world: World, seconds: float) -> None:
    """Let Telegram put the whole account off."""
    world.sandbox.faults.set(Fault("flood_wait", method=SEND, seconds=seconds, count=1))
    await world.give("flooded", to=str(world.stranger.id))
    await trio.sleep(2)


async def test_what_waits_for_a_flood_to_end_is_cancelled_and_the_next_one_goes_out(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        await flooded(world, 60)
        first, second = await world.give("first"), await world.give("second")
        await trio.sleep(5)
        assert (await world.store.cancel([first]))[first] in (CancelAnswer.CANCELLED, CancelAnswer.ASKED)
        assert await settled(world, second) is OutboxState.SENT
        assert await world.state_of(first) is OutboxState.CANCELLED
        assert world.arrived() == ["before", "second"]


async def test_what_is_in_a_senders_hands_is_cancelled_before_it_leaves(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """A burst to one chat: after the first ones the others are claimed, and wait for the chat's turn."""
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await settled(world, await world.give("before"))
        messages = [await world.give(f"message {number:02}") for number in range(40)]
        with trio.fail_after(600):
            while True:
                states = await world.store.outcomes(messages)
                held = [one for one in messages if states[one].state is OutboxState.SENDING]
                if held and world.worker.dispatch.statistics().parked:
                    break
                await trio.sleep(0.05)
        (answer,) = (await world.store.cancel(held)).values()
        assert answer is CancelAnswer.ASKED
        await trio.sleep(6)
        assert await world.state_of(held[0]) is OutboxState.CANCELLED
        for message in messages:
            await settled(world, message)
        expected = [f"message {number:02}" for number in range(40)]
        expected.remove(f"message {messages.index(held[0]):02}")
        assert world.arrived() == ["before", *expected]


async def test_what_telegram_has_is_too_late(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        world.sandbox.faults.set(Fault("accept_mute", method=SEND, count=1))
        message = await world.give("heard by nobody")
        await trio.sleep(1)
        assert await world.store.cancel([message]) == {message: CancelAnswer.ASKED}
        assert await settled(world, message) is OutboxState.SENT
        assert (await world.store.outcomes([message]))[message].cancel_asked_at is not None
        assert world.arrived() == ["before", "heard by nobody"]


async def test_what_expires_while_the_account_waits_is_not_sent_and_the_application_sees_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        await flooded(world, 60)
        until = world.store._now() + timedelta(seconds=30)  # the calendar runs with the clock
        message = written(world, "in time", expires_at=until.isoformat())
        after = await world.give("after")
        assert await settled(world, after) is OutboxState.SENT
        assert await world.state_of(message) is OutboxState.EXPIRED
        assert world.arrived() == ["before", "after"]
