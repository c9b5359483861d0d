"""``supabase db push`` with our files, by Supabase's own program; and the rules that it reads files by."""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from stack_kit import Database
from supabase.supabase_cli import program
from supabase_schema.rpc_kit import migrations
from tgworker.messaging.models import Secret
from tgworker.supabase.migrating import migrate_database

INBOX = Path(__file__).parents[1] / "supabase_schema/inbox.sql"
WITHIN_S = 50


@pytest.fixture(scope="session")
def database_template() -> str:
    """As empty as a new project's."""
    return "postgres"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with our files where that program looks for them."""
    folder = tmp_path / "supabase/migrations"
    folder.mkdir(parents=True)
    for file in migrations():
        shutil.copy(file, folder)
    return tmp_path


@asynccontextmanager
async def listening(database: Database) -> AsyncGenerator[str]:
    """The database on a TCP port of loopback, since that program knows no Unix sockets; yields its URL."""
    (folder,) = parse_qs(urlsplit(database.url).query)["host"]

    async def copy(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, both: trio.CancelScope) -> None:
        try:
            async for some in source:
                await sink.send_all(some)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        both.cancel(reason="one side has closed")

    async def serve(client: trio.SocketStream) -> None:
        server = await trio.open_unix_socket(f"{folder}/.s.PGSQL.5432")
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(copy, client, server, nursery.cancel_scope)
            nursery.start_soon(copy, server, client, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        )
        port = listeners[0].socket.getsockname()[1]
        yield f"postgresql://postgres:any@127.0.0.1:{port}/{database.name}?sslmode=disable"
        nursery.cancel_scope.cancel(reason="the test is over")


async def push(project: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [str(program()), "db", "push", f"--remote={url}", "--yes", "--include-all"]
    environment = {
        "PATH": os.defpath,
        "HOME": str(project),
        "DO_NOT_TRACK": "1",
        "SUPABASE_TELEMETRY_DISABLED": "1",
    }
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(
            command,
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    )


RECORDED = "select string_agg(version, ',' order by version) from supabase_migrations.schema_migrations"
VERSIONS = ",".join(file.name.partition("_")[0] for file in migrations())

wants_the_program = pytest.mark.skipif(
    not os.access(program(), os.X_OK),
    reason="NOT TESTED with 'supabase db push': python tests/supabase/supabase_cli.py fetches it",
)


@pytest.mark.slow
@wants_the_program
async def test_a_new_project_is_pushed_to_and_a_second_time_nothing_is_left_to_do(
    database: Database, project: Path
) -> None:
    async with listening(database) as url:
        pushed = await push(project, url)
        assert pushed.returncode == 0, pushed.stderr
        assert await database.sql(RECORDED) == VERSIONS
        assert await database.sql("select tgworker_schema() -> 'adopted'") == "false"
        again = await push(project, url)
        assert again.returncode == 0
        assert "up to date" in again.stdout + again.stderr
    # `migrate` finds what it would have made itself, and may be used from then on.
    assert migrate_database(Secret(database.url), notice=lambda _: None) == 0


@pytest.mark.slow
@wants_the_program
async def test_an_application_s_database_is_pushed_to(database: Database, project: Path) -> None:
    await database.apply(INBOX)
    async with listening(database) as url:
        pushed = await push(project, url)
    assert pushed.returncode == 0, pushed.stderr
    assert await database.sql("select tgworker_schema() -> 'adopted'") == "true"


@pytest.mark.slow
@wants_the_program
async def test_what_is_refused_is_neither_recorded_nor_half_done(database: Database, project: Path) -> None:
    await database.sql("create table messages (id integer primary key, note text)")
    async with listening(database) as url:
        pushed = await push(project, url)
        assert pushed.returncode != 0
        assert "messages.id is integer" in pushed.stdout + pushed.stderr
        assert await database.sql(RECORDED) == ""
        assert await database.sql("select count(*) from pg_tables where schemaname = 'public'") == "1"
        # Once the application is mended, it is pushed as if nothing had been.
        await database.sql("drop table messages")
        assert (await push(project, url)).returncode == 0
        assert await database.sql(RECORDED) == VERSIONS


def test_the_files_keep_the_rules_by_which_they_are_read() -> None:
    names = [file.name for file in migrations()]
    # pkg/migration/file.go of supabase/cli: ^([0-9]+)_(.*)\.sql$, by convention a time of fourteen digits.
    assert all(re.fullmatch(r"[0-9]{14}_[a-z_]+\.sql", name) for name in names)
    assert len({name[:14] for name in names}) == len(names)
    for file in migrations():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"^\\", text, re.MULTILINE), "psql alone knows such commands"
        assert "concurrently" not in re.sub(r"--.*|'[^']*'", "", text), "not inside a transaction"
        assert text.count("$$") % 2 == 0, "a body that is not closed would swallow what follows"
