"""A whole worker reads histories: for the application, and where Telegram no longer tells what was missed."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio
import trio.testing

from tgworker.messaging.events import HistoryRead
from tgworker.messaging.limits import HistoryLimits, Limits
from tgworker.messaging.models import AccountId, JobId
from tgworker.sandbox import Fault
from worker.worker_world import OWNER, Ground, World, open_ground, open_world

HISTORY = "messages.getHistory"


async def job(
    world: World, limit: int = 100, *, to: int | str = "", account: AccountId | None = None
) -> JobId:
    """What the application inserts."""
    job_id: JobId = await world.store._database.write(
        lambda connection: connection.execute(
            "insert into sync_history_jobs (owner_id, integration_account_id, telegram_id, limit_messages)"
            " values (?, ?, ?, ?) returning id",
            (OWNER, account or world.account, str(to or world.peer.id), limit),
        ).fetchone()[0]
    )
    return job_id


async def rows(world: World, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
    def read(connection: sqlite3.Connection) -> list[Mapping[str, Any]]:
        cursor = connection.execute(query, arguments)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    return await world.store._database.read(read)


async def status(world: World, job_id: JobId) -> tuple[str, int]:
    (row,) = await rows(world, "select status, messages_synced from sync_history_jobs where id = ?", job_id)
    return row["status"], row["messages_synced"]


def write(ground: Ground | World, count: int, text: str = "old") -> None:
    me, peer, _ = ground.sandbox.users
    for number in range(count):
        ground.sandbox.send_text(peer.id, me.id, f"{text} {number}")


async def test_the_application_asks_for_a_history_and_gets_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        # From before the account's first time: no update will ever tell of these.
        for number in range(250):
            world.sandbox.send_text(world.peer.id, world.me.id, f"old {number}")
        await world.until(2)
        job_id = await job(world, limit=250)
        await world.until(10)
        assert await status(world, job_id) == ("completed", 250)
        texts = [text for _, text in await world.store.transcript(world.account, direction="inbound")]
        assert sorted(texts) == sorted(f"old {number}" for number in range(250))


async def test_a_job_goes_on_below_what_was_stored_when_its_line_is_lost(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        write(world, 450)
        await world.until(2)
        # The third page, and with it the line, is lost.
        world.sandbox.faults.set(Fault("drop", method=HISTORY, after=2, count=1))
        job_id = await job(world, limit=450)
        await world.until(60)
        assert await status(world, job_id) == ("completed", 450)
        (read,) = [event for _, event in world.seen(HistoryRead)]
        assert read.messages == 250  # of the last line alone: the first 200 were not read again


async def test_a_job_goes_on_below_what_was_stored_when_its_worker_is_gone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        write(ground, 450)
        ground.sandbox.faults.set(Fault("flood_wait", method=HISTORY, seconds=600, after=2, count=1))
        async with ground.worker() as world:
            job_id = await job(world, limit=450)
            await world.until(30)
            # Progress stands in the row, page by page.
            assert await status(world, job_id) == ("processing", 200)
            (claim,) = await rows(world, "select seen, total from tgworker_job_claims")
            assert claim == {"seen": 200, "total": 450}
            assert await world.state_of(await world.give("hello")) is not None
            await trio.sleep(5)
            assert world.arrived() == ["hello"]  # a flooded history holds up no send
        async with ground.worker() as world:
            await world.until(590)
            assert await status(world, job_id) == ("processing", 200)  # the wait outlived the worker
            await world.until(640)
            assert await status(world, job_id) == ("completed", 450)
            assert world.seen(HistoryRead)[-1][1].messages == 250


async def test_accounts_read_at_the_same_time_and_each_its_own_jobs_one_by_one(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground, ground.worker() as world:
        _, peer, other = ground.sandbox.users
        write(ground, 150)
        for number in range(150):
            ground.sandbox.send_text(peer.id, other.id, f"theirs {number}")
        second = await world.store.add_account(
            "other", OWNER, ground.vault.encrypt(other.session), user_id=other.id
        )
        await world.until(70)  # both are online
        ground.sandbox.faults.set(Fault("delay", method=HISTORY, seconds=10))
        jobs = [await job(world, 150), await job(world, 100), await job(world, 150, account=second)]
        await world.until(76)  # (claimed)
        began = world.now_s
        await world.until(began + 60)
        assert [(await status(world, each))[0] for each in jobs] == ["completed"] * 3
        ends = {event.job: at for at, event in world.seen(HistoryRead)}
        assert abs(ends[jobs[0]] - ends[jobs[2]]) < 6  # at the same time
        assert ends[jobs[1]] - ends[jobs[0]] >= 10  # after it


async def test_of_a_group_its_service_messages_and_who_wrote_each_are_kept(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        me, peer, other = ground.sandbox.users
        group = ground.sandbox.rooms.create_group(peer.id, [me.id, other.id], "Analysts").peer
        ground.sandbox.send_text(peer.id, group, "from the one")
        ground.sandbox.send_text(other.id, group, "from the other")
        async with ground.worker() as world:
            await world.until(2)
            job_id = await job(world, to=group)
            await world.until(20)
            assert (await status(world, job_id))[0] == "completed"
            found = await rows(
                world,
                "select m.text, m.message_type, i.value, i.metadata from messages m"
                " join contact_identities i on i.id = m.identity_id order by m.sent_at, m.rowid",
            )
            kinds = [row["message_type"] for row in found]
            assert "service_create" in kinds
            assert {row["text"]: row["value"] for row in found if row["text"]} == {
                "from the one": str(peer.id),
                "from the other": str(other.id),
            }


async def test_the_settings_say_how_much_is_fetched(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    limits = Limits(history=HistoryLimits(most_messages=120))
    async with open_world(tmp_path, limits=limits) as world:
        write(world, 200)
        await world.until(2)
        job_id = await job(world, limit=100_000)
        await world.until(10)
        assert await status(world, job_id) == ("completed", 120)
