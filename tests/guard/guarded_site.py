"""Guards as real processes, a sandbox in the test's own; their log, the heartbeat's row, `status`."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from types import MappingProxyType
from typing import Any

import trio

from tgworker.embedded import DataFolder, EmbeddedStore, HeartbeatFile, inline, open_store
from tgworker.messaging.models import AccountId
from tgworker.messaging.records import HeartbeatRecord
from tgworker.operations.status_socket import ask
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox
from tgworker.vault import FernetVault, new_key

COMMAND = (sys.executable, "-m", "tgworker")
SABOTAGE = (sys.executable, str(Path(__file__).with_name("sabotage_program.py")))
OWNER = "00000000-0000-0000-0000-000000000001"
WORKER_ID = "telegram-main"
#: A site's whole life: less than pytest's ceiling, which would leave its processes behind.
WITHIN_S = 50
LOOK_EVERY_S = 0.01


class Line(dict[str, Any]):
    """A line of the log, or a complaint (as its ``event``). Fields that say nothing are not written."""

    def __missing__(self, name: str) -> None:
        return None


@dataclass
class Guard:
    """A guard that runs, and what it and its workers have logged."""

    process: trio.Process
    lines: list[Line] = field(default_factory=list[Line])

    async def line(self, event: str, *, nth: int = 1, **fields: object) -> Line:
        """Wait for the n-th line that says this."""
        while len(found := self.said(event, **fields)) < nth:
            await trio.sleep(LOOK_EVERY_S)
        return found[nth - 1]

    def said(self, event: str, **fields: object) -> list[Line]:
        """The lines so far that say this."""
        return [
            line
            for line in self.lines
            if line["event"] == event and all(line[name] == value for name, value in fields.items())
        ]

    def order(self, *events: str) -> list[str]:
        """These events in the order in which they were logged."""
        return [line["event"] for line in self.lines if line["event"] in events]

    async def worker_pid(self, *, nth: int = 1) -> int:
        """The process of the n-th worker, as soon as it is forked."""
        return int((await self.line("worker forked", nth=nth))["worker_pid"])

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; returns its exit code."""
        self.process.send_signal(number)
        return await self.process.wait()

    async def read(self) -> None:
        """Take note of what it says, until nobody can say anything any more."""
        assert self.process.stderr is not None
        rest = b""
        async for data in self.process.stderr:
            *whole, rest = (rest + data).split(b"\n")
            for text in whole:
                self.lines.append(
                    Line(json.loads(text)) if text.startswith(b"{") else Line(event=text.decode())
                )


@dataclass(frozen=True)
class Seen:
    """The heartbeat's row at one moment."""

    at_s: float
    row: HeartbeatRecord


