"""Real workers in processes of their own: what is wrong with one account, or one folder, stays there."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tgworker.sandbox import open_control
from worker.processes import COMMAND, Town, last_object, open_town

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TEXT = "a recognisable text that no log may hold"
API_HASH = "recognisable-api-hash"
WITHIN_S = 30


def log_of(town: Town) -> str:
    return (town.folder / "worker.log").read_text()


async def accounts(town: Town) -> dict[str, Mapping[str, Any]]:
    """The stored accounts by name."""
    listed = await town.command("accounts", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    return {row["name"]: row for row in last_array(listed.stdout)}


def last_array(output: bytes) -> list[Mapping[str, Any]]:
    """The JSON array that is the whole of an output."""
    (line,) = output.splitlines()
    found: list[Mapping[str, Any]] = json.loads(line)
    return found


async def wait_state(town: Town, name: str, state: str) -> Mapping[str, Any]:
    """Wait until an account is in a state; returns its row."""
    with trio.move_on_after(WITHIN_S):
        while True:
            if (await town.states()).get(name) == state:
                row = (await accounts(town))[name]
                if row["state"] == state:
                    return row
            await trio.sleep(0.02)
    raise AssertionError(f"{name} did not become {state} within {WITHIN_S} s:\n{log_of(town)}")


async def wait_sent_all(town: Town) -> None:
    """Wait until nothing stands in the outbox any more."""
    with trio.move_on_after(WITHIN_S):
        while last_array((await town.command("outbox", "list", "--json")).stdout):
            await trio.sleep(0.1)
        return
    raise AssertionError(f"the outbox was not sent within {WITHIN_S} s:\n{log_of(town)}")


async def sends(town: Town, name: str, to: int) -> None:
    """Assert that the account still sends."""
    done = await town.command("send", "--account", name, "--to", str(to), "--text", TEXT, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert last_object(done.stdout)["sent"] == 1


async def said_while_waiting(town: Town, name: str, to: int) -> str:
    """The first line on standard error of a send that waits; it is interrupted then."""
    async with waiting_send(town, name, to) as process:
        assert process.stderr is not None
        with trio.fail_after(WITHIN_S):
            line = await process.stderr.receive_some()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    return line.decode()


@asynccontextmanager
async def waiting_send(town: Town, name: str, to: int) -> AsyncGenerator[trio.Process]:
    """A ``send --wait`` that goes on until the block says otherwise."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, "send", "--account", name, "--to", str(to), "--text", TEXT, "--wait"],
        env=town.env,
        cwd=town.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()


def assert_silent_about(town: Town, *secrets: str) -> None:
    """Assert that the worker's log holds no secret of the town, no text, and no traceback."""
    log = log_of(town)
    assert log
    assert "Traceback" not in log
    users = [user[field] for user in town.facts["users"] for field in ("session", "phone")]
    for secret in [*users, *secrets, *town.env["ENCRYPTION_KEY"].split(","), TEXT, API_HASH]:
        assert secret not in log


def loud(town: Town) -> Town:
    """The same town, with a log of everything and an application secret that can be recognised."""
    return replace(town, env={**town.env, "TGWORKER_LOG_LEVEL": "debug", "TELEGRAM_API_HASH": API_HASH})


async def test_an_account_stored_under_another_key_waits_for_a_person_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path, users=3) as quiet:
        town = loud(quiet)
        lost, well, peer = town.facts["users"]
        await town.login(lost, "lost")
        new = (await town.command("keygen")).stdout.decode().strip()
        rekeyed = replace(town, env={**town.env, "ENCRYPTION_KEY": new})
        await rekeyed.login(well, "well")
        async with rekeyed.worker() as worker:
            row = await wait_state(rekeyed, "lost", "needs_login")
            assert "add the key it was stored under, or log the account in again" in row["last_error"]
            await wait_state(rekeyed, "well", "online")
            await sends(rekeyed, "well", peer["id"])
            assert worker.poll() is None
        assert_silent_about(rekeyed, town.env["ENCRYPTION_KEY"])

        # The remedy: both keys. Nothing was lost of what the account had to send.
        both = replace(town, env={**town.env, "ENCRYPTION_KEY": f"{new},{town.env['ENCRYPTION_KEY']}"})
        async with both.worker():
            assert (await wait_state(both, "lost", "online"))["last_error"] is None
            await sends(both, "lost", peer["id"])
        assert_silent_about(both)


async def test_an_account_that_telegram_revokes_waits_for_a_person_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path, users=3) as quiet:
        town = loud(quiet)
        gone, well, peer = town.facts["users"]
        await town.login(gone, "gone")
        await town.login(well, "well")
        async with town.worker() as worker, open_control(town.facts["control"]) as control:
            await town.wait_online()
            await control.revoke(gone["id"])
            await control.drop_connections(gone["id"])
            row = await wait_state(town, "gone", "needs_login")
            assert "SESSION_REVOKED" in row["last_error"]
            assert "log in again" in row["last_error"]
            waiting = await town.command("send", "--account", "gone", "--to", str(peer["id"]), "--text", TEXT)
            assert waiting.returncode == 0
            # To another chat: a conversation of one owner is one line, whichever of the accounts sends.
            await sends(town, "well", gone["id"])
            assert worker.poll() is None
            said = await said_while_waiting(town, "gone", peer["id"])
            assert "account gone is needs_login: SESSION_REVOKED" in said

            # The remedy, while the worker runs: it compares accounts with the table every 60 s, so that a
            # restart is what a test can wait for.
            session = await control.new_session(gone["id"])
            again = await town.command("login", "--session", "-", stdin=session)
            assert again.returncode == 0, again.stderr
            worker.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
            async with town.worker():
                await wait_state(town, "gone", "online")
                await wait_sent_all(town)
        assert_silent_about(town, session)


