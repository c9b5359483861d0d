"""The store as commands find it: held by a worker, damaged, of another version."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager

import pytest

from cli.cli_kit import SESSION, Shell
from tgworker.embedded import DataFolder, schema

READS_THE_STORE = [
    ["accounts", "list"],
    ["outbox", "list"],
    ["send", "--account", "alice", "--to", "5", "--text", "hello"],
    ["login", "--session", "-"],
    ["migrate"],
    ["run", "--no-guard"],
]


@contextmanager
def database(shell: Shell) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("argv", [["run"], ["run", "--no-guard"], ["migrate"]], ids=" ".join)
def test_a_second_worker_is_refused_before_it_connects(shell: Shell, argv: list[str]) -> None:
    """The other one is this process: a lock belongs to an opening of the file."""
    shell.configure()
    shell.add_account()
    with DataFolder(shell.data).hold():
        shell(*argv).refused(
            2, str(shell.data), f"process {os.getpid()}", "stop that worker first", "TGWORKER_DATA_DIR"
        )
    assert [row["name"] for row in shell("accounts", "list", "--json").rows] == ["alice"]


@pytest.mark.parametrize("argv", [["status"], ["stacks"]], ids=lambda argv: argv[0])
def test_who_asks_how_a_worker_is_needs_no_store(shell: Shell, argv: list[str]) -> None:
    shell.data.mkdir()
    (shell.data / "tgworker.db").write_bytes(b"no database")
    asked = shell(*argv)
    assert (asked.code, asked.err) == (1, "")
    assert asked.out.startswith(f"no worker answers in {shell.data}")


@pytest.mark.parametrize("argv", READS_THE_STORE, ids=lambda argv: argv[0])
def test_a_store_of_a_newer_program_is_left_alone(shell: Shell, argv: list[str]) -> None:
    shell.configure()
    shell.add_account()
    newest = max(schema.migrations())
    with database(shell) as connection:
        connection.execute(f"pragma user_version = {newest + 7}")
    shell(*argv, stdin=SESSION).refused(
        3, str(shell.data / "tgworker.db"), f"schema version {newest + 7}", "upgrade tgworker"
    )
    with database(shell) as connection:
        assert connection.execute("pragma user_version").fetchone() == (newest + 7,)
        connection.execute(f"pragma user_version = {newest}")
    assert [row["name"] for row in shell("accounts", "list", "--json").rows] == ["alice"]


def test_an_older_store_is_brought_up_to_date_by_the_command_that_the_line_names(shell: Shell) -> None:
    shell.data.mkdir()
    with database(shell) as connection:
        for statement in schema.statements(schema.migrations()[1]):
            connection.execute(statement)
        connection.execute("pragma user_version = 1")
        connection.execute(f"pragma application_id = {schema.APPLICATION_ID}")
    shell("accounts", "list").refused(3, "schema version 1", "run `tgworker migrate`")
    done = shell("migrate", "--json")
    assert done.code == 0
    assert done.last == {"data_dir": str(shell.data), "steps": max(schema.migrations()) - 1}
    assert shell("accounts", "list", "--json").rows == []


@pytest.mark.parametrize("argv", READS_THE_STORE, ids=lambda argv: argv[0])
def test_a_file_that_is_no_database_is_named_and_left_alone(shell: Shell, argv: list[str]) -> None:
    shell.configure()
    shell.data.mkdir()
    wreck = b"no database, but perhaps somebody wants to look into it " * 200
    (shell.data / "tgworker.db").write_bytes(wreck)
    shell(*argv, stdin=SESSION).refused(
        2, str(shell.data / "tgworker.db"), "not a database", "restore it from a backup"
    )
    assert (shell.data / "tgworker.db").read_bytes() == wreck


@pytest.mark.parametrize(
    "argv", [["accounts", "list"], ["outbox", "list"], ["run", "--no-guard"]], ids=lambda argv: argv[0]
)
def test_a_damaged_database_is_named(shell: Shell, argv: list[str]) -> None:
    shell.configure()
    shell.add_account()
    with database(shell) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    with (shell.data / "tgworker.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096 * 40)
    shell(*argv).refused(2, str(shell.data / "tgworker.db"), "is damaged", "restore it from a backup")


def test_another_program_s_database_is_not_touched(shell: Shell) -> None:
    shell.data.mkdir()
    with database(shell) as connection:
        connection.execute("create table theirs (x)")
    shell("migrate").refused(3, "is another program's database", "move it away")
    with database(shell) as connection:
        assert connection.execute("select name from sqlite_master").fetchall() == [("theirs",)]


def test_a_damaged_heartbeat_file_stops_status_alone(shell: Shell) -> None:
    shell.add_account()
    (shell.data / "heartbeats.db").write_bytes(b"no database " * 1000)
    shell("status").refused(2, str(shell.data / "heartbeats.db"), "not a database")
    assert [row["name"] for row in shell("accounts", "list", "--json").rows] == ["alice"]


@pytest.mark.slow
def test_a_store_that_somebody_has_locked_is_exit_3(shell: Shell) -> None:
    """As a stopped process would; SQLite waits 5 s for it."""
    shell.add_account()
    with database(shell) as connection:
        connection.execute("begin immediate")
        shell("send", "--account", "alice", "--to", "5", "--text", "hello").refused(
            3, str(shell.data / "tgworker.db"), "locked by another process", "try again"
        )
        connection.execute("rollback")
    assert shell.outbox() == []
