"""httpx clients of one project: with its key, and connections that are known to go wrong in known ways."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import trio

from tgworker.messaging.models import Secret

POOL_S: Final = 1.0
"""Under a limiter no request waits for a connection; one that does has met a slot that was lost."""

KEEPALIVE_S: Final = 30.0
"""Two heartbeats. httpx's own 5 s would make a new connection for each."""

CLOSE_S: Final = 1.0
"""How long the connections of a client that is given up may take to say goodbye."""

TORN: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""A connection that was kept open may be closed by the other side just as it is used again. Whether the
request was carried out nobody knows."""


def new_client(
    url: str,
    key: Secret,
    *,
    max_connections: int,
    timeout: httpx.Timeout,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    """A client that knows the key.

    Args:
        url: The project's URL, without a slash at the end.
        key: A JWT of the role ``service_role``, or an ``sb_secret_…`` key.
        max_connections: At most; who uses it has a limiter of as many.
        timeout: Of each step of a request.
        transport: In place of the network, for tests.
    """
    headers = {"apikey": key.value}
    if not key.value.startswith("sb_secret_"):
        # A JWT; PostgREST itself looks at nothing else. The newer keys are none: the gateway swaps them
        # for one, and refuses them here.
        headers["Authorization"] = f"Bearer {key.value}"
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        http2=False,  # httpcore's HTTP/2 connections die after 10,000 streams
        trust_env=False,  # only `tgworker.settings` reads the environment
        timeout=timeout,
        transport=transport,
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE_S,
        ),
    )


async def close_client(client: httpx.AsyncClient) -> None:
    """Close a client's connections; takes at most `CLOSE_S`, also while being cancelled."""
    with trio.move_on_after(CLOSE_S, shield=True):
        await client.aclose()


class WholeBody(httpx.AsyncByteStream):
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
