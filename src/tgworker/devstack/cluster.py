"""PostgreSQL: made, started, stopped, and broken on purpose."""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import trio

from tgworker.devstack.errors import PartFailed, Unfit
from tgworker.devstack.folders import Folders
from tgworker.devstack.process import Process, last_line, start_process
from tgworker.devstack.program import Program
from tgworker.devstack.psql import run_psql

SUPERUSER = "supabase_admin"
"""As on Supabase; applications and migrations are ``postgres``, who is no superuser."""
OWNER = "postgres"
DATABASE = "postgres"
SOCKET_PORT = 5432
"""Part of the socket's file name; no TCP port is opened."""

START_WITHIN_S = 30.0

_ROLES = Path(__file__).with_name("roles.sql")
_DATABASE = Path(__file__).with_name("database.sql")


class Cluster(Program):
    """A PostgreSQL of one's own, reachable through a Unix socket in a folder that is closed to others.

    Args:
        programs: The folder of PostgreSQL's programs.
        folders: Where its data and its socket are.
        durable: Whether a commit survives a crash of the machine; without it everything is faster.

    Raises:
        Unfit: The user whom it must run as cannot reach the programs.
    """

    def __init__(self, programs: Path, folders: Folders, *, durable: bool = False) -> None:
        super().__init__("PostgreSQL")
        user = folders.user
        closed = None if user is None else user.cannot_enter(programs.resolve() / "postgres")
        if user is not None and closed is not None:
            raise Unfit(
                f"PostgreSQL must run as {user.name}, who cannot reach {programs} ({closed} is closed): "
                "run dev-stack as an ordinary user, or install PostgreSQL with the system's package manager"
            )
        self._programs = programs
        self._folders = folders
        self._durable = durable

    @property
    def socket_folder(self) -> Path:
        """Where its socket is: what clients take for a host."""
        return self._folders.run

    def url(self, database: str = DATABASE, user: str = OWNER) -> str:
        """Where a client connects, as a libpq URL."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{user}@/{database}?host={host}&port={SOCKET_PORT}"

    async def start(self) -> None:
        """Start it, and wait until it takes connections; a new one is made first, with Supabase's roles.

        Raises:
            PartFailed: It does not start; with the last line of its log.
            SqlFailed: It does not take the roles.

        Cancellation: it may run; `stop` it.
        """
        fresh = not (self._folders.database / "PG_VERSION").exists()
        if fresh:
            await self._initialise()
        self._process = await start_process(
            "PostgreSQL",
            [self._programs / "postgres", "-D", self._folders.database, *self._settings()],
            log=self._folders.log("postgresql"),
            environment=self._environment(),
            folder=self._folders.run,
            user=self._folders.user,
            ask=signal.SIGQUIT,  # we are gone: nobody waits for a checkpoint
            remove=self._folders.removable,
        )
        await self._wait_ready(self._process)
        if fresh:
            await self.run_file(_ROLES, user=SUPERUSER)
            await self.run_sql(f"alter database {DATABASE} owner to {OWNER}", user=SUPERUSER)
            await self.run_file(_DATABASE, user=SUPERUSER)

    async def stop(self) -> None:
        """Stop it in order: connections are cut, transactions rolled back, a checkpoint written.

        Raises:
            PartFailed: It does not end, not even when killed.

        Cancellation: it is asked to, and not waited for.
        """
        process = self._process
        if process is None or not process.is_alive():
            return
        process.thaw()
        process.send(signal.SIGINT)
        try:
            await process.wait(START_WITHIN_S)
        except PartFailed:
            await process.kill()

    async def close(self) -> None:
        """Stop it for good: in order if it is durable, else at once, without a last checkpoint.

        Raises:
            PartFailed: It does not end, not even when killed.

        Cancellation: it is stopped all the same, and not waited for.
        """
        if self._durable:
            await self.stop()
        elif self._process is not None:
            await self._process.stop()

    async def create_database(self, name: str, *, template: str = DATABASE) -> None:
        """A fresh database.

        Args:
            name: Its name.
            template: What it is a copy of; nobody may be connected to that. The default has Supabase's
                preparations, and the migrations that were applied to it.
        """
        await self.run_sql(
            f'create database "{name}" template "{template}" owner {OWNER}',
            user=SUPERUSER,
            database="template1",
        )

    async def drop_database(self, name: str) -> None:
        """Remove a database; whoever is connected to it is cut off."""
        await self.run_sql(
            f'drop database if exists "{name}" with (force)', user=SUPERUSER, database="template1"
        )

    async def run_file(self, path: Path, *, user: str = OWNER, database: str = DATABASE) -> str:
        """Run a file of SQL with psql, as `run_sql` does."""
        return await self.run_steps([path], user=user, database=database)

    async def run_steps(
        self, steps: Sequence[Path | str], *, user: str = OWNER, database: str = DATABASE
    ) -> str:
        """Run files of SQL and statements in one session of psql, as `run_sql` does, until the first error.

        Args:
            steps: What to run, in this order; each statement by itself is a transaction.
            user: As for `run_sql`, like the rest.
            database: As for `run_sql`.

        Raises:
            SqlFailed: As for `run_sql`.
        """
        words = [word for step in steps for word in ("-f" if isinstance(step, Path) else "-c", str(step))]
        return await self._psql(words, b"", user, database)

    async def run_sql(self, sql: str, *, user: str = OWNER, database: str = DATABASE) -> str:
        """Run SQL with psql, until the first error; returns the rows, one line each, fields split by ``|``.

        Args:
            sql: One statement or several; not in one transaction unless it says so.
            user: Whose rights count: ``postgres``, as migrations on Supabase, or `SUPERUSER`.
            database: Where.

        Raises:
            SqlFailed: PostgreSQL refused it or is not there; with the first line of what it said.
        """
        return await self._psql(["-f", "-"], sql.encode(), user, database)

    async def _psql(self, words: Sequence[str], sql: bytes, user: str, database: str) -> str:
        program = self._programs / "psql"
        return await run_psql(program, self.url(database, user), words, sql, self._environment())

    async def _initialise(self) -> None:
        user = self._folders.user
        words: Sequence[str | Path] = [
            self._programs / "initdb",
            "-D",
            self._folders.database,
            "-U",
            SUPERUSER,
        ]
        options = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        done = await trio.run_process(
            [*map(str, words), *options],
            stdin=b"",
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env=self._environment(),
            cwd=self._folders.run,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
        )
        if done.returncode != 0:
            raise PartFailed(f"PostgreSQL's data folder cannot be made: {_why(done.stdout)}")

    def _settings(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "port": SOCKET_PORT,
            "unix_socket_directories": self.socket_folder,
            "unix_socket_permissions": "0700",
            "wal_level": "logical",  # as Supabase has it, for Realtime
            "jit": "off",  # likewise
            "max_connections": 60,  # likewise, on its smallest machine
            "shared_buffers": "128MB",
            # In files of the data folder: what a killed PostgreSQL leaves behind goes with the folder.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            # (A commit is in the kernel's hands when it is answered: it survives the death of PostgreSQL.)
            settings |= {"fsync": "off", "full_page_writes": "off"}
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _environment(self) -> Mapping[str, str]:
        # Nothing of ours: PGHOST, PGSERVICE or LD_PRELOAD of the shell are none of its business.
        return {"PATH": os.defpath, "HOME": str(self._folders.run), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    async def _wait_ready(self, process: Process) -> None:
        """Wait for the last line of its lock file, as pg_ctl does (there is no other sign on disk)."""
        lock = self._folders.database / "postmaster.pid"
        with trio.move_on_after(START_WITHIN_S):
            while process.is_alive():
                lines = _lines_of(lock)
                if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                    return
                await trio.sleep(0.01)
            raise PartFailed(f"PostgreSQL does not start: {last_line(process.log)}")
        raise PartFailed(
            f"PostgreSQL did not get ready within {START_WITHIN_S:.0f} s: {last_line(process.log)}"
        )


def _lines_of(file: Path) -> Sequence[str]:
    try:
        return file.read_text().splitlines()
    except FileNotFoundError:
        return []


@asynccontextmanager
async def open_cluster(cluster: Cluster) -> AsyncGenerator[Cluster]:
    """Start a cluster; leaving stops it.

    Raises:
        PartFailed: It does not start.
        SqlFailed: It does not take the roles.

    Cancellation: it is stopped; that is waited for.
    """
    try:
        await cluster.start()
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            await cluster.close()


def _why(said: bytes) -> str:
    """The line by which initdb says what is wrong: after it there are hints, and what it cleans up."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    errors = [line for line in lines if "error:" in line or "FATAL:" in line]
    told = [line for line in lines if line and not line.startswith(("initdb: removing ", "child process "))]
    return errors[0] if errors else (told or ["it said nothing"])[-1]
