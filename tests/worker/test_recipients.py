"""Rows for people whom nobody here has met, through a whole worker: store, loops, real client, a server."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tgworker.messaging.events import AccountIntroduced, RecipientSought, WaitAnnounced
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import OutboxRecord, OutboxState
from tgworker.sandbox import Fault
from tgworker.supervision import ChildEnded, OperationExpired, RestartScheduled
from worker.worker_world import World, open_ground, open_world, wait_until

CONTACTS = "contacts.getContacts"
NAMES = "contacts.resolveUsername"
SEND = "messages.sendMessage"
FLOOD_S = 900
PATIENT = Limits(
    outbound_every_s=60,
    heartbeat_every_s=3600,
    jobs_every_s=3600,
    accounts_every_s=3600,
    sweep_every_s=3600,
    ping_idle_s=3600,
    hearing_every_s=3600,
)
"""Minutes of virtual time without a million looks at an empty queue."""


async def record_of(world: World, message: MessageId) -> OutboxRecord:
    return (await world.store.outcomes([message]))[message]


def requests(world: World, method: str) -> int:
    return world.sandbox.statistics().requests.get(method, 0)


async def test_rows_of_an_adopted_database_find_their_people_by_bare_ids(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """They were written before the worker ever ran: nothing is known but ids."""
    async with open_ground(tmp_path) as ground:
        _, peer, stranger = ground.sandbox.users
        async with ground.worker() as world:
            first = await world.give("to a contact", to=str(peer.id))
            second = await world.give("to another", to=str(stranger.id))
            await wait_until(lambda: bool(world.arrived()) and bool(world.arrived(stranger)))
            ((_, introduced),) = world.seen(AccountIntroduced)
            assert introduced.error is None
            assert introduced.peers >= 2
            assert world.seen(RecipientSought) == [], "whoever stands in the lists need not be looked for"
            assert requests(world, CONTACTS) == 1
            await trio.sleep(1)
            assert [await world.state_of(each) for each in (first, second)] == [OutboxState.SENT] * 2
        async with ground.worker() as world:
            await world.give("again", to=str(peer.id))
            await wait_until(lambda: len(world.arrived()) == 2)
            assert requests(world, CONTACTS) == 1, "it was introduced, once"
            assert requests(world, NAMES) == 0


async def test_nothing_is_sent_before_the_lists_were_read_and_a_flood_there_is_waited_for(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path, limits=PATIENT) as ground:
        ground.sandbox.faults.set(Fault("flood_wait", method=CONTACTS, seconds=20, count=1))
        async with ground.worker() as world:
            message = await world.give("hello")
            await wait_until(lambda: world.worker.states.online() == 1)
            online_at = world.now_s
            await world.until(online_at + 19)
            assert (await world.state_of(message), requests(world, SEND)) == (OutboxState.WAITING, 0)
            await world.until(online_at + 21)
            assert world.arrived() == ["hello"]


async def test_an_introduction_that_takes_long_lets_the_known_go_first(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Telegram gives no lists for a while: rows for unknown ids wait in `resolving`, others are sent."""
    async with open_ground(tmp_path, limits=PATIENT) as ground:
        ground.sandbox.faults.set(Fault("flood_wait", method=CONTACTS, seconds=600, count=1))
        async with ground.worker() as world:
            unknown = await world.give("by id")
            known = await world.give("by name", to=f"@{world.stranger.username}")
            await wait_until(lambda: world.worker.states.online() == 1)
            online_at = world.now_s
            await world.until(online_at + 29)
            assert requests(world, SEND) == 0
            await world.until(online_at + 32)
            assert await world.state_of(known) is OutboxState.SENT
            assert world.arrived(world.stranger) == ["by name"]
            await world.until(online_at + 660)
            assert await world.state_of(unknown) is OutboxState.SENT
            assert world.arrived() == ["by id"]
            assert world.seen(ChildEnded) == []


async def test_a_long_flood_holds_up_nobody_who_is_known_and_outlives_the_worker(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path, limits=PATIENT) as ground:
        me, _, stranger = ground.sandbox.users
        ground.sandbox.part(me.id, stranger.id)
        name = f"@{stranger.username}"
        async with ground.worker() as world:
            await world.give("hello")
            await wait_until(lambda: world.arrived() == ["hello"])
            flood = world.sandbox.faults.set(Fault("flood_wait", method=NAMES, seconds=FLOOD_S))
            first = await world.give("first", to=name)
            second = await world.give("second", to=name)
            await wait_until(lambda: bool(world.seen(WaitAnnounced)))
            told_at, told = world.seen(WaitAnnounced)[0]
            assert (told.wait_s, told.reason) == (FLOOD_S, "FLOOD_WAIT_900")
            await trio.sleep(1)
            row = await record_of(world, first)
            assert (row.state, row.error) == (OutboxState.RESOLVING, "FLOOD_WAIT_900")
            assert row.not_before is not None
            assert abs((row.not_before - world.calendar()).total_seconds() - FLOOD_S) < 5
            assert await world.state_of(second) is OutboxState.WAITING, "order holds"
            await world.give("others go on")
            await wait_until(lambda: "others go on" in world.arrived())
            assert world.seen(OperationExpired) == []
            assert world.seen(RestartScheduled) == []
        asked = world.sandbox.statistics().requests.get(NAMES)
        async with ground.worker() as world:
            await world.until(told_at + FLOOD_S - 60)
            assert requests(world, NAMES) == asked, "not asked once in vain"
            world.sandbox.faults.clear(flood)
            await world.until(told_at + FLOOD_S + 130)
            assert world.arrived(world.stranger) == ["first", "second"]
            assert requests(world, NAMES) == (asked or 0) + 1, "one question for both"


@pytest.mark.parametrize(
    ("to", "reason"), [("@nobody_at_all", "USERNAME_NOT_OCCUPIED"), ("99999999", "PEER_NOT_FOUND: ")]
)
async def test_whom_telegram_does_not_know_ends_with_its_reason(
    to: str, reason: str, autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        message = await world.give("to nobody", to=to)
        await world.give("to somebody")
        await wait_until(lambda: world.arrived() == ["to somebody"])
        await trio.sleep(2)
        row = await record_of(world, message)
        assert row.state is OutboxState.DEAD
        assert row.error is not None
        assert row.error.startswith(reason)


async def test_many_rows_for_one_name_are_one_question(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        me, _, stranger = ground.sandbox.users
        ground.sandbox.part(me.id, stranger.id)
        texts = [f"message {number}" for number in range(20)]
        async with ground.worker() as world:
            for text in texts:
                await world.give(text, to=f"@{stranger.username}")
            await wait_until(lambda: len(world.arrived(stranger)) == len(texts))
            assert world.arrived(stranger) == texts
            assert requests(world, NAMES) == 1
