"""Real processes of the command line: a sandbox, workers that may be killed, one-shot commands."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import Any

import trio

from tgworker.operations.status_socket import ask
from tgworker.vault import new_key

COMMAND = [sys.executable, "-m", "tgworker"]
#: A town's whole life: less than pytest's ceiling for it, which would leave its processes behind.
WITHIN_S = 100


@dataclass
class Town:
    """A sandbox that serves in a process of its own, and the environment in which workers reach it."""

    facts: Mapping[str, Any]
    env: Mapping[str, str]
    folder: Path

    async def command(self, *arguments: str, stdin: str = "") -> CompletedProcess[bytes]:
        """Run a command to its end."""
        return await trio.run_process(
            [*COMMAND, *arguments],
            env=self.env,
            cwd=self.folder,
            stdin=stdin.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )

    async def login(self, user: Mapping[str, Any], name: str) -> str:
        """Add an account of the sandbox to the data folder; returns its id."""
        done = await self.command(
            "login", "--session", "-", "--name", name, "--json", stdin=user["session"] + "\n"
        )
        assert done.returncode == 0, done.stderr
        return str(last_object(done.stdout)["account_id"])

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[trio.Process]:
        """A worker that is killed at the end of the block, unless it ended before."""
        with (self.folder / "worker.log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                [*COMMAND, "run", "--no-guard"], env=self.env, cwd=self.folder, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                with trio.CancelScope(shield=True):
                    if process.poll() is None:
                        process.kill()
                    await process.wait()

    async def status(self) -> Mapping[str, Any]:
        return last_object((await self.command("status", "--json")).stdout)

    async def states(self) -> Mapping[str, str]:
        """The states of its worker's accounts by name; nothing where no worker answers.

        Asks as ``status`` does, without a process for each time: this is for waiting.
        """
        answer = await ask(self.folder / "data", "status") or {}
        return {account["name"]: account["state"] for account in answer.get("accounts", [])}

    async def wait_online(self) -> None:
        """Wait until a worker answers and all its accounts are online."""
        while set((await self.states()).values()) != {"online"}:
            await trio.sleep(0.02)


@asynccontextmanager
async def open_town(folder: Path, *, users: int = 2, bots: int = 0) -> AsyncGenerator[Town]:
    """Start a sandbox process and say how to reach it.

    Raises:
        TooSlowError: The block has not ended after 100 s; it was cancelled, and its processes are gone.
    """
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [*COMMAND, "sandbox", "--users", str(users), "--bots", str(bots), "--json"],
                    stdout=PIPE,
                    check=False,
                    cwd=folder,
                )
            )
            assert process.stdout is not None
            line = b""
            while not line.endswith(b"\n"):
                chunk = await process.stdout.receive_some()
                assert chunk, "the sandbox ended before it said where it is"
                line += chunk
            facts = json.loads(line)
            env = {
                **os.environ,
                "TELEGRAM_API_ID": "1",
                "TELEGRAM_API_HASH": "sandbox",
                "ENCRYPTION_KEY": new_key().value,
                "TGWORKER_DATA_DIR": str(folder / "data"),
                "TGWORKER_PACING": "off",
                "TGWORKER_TELEGRAM_SERVER": facts["server"],
                "TGWORKER_TELEGRAM_SERVER_KEY": facts["key_file"],
                "TGWORKER_TELEGRAM_DC": str(facts["dc"]),
                "TGWORKER_LOG_FORMAT": "json",
                "TGWORKER_STATUS_BIND": "off",  # its default port is everybody's
            }
            yield Town(facts, env, folder)
            nursery.cancel_scope.cancel(reason="the test is over")


def last_object(output: bytes) -> Mapping[str, Any]:
    """The JSON object on the last line."""
    found: Mapping[str, Any] = json.loads(output.splitlines()[-1])
    return found
