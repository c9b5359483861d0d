"""PostgreSQL as Supabase prepares it, and what can be done to it."""

from pathlib import Path

import psycopg
import pytest
import trio

from stack_kit import Database
from tgworker.devstack import Binaries, Cluster, Folders, SqlFailed, open_cluster, open_folders


def processes_of(cluster: Cluster) -> set[str]:
    """The postmaster and its children."""
    children = Path(f"/proc/{cluster.pid}/task/{cluster.pid}/children")
    return {str(cluster.pid), *children.read_text().split()}


def alive(pids: set[str]) -> set[str]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


async def test_migrations_are_run_by_a_role_that_is_no_superuser(database: Database) -> None:
    rows = await database.sql(
        "select rolname, rolsuper, rolcreaterole, rolbypassrls from pg_roles where rolname = current_user"
    )
    assert rows == "postgres|f|t|t"
    assert await database.sql(
        "select pg_get_userbyid(datdba) from pg_database where datname=current_database()"
    ) == ("postgres")


@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("anon", "statement_timeout", "3s"),
        ("authenticated", "statement_timeout", "8s"),
        ("authenticator", "statement_timeout", "8s"),
        ("authenticator", "lock_timeout", "8s"),
    ],
)
async def test_roles_have_supabase_s_limits(role: str, setting: str, value: str, database: Database) -> None:
    settings = await database.sql(f"select unnest(rolconfig) from pg_roles where rolname = '{role}'")
    assert f"{setting}={value}" in settings.splitlines()


async def test_what_migrations_create_is_granted_to_the_api_roles(database: Database) -> None:
    await database.sql("create table things (id bigint generated always as identity)")
    await database.sql("create function answer() returns int language sql as 'select 42'")
    for role in ("anon", "authenticated", "service_role"):
        granted = await database.sql(
            f"select has_table_privilege('{role}', 'things', 'insert'),"
            f" has_function_privilege('{role}', 'answer()', 'execute')"
        )
        assert granted == "t|t"


async def test_policies_know_who_asks(database: Database) -> None:
    claims = '{"sub": "00000000-0000-0000-0000-00000000000a", "role": "authenticated", "email": "a@b.c"}'
    rows = await database.sql(
        f"select set_config('request.jwt.claims', '{claims}', false) is null;"
        "select auth.uid(), auth.role(), auth.email()"
    )
    assert rows.splitlines()[1] == "00000000-0000-0000-0000-00000000000a|authenticated|a@b.c"


async def test_databases_do_not_see_each_other(database: Database) -> None:
    await database.sql("create table only_here ()")
    await database.cluster.create_database(f"{database.name}_b")
    try:
        seen = await database.cluster.run_sql(
            "select to_regclass('only_here') is null", database=f"{database.name}_b"
        )
    finally:
        await database.cluster.drop_database(f"{database.name}_b")
    assert seen == "t"


async def test_files_are_applied_in_order_and_an_error_names_its_line(
    database: Database, tmp_path: Path
) -> None:
    first, second = tmp_path / "1.sql", tmp_path / "2.sql"
    first.write_text("create table one (a int);\n")
    second.write_text(
        "do $$ begin raise warning 'w'; end $$; insert into one values (1);\ninsert into two values (2);\n"
    )
    with pytest.raises(SqlFailed, match=r"2\.sql:2: ERROR: +relation \"two\" does not exist"):
        await database.apply(first, second)
    assert await database.sql("select a from one") == "1"


async def test_psycopg_connects_with_the_url(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        assert connection.execute("select current_user, current_database()").fetchone() == (
            "postgres",
            database.name,
        )


async def test_nobody_else_can_reach_the_socket(shared_cluster: Cluster, stack_folders: Folders) -> None:
    assert stack_folders.run.stat().st_mode & 0o077 == 0
    assert await shared_cluster.run_sql("show listen_addresses") == ""


@pytest.mark.slow
async def test_it_survives_being_killed_frozen_and_restarted(stack_binaries: Binaries) -> None:
    with open_folders() as folders:
        async with open_cluster(Cluster(stack_binaries.postgresql, folders)) as cluster:
            await cluster.run_sql("create table kept (a int)", user="supabase_admin")
            before = processes_of(cluster)
            assert len(before) >= 5
            # What was committed a moment before is there afterwards.
            await cluster.run_sql("insert into kept values (1)", user="supabase_admin")
            await cluster.kill()
            assert not cluster.is_alive()
            assert not alive(before)
            with pytest.raises(SqlFailed, match="connection to server"):
                await cluster.run_sql("select 1")

            await cluster.restart()
            assert await cluster.run_sql("select a from kept") == "1"

            cluster.freeze()
            with trio.move_on_after(0.3) as patience:
                await cluster.run_sql("select 1")
            assert patience.cancelled_caught
            cluster.thaw()
            assert await cluster.run_sql("select a from kept") == "1"

            first = cluster.pid
            cluster.freeze()
            await cluster.restart()
            assert cluster.pid != first
            assert await cluster.run_sql("select a from kept") == "1"
            last = processes_of(cluster)
        assert not alive(last)
    assert not folders.run.exists()
