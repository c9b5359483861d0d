"""What Telegram asks to wait for, through a whole worker: store, loops, real client, and a server."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tgworker.messaging.events import AccountChanged, SendFinished, WaitAnnounced
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountState, WorkerStatus
from tgworker.messaging.pacing import PUBLISHED
from tgworker.messaging.records import OutboxState
from tgworker.operations.probes import ready
from tgworker.sandbox import Fault
from tgworker.supervision import ChildEnded, OperationExpired, RestartScheduled
from worker.worker_world import World, open_ground, open_world, wait_until

SEND = "messages.sendMessage"
HOURS = 3600.0
PATIENT = Limits(
    outbound_every_s=60,
    heartbeat_every_s=600,
    jobs_every_s=600,
    accounts_every_s=600,
    sweep_every_s=600,
    ping_idle_s=600,
)
"""Hours of virtual time without a million looks at an empty queue."""


async def last_error(world: World) -> str | None:
    record = await world.store.find_account("me")
    assert record is not None
    return record.last_error


async def test_an_announced_wait_of_two_hours_is_no_hang_and_ends_to_the_second(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=PATIENT, stall_after_s=60, rates=PUBLISHED) as world:
        await wait_until(lambda: world.worker.states.online() == 1)
        flood = world.sandbox.faults.set(Fault("flood_wait", method=SEND, seconds=2 * HOURS))
        messages = [await world.give(f"message {n}") for n in range(3)]
        other = await world.give("another chat", to=str(world.stranger.id))
        await wait_until(lambda: bool(world.seen(WaitAnnounced)))
        told_at, told = world.seen(WaitAnnounced)[0]
        assert (told.scope, told.wait_s, told.reason) == ("method", 7_200, "FLOOD_WAIT_7200")

        await trio.sleep(5)
        assert world.worker.status() is WorkerStatus.DEGRADED
        assert ready(world.worker.facts()).ok, "it has a line, and receives"
        states = [await world.state_of(message) for message in (*messages, other)]
        assert set(states) <= {OutboxState.DEFERRED, OutboxState.WAITING}
        assert OutboxState.DEFERRED in states
        error = await last_error(world)
        assert error is not None
        assert error.startswith("FLOOD_WAIT_7200: Telegram lets this account send nothing until 20")

        requests = world.sandbox.statistics().requests.get(SEND, 0)
        await world.until(told_at + 2 * HOURS - 1)
        assert world.sandbox.statistics().requests.get(SEND, 0) == requests, "not asked once in vain"
        world.sandbox.faults.clear(flood)
        assert world.arrived() == []
        assert world.seen(ChildEnded) == []
        assert world.seen(RestartScheduled) == []
        assert world.seen(OperationExpired) == []

        await world.until(told_at + 2 * HOURS + 70)
        assert world.arrived() == [f"message {n}" for n in range(3)]
        assert world.arrived(world.stranger) == ["another chat"]
        assert await last_error(world) is None
        changes = [(round(at - told_at), event.state) for at, event in world.seen(AccountChanged)]
        assert changes[-2:] == [(0, AccountState.WAITING), (7_200, AccountState.ONLINE)]


async def test_a_worker_that_follows_waits_for_what_is_left(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path, limits=PATIENT) as ground:
        async with ground.worker() as world:
            await wait_until(lambda: world.worker.states.online() == 1)
            world.sandbox.faults.set(Fault("flood_wait", method=SEND, seconds=3600, count=1))
            await world.give("first")
            await wait_until(lambda: bool(world.seen(WaitAnnounced)))
            told_at = world.now_s
            await world.give("other", to=str(world.stranger.id))
            await trio.sleep(1000)
        async with ground.worker() as world:
            await world.until(told_at + 3590)
            assert world.worker.states.count(AccountState.WAITING) == 1
            assert len(world.seen(WaitAnnounced)) == 1
            assert (world.arrived(), world.arrived(world.stranger)) == ([], [])
            await world.until(told_at + 3670)
            assert (world.arrived(), world.arrived(world.stranger)) == (["first"], ["other"])


async def test_the_slow_mode_of_one_chat_delays_no_other(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await wait_until(lambda: world.worker.states.online() == 1)
        slow = Fault(
            "rpc_error", method=SEND, code=420, message="SLOWMODE_WAIT_60", peer=world.peer.id, count=1
        )
        world.sandbox.faults.set(slow)
        began_s = world.now_s
        first, second = await world.give("first"), await world.give("second")
        for n in range(5):
            await world.give(f"{n}", to=str(world.stranger.id))
        await world.until(began_s + 2)
        assert world.arrived(world.stranger) == list("01234")
        (row,) = await world.store.list_outbox([OutboxState.DEFERRED])
        assert (row.message_id, row.error) == (first, "SLOWMODE_WAIT_60")
        assert row.not_before is not None
        assert await world.state_of(second) is OutboxState.WAITING, "behind it, in its order"
        assert world.worker.status() is WorkerStatus.ONLINE
        await world.until(began_s + 62)
        assert world.arrived() == ["first"]
        await world.until(began_s + 122)
        assert world.arrived() == ["first", "second"], "one message in each interval"


async def test_after_a_peer_flood_only_first_messages_to_strangers_wait(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=PATIENT) as world:
        await wait_until(lambda: world.worker.states.online() == 1)
        world.sandbox.part(world.me.id, world.peer.id)  # known from what was exchanged, and from nothing else
        world.sandbox.send_text(world.peer.id, world.me.id, "we have met")
        await trio.sleep(1)
        spam = Fault("rpc_error", method=SEND, code=400, message="PEER_FLOOD", peer=world.stranger.id)
        fault = world.sandbox.faults.set(spam)
        cold = await world.give("buy this", to=str(world.stranger.id))
        await wait_until(lambda: bool(world.seen(WaitAnnounced)))
        told_at = world.now_s
        await world.give("hello again")
        await trio.sleep(70)
        assert world.arrived() == ["hello again"]
        (row,) = await world.store.list_outbox([OutboxState.DEFERRED])
        assert (row.message_id, row.error) == (cold, "PEER_FLOOD")
        assert world.worker.status() is WorkerStatus.ONLINE
        error = await last_error(world)
        assert error is not None
        assert "Ask @SpamBot" in error
        assert row.not_before is not None
        in_s = (row.not_before - world.calendar()).total_seconds()
        assert in_s == pytest.approx(told_at + 24 * HOURS - world.now_s, abs=2)
        world.sandbox.faults.clear(fault)
        await trio.sleep(HOURS)
        assert world.arrived(world.stranger) == [], "no matter of minutes"


async def test_a_burst_beyond_a_chats_pace_costs_no_extra_writes(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await wait_until(lambda: world.worker.states.online() == 1)
        began_s = world.now_s
        messages = [await world.give(f"{n}") for n in range(10)]
        await world.until(began_s + 4.9)
        assert len(world.arrived()) == 9
        await world.until(began_s + 6)
        assert world.arrived() == [f"{n}" for n in range(10)]
        outcomes = await world.store.outcomes(messages)
        assert [outcomes[message].attempts for message in messages] == [1] * 10, "claimed once each"
        assert [event.outcome for _, event in world.seen(SendFinished)] == ["sent"] * 10


async def test_a_backlog_in_one_chat_leaves_the_slots_to_the_others(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, rates=PUBLISHED) as world:
        await wait_until(lambda: world.worker.states.online() == 1)
        for n in range(40):
            await world.give(f"{n}")
        await trio.sleep(3)
        began_s = world.now_s
        await world.give("urgent", to=str(world.stranger.id))
        await wait_until(lambda: world.arrived(world.stranger) == ["urgent"])
        assert world.now_s - began_s < 0.5
        assert len(world.arrived()) < 10
