"""The gateway's Storage without a database, a client on it, and a server that does what a script says."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import h11
import trio

from tgworker.devstack import Faults, Keys, project_keys
from tgworker.devstack.gateway import Gateway, serve_client
from tgworker.devstack.objects import Bucket, Objects
from tgworker.devstack.server import Server
from tgworker.devstack.storage import Storage as StandIn
from tgworker.devstack.upstream import Upstream
from tgworker.messaging.file_store import Content
from tgworker.messaging.models import Secret
from tgworker.supabase.events import SupabaseEvent
from tgworker.supabase.storage import Storage, open_storage


def of(content: bytes, *, pieces_of: int = 100_000) -> Content:
    """Content for an upload, in pieces."""

    async def pieces() -> AsyncGenerator[bytes]:
        for begin in range(0, len(content), pieces_of):
            await trio.lowlevel.checkpoint()
            yield content[begin : begin + pieces_of]

    return pieces


@dataclass(frozen=True)
class StorageWorld:
    """A gateway with the stand-in for Storage behind it, and our client in front."""

    gateway: Server
    faults: Faults
    objects: Objects
    storage: Storage
    events: Sequence[SupabaseEvent]

    def content(self, path: str, bucket: str = "files") -> bytes | None:
        """What the stand-in holds."""
        found = self.objects.open(bucket, path)
        if found is None:
            return None
        with found[1] as file:
            return file.read()


@asynccontextmanager
async def open_storage_world(
    folder: Path, *, media_s: float = 60, key: Callable[[Keys], str] = lambda keys: keys.service_role
) -> AsyncGenerator[StorageWorld]:
    objects, faults = Objects(folder / "objects"), Faults()
    objects.create(Bucket("files"))
    no_database = Upstream(folder / "nobody")
    keys = project_keys()
    server = Server(partial(serve_client, Gateway(no_database, StandIn(objects), keys, faults)))
    events: list[SupabaseEvent] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        url = f"http://{server.address}"
        async with open_storage(
            url, Secret(key(keys)), media_s=media_s, rng=Random(1), observer=events.append
        ) as storage:
            yield StorageWorld(server, faults, objects, storage, events)
        nursery.cancel_scope.cancel(reason="the test is over")


class HangUp(Exception):
    """Raised by a script: the connection is closed."""


@dataclass
class Wire:
    """A request under way."""

    head: h11.Request
    stream: trio.SocketStream
    http: h11.Connection
    at: float

    def header(self, name: str) -> str | None:
        return next((value.decode() for key, value in self.head.headers if key == name.encode()), None)

    async def receive(self) -> bytes | None:
        """The next piece of the body; ``None`` at its end."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some(65536))
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def receive_all(self) -> bytes:
        whole = b""
        while (piece := await self.receive()) is not None:
            whole += piece
        return whole

    async def begin(self, status: int, **headers: str) -> None:
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        await self._send(h11.Response(status_code=status, headers=fields))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self, status: int, body: bytes, **headers: str) -> None:
        await self.begin(status, content_length=str(len(body)), **headers)
        await self.send(body)
        await self.end()

    async def _send(self, event: h11.Event) -> None:
        await self.stream.send_all(self.http.send(event) or b"")


Script = Callable[[Wire], Awaitable[None]]


@dataclass
class ScriptedStorage:
    """A server that takes the next script for each request, and hangs up when there is none."""

    scripts: list[Script] = field(default_factory=list[Script])
    asked: list[Wire] = field(default_factory=list[Wire])
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[str]:
        return [f"{wire.head.method.decode()} {wire.head.target.decode()}" for wire in self.asked]

    async def serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        async with stream:
            with suppress(trio.BrokenResourceError, h11.RemoteProtocolError, HangUp):
                while True:
                    while (event := http.next_event()) is h11.NEED_DATA:
                        http.receive_data(await stream.receive_some(65536))
                    if not isinstance(event, h11.Request):
                        return
                    wire = Wire(event, stream, http, trio.current_time())
                    self.asked.append(wire)
                    if not self.scripts:
                        return
                    await self.scripts.pop(0)(wire)
                    await wire.receive_all()
                    http.start_next_cycle()


@asynccontextmanager
async def open_scripted_storage(*scripts: Script) -> AsyncGenerator[ScriptedStorage]:
    server = ScriptedStorage(list(scripts))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel(reason="the test is over")
