"""Handing a request on to PostgREST, and its answer back."""

import select
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h11
import trio

from tgworker.devstack.exchange import CHUNK_BYTES, PER_HOP, Answer, Cut, Headers, Refused

TIMEOUT_S = 60.0
"""How long PostgREST may take to take a request and begin its answer (Kong's ``read_timeout``)."""
MAX_IDLE = 32
"""How many connections to PostgREST are kept open for the next request."""


@dataclass(slots=True)
class _Line:
    """A connection to PostgREST."""

    stream: trio.SocketStream
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    def is_stale(self) -> bool:
        """Whether the other side closed it, or talks out of turn."""
        poll = select.poll()
        poll.register(self.stream.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def is_reusable(self) -> bool:
        """Whether a request and its answer are over, and another may follow."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
        return self.http.our_state is h11.IDLE and not self.is_stale()

    async def next_event(self) -> object:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some(CHUNK_BYTES))
        return event

    async def ask(self, head: h11.Request, body: bytes) -> h11.Response:
        """Send a request and wait for the head of its answer."""
        data = (self.http.send(head) or b"") + (self.http.send(h11.Data(data=body)) or b"")
        # Whoever refuses a body may stop reading it; his answer is there all the same.
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(data + (self.http.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := await self.next_event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise trio.BrokenResourceError("no answer")
        return event


class Upstream:
    """PostgREST, as the gateway sees it.

    Args:
        socket: Where it listens.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._idle: list[_Line] = []

    async def relay(self, method: str, target: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Hand a request on, and its answer back, streamed.

        Nothing is sent twice: a write whose answer did not come may have been committed.

        Args:
            method: The HTTP method.
            target: What PostgREST is asked for.
            headers: The request's headers, without those that concern one connection only.
            body: The request's body.
            answer: Where the answer goes.

        Raises:
            Refused: There will be no answer; nothing of it was begun.
            Cut: The answer broke off.

        Cancellation: the request may be carried out.
        """
        length = (b"content-length", str(len(body)).encode())
        head = h11.Request(method=method, target=target, headers=[*headers, (b"host", b"postgrest"), length])
        async with self._line() as line:
            response = None
            try:
                with trio.move_on_after(TIMEOUT_S):
                    response = await line.ask(head, body)
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                raise Refused(
                    502, _message("An invalid response was received from the upstream server")
                ) from None
            if response is None:
                raise Refused(504, _message("The upstream server is timing out"))
            kept = [(name, value) for name, value in response.headers if name not in PER_HOP]
            await answer.start(response.status_code, kept)
            while isinstance(event := await _next_piece(line), h11.Data):
                await answer.send(bytes(event.data))
            await answer.end()

    async def aclose(self) -> None:
        """Close what is kept open.

        Cancellation: it is closed all the same.
        """
        for line in self._idle:
            await trio.aclose_forcefully(line.stream)
        self._idle.clear()

    async def _idle_line(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if not line.is_stale():
                return line
            await trio.aclose_forcefully(line.stream)
        return None

    async def _fresh_line(self) -> _Line:
        try:
            return _Line(await trio.open_unix_socket(str(self._socket)))
        except OSError:
            raise Refused(503, _message("name resolution failed")) from None

    @asynccontextmanager
    async def _line(self) -> AsyncGenerator[_Line]:
        """A connection to PostgREST; it is kept for the next request if this one went well."""
        line = await self._idle_line() or await self._fresh_line()
        try:
            yield line
        finally:
            if line.is_reusable() and len(self._idle) < MAX_IDLE:
                self._idle.append(line)
            else:
                await trio.aclose_forcefully(line.stream)


async def _next_piece(line: _Line) -> object:
    try:
        return await line.next_event()
    except (trio.BrokenResourceError, h11.RemoteProtocolError):
        raise Cut from None


def _message(text: str) -> dict[str, str]:
    """As Kong, Supabase's gateway, words it."""
    return {"message": text}