async def test_a_running_worker_follows_what_the_commands_say_of_accounts(tmp_path: Path) -> None:
    async with open_town(tmp_path, users=3) as quiet:
        new, old = (await quiet.command("keygen")).stdout.decode().strip(), quiet.env["ENCRYPTION_KEY"]
        *some, last = quiet.facts["users"]
        for user, name in zip(some, ("one", "two"), strict=True):
            await quiet.login(user, name)
        town = replace(loud(quiet), env={**loud(quiet).env, "ENCRYPTION_KEY": f"{new},{old}"})
        async with town.worker() as worker, open_control(town.facts["control"]) as control:
            await town.wait_online()
            await town.login(last, "three")
            assert set(await town.states()) == {"one", "two", "three"}  # at once, not at the sync of 60 s
            await wait_state(town, "three", "online")

            async def switch(verb: str, name: str) -> str:
                done = await town.command("accounts", verb, "--account", name)
                assert done.returncode == 0, done.stderr
                return done.stdout.decode()

            assert await switch("disable", "one") == "account one is off; the worker follows it\n"
            assert set(await town.states()) == {"two", "three"}
            assert await switch("enable", "one") == "account one is on; the worker follows it\n"
            await wait_state(town, "one", "online")

            # Every session under another key: no account reconnects for that.
            before = (await control.statistics()).connections
            done = await town.command("accounts", "rekey", "--json")
            assert last_object(done.stdout)["rekeyed"] == 2  # the third has it already
            assert await switch("enable", "two") == "account two is on already; the worker follows it\n"
            assert (await control.statistics()).connections == before

            # A session is ended once the worker has let go of it: never is it used in two places.
            done = await town.command("accounts", "remove", "--account", "one", "--logout", "--yes", "--json")
            assert (done.returncode, last_object(done.stdout)["logged_out"]) == (0, True), done.stderr
            done = await town.command("accounts", "remove", "--account", "two", "--yes")
            assert done.returncode == 0, done.stderr
            assert await town.states() == {"three": "online"}
            assert worker.poll() is None
        only_new = replace(town, env={**town.env, "ENCRYPTION_KEY": new})
        async with only_new.worker():
            await wait_state(only_new, "three", "online")
        again = await town.command("login", "--session", "-", stdin=town.facts["users"][0]["session"])
        assert again.returncode == 1
        assert b"AUTH_KEY_DUPLICATED" not in again.stderr
        assert b"log in again" in again.stderr
        assert_silent_about(town, new)


async def test_a_second_worker_on_a_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        me, peer = town.facts["users"]
        await town.login(me, "me")
        async with town.worker() as worker:
            await town.wait_online()
            async with open_control(town.facts["control"]) as control:
                before = (await control.statistics()).connections
                second = await town.command("run")
                assert second.returncode == 2
                (line,) = second.stderr.decode().splitlines()
                folder = tmp_path / "data"
                assert line == (
                    f"tgworker: the data folder {folder} is in use by process {worker.pid}: stop that"
                    " worker first, or set TGWORKER_DATA_DIR to another folder (two workers on one session"
                    " destroy it)"
                )
                assert (await control.statistics()).connections == before
            await sends(town, "me", peer["id"])
            killed = worker.pid
            worker.kill()
            await worker.wait()
        # The lock goes with the process: what a killed worker left behind hinders nobody.
        async with town.worker() as third:
            assert third.pid != killed
            await town.wait_online()
            await sends(town, "me", peer["id"])


async def test_a_busy_port_is_refused_and_who_has_it_goes_on(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        for option, address in (("--port", town.facts["server"]), ("--control-port", town.facts["control"])):
            port = address.rpartition(":")[2]
            second = await town.command("sandbox", option, port)
            assert second.returncode == 2
            assert second.stderr.decode() == (
                f"tgworker: port {port} on 127.0.0.1 is taken: choose another with {option}, or 0 for any\n"
            )
            assert second.stdout == b""
        await town.login(town.facts["users"][0], "me")


async def test_ctrl_c_ends_a_waiting_send_in_one_line_and_its_message_stays(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        me, peer = town.facts["users"]
        await town.login(me, "me")
        async with waiting_send(town, "me", peer["id"]) as process:
            while not last_array((await town.command("outbox", "list", "--json")).stdout):
                await trio.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert process.stderr is not None
            said = b"".join([chunk async for chunk in process.stderr]).decode().splitlines()
        assert said == [
            f"tgworker: no worker runs on {tmp_path / 'data'} yet: 'tgworker run' sends what waits",
            "tgworker: interrupted: what was done stays done",
        ]
        assert len(last_array((await town.command("outbox", "list", "--json")).stdout)) == 1


def test_a_folder_of_another_user_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    program = (
        # What it will need is imported while it may still read the interpreter's folders.
        "import os, sys, tgworker.cli, tgworker.cli._app, tgworker.cli.accounts\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(tgworker.cli.main(['accounts', 'list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TGWORKER_DATA_DIR": str(folder)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "TGWORKER_DATA_DIR" in line
    assert list(folder.iterdir()) == []
