"""``dev-stack``: a stack that serves until it is stopped, and of which nothing is left in any case."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from cli.cli_kit import Shell
from cli.json_shapes import SHAPES
from tgworker.cli import demo, dev_stack
from tgworker.devstack import Binaries, FetchFailed, Places
from tgworker.devstack.binaries import postgresql_in, postgrest_in

COMMAND = [sys.executable, "-m", "tgworker", "dev-stack"]


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Nothing is installed."""
    places = Places(tmp_path / "cache", debian=tmp_path / "no")
    monkeypatch.setattr(dev_stack, "places", lambda: places)
    return places


def test_missing_programs_are_one_line_with_the_remedy(shell: Shell, empty_machine: Places) -> None:
    shell("dev-stack").refused(
        2, "PostgreSQL and PostgREST not found", "'python -m tgworker dev-stack --fetch' gets what is missing"
    )


def test_the_demo_on_the_stack_names_the_same_remedy(
    shell: Shell, empty_machine: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "places", lambda: empty_machine)
    shell("demo", "--supabase").refused(
        2, "PostgreSQL and PostgREST not found", "'python -m tgworker dev-stack --fetch' gets what is missing"
    )


def test_fetch_gets_what_is_missing_and_only_that(
    shell: Shell, empty_machine: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(name: str, program: Path) -> Path:
        fetched.append(name)
        program.parent.mkdir(parents=True)
        program.touch(0o755)
        return program

    cache = empty_machine.cache
    monkeypatch.setattr(
        dev_stack, "fetch_postgresql", lambda where: fetch("postgresql", postgresql_in(where))
    )
    monkeypatch.setattr(dev_stack, "fetch_postgrest", lambda where: fetch("postgrest", postgrest_in(where)))
    first = shell("dev-stack", "--fetch", "--json")
    assert set(first.last) == set(SHAPES["dev-stack --fetch"])
    assert first.last["postgrest"] == str(postgrest_in(cache))
    assert fetched == ["postgresql", "postgrest"]
    postgresql_in(cache).unlink()
    for name in ("postgres", "initdb", "psql"):
        postgresql_in(cache).mkdir(exist_ok=True)
        (postgresql_in(cache) / name).touch(0o755)
    assert shell("dev-stack", "--fetch").out == (
        f"PostgreSQL is in {postgresql_in(cache)}\nPostgREST is {postgrest_in(cache)}\n"
    )
    assert fetched == ["postgresql", "postgrest"]


def test_a_failed_fetch_is_one_line(
    shell: Shell, empty_machine: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(where: Path) -> Path:
        raise FetchFailed("it is not there: install it")

    monkeypatch.setattr(dev_stack, "fetch_postgresql", fail)
    shell("dev-stack", "--fetch").refused(1, "it is not there: install it")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--port", "99999"], ["--port must be between 0 and 65535"]),
        (["--port", "x"], ["--port is not a whole number"]),
        (["--sql", "nowhere.sql"], ["--sql: nowhere.sql is not a file that can be read"]),
        (["--data-dir", "/dev/null/x"], ["/dev/null/x cannot be used for --data-dir"]),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], words: list[str], shell: Shell, stack_binaries: Binaries
) -> None:
    shell("dev-stack", *argv).refused(2, *words)


def test_wrong_sql_is_named(shell: Shell, stack_binaries: Binaries) -> None:
    (shell.folder / "mine.sql").write_text("\nbroken;\n")
    shell("dev-stack", "--no-schema", "--sql", "mine.sql").refused(1, "mine.sql:2: ERROR:", "syntax error")


# -------------------------------------------------------------------- real processes


@contextmanager
def running(*argv: str, **popen: Any) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A dev-stack and the object that it printed; it is killed at the end of the block."""
    process = subprocess.Popen([*COMMAND, *argv, "--json"], stdout=subprocess.PIPE, text=True, **popen)
    assert process.stdout is not None
    with process, process.stdout:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def members(session: Path) -> list[int]:
    """The processes of a stack: those that know its folder by name."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if str(session).encode() in words and not zombie:
            found.append(int(folder.name))
    return found


def wait_until_nothing_is_left(facts: dict[str, Any]) -> None:
    logs = Path(facts["logs"])
    end = time.monotonic() + 30
    while members(logs) or logs.exists():
        assert time.monotonic() < end, members(logs)
        time.sleep(0.02)


def whoami(facts: dict[str, Any]) -> tuple[int, Any]:
    key = facts["secret_key"]
    answer = httpx.get(f"{facts['url']}/rest/v1/mine?select=a", headers={"apikey": key}, timeout=30)
    return answer.status_code, answer.json()


@pytest.mark.slow
def test_it_serves_until_ctrl_c(tmp_path: Path, stack_binaries: Binaries) -> None:
    sql = tmp_path / "mine.sql"
    sql.write_text("create table mine (a int); insert into mine values (7)")
    with running("--no-schema", "--sql", str(sql), start_new_session=True) as (process, facts):
        assert set(facts) == set(SHAPES["dev-stack"])
        assert whoami(facts) == (200, [{"a": 7}])
        with psycopg.connect(facts["db_url"]) as connection:
            tables = connection.execute(
                "select count(*) from pg_tables where schemaname = 'public'"
            ).fetchone()
            assert tables == (1,)
        assert httpx.get(f"{facts['control']}/parts").json()["postgrest"] == {"alive": True}
        assert len(members(Path(facts["logs"]))) >= 4
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(30) == 0
        wait_until_nothing_is_left(facts)


@pytest.mark.slow
def test_it_says_what_died_and_ends_when_it_is_told_to(stack_binaries: Binaries) -> None:
    with running("--no-schema", stderr=subprocess.PIPE) as (process, facts):
        httpx.post(f"{facts['control']}/parts/postgrest/kill")
        assert process.stderr is not None
        with process.stderr as errors:
            assert errors.readline() == (
                "tgworker: postgrest is gone: "
                f"'curl -X POST {facts['control']}/parts/postgrest/restart' starts it again\n"
            )
        assert httpx.post(f"{facts['control']}/stop").json() == {}
        assert process.wait(30) == 0
        wait_until_nothing_is_left(facts)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_left_of_one_that_is_killed(frozen: bool, stack_binaries: Binaries) -> None:
    with running("--no-schema") as (process, facts):
        if frozen:
            for part in ("postgresql", "postgrest"):
                httpx.post(f"{facts['control']}/parts/{part}/freeze")
        process.kill()
        process.wait(30)
        wait_until_nothing_is_left(facts)
