"""Messages in doubt, through a whole worker: one copy, whatever is lost, and nothing is repeated too late."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import trio
from trio.testing import MockClock

from embedded.embedded_kit import SqliteApplication
from tgworker.embedded import DataFolder
from tgworker.messaging.events import SendFinished
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import Fault
from worker.worker_world import World, open_world

pytestmark = pytest.mark.slow

MINUTE_S = 60
LIMITS = Limits(outbound_every_s=1, hearing_first_s=24 * 3600)
OPEN = (OutboxState.WAITING, OutboxState.SENDING, OutboxState.DEFERRED)


def forget_the_log(world: World) -> None:
    """Telegram no longer tells what happened meanwhile."""
    world.sandbox.behave(difference_remembers=1)
    for number in range(3):
        world.sandbox.send_text(world.stranger.id, world.me.id, f"meanwhile {number}")


async def outcome(world: World, message: MessageId, within_s: float = 600) -> OutboxState:
    with trio.fail_after(within_s):
        while (state := await world.state_of(message)) in OPEN:
            await trio.sleep(1)
    return state


def external_id(world: World, message: MessageId) -> str:
    app = SqliteApplication(DataFolder(world.folder).database)
    row = app.row("messages", message)
    app.close()
    assert row is not None
    return str(row["external_message_id"])


async def lose(
    world: World,
    action: Literal["accept_drop", "drop"],
    minutes: float,
    *,
    forget: bool,
    meanwhile: Callable[[], object] = lambda: None,
) -> MessageId:
    """A message whose answer is lost with the line, or that is lost itself; then nobody gets through."""
    await outcome(world, await world.give("before"))
    await trio.sleep(30)
    hole = world.sandbox.faults.set(Fault("drop", method="connect"))
    world.sandbox.faults.set(Fault(action, method="SendMessageRequest", count=1))
    message = await world.give("hi")
    while not [one for _, one in world.seen(SendFinished) if one.outcome == "unknown"]:
        await trio.sleep(0.1)
    meanwhile()
    await trio.sleep(minutes * MINUTE_S)
    if forget:
        forget_the_log(world)
    world.sandbox.faults.clear(hole)
    return message


async def test_within_the_window_it_is_repeated_and_is_one_message(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        message = await lose(world, "accept_drop", 10, forget=True)
        assert await outcome(world, message) is OutboxState.SENT
        assert world.arrived() == ["before", "hi"]


async def test_beyond_it_the_update_log_still_tells(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        world.sandbox.behave(random_id_window_s=20 * MINUTE_S)
        message = await lose(world, "accept_drop", 40, forget=False)
        assert await outcome(world, message) is OutboxState.SENT
        assert world.arrived() == ["before", "hi"]


async def test_else_it_is_found_in_the_history_and_not_repeated(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        world.sandbox.behave(random_id_window_s=20 * MINUTE_S)
        message = await lose(world, "accept_drop", 40, forget=True)
        assert await outcome(world, message) is OutboxState.SENT
        (mine,) = [line for line in world.sandbox.chat(world.me.id, world.peer.id) if line.text == "hi"]
        assert external_id(world, message) == str(mine.id)
        await outcome(world, await world.give("next"))
        assert world.arrived() == ["before", "hi", "next"]


async def test_whoever_repeats_it_then_sends_it_twice(autojump_clock: MockClock, tmp_path: Path) -> None:
    """What the window is for: the same with one that is wider than Telegram's memory."""
    limits = Limits(outbound_every_s=1, hearing_first_s=24 * 3600, repeat_window_s=24 * 3600)
    async with open_world(tmp_path, limits=limits) as world:
        world.sandbox.behave(random_id_window_s=20 * MINUTE_S)
        message = await lose(world, "accept_drop", 40, forget=True)
        assert await outcome(world, message) is OutboxState.SENT
        assert world.arrived() == ["before", "hi", "hi"]


async def test_what_never_arrived_is_left_to_a_person_and_the_chat_goes_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        message = await lose(world, "drop", 40, forget=True)
        after = await world.give("next")
        assert await outcome(world, message) is OutboxState.UNSURE
        assert external_id(world, message).startswith("error-")
        assert await outcome(world, after) is OutboxState.SENT
        assert world.arrived() == ["before", "next"]
        (row,) = await world.store.list_outbox([OutboxState.UNSURE])
        assert row.error is not None
        assert row.error.endswith("and the chat's history does not show it")


async def test_the_same_words_from_the_phone_leave_it_to_a_person(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        world.sandbox.behave(random_id_window_s=20 * MINUTE_S)
        message = await lose(
            world,
            "accept_drop",
            40,
            forget=True,
            meanwhile=lambda: world.sandbox.send_text(world.me.id, world.peer.id, "hi"),
        )
        assert await outcome(world, message) is OutboxState.UNSURE
        assert world.arrived() == ["before", "hi", "hi"]


async def test_an_id_that_nobody_told_is_found_behind_the_sends(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=LIMITS) as world:
        world.sandbox.behave(repeats="error")
        message = await lose(world, "accept_drop", 10, forget=True)
        assert await outcome(world, message) is OutboxState.SENT
        (mine,) = [line for line in world.sandbox.chat(world.me.id, world.peer.id) if line.text == "hi"]
        await trio.sleep(2 * LIMITS.name_after_s + LIMITS.name_again_s)
        assert external_id(world, message) == str(mine.id)
        assert world.arrived() == ["before", "hi"]
