"""HTTP/1.1 with one client: requests in, answers out, bodies streamed both ways. h11 knows the protocol."""

import json
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, cast

import h11
import trio

CHUNK_BYTES = 65536
MAX_JSON_BYTES = 1024 * 1024
IDLE_S = 75.0
"""How long a client may say nothing, between two requests or in one (nginx's and Kong's keep-alive)."""
LINGER_S = 1.0
"""How long what a client still sends is read after its upload was refused: closing at once would take the
answer from it (a reset overtakes what was not read yet).
"""

Headers = Sequence[tuple[bytes, bytes]]

PER_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers that concern one connection only (RFC 9110, 7.6.1)."""


class Cut(Exception):
    """The client's connection is to be cut, now.

    Args:
        reset: Whether the client sees a broken line, or an orderly end where there should be none.
    """

    def __init__(self, *, reset: bool = True) -> None:
        super().__init__(reset)
        self.reset = reset


class Refused(Exception):
    """A request is answered with an error.

    Args:
        status: The HTTP status.
        value: The body, as JSON.
        headers: Further headers.
    """

    def __init__(self, status: int, value: object, headers: Headers = ()) -> None:
        super().__init__(status)
        self.status = status
        self.value = value
        self.headers = headers


class Answer(Protocol):
    """Where an answer goes."""

    async def start(self, status: int, headers: Headers) -> None:
        """Status and headers; hop-by-hop headers are not among them."""
        ...

    async def send(self, data: bytes) -> None:
        """A piece of the body."""
        ...

    async def end(self) -> None:
        """The end of the body."""
        ...


class Request:
    """A request, its body still to come.

    Args:
        head: As h11 read it.
        body: The pieces of its body, once.
    """

    def __init__(self, head: h11.Request, body: Callable[[], AsyncGenerator[bytes]]) -> None:
        self.method = head.method.decode()
        self.target = head.target.decode("latin-1")
        self.path, _, self.query = self.target.partition("?")
        self.headers: Headers = list(head.headers)
        self.body = body

    def header(self, name: str) -> str:
        """A header's value; empty if there is none.

        Args:
            name: In lower case.
        """
        return next((value.decode("latin-1") for key, value in self.headers if key == name.encode()), "")

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            Refused: It is longer than ``limit`` bytes.
        """
        whole = bytearray()
        async with aclosing(self.body()) as pieces:
            async for piece in pieces:
                whole += piece
                if len(whole) > limit:
                    raise Refused(413, {"message": f"a body of more than {limit} bytes"})
        return bytes(whole)

    async def json(self) -> Mapping[str, Any]:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            Refused: It is none, or longer than `MAX_JSON_BYTES`.
        """
        try:
            value = json.loads(await self.read(MAX_JSON_BYTES) or b"{}")
        except ValueError:
            raise Refused(400, {"message": "the body is not JSON"}) from None
        if not isinstance(value, dict):
            raise Refused(400, {"message": "the body is not a JSON object"})
        return cast("dict[str, Any]", value)


class Exchange:
    """One client's connection.

    Args:
        stream: The connection.
        gate: Awaited before each byte that goes in or out: a frozen server waits here.
    """

    def __init__(self, stream: trio.SocketStream, gate: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._gate = gate
        self._http = h11.Connection(h11.SERVER)
        self._head = b""
        self._for_head = False
        self.halve_answer = False
        """Whether the answer breaks off after half of what is sent first."""

    async def next_request(self) -> Request | None:
        """The next request, or ``None`` when there will be none, or none came within `IDLE_S`.

        Raises:
            h11.RemoteProtocolError: What came is not HTTP.
            trio.BrokenResourceError: The client is gone.
        """
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        try:
            head = await self._next_event()
        except Cut:
            return None
        if not isinstance(head, h11.Request):
            return None
        self._for_head = head.method == b"HEAD"
        return Request(head, self._body)

    async def _body(self) -> AsyncGenerator[bytes]:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._gate()
            with trio.move_on_after(IDLE_S) as patience:
                self._http.receive_data(await self._stream.receive_some(CHUNK_BYTES))
            if patience.cancelled_caught:
                raise Cut
        return event

    async def _send(self, data: bytes | None) -> None:
        await self._gate()
        data = data or b""
        with trio.move_on_after(IDLE_S) as patience:
            await self._stream.send_all(data[: len(data) // 2] if self.halve_answer else data)
        if patience.cancelled_caught:
            raise Cut
        if self.halve_answer and data:
            raise Cut(reset=False)

    # ---------------------------------------------------------------- the answer

    async def start(self, status: int, headers: Headers) -> None:
        """Status and headers; they go out together with the first piece of the body."""
        self._head = self._http.send(h11.Response(status_code=status, headers=list(headers))) or b""
        await trio.lowlevel.checkpoint()

    async def send(self, data: bytes) -> None:
        """A piece of the body; an answer to HEAD has none."""
        head, self._head = self._head, b""
        piece = h11.Data(data=b"" if self._for_head else data)
        await self._send(head + (self._http.send(piece) or b""))

    async def end(self) -> None:
        """The end of the body. A client that still sends much then loses its connection."""
        head, self._head = self._head, b""
        await self._send(head + (self._http.send(h11.EndOfMessage()) or b""))
        if self._http.their_state is h11.SEND_BODY and not await self.receive_small():
            await self._linger()

    async def receive_small(self) -> bool:
        """Receive what is left of the request's body; returns whether that was possible (it may be large)."""
        received = 0
        with trio.move_on_after(LINGER_S):
            while received <= CHUNK_BYTES:
                event = await self._next_event()
                if not isinstance(event, h11.Data):
                    return True
                received += len(event.data)
        return False

    async def _linger(self) -> None:
        """Close in order although the client still sends. It is not told that the connection ends."""
        await self._stream.send_eof()
        with trio.move_on_after(LINGER_S):
            while await self._stream.receive_some(CHUNK_BYTES):
                pass

    # ---------------------------------------------------------------- breaking

    async def swallow(self) -> None:
        """Read whatever still comes, say nothing; returns when the client gives up."""
        while True:
            await self._gate()
            if not await self._stream.receive_some(CHUNK_BYTES):
                return

    async def complain(self) -> None:
        """Answer what is not HTTP, as far as that can be answered."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await reply(self, 400, {"message": "this is not HTTP/1.1"}, [(b"connection", b"close")])

    def reset(self) -> None:
        """Let the close that follows be a reset: the client sees a broken line, not an end."""
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def reply(answer: Answer, status: int, value: object, headers: Headers = ()) -> None:
    """Answer with JSON."""
    body = json.dumps(value).encode()
    length = (b"content-length", str(len(body)).encode())
    await answer.start(status, [(b"content-type", b"application/json; charset=utf-8"), length, *headers])
    await answer.send(body)
    await answer.end()
