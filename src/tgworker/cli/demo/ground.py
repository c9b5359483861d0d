"""What the demo's stage stands on: a store that is open, the application beside it, and what can die."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tgworker.app.parts import OpenStore
from tgworker.embedded import DataFolder, HeartbeatFile, open_files, open_store
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, MessageId

LIMITS = Limits(
    ping_s=1,
    ping_idle_s=1,
    ping_busy_s=1,
    connect_s=2,
    accounts_every_s=2,
    heartbeat_every_s=1,
    outbound_every_s=0.02,
)
"""The plan's deadlines, but shorter waits between them: the demo ends within a minute."""


class Application(Protocol):
    """The application's side of the store."""

    async def add_account(
        self,
        name: str | None,
        owner_id: str,
        secrets_encrypted: str,
        *,
        user_id: int,
        phone: str | None = None,
    ) -> AccountId:
        """See `tgworker.messaging.books.AccountBook`."""
        ...

    async def enqueue(self, account_id: AccountId, to: str, texts: Sequence[str]) -> Sequence[MessageId]:
        """See `tgworker.messaging.books.OutboxBook`; waits while the store is away."""
        ...

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of everything, in the order of Telegram's ids."""
        ...


class Server(Protocol):
    """A process between worker and store."""

    async def kill(self) -> None:
        """Kill it (SIGKILL)."""
        ...

    async def start(self) -> None:
        """Start it again, and wait until it answers."""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """A store for the demo.

    Attributes:
        opened: What the worker works with.
        application: What the demo writes and reads with, apart from the worker.
        rest: What can be killed between the two; ``None``: there is no server.
    """

    opened: OpenStore
    application: Application
    rest: Server | None = None


@asynccontextmanager
async def open_embedded_ground(folder: Path) -> AsyncGenerator[Ground]:
    """The embedded store, in ``folder``."""
    data = DataFolder(folder)
    with (
        data.hold(),
        open_store(data, as_worker=True) as store,
        closing(HeartbeatFile(data.heartbeats)) as heartbeats,
    ):
        async with open_files(data, as_worker=True) as files:
            yield Ground(OpenStore(store, files, store.incarnation, LIMITS, (heartbeats,)), store)