@dataclass
class Site:
    """A sandbox, a data folder with an account for each user but the last, and an environment for both."""

    folder: Path
    sandbox: Sandbox
    env: dict[str, str]
    accounts: list[AccountId]
    seen: list[Seen] = field(default_factory=list[Seen])

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.folder / "data")

    @property
    def peer(self) -> SandboxUser:
        """The user without an account here."""
        return self.sandbox.users[-1]

    # ---------------------------------------------------------------- processes

    @asynccontextmanager
    async def guard(
        self,
        *arguments: str,
        program: Sequence[str] = COMMAND,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncGenerator[Guard]:
        """A guard that is killed at the end of the block, unless it ended before."""
        async with trio.open_nursery() as nursery:
            process = await trio.lowlevel.open_process(
                [*program, *(arguments or ("run",))],
                env={**self.env, **env},
                cwd=self.folder,
                stderr=PIPE,
                start_new_session=True,
            )
            guard = Guard(process)
            nursery.start_soon(guard.read)
            try:
                yield guard
            finally:
                with trio.CancelScope(shield=True):
                    if process.poll() is None:
                        process.kill()
                    await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + 2  # for what it said last

    async def command(self, *arguments: str) -> CompletedProcess[bytes]:
        """Run a command to its end."""
        return await trio.run_process(
            [*COMMAND, *arguments],
            env=self.env,
            cwd=self.folder,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )

    def do(self, account: AccountId | str, deed: str) -> None:
        """Have the program of sabotage do something as an account, or `start`."""
        (self.folder / "orders" / account).write_text(deed)

    # ---------------------------------------------------------------- what is seen from outside

    async def status(self) -> Mapping[str, Any]:
        """What `status --json` shows."""
        done = await self.command("status", "--json")
        shown: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return shown

    async def answer(self) -> Mapping[str, Any] | None:
        """What a living worker answers to `status`; ``None`` while none does."""
        with trio.move_on_after(1):
            return await ask(self.data.path, "status", within_s=1)
        return None

    async def wait_online(self, *accounts: AccountId, beyond: int = 0) -> Mapping[str, Any]:
        """Wait until a worker (of another process than ``beyond``) has these accounts, or all, online."""
        wanted = set(accounts or self.accounts)
        while True:
            answer = await self.answer()
            if answer is not None and answer["pid"] != beyond:
                online = {one["id"] for one in answer["accounts"] if one["state"] == "online"}
                if wanted <= online:
                    return answer
            await trio.sleep(0.02)

    async def row(self) -> HeartbeatRecord | None:
        """The heartbeat's row."""
        heartbeats = HeartbeatFile(self.data.heartbeats, run_sync=inline)
        try:
            return await heartbeats.read(WORKER_ID)
        finally:
            heartbeats.close()

    async def wait_row(self, status: str, *, beyond: int = 0) -> HeartbeatRecord:
        """Wait until the row says this (and is younger than number ``beyond``)."""
        while True:
            row = await self.row()
            if row is not None and row.status == status and row.seq > beyond:
                return row
            await trio.sleep(0.02)

    async def watch(self) -> None:
        """Keep looking at the row; whatever it says newly is kept in `seen`."""
        heartbeats = HeartbeatFile(self.data.heartbeats, run_sync=inline)
        try:
            while True:
                row = await heartbeats.read(WORKER_ID)
                if row is not None:
                    self.seen.append(Seen(trio.current_time(), row))
                await trio.sleep(0.05)
        finally:
            heartbeats.close()

    def statuses(self) -> list[str]:
        """What the row said, one after the other, without repetitions."""
        said = [seen.row.status for seen in self.seen]
        return [status for before, status in zip([None, *said], said, strict=False) if status != before]

    # ---------------------------------------------------------------- messages

    @contextmanager
    def store(self) -> Generator[EmbeddedStore]:
        """The store, as commands open it."""
        with open_store(self.data, as_worker=False, run_sync=inline) as store:
            yield store

    async def give(self, account: AccountId, texts: Sequence[str]) -> None:
        """Put texts for the peer into the outbox."""
        with self.store() as store:
            await store.enqueue(account, str(self.peer.id), texts)

    def arrived(self, account: AccountId) -> list[str]:
        """The texts that the peer holds of an account, in order."""
        me = self.sandbox.users[self.accounts.index(account)]
        return [line.text for line in self.sandbox.chat(self.peer.id, me.id) if not line.outgoing]

    async def stored(self, account: AccountId) -> list[str]:
        """The texts that came in for an account, in order."""
        with self.store() as store:
            return [text for _, text in await store.transcript(account, direction="inbound")]


@asynccontextmanager
async def open_site(
    folder: Path,
    *,
    accounts: int = 1,
    freeze_after_s: float = 1,
    heartbeat_s: float = 1,
    within_s: float = WITHIN_S,
    **variables: str,
) -> AsyncGenerator[Site]:
    """A sandbox and a data folder, in which nothing runs yet.

    Raises:
        TooSlowError: The block has not ended in time; it was cancelled, and its processes are gone.
    """
    key = new_key()
    vault = FernetVault([key])
    (folder / "orders").mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TGWORKER_", "TELEGRAM_", "SUPABASE_", "NOTIFY_", "WATCHDOG_"))
    }
    with trio.fail_after(within_s):
        async with open_sandbox(users=accounts + 1) as sandbox:
            pem = folder / "server.pem"
            pem.write_text(sandbox.public_key_pem)
            env = inherited | {
                "ENCRYPTION_KEY": key.value,
                "TGWORKER_DATA_DIR": str(folder / "data"),
                "TGWORKER_PACING": "off",
                "TGWORKER_TELEGRAM_SERVER": sandbox.server,
                "TGWORKER_TELEGRAM_SERVER_KEY": str(pem),
                "TGWORKER_TELEGRAM_DC": str(sandbox.dc),
                "TGWORKER_LOG_FORMAT": "json",
                "TGWORKER_FREEZE_AFTER_S": f"{freeze_after_s:g}",
                "TGWORKER_HEARTBEAT_S": f"{heartbeat_s:g}",
                "TGWORKER_STATUS_BIND": "off",
                **variables,
            }
            site = Site(folder, sandbox, env, [])
            site.data.prepare()
            with site.data.hold(), open_store(site.data, as_worker=True, run_sync=inline) as store:
                for number, user in enumerate(sandbox.users[:-1]):
                    site.accounts.append(
                        await store.add_account(
                            f"account-{number}",
                            OWNER,
                            vault.encrypt(user.session),
                            user_id=user.id,
                            phone=user.phone,
                        )
                    )
            yield site


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in other processes."""
    while not condition():
        await trio.sleep(LOOK_EVERY_S)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
