"""``migrate``: the schema is applied over PostgreSQL's own port, as often as one likes, or refused."""

from pathlib import Path

import psycopg
import pytest

from stack_kit import Database
from tgworker.app.books import DatabaseUrlMissing, migrate_store, migration_sql
from tgworker.messaging.errors import StoreAway, StoreMismatch
from tgworker.messaging.models import Secret
from tgworker.settings import load_settings
from tgworker.supabase.migrating import MigrationFailed, migrate_database, migrations
from tgworker.supabase.schema import VERSION

TABLES = "select count(*) from pg_tables where schemaname = 'public'"


@pytest.fixture(scope="session")
def database_template() -> str:
    """As empty as a new project's."""
    return "postgres"


def ignored(_notice: str) -> None:
    raise AssertionError("there is nothing to do by hand on small tables")


async def test_the_schema_is_created_once_and_applied_again_without_a_change(database: Database) -> None:
    url = Secret(database.url)
    assert migrate_database(url, notice=ignored) == VERSION
    made = await database.sql(TABLES)
    assert int(made) > 20
    assert migrate_database(url, notice=ignored) == 0
    assert await database.sql(TABLES) == made
    assert await database.sql("select tgworker_schema() ->> 'version'") == str(VERSION)


async def test_what_sql_prints_is_the_same(database: Database, tmp_path: Path) -> None:
    text = migration_sql()
    assert [line[3:] for line in text.splitlines() if line.startswith("-- 2026")] == [
        migration.name for migration in migrations()
    ]
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(text.encode())
    assert migrate_database(Secret(database.url), notice=ignored) == 0


async def test_an_application_that_is_another_is_refused_and_left_as_it_is(database: Database) -> None:
    await database.sql("create table messages (id integer primary key, note text)")
    with pytest.raises(MigrationFailed, match=r"worker: .*messages\.id is integer") as caught:
        migrate_database(Secret(database.url), notice=ignored)
    assert "\n" not in str(caught.value)
    assert await database.sql(TABLES) == "1"


async def test_a_newer_database_is_refused(database: Database) -> None:
    await database.sql(
        "create function tgworker_schema() returns jsonb language sql"
        " as $$ select jsonb_build_object('version', 99) $$"
    )
    with pytest.raises(StoreMismatch, match="has version 99, this program knows 1: upgrade tgworker"):
        migrate_database(Secret(database.url), notice=ignored)


def test_nobody_there_is_an_outage_that_shows_no_password() -> None:
    with pytest.raises(StoreAway, match=r"^PostgreSQL \(SUPABASE_DB_URL\): ") as caught:
        migrate_database(Secret("postgresql://postgres:hunter2@127.0.0.1:1/postgres"), notice=ignored)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_lock_that_the_application_holds_is_an_outage(database: Database) -> None:
    migrate_database(Secret(database.url), notice=ignored)
    with psycopg.connect(database.url) as application:
        application.execute("lock table worker_heartbeats in access exclusive mode")
        with pytest.raises(StoreAway, match="lock timeout"):
            migrate_database(Secret(database.url), notice=ignored)
    assert migrate_database(Secret(database.url), notice=ignored) == 0


def test_a_project_needs_its_database_s_url(tmp_path: Path) -> None:
    environment = {
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
        "TGWORKER_DATA_DIR": str(tmp_path),
    }
    settings = load_settings(environment, require=())
    with pytest.raises(DatabaseUrlMissing, match=r"SUPABASE_DB_URL is not set: .* migrate --sql"):
        migrate_store(settings, notice=ignored)
    assert list(tmp_path.iterdir()) == []
