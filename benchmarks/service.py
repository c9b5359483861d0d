"""The worker as a process against a sandbox in another, on either store."""

import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

import psycopg
import trio

from benchmarks.cloud import Cloud, CloudUser
from benchmarks.processes import worker_environment
from benchmarks.stack import DevStack
from tgworker.app.books import Books, open_books
from tgworker.embedded import DataFolder, migrate
from tgworker.messaging.models import AccountId, AccountState
from tgworker.settings import load_settings
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-4000-8000-000000000001"
WITHIN_S = 120.0
STOPS_WITHIN_S = 30.0


@final
@dataclass(frozen=True, slots=True)
class Service:
    """A store with accounts, and a worker that can be started on it.

    Attributes:
        env: The worker's environment.
        books: The store, as an application sees it.
        accounts: The accounts' ids.
        folder: Where it runs; ``worker.log`` is the worker's.
        received: Counts the messages that came in, past the worker and the books.
    """

    env: dict[str, str]
    books: Books
    accounts: Sequence[AccountId]
    folder: Path
    received: Callable[[], int]

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[trio.Process]:
        """A worker without a guard; stopped in order at the end, or its leases would hold the next one up."""
        with (self.folder / "worker.log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "tgworker", "run", "--no-guard"],
                env=self.env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
            try:
                yield process
            finally:
                process.terminate()
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(STOPS_WITHIN_S):
                        await process.wait()
                    process.kill()
                    await process.wait()

    async def wait_online(self) -> None:
        """Wait until every account is online."""
        with trio.fail_after(WITHIN_S):
            online = False
            while not online:
                await trio.sleep(0.05)
                rows = await self.books.accounts.list_accounts()
                online = all(row.state is AccountState.ONLINE for row in rows)

    async def wait_settled(self) -> None:
        """Wait until nothing waits to be sent."""
        with trio.fail_after(WITHIN_S):
            settled = False
            while not settled:
                await trio.sleep(0.05)
                settled = not await self.books.outbox.list_outbox(limit=1)

    async def wait_received(self, count: int) -> int:
        """Wait until so many messages came in since it began; returns how many."""
        with trio.fail_after(WITHIN_S):
            received = 0
            while received < count:
                await trio.sleep(0.01)
                received = self.received()
        return received


@asynccontextmanager
async def open_service(
    cloud: Cloud, users: Sequence[CloudUser], *, stack: DevStack | None = None
) -> AsyncGenerator[Service]:
    """An account for each user, in a store of its own; no worker runs yet.

    Args:
        cloud: The sandbox.
        users: Whose accounts.
        stack: The Supabase to use; ``None``: the embedded store.
    """
    key = new_key()
    with TemporaryDirectory() as name:
        folder = Path(name)
        pem = folder / "server.pem"
        pem.write_text(cloud.key, encoding="ascii")
        env = worker_environment(folder / "data", key, server=cloud.server, dc=cloud.dc, pem=pem)
        env["TGWORKER_LOG_LEVEL"] = "warning"
        if stack is not None:
            env |= {"SUPABASE_URL": stack.url, "SUPABASE_SERVICE_ROLE_KEY": stack.key}
        else:
            migrate(DataFolder(folder / "data"))
        vault = FernetVault([key])
        async with open_books(load_settings(env, require=())) as books:
            opened = _embedded(folder / "data") if stack is None else _supabase(stack)
            accounts = [
                await books.accounts.add_account(
                    f"account {number}", OWNER, vault.encrypt(user.session), user_id=user.id
                )
                for number, user in enumerate(users)
            ]
            with opened as received:
                yield Service(env, books, accounts, folder, received)


_RECEIVED = "select count(*) from messages where direction = 'inbound'"


@contextmanager
def _embedded(folder: Path) -> Generator[Callable[[], int]]:
    with closing(sqlite3.connect(DataFolder(folder).database)) as connection:
        yield lambda: int(connection.execute(_RECEIVED).fetchone()[0])


@contextmanager
def _supabase(stack: DevStack) -> Generator[Callable[[], int]]:
    with psycopg.connect(stack.database, autocommit=True) as connection:

        def received() -> int:
            row = connection.execute(_RECEIVED).fetchone()
            assert row is not None
            return int(row[0])

        yield received
