"""Two workers on one project: an account is online in one place, and moves only when it is free."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import trio

from supabase.stack_world import LIMITS, OWNER, open_worker, wait_online
from tgworker.app.worker import Worker
from tgworker.devstack import Stack
from tgworker.messaging.events import AccountChanged, SendFinished, WaitAnnounced
from tgworker.messaging.models import AccountState
from tgworker.sandbox import Fault, Sandbox, open_sandbox
from tgworker.supabase import SupabaseStore
from tgworker.supabase.leases import TTL_S
from tgworker.vault import FernetVault, new_key


class Notes:
    """What one worker said."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def __call__(self, event: object) -> None:
        self.events.append(event)

    def states(self) -> list[AccountState]:
        return [event.state for event in self.events if isinstance(event, AccountChanged)]

    def sent(self) -> int:
        return sum(isinstance(event, SendFinished) and event.outcome == "sent" for event in self.events)


class Two:
    """Workers that are opened and closed one by one, and what they say."""

    def __init__(self, stack: Stack, folder: Path, sandbox: Sandbox) -> None:
        self.stack = stack
        self.sandbox = sandbox
        self.vault = FernetVault([new_key()])
        self.me, self.peer = sandbox.users
        self._folder = folder

    async def log_in(self, store: SupabaseStore) -> None:
        await store.add_account("me", OWNER, self.vault.encrypt(self.me.session), user_id=self.me.id)

    def open(self, name: str, notes: Notes) -> AbstractAsyncContextManager[tuple[Worker, SupabaseStore]]:
        return open_worker(
            self.stack, self._folder / name, self.sandbox, self.vault, notes, prepare=self.log_in
        )

    def arrived(self) -> list[str]:
        return [line.text for line in self.sandbox.chat(self.peer.id, self.me.id) if not line.outgoing]

    async def wait_arrived(self, count: int) -> None:
        with trio.fail_after(30):
            while len(self.arrived()) < count:
                await trio.sleep(0.02)

    def leases(self) -> list[tuple[int, bool]]:
        """Token, and whether anybody holds it."""
        with psycopg.connect(self.stack.db_url) as connection:
            return connection.execute("select fence, holder is not null from tgworker_leases").fetchall()


@pytest.mark.slow
async def test_a_second_worker_waits_and_takes_over_when_the_first_has_stopped(
    stack: Stack, tmp_path: Path
) -> None:
    one, other, stop = Notes(), Notes(), trio.Event()
    async with open_sandbox(users=2) as sandbox, trio.open_nursery() as nursery:
        two = Two(stack, tmp_path, sandbox)

        async def first(task_status: trio.TaskStatus[SupabaseStore]) -> None:
            async with two.open("one", one) as (worker, store):
                await wait_online(worker)
                task_status.started(store)
                await stop.wait()

        store: SupabaseStore = await nursery.start(first)
        (record,) = await store.list_accounts()
        account = record.account.id
        async with two.open("two", other) as (second, own):
            await own.enqueue(account, str(two.peer.id), [f"{number:03d}" for number in range(50)])
            await two.wait_arrived(50)
            await trio.sleep(2 * LIMITS.lease_renew_s)  # it asks again, and is told the same
            assert other.states() == [AccountState.ELSEWHERE]
            assert not second.dispatch.online()
            assert (one.sent(), other.sent()) == (50, 0)
            assert two.leases() == [(1, True)]
            await own.enqueue(account, str(two.peer.id), [f"{number:03d}" for number in range(50, 100)])
            stop.set()
            stopped_at = trio.current_time()
            await wait_online(second, 30)
            assert trio.current_time() - stopped_at < TTL_S / 2
            await two.wait_arrived(100)
            assert two.arrived() == [f"{number:03d}" for number in range(100)]
            assert one.sent() + other.sent() == 100
            assert two.leases() == [(2, True)]
    assert two.leases() == [(2, False)]


@pytest.mark.slow
async def test_an_account_that_another_worker_took_is_let_go_at_once(stack: Stack, tmp_path: Path) -> None:
    """As it is for a machine that slept through the end of its lease: its first call says so."""
    one = Notes()
    async with (
        open_sandbox(users=2) as sandbox,
        Two(stack, tmp_path, sandbox).open("one", one) as (worker, _),
    ):
        await wait_online(worker)
        with psycopg.connect(stack.db_url) as connection:
            connection.execute(
                "update tgworker_leases set holder = %s, fence = fence + 1,"
                " expires_at = now() + interval '60 s'",
                (uuid4(),),
            )
        with trio.fail_after(20):
            while worker.dispatch.online():
                await trio.sleep(0.01)
            while one.states()[-1] is not AccountState.ELSEWHERE:
                await trio.sleep(0.01)
        await trio.sleep(1)
        assert not worker.dispatch.online()
        assert one.states()[-1] is AccountState.ELSEWHERE


@pytest.mark.slow
async def test_a_worker_that_takes_an_account_over_waits_for_what_the_first_was_asked(
    stack: Stack, tmp_path: Path
) -> None:
    one, other = Notes(), Notes()
    async with open_sandbox(users=2) as sandbox:
        two = Two(stack, tmp_path, sandbox)
        async with two.open("one", one) as (worker, store):
            await wait_online(worker)
            (record,) = await store.list_accounts()
            account = record.account.id
            sandbox.faults.set(Fault("flood_wait", method="messages.sendMessage", seconds=12, count=1))
            await store.enqueue(account, str(two.peer.id), ["in its time"])
            with trio.fail_after(5):
                while one.states()[-1] is not AccountState.WAITING or not await store.waits(
                    record.account.id
                ):
                    await trio.sleep(0.02)
            told_at = trio.current_time()
        async with two.open("two", other) as (worker, store):
            with trio.fail_after(5):
                while not other.states() or other.states()[-1] is AccountState.CONNECTING:
                    await trio.sleep(0.02)
            assert other.states() == [AccountState.CONNECTING, AccountState.WAITING]
            assert worker.dispatch.slots() == {}, "nothing is claimed meanwhile"
            assert trio.current_time() - told_at < 10
            await two.wait_arrived(1)
            assert 11 < trio.current_time() - told_at < 20
            assert other.states() == [AccountState.CONNECTING, AccountState.WAITING, AccountState.ONLINE]
            assert not [event for event in other.events if isinstance(event, WaitAnnounced)]
