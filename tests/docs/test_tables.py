"""The tables that people wrote name what the code has, all of it, and nothing else."""

import re
import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.json_shapes import SHAPES
from tgworker.app.metrics import WorkerMetrics
from tgworker.cli._app import COMMANDS
from tgworker.embedded import DataFolder, HeartbeatFile, migrate
from tgworker.messaging.models import AccountState, LoopStatus, WorkerStatus
from tgworker.messaging.records import OutboxState
from tgworker.operations.status_app import DETAILS, METRICS, PROBES
from tgworker.operations.status_socket import SOCKET_NAME
from tgworker.settings import VARIABLES
from tgworker.supervision import Verdict

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def rows(text: str, header: str) -> list[list[str]]:
    """The cells of the table whose first column is called ``header``."""
    found = re.search(rf"^\| {re.escape(header)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None, header
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found[1].splitlines()]


def named(text: str, header: str) -> list[str]:
    """What stands in backticks in the first column of a table."""
    return [name for row in rows(text, header) for name in re.findall(r"`([^`]+)`", row[0])]


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    migrate(folder)
    return folder


def test_the_store_s_files(folder: DataFolder) -> None:
    assert named(page("store.md"), "file") == [
        folder.database.name,
        folder.heartbeats.name,
        folder.files.name,
        folder.lock_file.name,
        folder.socket.name,
        folder.stacks.name,
    ]
    assert folder.socket.name == SOCKET_NAME
    there = {path.name for path in folder.path.iterdir()}
    assert there <= {*named(page("store.md"), "file"), "tgworker.db-wal", "tgworker.db-shm"}


def test_the_store_s_tables(folder: DataFolder) -> None:
    with closing(sqlite3.connect(folder.database)) as database:
        tables = {
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
            if not name.startswith("sqlite_")
        }
    ours = named(page("store.md"), "table")
    (theirs,) = re.findall(r"## The application's tables\n\n(.*?), with the", page("store.md"), re.DOTALL)
    assert sorted([*ours, *re.findall(r"`(\w+)`", theirs)]) == sorted(tables)


def test_the_outbox_states() -> None:
    assert named(page("store.md"), "state") == [state.value for state in OutboxState]


def test_the_states_of_files(folder: DataFolder) -> None:
    with closing(sqlite3.connect(folder.database)) as database:
        ((made,),) = database.execute(
            "select sql from sqlite_master where name = 'tgworker_files'"
        ).fetchall()
    (states,) = re.findall(r"check \(state in \((.*?)\)\)", made)
    assert named(page("store.md"), "state of a file") == re.findall(r"'(\w+)'", states)


def test_the_heartbeat_s_columns(tmp_path: Path) -> None:
    heartbeats = HeartbeatFile(tmp_path / "heartbeats.db")
    heartbeats._database.now(lambda _: None, writing=False)
    heartbeats.close()
    with closing(sqlite3.connect(tmp_path / "heartbeats.db")) as database:
        columns = [row[1] for row in database.execute("pragma table_info(worker_heartbeats)")]
    assert sorted(named(page("heartbeat.md"), "column")) == sorted(columns)


def test_the_heartbeat_s_words() -> None:
    text = page("heartbeat.md")
    assert sorted(named(text, "status")) == sorted(status.value for status in WorkerStatus)
    assert named(text, "field") == [field.name for field in fields(LoopStatus)]
    assert ", ".join(verdict.value for verdict in Verdict) in text


def test_the_status_server_s_paths() -> None:
    assert named(page("status-server.md"), "path") == [*PROBES, DETAILS, METRICS]


def test_the_metrics_are_those_that_a_worker_shows() -> None:
    shown = text_string_to_metric_families(WorkerMetrics(lambda: None).text().decode())
    types = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in shown
    }
    supervision, worker = page("metrics.md").split("\n## ")[1:]
    table = [*rows(supervision, "metric"), *rows(worker, "metric")]
    assert {cells[0].strip("`"): (cells[1], cells[3]) for cells in table} == types
    assert len(table) == len(types)


def test_the_metrics_that_an_alert_asks_for_exist() -> None:
    shown = {
        name
        for tally in WorkerMetrics(lambda: None).tallies
        for name in (tally.name, *([f"{tally.name}_count"] if tally.kind == "histogram" else []))
    }
    asked = re.findall(r"\btgworker_[a-z_]+(?=[\[{ `])", (DOCS / "how-to" / "metrics.md").read_text())
    assert len(asked) == 6
    assert set(asked) <= shown


def test_every_command_and_what_it_prints() -> None:
    text = page("commands.md")
    assert re.findall(r"^## ([a-z-]+)$", text, re.MULTILINE) == list(COMMANDS)
    printed = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows(text, "command")}
    assert printed == {name: list(shape) for name, shape in SHAPES.items()}
    (states,) = re.findall(r"The `state` of an account is(.*?); `last_error`", text, re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", states)) == sorted(state.value for state in AccountState)


def test_variables_that_pages_name_exist() -> None:
    """A page that tells people to set a variable which nobody reads would lead them astray."""
    known = {variable.name for variable in VARIABLES}
    for path in [*DOCS.glob("**/*.md"), DOCS.parent / "README.md"]:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\b(?:TGWORKER|TELEGRAM|SUPABASE)_[A-Z_]+\b", text)) <= known, path


def test_commands_that_pages_type_exist() -> None:
    for path in [*DOCS.glob("**/*.md"), DOCS.parent / "README.md"]:
        text = path.read_text(encoding="utf-8")
        typed = re.findall(r"(?:scripts/run|-m tgworker) ([a-z]+(?:-[a-z]+)*)", text)
        assert set(typed) <= set(COMMANDS), path
