"""What the demo's stage stands on: a store that is open, the application beside it, and what can die."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import trio

from tgworker.app.parts import OpenStore
from tgworker.embedded import DataFolder, HeartbeatFile, open_files, open_store
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId, MessageId

LIMITS = Limits(
    ping_s=1,
    ping_idle_s=1,
    ping_busy_s=1,
    connect_s=2,
    accounts_every_s=2,
    heartbeat_every_s=1,
    outbound_every_s=0.02,
    jobs_every_s=0.5,
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

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
    ) -> Sequence[MessageId]:
        """See `tgworker.messaging.books.OutboxBook`; waits while the store is away."""
        ...

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of everything, in the order of Telegram's ids."""
        ...


class Tables(Protocol):
    """The application's tables, as the application itself writes and reads them."""

    async def insert(self, table: str, **columns: str | int) -> str:
        """Insert a row; returns its id."""
        ...

    async def rows(self, table: str, **where: str) -> Sequence[Mapping[str, Any]]:
        """The rows whose columns have these values."""
        ...


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A row of ``attachments``, and what its message says.

    Attributes:
        text: What stands under the file.
        kind: ``messages.message_type``.
        album: Whether Telegram put the message into a group.
        bucket: Where the file lies.
        path: The same.
        mime_type: What it is.
        byte_size: How long it is.
    """

    text: str = field(repr=False)
    kind: str
    album: bool
    bucket: str
    path: str = field(repr=False)
    mime_type: str
    byte_size: int


Attachments = Callable[[AccountId, int], Awaitable[Sequence[KeptFile]]]
"""The files that came to an account in a chat, in the order of Telegram's ids."""


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
        attachments: Reads the rows of files, likewise.
        tables: The application's tables, likewise.
        rest: What can be killed between the two; ``None``: there is no server.
    """

    opened: OpenStore
    application: Application
    attachments: Attachments
    tables: Tables
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
            yield Ground(
                OpenStore(store, files, store.incarnation, LIMITS, (heartbeats,)),
                store,
                partial(_attachments, data.database),
                SqliteTables(data.database),
            )


class SqliteTables:
    """Fills `Tables`: a connection of its own for each call.

    Args:
        database: The embedded store's file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    async def insert(self, table: str, **columns: str | int) -> str:
        """See `Tables`."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        query = f"insert into {table} ({names}) values ({marks}) returning id"  # noqa: S608 - our names
        ((row_id,),) = await self._run(query, *columns.values())
        return str(row_id)

    async def rows(self, table: str, **where: str) -> Sequence[Mapping[str, Any]]:
        """See `Tables`."""
        tests = " and ".join(f"{name} = ?" for name in where) or "true"
        return await self._run(f"select * from {table} where {tests}", *where.values())  # noqa: S608

    async def _run(self, query: str, *values: str | int) -> Sequence[Any]:
        def run() -> Sequence[Any]:
            with closing(sqlite3.connect(self._database)) as connection, connection:
                connection.row_factory = sqlite3.Row
                return connection.execute(query, values).fetchall()

        return await trio.to_thread.run_sync(run)


_KEPT: Final = """
select coalesce(m.text, ''), m.message_type, m.raw_payload ->> 'grouped_id' is not null,
    a.storage_bucket, a.storage_path, a.mime_type, a.byte_size
from attachments a
join messages m on m.id = a.message_id
join tgworker_message_keys k on k.message_id = m.id
where m.integration_account_id = ? and k.chat_id = ? and m.direction = 'inbound'
order by k.telegram_id
"""


async def _attachments(database: Path, account_id: AccountId, chat_id: int) -> Sequence[KeptFile]:
    def read() -> Sequence[KeptFile]:
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(_KEPT, (account_id, chat_id)).fetchall()
        return [
            KeptFile(text, kind, bool(album), bucket, path, mime_type, size)
            for text, kind, album, bucket, path, mime_type, size in rows
        ]

    return await trio.to_thread.run_sync(read)
