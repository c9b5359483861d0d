"""Running SQL with PostgreSQL's own client, which every PostgreSQL brings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from tgworker.devstack.errors import SqlFailed

WITHIN_S = 60.0
"""For one call; a migration of a development database takes a second."""


async def run_psql(
    program: Path, url: str, words: Sequence[str], sql: bytes, environment: Mapping[str, str]
) -> str:
    """Run SQL until the first error; returns the rows, one line each, fields split by ``|``.

    Args:
        program: psql.
        url: Where to connect, and as whom.
        words: What to run: ``-f FILE``, ``-c SQL``; ``-f -`` is ``sql``.
        sql: psql's standard input.
        environment: All of psql's environment.

    Raises:
        SqlFailed: PostgreSQL refused it or is not there; with the line that says why.

    Cancellation: psql is stopped; a statement that runs may be carried out.
    """
    command = [str(program), "-v", "ON_ERROR_STOP=1", "-XqAt", "-d", url, *words]
    quiet = {"PGCONNECT_TIMEOUT": "10", "PGOPTIONS": "-c client_min_messages=warning"}
    with trio.move_on_after(WITHIN_S):
        done = await trio.run_process(
            command,
            stdin=sql,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**environment, **quiet},
        )
        if done.returncode == 0:
            return done.stdout.decode().rstrip("\n")
        raise SqlFailed(_reason(done.stderr.decode(errors="replace")))
    raise SqlFailed(f"PostgreSQL did not answer within {WITHIN_S:.0f} s")


def _reason(said: str) -> str:
    """The line that says why psql ended: the first error, not a warning before it or a hint behind it."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR:" in line or "FATAL:" in line]
    return (errors or lines or ["psql said nothing"])[0].removeprefix("psql:")
