"""A real HTTP/1.1 server on loopback, on trio and h11, that keeps what it was asked and fails on request."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import h11
import trio


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]


@dataclass(frozen=True)
class Answered:
    """What is answered, and whether the connection is closed afterwards without having said so."""

    status: int = 200
    body: bytes = b'{"written": true}'
    headers: tuple[tuple[str, str], ...] = ()
    then_hang_up: bool = False


class HangUp(Exception):
    """Raised by an answerer: the connection is closed in place of an answer."""


Answerer = Callable[[Asked], Awaitable[Answered]]


async def created(_asked: Asked) -> Answered:
    """As ``tgworker_heartbeat`` answers."""
    return Answered()


@dataclass
class LoopbackHttp:
    """A running server. ``answer`` may be replaced at any time."""

    port: int
    answer: Answerer = created
    asked: list[Asked] = field(default_factory=list[Asked])
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def open_loopback_http(answer: Answerer = created) -> AsyncGenerator[LoopbackHttp]:
    async with trio.open_nursery() as nursery:
        server = LoopbackHttp(0, answer)
        listeners = await nursery.start(partial(trio.serve_tcp, partial(_serve, server), 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel(reason="the test is over")


async def _serve(server: LoopbackHttp, stream: trio.SocketStream) -> None:
    server.connections += 1
    connection = h11.Connection(h11.SERVER)
    async with stream:
        with suppress(trio.BrokenResourceError, h11.RemoteProtocolError, HangUp):
            while await _serve_one(server, stream, connection):
                connection.start_next_cycle()


async def _serve_one(server: LoopbackHttp, stream: trio.SocketStream, connection: h11.Connection) -> bool:
    request = await _next(stream, connection)
    if not isinstance(request, h11.Request):
        return False
    body = b""
    while isinstance(data := await _next(stream, connection), h11.Data):
        body += data.data
    headers = tuple((name.decode(), value.decode()) for name, value in request.headers)
    asked = Asked(request.method.decode(), request.target.decode(), headers, body)
    server.asked.append(asked)
    answer = await server.answer(asked)
    reply = h11.Response(
        status_code=answer.status, headers=[*answer.headers, ("Content-Length", str(len(answer.body)))]
    )
    for event in (reply, h11.Data(answer.body), h11.EndOfMessage()):
        await stream.send_all(connection.send(event) or b"")
    return not answer.then_hang_up and connection.our_state is h11.DONE


async def _next(stream: trio.SocketStream, connection: h11.Connection) -> object:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await stream.receive_some())
