"""A whole worker in the test's own process: sandbox, store, nursery tree, on whichever clock runs."""

import random
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import trio

from tgworker.app.parts import Parts
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.embedded import DataFolder, EmbeddedFiles, EmbeddedStore, HeartbeatFile, inline, open_store
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, MessageId, Secret
from tgworker.messaging.pacing import UNPACED, Rates
from tgworker.messaging.records import OutboxState
from tgworker.messaging.store_ports import HeartbeatWriter
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox
from tgworker.settings import TelegramServer, TelegramSettings
from tgworker.supervision import Backoff, ChildSpec
from tgworker.supervision.testing import Saboteur
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-0000-0000-000000000001"
EventT = TypeVar("EventT")


@dataclass
class Noted:
    at_s: float
    event: object


@dataclass
class World:
    """What a test sees and does; times are seconds since the world began."""

    sandbox: Sandbox
    store: EmbeddedStore
    worker: Worker
    saboteur: Saboteur
    account: AccountId
    me: SandboxUser
    peer: SandboxUser
    stranger: SandboxUser
    began_at: float
    folder: Path
    calendar: Callable[[], datetime]
    notes: list[Noted] = field(default_factory=list[Noted])

    @property
    def now_s(self) -> float:
        return trio.current_time() - self.began_at

    async def until(self, at_s: float) -> None:
        await trio.sleep_until(self.began_at + at_s)

    def seen(self, kind: type[EventT]) -> list[tuple[float, EventT]]:
        return [(noted.at_s, noted.event) for noted in self.notes if isinstance(noted.event, kind)]

    async def give(self, text: str, to: str | None = None) -> MessageId:
        (message_id,) = await self.store.enqueue(self.account, to or str(self.peer.id), [text])
        return message_id

    async def state_of(self, message_id: MessageId) -> OutboxState:
        return (await self.store.outcomes([message_id]))[message_id].state

    @contextmanager
    def reopen(self) -> Generator[EmbeddedStore]:
        """The store after the worker is gone."""
        with open_store(DataFolder(self.folder), as_worker=False, run_sync=inline) as store:
            yield store

    def arrived(self, at: SandboxUser | None = None) -> list[str]:
        """What the other side (by default the peer) holds of what we sent."""
        chat = self.sandbox.chat((at or self.peer).id, self.me.id)
        return [line.text for line in chat if not line.outgoing]


def calendar_on_the_clock() -> Callable[[], datetime]:
    """Calendar time that passes as trio's clock does, mocked or not."""
    start = datetime.now(UTC)
    began_at = trio.current_time()
    return lambda: start + timedelta(seconds=trio.current_time() - began_at)


async def wait_until(condition: Callable[[], bool], *, every_s: float = 0.01) -> None:
    while not condition():
        await trio.sleep(every_s)


@dataclass
class Ground:
    """A server, a data folder and an account: what outlives a worker.

    Attributes:
        rewire: Has the last word on a worker's parts: what stands between it and its store comes in there.
    """

    sandbox: Sandbox
    data: DataFolder
    account: AccountId
    vault: FernetVault
    heartbeats: Sequence[HeartbeatWriter]
    limits: Limits
    stall_after_s: float
    seed: int
    adjust: Callable[[ChildSpec], ChildSpec] | None
    line_backoff: Backoff
    rates: Rates
    rewire: Callable[[Parts], Parts]
    calendar: Callable[[], datetime]
    began_at: float = field(default_factory=trio.current_time)
    notes: list[Noted] = field(default_factory=list[Noted])

    def note(self, event: object) -> None:
        self.notes.append(Noted(trio.current_time() - self.began_at, event))

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[World]:
        """A worker for the length of the block. One may follow the other."""
        saboteur = Saboteur()
        me, peer, stranger = self.sandbox.users
        server = TelegramServer(
            host=self.sandbox.host,
            port=self.sandbox.port,
            dc=self.sandbox.dc,
            public_key=self.sandbox.public_key_pem,
        )
        with open_store(self.data, as_worker=True, run_sync=inline, now=self.calendar) as store:
            own = HeartbeatFile(self.data.heartbeats, run_sync=inline)
            parts = Parts(
                worker_id="test",
                incarnation=store.incarnation,
                data_dir=self.data.path,
                limits=self.limits,
                stall_after_s=self.stall_after_s,
                store=store,
                files=EmbeddedFiles(self.data.files, threads=lambda: inline),
                telegram=make_telegram(
                    TelegramSettings(api_id=1, api_hash=Secret("sandbox"), server=server), self.note
                ),
                vault=self.vault,
                heartbeats=(own, *self.heartbeats),
                rng=random.Random(self.seed),
                report=self.note,
                observers=(self.note,),
                adjust=self.adjust or saboteur.wrap,
                line_backoff=self.line_backoff,
                rates=self.rates,
            )
            try:
                async with Worker(self.rewire(parts)).open() as worker:
                    yield World(
                        self.sandbox,
                        store,
                        worker,
                        saboteur,
                        self.account,
                        me,
                        peer,
                        stranger,
                        self.began_at,
                        self.data.path,
                        self.calendar,
                        self.notes,
                    )
            finally:
                own.close()


@asynccontextmanager
async def open_ground(
    folder: Path,
    *,
    limits: Limits | None = None,
    stall_after_s: float = 60,
    seed: int = 1,
    heartbeats: Sequence[HeartbeatWriter] = (),
    adjust: Callable[[ChildSpec], ChildSpec] | None = None,
    line_backoff: Backoff | None = None,
    rates: Rates = UNPACED,
    rewire: Callable[[Parts], Parts] = lambda parts: parts,
) -> AsyncGenerator[Ground]:
    """One account, a peer and a stranger, and no worker yet."""
    vault = FernetVault([new_key()])
    data = DataFolder(folder)
    async with open_sandbox(users=3) as sandbox:
        me = sandbox.users[0]
        with data.hold():
            calendar = calendar_on_the_clock()
            with open_store(data, as_worker=True, run_sync=inline, now=calendar) as store:
                account = await store.add_account(
                    "me", OWNER, vault.encrypt(me.session), user_id=me.id, phone=me.phone
                )
            yield Ground(
                sandbox,
                data,
                account,
                vault,
                heartbeats,
                limits or Limits(),
                stall_after_s,
                seed,
                adjust,
                line_backoff or Backoff(initial_s=0.5, cap_s=60),
                rates,
                rewire,
                calendar,
            )


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    limits: Limits | None = None,
    stall_after_s: float = 60,
    seed: int = 1,
    heartbeats: Sequence[HeartbeatWriter] = (),
    adjust: Callable[[ChildSpec], ChildSpec] | None = None,
    line_backoff: Backoff | None = None,
    rates: Rates = UNPACED,
    rewire: Callable[[Parts], Parts] = lambda parts: parts,
) -> AsyncGenerator[World]:
    """A worker with one account, a peer and a stranger. The first heartbeat is due at 0 s.

    ``rewire`` has the last word on its parts: what stands between it and its store comes in there.
    """
    async with (
        open_ground(
            folder,
            limits=limits,
            stall_after_s=stall_after_s,
            seed=seed,
            heartbeats=heartbeats,
            adjust=adjust,
            line_backoff=line_backoff,
            rates=rates,
            rewire=rewire,
        ) as ground,
        ground.worker() as world,
    ):
        yield world
