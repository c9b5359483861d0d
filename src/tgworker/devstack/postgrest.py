"""PostgREST: the REST API on a database, set up as Supabase does."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import trio

from tgworker.devstack.errors import PartFailed, Unfit
from tgworker.devstack.folders import Folders
from tgworker.devstack.keys import JWT_SECRET
from tgworker.devstack.process import last_line, start_process
from tgworker.devstack.program import Program

START_WITHIN_S = 30.0
PROBE_WITHIN_S = 5.0
STOP_WITHIN_S = 0.5
"""It ends when its last request is answered. A long poll takes seconds, and nobody waits for it any more."""
POOL = 10
"""Connections to the database: what Supabase gives its smallest machine."""


class Postgrest(Program):
    """A PostgREST of one's own, reachable through a Unix socket in a folder that is closed to others.

    Args:
        program: PostgREST.
        folders: Where its socket and its log are.
        database_url: Where the database is, as a libpq URL; PostgREST logs in as ``authenticator``.
        name: Tells several of one stack apart.
        pool: How many connections to the database it holds at most.

    Raises:
        Unfit: The user whom it must run as cannot reach the program.
    """

    def __init__(
        self, program: Path, folders: Folders, database_url: str, *, name: str = "postgrest", pool: int = POOL
    ) -> None:
        super().__init__("PostgREST")
        user = folders.user
        closed = None if user is None else user.cannot_enter(program.resolve())
        if user is not None and closed is not None:
            raise Unfit(
                f"PostgREST must run as {user.name}, who cannot reach {program} ({closed} is closed): "
                "run dev-stack as an ordinary user, or let 'dev-stack --fetch' fetch it"
            )
        self._program = program
        self._folders = folders
        self._database_url = database_url
        self._pool = pool
        self._name = name
        self.socket = folders.run / f"{name}.sock"
        """Where it listens."""

    async def launch(self) -> None:
        """Start it, and wait for nothing: the database may be away, and it may take a while to say anything.

        Raises:
            PartFailed: It cannot be started.

        Cancellation: it does not run.
        """
        self._process = await start_process(
            "PostgREST",
            [self._program],
            log=self._folders.log(self._name),
            environment=self._environment(),
            folder=self._folders.run,
            user=self._folders.user,
            grace_s=STOP_WITHIN_S,
            remove=self._folders.removable,
        )

    async def start(self) -> None:
        """Start it, and wait until it has read the schema and answers.

        Raises:
            PartFailed: It does not start; with the last line of its log.

        Cancellation: it may run; `stop` it.
        """
        await self.launch()
        process = self._running()
        with trio.move_on_after(START_WITHIN_S):
            while process.is_alive():
                if await self.is_ready():
                    return
                await trio.sleep(0.01)
            raise PartFailed(f"PostgREST does not start: {last_line(process.log)}")
        raise PartFailed(
            f"PostgREST did not get ready within {START_WITHIN_S:.0f} s: {last_line(process.log)}"
        )

    async def stop(self) -> None:
        """Stop it.

        Cancellation: it is stopped all the same, and not waited for.
        """
        if self._process is not None and self._process.is_alive():
            await self._process.stop()

    async def is_ready(self) -> bool:
        """Whether it has read the schema and reaches the database: then it knows that a table is missing."""
        with trio.move_on_after(PROBE_WITHIN_S):
            return await _status(self.socket, "/dev_stack_asks_whether_you_are_ready") == 404
        return False

    def _environment(self) -> Mapping[str, str]:
        settings = {
            "DB_URI": self._database_url,
            "DB_SCHEMAS": "public",
            "DB_EXTRA_SEARCH_PATH": "public,extensions",
            "DB_ANON_ROLE": "anon",
            "DB_POOL": str(self._pool),
            "DB_POOL_ACQUISITION_TIMEOUT": "10",
            "DB_MAX_ROWS": "1000",
            "DB_USE_LEGACY_GUCS": "false",
            "JWT_SECRET": JWT_SECRET,
            "APP_SETTINGS_JWT_SECRET": JWT_SECRET,
            "SERVER_UNIX_SOCKET": str(self.socket),
            "SERVER_UNIX_SOCKET_MODE": "600",
            "LOG_LEVEL": "warn",
        }
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8"} | {
            f"PGRST_{name}": value for name, value in settings.items()
        }


async def _status(socket: Path, target: str) -> int | None:
    """The status of an answer; ``None`` where nobody answers."""
    connection = h11.Connection(h11.CLIENT)
    try:
        async with await trio.open_unix_socket(str(socket)) as stream:
            request = h11.Request(method="GET", target=target, headers=[("host", "postgrest")])
            await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is not h11.NEED_DATA:
                    return None
                connection.receive_data(await stream.receive_some(65536))
            return event.status_code
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
        return None


@asynccontextmanager
async def open_postgrest(postgrest: Postgrest) -> AsyncGenerator[Postgrest]:
    """Start a PostgREST; leaving stops it.

    Raises:
        PartFailed: It does not start.

    Cancellation: it is stopped; that is waited for.
    """
    try:
        await postgrest.start()
        yield postgrest
    finally:
        with trio.CancelScope(shield=True):
            await postgrest.stop()
