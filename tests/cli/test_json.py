"""``--json``: a listing prints one array on one line, any other command one object as its last line.

The fields stand in `cli.json_shapes`; a test of the docs compares the reference with them.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from cli.cli_kit import Shell, fields
from cli.json_shapes import SHAPES
from tgworker.cli.demo import courier, story
from tgworker.cli.demo.parcels import digest, picture
from tgworker.devstack import Binaries
from worker.processes import Town, last_object, open_town

PROMISED_BY_THE_DEMO = {
    *("ok", "sent", "received", "lost", "duplicated", "out_of_order"),
    *("five_messages_s", "send_p50_ms", "send_p99_ms"),
    *("files_sent", "files_received", "files_wrong"),
    *("hangs_injected", "hangs_recovered", "crashes_injected", "crashes_recovered"),
    *("outages_injected", "outages_recovered", "heartbeats", "heartbeat_max_gap_s", "seconds"),
}
LOOP = {"last_ping_ago", "alive", "restarts", "operation", "verdict"}
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")


def test_keygen_prints_a_key(shell: Shell) -> None:
    found = shell("keygen", "--json")
    assert (found.code, set(found.last), found.complaints) == (0, set(SHAPES["keygen"]), [])
    assert len(found.last["key"]) == 44
    assert shell("keygen").out.strip() != found.last["key"]


def test_migrate_says_what_it_did(shell: Shell) -> None:
    first, second = shell("migrate", "--json"), shell("migrate", "--json")
    assert first.last["data_dir"] == second.last["data_dir"] == str(shell.data)
    assert set(first.last) == set(SHAPES["migrate"])
    assert (first.last["steps"] > 0, second.last["steps"]) == (True, 0)


def test_empty_listings_are_empty_arrays(shell: Shell) -> None:
    assert shell("accounts", "list", "--json").out == "[]\n"
    assert shell("outbox", "list", "--json").out == "[]\n"


def test_listings_are_one_array_on_one_line(shell: Shell) -> None:
    shell.add_account("alice")
    shell.add_account("a name\u2028with öddities", user_id=1002)
    accounts = shell("accounts", "list", "--json").rows
    assert fields(accounts) == {frozenset(SHAPES["accounts list"])}
    assert [row["name"] for row in accounts] == ["alice", "a name\u2028with öddities"]
    sent = shell("send", "--account", "alice", "--to", "5", "--lines", "--json", stdin="one\ntwo\n")
    assert set(sent.last) == set(SHAPES["send"])
    rows = shell("outbox", "list", "--json").rows
    assert fields(rows) == {frozenset(SHAPES["outbox list"])}
    assert [row["message_id"] for row in rows] == sent.last["message_ids"]
    assert all(WHEN.fullmatch(row["created_at"]) for row in rows)
    first = shell("outbox", "list", "--limit", "1", "--json")
    assert first.rows == rows[:1]
    assert first.complaints == ["tgworker: there are more than 1: give a higher --limit to see them"]
    assert shell("outbox", "list", "--limit", "2", "--json").complaints == []


def test_a_status_without_a_worker_is_an_object_and_exit_1(shell: Shell) -> None:
    found = shell("status", "--json")
    assert (found.code, found.last) == (
        1,
        {"answers": False, "heartbeat": None, "last_freeze": None, "newest_stacks": None},
    )


def test_logs_do_not_go_to_standard_output(shell: Shell) -> None:
    shell.set(TGWORKER_LOG_LEVEL="debug")
    shell.add_account()
    (line,) = shell("send", "--account", "alice", "--to", "5", "--text", "hello", "--json").out.splitlines()
    assert json.loads(line)["enqueued"] == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_what_a_running_worker_answers(tmp_path: Path) -> None:
    async with open_town(tmp_path, users=2, bots=1) as town:
        assert set(town.facts) == set(SHAPES["sandbox"])
        assert fields(town.facts["users"]) == {frozenset(SHAPES["sandbox: users"])}
        assert fields(town.facts["bots"]) == {frozenset(SHAPES["sandbox: bots"])}
        me, peer = town.facts["users"]
        login = await town.command("login", "--session", "-", "--name", "me", "--json", stdin=me["session"])
        assert set(last_object(login.stdout)) == set(SHAPES["login"])
        async with town.worker():
            await town.wait_online()
            status = await answered(town, "status", "--json")
            assert set(status) == set(SHAPES["status"])
            assert set(status["loops"]) == {"sync", "outbound", "history", "jobs"}
            assert all(set(loop) == LOOP for loop in status["loops"].values())
            assert fields(status["accounts"]) == {frozenset(SHAPES["status: accounts"])}
            assert set(status["lag"]) == set(SHAPES["status: lag"])
            assert set(status["queues"]) == set(SHAPES["status: queues"])
            assert status["store_away"] is False
            sent = await answered(
                town, "send", "--account", "me", "--to", str(peer["id"]), "--text", "x", "--wait", "--json"
            )
            assert set(sent) == set(SHAPES["send --wait"])
            assert fields(sent["messages"]) == {frozenset(SHAPES["send --wait: messages"])}
        stopped = await town.command("status", "--json")
        found = last_object(stopped.stdout)
        assert set(found) == set(SHAPES["status, no worker"])
        assert (stopped.returncode, found["answers"], set(found["heartbeat"])) == (
            1,
            False,
            set(SHAPES["status, no worker: heartbeat"]),
        )


async def answered(town: Town, *argv: str) -> Any:
    """The object of a command that says one line and nothing on standard error."""
    done = await town.command(*argv)
    assert (done.returncode, done.stderr) == (0, b"")
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_the_demo_s_object_holds_what_was_promised() -> None:
    assert set(SHAPES["demo"]) >= PROMISED_BY_THE_DEMO


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_demo_finds_nothing_wrong_and_says_so_in_its_last_line(shell: Shell) -> None:
    done = shell("demo", "--json", "--seed", "1")
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert set(found) == set(SHAPES["demo"])
    assert (done.code, found["ok"]) == (0, True), done.err
    assert found["lost"] == found["duplicated"] == found["out_of_order"] == found["unexpected"] == 0
    assert (found["files_sent"], found["files_received"], found["files_wrong"]) == (5, 5, 0)
    assert found["sent"] > 100
    assert found["received"] > 100
    assert found["five_messages_s"] < 10
    assert found["seconds"] < 60
    for kind in ("hangs", "crashes", "outages"):
        assert found[f"{kind}_injected"] == found[f"{kind}_recovered"] == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_demo_fails_if_a_byte_of_one_file_differs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What should be there is another picture: the same as if another one were there."""
    monkeypatch.setattr(courier, "digest", lambda data: digest(data[:-1] if data == picture(120) else data))
    monkeypatch.setattr(story, "ACT_WITHIN_S", 1.0)
    monkeypatch.setattr(story, "CALM_S", 0.1)
    done = shell("demo", "--json", "--seed", "1")
    found = json.loads(done.out)
    assert (done.code, found["ok"]) == (1, False)
    assert (found["files_sent"], found["files_received"], found["files_wrong"]) == (5, 4, 1)
    assert "NOT received: not within 1 s" in done.err
    # and nothing else is the matter
    assert found["lost"] == found["duplicated"] == found["out_of_order"] == found["unexpected"] == 0
    for kind in ("hangs", "crashes", "outages"):
        assert found[f"{kind}_injected"] == found[f"{kind}_recovered"] == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_demo_on_the_local_stack_survives_the_death_of_postgrest_too(
    shell: Shell, stack_binaries: Binaries
) -> None:
    # The home is another one here: what was fetched into the cache there is found on PATH.
    places = [stack_binaries.postgresql, stack_binaries.postgrest.parent, os.environ["PATH"]]
    shell.set(PATH=os.pathsep.join(map(str, places)))
    done = shell("demo", "--supabase", "--json", "--seed", "1")
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert set(found) == set(SHAPES["demo"])
    assert (done.code, found["ok"]) == (0, True), done.err
    assert found["lost"] == found["duplicated"] == found["out_of_order"] == found["unexpected"] == 0
    assert (found["files_sent"], found["files_received"], found["files_wrong"]) == (5, 5, 0)
    assert found["sent"] > 100
    assert found["received"] > 100
    assert found["seconds"] < 60
    assert found["heartbeat_max_gap_s"] > 2  # it was away
    for kind, count in (("hangs", 1), ("crashes", 1), ("outages", 2)):
        assert found[f"{kind}_injected"] == found[f"{kind}_recovered"] == count
    assert "PostgREST is killed" in done.err
