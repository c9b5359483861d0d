"""A whole worker reads a whole account: all chats, through a takeout session, over restarts and refusals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from tgworker.messaging.models import JobId
from tgworker.sandbox import Fault, Limits, Rate, Sandbox
from worker.test_history_jobs import HISTORY, job, rows, status, write
from worker.worker_world import World, open_ground, open_world


def fill(sandbox: Sandbox) -> int:
    """A person, a group, a supergroup and a channel with something in each; returns how many chats."""
    me, peer, other = sandbox.users
    for number in range(120):
        sandbox.send_text(peer.id, me.id, f"one {number}")
    for number in range(3):
        sandbox.send_text(other.id, me.id, f"two {number}")
    group = sandbox.rooms.create_group(peer.id, [me.id, other.id], "Group")
    crew = sandbox.rooms.create_channel(peer.id, [me.id], "Crew")
    news = sandbox.rooms.create_channel(peer.id, [me.id], "News", broadcast=True)
    for room in (group, crew, news):
        sandbox.send_text(peer.id, room.peer, f"in {room.title}")
    return 5


async def chats_of(world: World, whole: JobId) -> Mapping[str, Any]:
    (found,) = await rows(
        world,
        "select count(*) as chats, sum(status = 'completed') as completed, sum(status = 'failed') as failed"
        " from sync_history_jobs where id <> ?",
        whole,
    )
    return found


async def test_a_whole_account_of_several_chats_arrives_through_one_takeout_session(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        chats = fill(world.sandbox)
        await world.until(2)
        whole = await job(world, 200, to="all")
        await world.until(60)
        assert (await status(world, whole))[0] == "completed"
        assert await chats_of(world, whole) == {"chats": chats, "completed": chats, "failed": 0}
        texts = [text for _, text in await world.store.transcript(world.account, direction="inbound")]
        wanted = {f"one {number}" for number in range(120)} | {f"two {number}" for number in range(3)}
        assert set(texts) >= wanted | {"in Group", "in Crew", "in News"}
        (session,) = world.sandbox.takeouts(world.me.id)
        assert session.state == "success"
        assert session.requests >= chats + 2
        (listed,) = await world.store.histories([whole])
        assert (listed.chats, listed.chats_done, listed.chats_failed) == (chats, chats, 0)
        (kept,) = await rows(world, "select takeout from tgworker_account_histories")
        assert kept["takeout"] is None


async def test_it_goes_on_in_another_process_in_the_same_session(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        fill(ground.sandbox)
        write(ground, 450)
        ground.sandbox.faults.set(Fault("flood_wait", method=HISTORY, seconds=600, after=4, count=1))
        async with ground.worker() as world:
            whole = await job(world, 500, to="all")
            await world.until(30)
            assert (await status(world, whole))[0] == "processing"
            (kept,) = await rows(world, "select takeout from tgworker_account_histories")
            (session,) = ground.sandbox.takeouts(world.me.id)
            assert session.state == "open"
            # What stands in the database is no number that anybody could use.
            assert not kept["takeout"].isdecimal()
        async with ground.worker() as world:
            await world.until(700)
            assert (await status(world, whole))[0] == "completed"
            (session,) = ground.sandbox.takeouts(world.me.id)
            assert session.state == "success"
            assert len(await rows(world, "select text from messages where text like 'old %'")) == 450


async def test_an_export_that_the_owner_must_allow_waits_over_a_restart_while_all_else_goes_on(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        ground.sandbox.behave(takeout_delay_s=86400)
        async with ground.worker() as world:
            fill(ground.sandbox)
            await world.until(2)
            whole = await job(world, 200, to="all")
            await world.until(40)
            (row,) = await rows(
                world, "select status, error_message from sync_history_jobs where id = ?", whole
            )
            assert row["status"] == "pending"
            assert "allow it in Telegram's message on another device" in row["error_message"]
            one = await job(world, 50)
            assert await world.state_of(await world.give("hello")) is not None
            await world.until(80)
            assert (await status(world, one))[0] == "completed"
            assert "hello" in world.arrived()
        async with ground.worker() as world:
            await world.until(150)
            assert (await status(world, whole))[0] == "pending"
            assert ground.sandbox.allow_takeout(world.me.id) == 1
            await world.until(480)
            assert (await status(world, whole))[0] == "completed"
            (row,) = await rows(world, "select error_message from sync_history_jobs where id = ?", whole)
            assert row["error_message"] is None
        assert [each.state for each in ground.sandbox.takeouts(ground.sandbox.users[0].id)] == ["success"]


async def test_a_job_that_the_application_removes_leaves_no_session_at_telegram(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        fill(world.sandbox)
        await world.until(2)
        world.sandbox.faults.set(Fault("flood_wait", HISTORY, seconds=60, after=1, count=1))
        whole = await job(world, 200, to="all")
        await world.until(20)
        assert [each.state for each in world.sandbox.takeouts(world.me.id)] == ["open"]
        await world.store._database.write(
            lambda connection: connection.execute("delete from sync_history_jobs where id = ?", (whole,))
        )
        await world.until(150)
        assert [each.state for each in world.sandbox.takeouts(world.me.id)] == ["failure"]
        assert await rows(world, "select 1 from tgworker_account_histories") == []
        assert await rows(world, "select 1 from sync_history_jobs where status = 'pending'") == []


async def test_another_export_takes_its_session_and_the_rest_is_read_without(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        chats = fill(world.sandbox)
        await world.until(2)
        world.sandbox.faults.set(
            Fault("rpc_error", "invokeWithTakeout", code=400, message="TAKEOUT_INVALID", after=3)
        )
        whole = await job(world, 200, to="all")
        await world.until(60)
        assert (await status(world, whole))[0] == "completed"
        assert (await chats_of(world, whole))["completed"] == chats


async def test_a_chat_that_cannot_be_read_fails_alone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        chats = fill(world.sandbox)
        await world.until(2)
        other = world.sandbox.users[2]
        world.sandbox.faults.set(Fault("rpc_error", HISTORY, peer=other.id, message="CHAT_RESTRICTED"))
        whole = await job(world, 200, to="all")
        await world.until(60)
        assert await chats_of(world, whole) == {"chats": chats, "completed": chats - 1, "failed": 1}
        (row,) = await rows(world, "select status, error_message from sync_history_jobs where id = ?", whole)
        assert row == {
            "status": "completed",
            "error_message": f"1 of {chats} chats could not be read: their own jobs say why",
        }


async def test_limits_outside_of_an_export_do_not_slow_it_down(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        fill(world.sandbox)
        await world.until(2)
        world.sandbox.limit(Limits(methods={HISTORY: Rate(1, 0.001)}))
        whole = await job(world, 200, to="all")
        await world.until(60)
        assert (await status(world, whole))[0] == "completed"


@pytest.mark.parametrize(
    ("action", "method", "after"),
    [
        ("accept_drop", "account.initTakeoutSession", 0),  # begun at Telegram, and nobody heard of it
        ("drop", "messages.getDialogs", 0),
        ("accept_drop", "messages.getDialogs", 0),
        ("drop", HISTORY, 0),
        ("accept_drop", HISTORY, 3),
        ("drop", "account.finishTakeoutSession", 0),
        ("accept_drop", "account.finishTakeoutSession", 0),
    ],
)
async def test_wherever_the_line_breaks_everything_arrives_once_and_the_session_is_finished(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, action: Any, method: str, after: int
) -> None:
    async with open_world(tmp_path) as world:
        chats = fill(world.sandbox)
        await world.until(2)
        world.sandbox.faults.set(Fault(action, method, after=after, count=1))
        whole = await job(world, 200, to="all")
        await world.until(120)
        assert (await status(world, whole))[0] == "completed"
        assert await chats_of(world, whole) == {"chats": chats, "completed": chats, "failed": 0}
        assert world.sandbox.faults.listing() == ()
        texts = [text for _, text in await world.store.transcript(world.account, direction="inbound")]
        assert len([text for text in texts if text.startswith("one ")]) == 120
        states = [each.state for each in world.sandbox.takeouts(world.me.id)]
        assert states[-1] == "success"
        assert "open" not in states
