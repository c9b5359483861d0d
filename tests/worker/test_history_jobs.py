"""A whole worker reads histories: for the application, and where Telegram no longer tells what was missed."""

from pathlib import Path

import trio
import trio.testing

from worker.worker_world import OWNER, World, open_world


async def job(world: World, limit: int = 100) -> str:
    """What the application inserts."""
    return await world.store._database.write(
        lambda connection: connection.execute(
            "insert into sync_history_jobs (owner_id, integration_account_id, telegram_id, limit_messages)"
            " values (?, ?, ?, ?) returning id",
            (OWNER, world.account, str(world.peer.id), limit),
        ).fetchone()[0]
    )


async def status(world: World, job_id: str) -> tuple[str, int]:
    row = await world.store._database.read(
        lambda connection: connection.execute(
            "select status, messages_synced from sync_history_jobs where id = ?", (job_id,)
        ).fetchone()
    )
    return row[0], row[1]


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
