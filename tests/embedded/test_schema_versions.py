"""Migrations: from nothing to the newest, step by step, never downwards, never another program's file."""

import sqlite3
from pathlib import Path

import pytest

from tgworker.embedded import DataFolder, DataFolderInUse, StoreDamaged, inline, migrate, open_store, schema
from tgworker.messaging.errors import StoreMismatch

TABLES = {
    "integration_accounts",
    "contact_identities",
    "conversations",
    "messages",
    "attachments",
    "message_events",
    "presence_status",
    "sync_history_jobs",
    "message_jobs",
    "tgworker_outbox",
    "tgworker_outbox_parts",
    "tgworker_lanes",
    "tgworker_message_keys",
    "tgworker_positions",
    "tgworker_peers",
    "tgworker_waits",
    "tgworker_accounts",
    "tgworker_files",
}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def connect(folder: DataFolder) -> sqlite3.Connection:
    return sqlite3.connect(folder.database, isolation_level=None)


def version(folder: DataFolder) -> int:
    connection = connect(folder)
    try:
        found: int = connection.execute("pragma user_version").fetchone()[0]
    finally:
        connection.close()
    return found


def set_version(folder: DataFolder, number: int) -> None:
    connection = connect(folder)
    connection.execute(f"pragma user_version = {number}")
    connection.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = list(schema.migrations())
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_empty_folder_gets_every_table(folder: DataFolder) -> None:
    assert migrate(folder) == len(schema.migrations())
    connection = connect(folder)
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    connection.close()
    assert tables >= TABLES
    assert migrate(folder) == 0


def test_opening_an_empty_folder_makes_the_schema_even_for_a_command(folder: DataFolder) -> None:
    with open_store(folder, as_worker=False, run_sync=inline):
        pass
    assert version(folder) == len(schema.migrations())


def test_every_openings_fence_is_higher_and_a_command_takes_none(folder: DataFolder) -> None:
    fences: list[int] = []
    for as_worker in (True, False, True, False):
        with open_store(folder, as_worker=as_worker, run_sync=inline) as store:
            fences.append(store.incarnation)
    assert fences == [1, 1, 2, 2]


def test_a_newer_schema_is_refused_in_one_line(folder: DataFolder) -> None:
    migrate(folder)
    set_version(folder, 99)
    for as_worker in (True, False):
        with (
            pytest.raises(StoreMismatch, match=r"version 99.*upgrade tgworker") as caught,
            open_store(folder, as_worker=as_worker, run_sync=inline),
        ):
            pass
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreMismatch):
        migrate(folder)


def test_an_older_schema_is_upgraded_by_the_worker_and_not_by_a_command(folder: DataFolder) -> None:
    folder.prepare()
    connection = connect(folder)
    for statement in schema.statements(schema.migrations()[1]):
        connection.execute(statement)
    connection.execute("insert into integration_accounts (owner_id) values ('kept')")
    connection.execute("pragma user_version = 1")
    connection.execute(f"pragma application_id = {schema.APPLICATION_ID}")
    connection.close()
    with (
        pytest.raises(StoreMismatch, match="run `tgworker migrate`"),
        open_store(folder, as_worker=False, run_sync=inline),
    ):
        pass
    assert version(folder) == 1
    with open_store(folder, as_worker=True, run_sync=inline):
        pass
    assert version(folder) == len(schema.migrations())
    connection = connect(folder)
    assert connection.execute("select owner_id from integration_accounts").fetchall() == [("kept",)]
    connection.close()


def test_migrate_refuses_a_folder_in_use(folder: DataFolder) -> None:
    with folder.hold(), pytest.raises(DataFolderInUse):
        migrate(folder)


def test_another_programs_database_is_left_alone(folder: DataFolder) -> None:
    folder.prepare()
    connection = connect(folder)
    connection.execute("create table recipes (name text)")
    connection.close()
    with (
        pytest.raises(StoreMismatch, match="another program's database"),
        open_store(folder, as_worker=True, run_sync=inline),
    ):
        pass
    connection = connect(folder)
    assert connection.execute("select name from sqlite_master").fetchall() == [("recipes",)]
    connection.close()


def test_a_migration_that_fails_halfway_leaves_nothing(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = len(schema.migrations())
    scripts = {**schema.migrations(), newest + 1: "create table half (a);\ncreate table half (a);\n"}
    migrate(folder)
    monkeypatch.setattr(schema, "migrations", lambda: scripts)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(folder)
    assert version(folder) == newest
    connection = connect(folder)
    assert connection.execute("select 1 from sqlite_master where name = 'half'").fetchone() is None
    connection.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_file_that_is_no_database_is_refused_in_one_line(folder: DataFolder, content: bytes) -> None:
    folder.prepare()
    folder.database.write_bytes(content)
    with (
        pytest.raises(StoreDamaged, match=r"tgworker\.db") as caught,
        open_store(folder, as_worker=True, run_sync=inline),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert folder.database.read_bytes() == content


async def test_damage_that_shows_later_is_named_too(folder: DataFolder) -> None:
    with open_store(folder, as_worker=True, run_sync=inline) as store:
        account = await store.add_account("ada", "owner", "token", user_id=1)
        await store.enqueue(account, "500", ["hello"] * 2000)
    content = bytearray(folder.database.read_bytes())
    content[4096 * 3 :] = b"\xaa" * (len(content) - 4096 * 3)
    folder.database.write_bytes(bytes(content))
    with (
        pytest.raises(StoreDamaged, match="damaged"),
        open_store(folder, as_worker=False, run_sync=inline) as store,
    ):
        await store.list_outbox()


def test_an_sqlite_that_is_too_old_is_named(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 1))
    with (
        pytest.raises(StoreMismatch, match=r"3\.35\.0 is needed"),
        open_store(folder, as_worker=True, run_sync=inline),
    ):
        pass
