"""A process with a Telethon client, which does what it is told and says how long that took."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from subprocess import PIPE
from typing import final

import trio

from benchmarks.alone import ROOT
from benchmarks.telethon_jobs import Facts

WITHIN_S = 300.0  # a client that hangs must not hang the measurement


@final
class ClientProcess:
    """A client that is connected. `open_client` makes them."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._rest = b""

    async def do(self, *words: object) -> dict[str, float]:
        """Have a job done; returns what that took, ``took_s`` and ``cpu_s``, and what else it says."""
        await self.tell(*words)
        return await self.hear()

    async def tell(self, *words: object) -> None:
        """Begin a job."""
        await self._stdin.send_all(" ".join(map(str, words)).encode() + b"\n")

    async def hear(self) -> dict[str, float]:
        """Wait for its next line."""
        with trio.fail_after(WITHIN_S):
            while b"\n" not in self._rest:
                data = await self._stdout.receive_some()
                if not data:
                    raise RuntimeError("the client's process has ended; see standard error")
                self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        found: dict[str, float] = json.loads(line)
        return found


@asynccontextmanager
async def open_client(facts: Facts, module: str, *words: str) -> AsyncGenerator[ClientProcess]:
    """Start ``python -m MODULE WORDS`` and wait until it is connected; it is killed at the end."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", module, *words], cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    try:
        client = ClientProcess(process)
        await client.tell(json.dumps(asdict(facts)))
        await client.hear()
        yield client
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
