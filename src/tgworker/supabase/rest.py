"""Requests to PostgREST: with the project's key, over few connections, each held by one task at a time."""

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final, TypeVar

import httpx
import msgspec
import trio

from tgworker.messaging.errors import StoreRefused
from tgworker.messaging.models import Secret
from tgworker.supabase.circuit import Circuit
from tgworker.supabase.clients import POOL_S, TORN, close_client, new_client
from tgworker.supabase.errors import Meaning, away_by, refusal_of
from tgworker.supabase.events import Observer, RequestFailed, ignore
from tgworker.supabase.requests import CallRequests

T = TypeVar("T")

MAX_CONNECTIONS: Final = 4
"""More concurrency is slower: twenty clients moved two thirds of what one did."""

BACKSTOP_S: Final = 30.0
"""For callers without a deadline of their own; the loops' is 10 s."""

TRIES: Final = 3
"""So often one request is sent where the database says "again": a deadlock, a terminated connection."""

UNAUTHORIZED: Final = 401

CUT_OFF_S: Final = 7.0
"""A request that is cancelled after this time was cut off at its deadline; before, its caller went away."""


class Rest:
    """One project's REST API. Get one from `open_rest`.

    Every request must be safe to repeat: one that was cut off may still have been carried out, and one whose
    connection tore, or which the database asks to repeat, is sent again.

    Every method raises `StoreAway` when nobody answers, or not now (`StoreRefused`: a person must act),
    `RpcRaised` where a function of ours says no, and `RequestBroken` for a bug. Cancellation: what was asked
    may have been done or not; the connection is closed.
    """

    def __init__(
        self,
        url: str,
        key: Secret,
        *,
        max_connections: int,
        rng: Random | None = None,
        observer: Observer = ignore,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._key = key
        self._max_connections = max_connections
        self._rng = Random() if rng is None else rng
        self._observer = observer
        self._transport = transport
        # httpcore#1093: requests cancelled while others wait for a connection wedge the pool for good. Nobody
        # ever waits inside the pool, because everybody waits here.
        self._limiter = trio.CapacityLimiter(max_connections)
        self._circuit = Circuit(self._rng)
        self._client = self._new_client()
        self._requests = CallRequests(url, self._client)

    async def call(self, function: str, arguments: Mapping[str, Any], answer: type[T]) -> T:
        """Call a function of the database.

        Args:
            function: Its name.
            arguments: By their names; what is left out has its default.
            answer: What it answers, as msgspec is to decode it.
        """
        content = await self._post(function, msgspec.json.encode(arguments))
        return _decoded(function, content, msgspec.json.Decoder(answer))

    async def find(self, function: str, arguments: Mapping[str, Any], answer: type[T]) -> T | None:
        """Call a function that answers with an object, or with null; as `call`."""
        content = await self._post(function, msgspec.json.encode(arguments))
        return None if content == b"null" else _decoded(function, content, msgspec.json.Decoder(answer))

    async def do(self, function: str, arguments: Mapping[str, Any]) -> None:
        """Call a function that answers nothing; as `call`."""
        await self._post(function, msgspec.json.encode(arguments))

    async def close(self) -> None:
        """Close the connections; takes at most `CLOSE_S`, also while being cancelled."""
        await close_client(self._client)

    async def _post(self, call: str, body: bytes) -> bytes:
        what = f"Supabase ({call})"
        request_id = f"{self._rng.getrandbits(64):016x}"
        started_at = math.inf

        def failed(reason: str) -> None:
            self._observer(RequestFailed(request_id, call, reason, trio.current_time() - started_at))

        async def send() -> httpx.Response:
            client = self._client
            try:
                return await _answered(client, self._requests.make(call, body, request_id))
            except httpx.PoolTimeout:
                await self._replace(client)
                raise

        self._circuit.check(what)  # before it waits for a connection
        async with self._limiter:
            for attempt in range(1, TRIES + 1):
                with self._circuit.turn(what) as turn:
                    started_at = trio.current_time()
                    try:
                        try:
                            response = await send()
                        except TORN as torn:
                            failed(type(torn).__name__)
                            response = await send()
                    except httpx.TransportError as broken:
                        failed(type(broken).__name__)
                        away = away_by(broken, what)
                        if away is None:
                            raise
                        if not isinstance(broken, httpx.PoolTimeout):
                            turn.away()
                        raise away from broken
                    except trio.Cancelled:
                        if trio.current_time() - started_at >= CUT_OFF_S:
                            failed("no answer before its deadline")
                        raise
                    refusal = refusal_of(response)
                    if refusal is None:
                        turn.answered()
                        return response.content
                    error = refusal.error(what)
                    if refusal.meaning is Meaning.AWAY:
                        turn.away()
                    elif refusal.status == UNAUTHORIZED and isinstance(error, StoreRefused):
                        turn.away(error)  # whatever is asked: the key is wrong
                    else:
                        turn.answered()
                    failed(f"{refusal.status} {refusal.code or ''} {refusal.case}".strip())
                    if refusal.meaning is not Meaning.AGAIN or attempt == TRIES:
                        raise error
        raise AssertionError("unreachable")

    async def _replace(self, broken: httpx.AsyncClient) -> None:
        """Go on with a new client; requests that still run on the broken one tear, and are repeated."""
        if self._client is broken:  # and not another task's work already
            self._client = self._new_client()
            await close_client(broken)

    def _new_client(self) -> httpx.AsyncClient:
        return new_client(
            self._url,
            self._key,
            max_connections=self._max_connections,
            timeout=httpx.Timeout(BACKSTOP_S, pool=POOL_S),
            transport=self._transport,
        )


@asynccontextmanager
async def open_rest(
    url: str,
    key: Secret,
    *,
    max_connections: int = MAX_CONNECTIONS,
    rng: Random | None = None,
    observer: Observer = ignore,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncGenerator[Rest]:
    """A project's REST API; nothing is sent before the first request.

    Args:
        url: The project's URL, without a slash at the end.
        key: A JWT of the role ``service_role``, or an ``sb_secret_…`` key.
        max_connections: How many requests run at a time; others wait for their turn.
        rng: Request ids, and jitter; one of its own if nothing is said.
        observer: Hears of every request that failed.
        transport: In place of the network, for tests: a scripted server.
    """
    rest = Rest(url, key, max_connections=max_connections, rng=rng, observer=observer, transport=transport)
    try:
        yield rest
    finally:
        await rest.close()


def _decoded(function: str, content: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(content)
    except msgspec.DecodeError:
        # Without the cause: its text may quote what was answered.
        raise StoreRefused(
            f"Supabase ({function}) answered what this program does not know: "
            "put the project's own URL into SUPABASE_URL, or upgrade"
        ) from None


async def _answered(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The whole answer to a request that needs nothing of the client but its connections.

    ``client.send`` would look for redirects, cookies and authentication, a tenth of a call's cost.

    Raises:
        httpx.TransportError: As the client's.

    Cancellation: the connection is closed; the request may have been carried out.
    """
    transport: httpx.AsyncBaseTransport = client._transport
    response = await transport.handle_async_request(request)
    try:
        response.request = request
        await response.aread()
    except BaseException:
        await response.aclose()
        raise
    return response
