"""The local stack as the lines about Supabase use it: in a process of its own, as people start it."""

import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from subprocess import PIPE
from typing import final

import httpx
import trio

STARTS_WITHIN_S = 60.0


def migrations() -> Sequence[Path]:
    """This program's, in their order; the first one makes the application's tables."""
    return sorted((Path(str(files("tgworker.supabase"))) / "migrations").glob("*.sql"))


@final
@dataclass(frozen=True, slots=True)
class DevStack:
    """A `dev-stack` that runs.

    Attributes:
        url: The gateway.
        key: The service role's.
        database: The URL of its database.
        postgrest: PostgREST's own socket, behind the gateway.
    """

    url: str
    key: str
    database: str
    postgrest: Path

    def direct(self) -> "Direct":
        """A way past the gateway."""
        return Direct(self.postgrest)


@asynccontextmanager
async def open_dev_stack(*words: str) -> AsyncGenerator[DevStack]:
    """Start one with these arguments; it goes with the context."""
    command = [sys.executable, "-m", "tgworker", "dev-stack", "--json", *words]
    process = await trio.lowlevel.open_process(command, stdout=PIPE)
    try:
        with trio.fail_after(STARTS_WITHIN_S):
            facts = json.loads(await _line(process))
        logs = Path(facts["logs"])
        yield DevStack(
            facts["url"], facts["service_role_key"], facts["db_url"], logs / "postgrest-postgres.sock"
        )
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _line(process: trio.Process) -> bytes:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        some = await process.stdout.receive_some()
        if not some:
            raise RuntimeError("dev-stack did not start; see standard error")
        line += some
    return line


@final
class Direct(httpx.AsyncBaseTransport):
    """Requests for ``/rest/v1`` to PostgREST's own socket, where paths begin behind that.

    Args:
        socket: Where it listens.
    """

    def __init__(self, socket: Path) -> None:
        self._inner = httpx.AsyncHTTPTransport(uds=str(socket), limits=httpx.Limits(keepalive_expiry=30))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        path = request.url.raw_path.removeprefix(b"/rest/v1")
        request.url = request.url.copy_with(raw_path=path)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
