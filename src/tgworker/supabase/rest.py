"""Requests to PostgREST: with the project's key, over few connections, each held by one task at a time."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
import trio

from tgworker.messaging.models import Secret
from tgworker.supabase.errors import away_by, refusal_of

MAX_CONNECTIONS: Final = 4
"""More concurrency is slower: twenty clients moved two thirds of what one did."""

POOL_S: Final = 1.0
"""Under the limiter no request waits for a connection; one that does has met a slot that was lost."""

BACKSTOP_S: Final = 30.0
"""For callers without a deadline of their own; the loops' is 10 s."""

KEEPALIVE_S: Final = 30.0
"""Two heartbeats. httpx's own 5 s would make a new connection for each."""

CLOSE_S: Final = 1.0
"""How long the connections of a client that is given up may take to say goodbye."""

# A connection that was kept open may be closed by the other side just as it is used again. Whether the
# request was carried out nobody knows.
_TORN: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class Rest:
    """One project's REST API. Get one from `open_rest`.

    Every request must be safe to repeat: one that was cut off may still have been carried out, and one whose
    connection tore is sent once more.
    """

    def __init__(self, url: str, key: Secret, *, max_connections: int) -> None:
        self._url = url
        self._key = key
        self._max_connections = max_connections
        # httpcore#1093: requests cancelled while others wait for a connection wedge the pool for good. Nobody
        # ever waits inside the pool, because everybody waits here.
        self._limiter = trio.CapacityLimiter(max_connections)
        self._client = self._new_client()

    async def upsert(self, table: str, row: Mapping[str, Any], *, key_column: str) -> None:
        """Insert a row, or update the columns given where one has that key.

        Args:
            table: The table's name.
            row: The columns to write.
            key_column: The primary key.

        Raises:
            StoreAway: Nobody answers, or not now. `StoreRefused` says that a person must act.

        Cancellation: the row may be written or not; the connection is closed.
        """
        await self._request(
            "POST",
            table,
            params={"on_conflict": key_column},
            headers={"Prefer": "resolution=merge-duplicates,return=minimal"},
            body=msgspec.json.encode(row),
        )

    async def close(self) -> None:
        """Close the connections; takes at most `CLOSE_S`, also while being cancelled."""
        await _close(self._client)

    async def _request(
        self, method: str, table: str, *, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        what = f"Supabase ({table})"

        async def send() -> httpx.Response:
            client = self._client
            request = client.build_request(
                method, f"/rest/v1/{table}", params=params, headers=headers, content=body
            )
            request.stream = _Body(body)
            try:
                return await client.send(request)
            except httpx.PoolTimeout:
                await self._replace(client)
                raise

        async with self._limiter:
            try:
                try:
                    response = await send()
                except _TORN:
                    response = await send()
            except httpx.TransportError as error:
                away = away_by(error, what)
                if away is None:
                    raise
                raise away from error
        refusal = refusal_of(response, what)
        if refusal is not None:
            raise refusal
        return response

    async def _replace(self, broken: httpx.AsyncClient) -> None:
        """Go on with a new client; requests that still run on the broken one tear, and are repeated."""
        if self._client is broken:  # and not another task's work already
            self._client = self._new_client()
            await _close(broken)

    def _new_client(self) -> httpx.AsyncClient:
        headers = {"apikey": self._key.value, "Content-Type": "application/json"}
        if not self._key.value.startswith("sb_secret_"):
            # A JWT; PostgREST itself looks at nothing else. The newer keys are none: the gateway swaps them
            # for one, and refuses them here.
            headers["Authorization"] = f"Bearer {self._key.value}"
        return httpx.AsyncClient(
            base_url=self._url,
            headers=headers,
            http2=False,  # httpcore's HTTP/2 connections die after 10,000 streams
            trust_env=False,  # only `tgworker.settings` reads the environment
            timeout=httpx.Timeout(BACKSTOP_S, pool=POOL_S),
            limits=httpx.Limits(
                max_connections=self._max_connections,
                max_keepalive_connections=self._max_connections,
                keepalive_expiry=KEEPALIVE_S,
            ),
        )


class _Body(httpx.AsyncByteStream):
    """A body in one piece. httpx's own is an async generator, which a cancelled request leaves unfinished."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    """Iterates over one thing, once."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> "_Once":
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


@asynccontextmanager
async def open_rest(url: str, key: Secret, *, max_connections: int = MAX_CONNECTIONS) -> AsyncGenerator[Rest]:
    """A project's REST API; nothing is sent before the first request.

    Args:
        url: The project's URL, without a slash at the end.
        key: A JWT of the role ``service_role``, or an ``sb_secret_…`` key.
        max_connections: How many requests run at a time; others wait for their turn.
    """
    rest = Rest(url, key, max_connections=max_connections)
    try:
        yield rest
    finally:
        await rest.close()


async def _close(client: httpx.AsyncClient) -> None:
    with trio.move_on_after(CLOSE_S, shield=True):
        await client.aclose()
