"""A Telegram of our own with accounts and lines to it, in the test's own process, for any test.

Loopback sockets are exact under a mock clock: the kernel hands a packet over before ``send`` returns, so a
clock that jumps when every task is blocked never jumps over one.
"""

import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import trio

from tgworker.messaging.models import Account, AccountId, ChatMessage, Peer, Position, Secret
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.sandbox import Sandbox, open_sandbox
from tgworker.telegram import (
    ServerOverride,
    TelegramEvent,
    TelegramSettings,
    TelethonConnection,
    TelethonTelegram,
)

SEND = "SendMessageRequest"


class Tap:
    """A pipe between the client and the server that can be shut: then nobody reads, and buffers fill up."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._open = trio.Event()
        self._open.set()
        self.port = 0

    def shut(self) -> None:
        """Read no more, from either side."""
        self._open = trio.Event()

    def reopen(self) -> None:
        """Read again."""
        self._open.set()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept lines until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._join, [listener])

    async def _join(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream(*self._server)
        try:
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, server, client)
                await self._carry(client, server)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side has gone; the other is closed

    async def _carry(self, source: trio.SocketStream, target: trio.SocketStream) -> None:
        while True:
            await self._open.wait()
            data = await source.receive_some(65536)
            if not data:
                return
            await target.send_all(data)


@dataclass
class World:
    """A sandbox, and an adapter that talks to it.

    Attributes:
        sandbox: The server.
        telegram: The adapter.
        tap: What lines run through, if the world was opened so.
        events: What the adapter told its observer.
    """

    sandbox: Sandbox
    telegram: TelethonTelegram
    tap: Tap
    events: list[TelegramEvent] = field(default_factory=list[TelegramEvent])

    def id(self, user: int) -> int:
        """The Telegram id of the sandbox's user number ``user``."""
        return self.sandbox.users[user].id

    def account(self, user: int) -> Account:
        """The account of a user as the store would have it."""
        return Account(AccountId(f"account-{user}"), "owner", None, None, "")

    def open(self, user: int = 0) -> AbstractAsyncContextManager[TelethonConnection]:
        """A line for a user, not connected."""
        return self.telegram.open(self.account(user), Secret(self.sandbox.users[user].session))

    @asynccontextmanager
    async def online(
        self, user: int = 0, position: Position | None = None
    ) -> AsyncGenerator[TelethonConnection]:
        """A connected line; the first batch of an account that starts without a position is taken already."""
        async with self.open(user) as line:
            await line.connect(position, [])
            if position is None:
                await line.updates.receive()
            yield line

    def texts(self, user: int, peer: int) -> list[str]:
        """What stands in a user's chat with another, on the server."""
        return [message.text for message in self.sandbox.chat(self.id(user), self.id(peer))]

    async def peer(self, line: TelethonConnection, user: int) -> Peer:
        """Another user as a line may address it."""
        found = await line.resolve(f"@{self.sandbox.users[user].username}")
        assert isinstance(found, Peer)
        return found


@asynccontextmanager
async def open_world(
    users: int = 2,
    *,
    through_tap: bool = False,
    more_dcs: Sequence[int] = (),
    calendar: Callable[[], float] = time.time,
) -> AsyncGenerator[World]:
    """A sandbox with some users and an adapter for it."""
    async with (
        open_sandbox(users=users, more_dcs=more_dcs, calendar=calendar) as sandbox,
        trio.open_nursery() as nursery,
    ):
        host, port = sandbox.server.rsplit(":", 1)
        tap = Tap(host, int(port))
        if through_tap:
            await nursery.start(tap.serve)
        server = ServerOverride(
            host=host,
            port=tap.port if through_tap else int(port),
            dc=sandbox.dc,
            public_key_pem=sandbox.public_key_pem,
        )
        events: list[TelegramEvent] = []
        telegram = TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash", server=server), events.append)
        yield World(sandbox, telegram, tap, events)
        nursery.cancel_scope.cancel()


async def receive_until(
    line: TelethonConnection, enough: Callable[[list[ChatMessage]], bool]
) -> list[UpdateBatch]:
    """Receive batches until their messages are enough; a day without them is a failure."""
    batches: list[UpdateBatch] = []
    with trio.fail_after(24 * 3600):
        while not enough([message for batch in batches for message in batch.messages]):
            batches.append(await line.updates.receive())
    return batches


async def receive_texts(line: TelethonConnection, count: int) -> list[str]:
    """The texts of the next ``count`` messages."""
    batches = await receive_until(line, lambda messages: len(messages) >= count)
    return [message.text for batch in batches for message in batch.messages]


def open_files() -> int:
    """How many file descriptors this process holds: a leaked socket shows."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 # a count, of something that vanishes while one looks
