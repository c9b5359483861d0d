"""The composed worker: what it says about itself, and how it ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from tgworker.app.evidence import account_of, evidence_of
from tgworker.embedded import HeartbeatFile, inline
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Heartbeat, WorkerStatus
from tgworker.messaging.outcomes import Sent, Settled
from tgworker.messaging.records import OutboxState
from tgworker.operations.status_socket import ask
from tgworker.sandbox import Fault
from tgworker.supervision import ChildCancelled, RestartScheduled
from worker.worker_world import open_world, wait_until


class Rows:
    name = "rows"

    def __init__(self) -> None:
        self.rows: list[Heartbeat] = []
        self.at_s: list[float] = []

    async def write(self, heartbeat: Heartbeat) -> None:
        await trio.lowlevel.checkpoint()
        self.rows.append(heartbeat)
        self.at_s.append(trio.current_time())


async def test_the_heartbeat_says_starting_then_online_then_offline(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    rows = Rows()
    async with open_world(tmp_path, heartbeats=[rows]) as world:
        await world.until(16)
    assert [(at, row.status) for at, row in zip(rows.at_s, rows.rows, strict=True)] == [
        (0, WorkerStatus.STARTING),
        (1, WorkerStatus.ONLINE),
        (15, WorkerStatus.ONLINE),
        (16, WorkerStatus.OFFLINE),
    ]
    assert [row.seq for row in rows.rows] == [1, 2, 3, 4]


async def test_an_account_without_a_line_degrades_the_worker_and_one_that_is_refused_does_not(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)
        hole = world.sandbox.faults.set(Fault("blackhole", method="connect"))
        world.sandbox.drop_connections()
        await wait_until(lambda: world.worker.status() is WorkerStatus.DEGRADED)
        world.sandbox.faults.clear(hole)
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)

        world.sandbox.revoke(world.me.id)
        world.sandbox.drop_connections()
        await wait_until(lambda: "needs_login" in [event.state for _, event in world.seen(AccountChanged)])
        await trio.sleep(1)
        assert world.worker.status() is WorkerStatus.ONLINE, "only a person can cure it"
        (record,) = await world.store.list_accounts()
        assert record.state == "needs_login"
        assert record.last_error is not None
        assert not world.seen(RestartScheduled), "a refused account is not retried"


async def test_a_hung_account_sync_disturbs_no_account(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=Limits(accounts_every_s=5)) as world:
        await world.until(7)
        world.saboteur.hang("root.accounts")
        await world.until(100)
        assert [event.path for _, event in world.seen(ChildCancelled)] == ["root.accounts"]
        states = [event.state.value for _, event in world.seen(AccountChanged)]
        assert states == ["connecting", "online"]


async def test_what_came_back_last_is_settled_on_the_way_out(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        message = await world.give("in flight")
        (attempt,) = (await world.store.turn((), {world.account: 1}, known=())).attempts
        world.worker.dispatch.file(Settled(attempt, Sent(4711)))
    with world.reopen() as store:
        record = (await store.outcomes([message]))[message]
        assert (record.state, record.telegram_id) == (OutboxState.SENT, 4711)


async def test_status_answers_on_the_socket_without_a_secret_in_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)
        answer = await ask(tmp_path, "status")
        assert answer is not None
        assert answer["status"] == "online"
        assert [account["state"] for account in answer["accounts"]] == ["online"]
        paths = [child["path"] for child in answer["tree"]["children"]]
        assert paths == [
            f"root.{child}"
            for child in (
                "heartbeat",
                "status",
                "outbound",
                "history",
                "jobs",
                "logins",
                "presence",
                "account",
                "accounts",
            )
        ]
        text = str(answer)
        assert world.me.session not in text
        assert world.me.phone not in text


async def test_an_older_incarnation_cannot_overwrite_the_heartbeat(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await wait_until(lambda: world.worker.status() is WorkerStatus.ONLINE)
        heartbeats = HeartbeatFile(tmp_path / "heartbeats.db", run_sync=inline)
        await heartbeats.write(Heartbeat("test", WorkerStatus.FROZEN, {}, world.store.incarnation - 1, 10**6))
        row = await heartbeats.read("test")
        heartbeats.close()
        assert row is not None
        assert row.status != "frozen"
        assert datetime.now(UTC) - row.last_heartbeat_at < timedelta(seconds=60)


def test_paths_below_the_accounts_supervisor_name_an_account() -> None:
    assert account_of("root.account.1234") == "1234"
    assert account_of("root.account") is None
    assert account_of("root.accounts") is None


async def test_evidence_of_an_account_goes_on_behind_the_bridge() -> None:
    dump = evidence_of(lambda account_id: f"asyncio side of {account_id}" if account_id == "1234" else None)
    task = trio.lowlevel.current_task()
    assert dump("root.account.1234", task).endswith("asyncio side of 1234")
    assert "asyncio" not in dump("root.outbound", task).splitlines()[-1]
