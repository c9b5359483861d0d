"""`run` as real processes, against a sandbox in this one: what the lines about the guard share."""

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import final

import trio

from benchmarks.processes import worker_environment
from tgworker.embedded import DataFolder, inline, open_store
from tgworker.sandbox import Sandbox, open_sandbox
from tgworker.vault import FernetVault, new_key

PROGRAM = Path(__file__).with_name("holding_run.py")
WITHIN_S = 60.0  # a worker that never comes online must not hang the measurement
ACCOUNT = "me"
OWNER = "00000000-0000-0000-0000-000000000001"


@final
@dataclass(slots=True)
class Guard:
    """A guard that runs.

    Attributes:
        process: Its process.
        began_s: When it was started, on `perf_counter`.
        online_s: When the account of each worker came online, on the same clock.
        workers: The process of each worker.
    """

    process: trio.Process
    began_s: float
    online_s: list[float] = field(default_factory=list[float])
    workers: list[int] = field(default_factory=list[int])
    _news: trio.Event = field(default_factory=trio.Event)

    async def wait_online(self) -> None:
        """Wait until the newest worker's account is online."""
        with trio.fail_after(WITHIN_S):
            while not self.workers or len(self.online_s) < len(self.workers):
                await self._news.wait()

    async def read(self) -> None:
        """Take note of what guard and worker log."""
        assert self.process.stderr is not None
        rest = b""
        async for data in self.process.stderr:
            *whole, rest = (rest + data).split(b"\n")
            for text in whole:
                self._take(text)

    def _take(self, text: bytes) -> None:
        line = json.loads(text)
        match line["event"]:
            case "account changed" if line["state"] == "online":
                self.online_s.append(perf_counter())
            case "worker forked":
                self.workers.append(line["worker_pid"])
            case _:
                return
        self._news.set()
        self._news = trio.Event()


@final
@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox with two users, and a data folder.

    Attributes:
        sandbox: The server.
        data: The data folder.
        vault: Encrypts sessions as the worker reads them.
        env: What `run` reads.
        program: ``python -m tgworker``, or something like it.
    """

    sandbox: Sandbox
    data: DataFolder
    vault: FernetVault
    env: dict[str, str]
    program: Path = PROGRAM

    @asynccontextmanager
    async def guard(self, *, freeze_after_s: float) -> AsyncGenerator[Guard]:
        """Start `run`, where SIGUSR2 makes a worker hold its interpreter; it is killed at the end."""
        (self.data.path / "faults.json").unlink(missing_ok=True)  # or an account that froze twice starts last
        began_s = perf_counter()
        process = await trio.lowlevel.open_process(
            [sys.executable, str(self.program), "run"],
            env=self.env | {"TGWORKER_FREEZE_AFTER_S": f"{freeze_after_s:g}"},
            stderr=PIPE,
        )
        guard = Guard(process, began_s)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.read)
            try:
                await guard.wait_online()
                yield guard
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            nursery.cancel_scope.cancel(reason="the guard is dead")

    async def give(self, text: str) -> None:
        """Put a text for the second user into the embedded store's outbox, as an application does.

        In a thread: a worker that was stopped amid a transaction holds the store's lock until it is killed.
        """
        with open_store(self.data, as_worker=False) as store:
            account = await store.find_account(ACCOUNT)
            assert account is not None
            await store.enqueue(account.account.id, str(self.sandbox.users[1].id), [text])

    async def wait_arrived(self, text: str) -> None:
        """Wait until the second user has the text."""
        me, peer = self.sandbox.users
        seen = 0
        with trio.fail_after(WITHIN_S):
            while True:
                for line in self.sandbox.chat(peer.id, me.id, after=seen):
                    if line.text == text:
                        return
                    seen = line.id
                await trio.sleep(0.001)  # it tells nobody


@asynccontextmanager
async def open_place() -> AsyncGenerator[Place]:
    """A sandbox and a data folder with the first user's account, in which nothing runs yet."""
    async with open_sandbox_place() as place:
        place.data.prepare()
        me = place.sandbox.users[0]
        with place.data.hold(), open_store(place.data, as_worker=True, run_sync=inline) as store:
            session = place.vault.encrypt(me.session)
            await store.add_account(ACCOUNT, OWNER, session, user_id=me.id, phone=me.phone)
        yield place


@asynccontextmanager
async def open_sandbox_place(
    more: Mapping[str, str] | None = None, *, program: Path = PROGRAM
) -> AsyncGenerator[Place]:
    """A sandbox and a folder, with nothing in it yet.

    Args:
        more: What else `run` reads.
        program: As for `Place`.
    """
    key = new_key()
    with TemporaryDirectory() as folder:
        async with open_sandbox(users=2) as sandbox:
            data, pem = DataFolder(Path(folder) / "data"), Path(folder) / "server.pem"
            pem.write_text(sandbox.public_key_pem, encoding="ascii")
            env = worker_environment(data.path, key, server=sandbox.server, dc=sandbox.dc, pem=pem)
            env |= {"TGWORKER_STATUS_BIND": "127.0.0.1:0", **(more or {})}
            yield Place(sandbox, data, FernetVault([key]), env, program)
