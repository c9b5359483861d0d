"""Processes that are killed at every step of what they do: for crash tests, of sending or of anything else.

How to use it::

    async def scenario(steps: Steps, *, folder: str) -> None:  # in a module of its own, not in a test's
        async with open_worker(folder) as worker:  # runs in a process of its own, under trio
            await worker.wait_idle()
            steps.arm()  # from here on every step counts
            await worker.do_one_thing()
            steps.end()  # adds the step "end", and ends the process


    async with open_victims(tmp_path, "crashes.my_scenario") as victims:
        life = await victims.run("crashes.my_scenario:scenario", folder=...)  # it lives: its steps' names
        for name in life.steps:
            await victims.run("crashes.my_scenario:scenario", die_before=name, folder=...)
            ...  # the next one finds what this one has left behind

The server that they talk to (a sandbox, a database) stays in the test's own process, or in another: it
survives them. What counts as a step, and why that is enough, stands in `crashes.steps`. A process costs a
fork (milliseconds): what the modules named to `open_victims` import is imported once.

Steps are told apart by the function of ours that takes them, by what it does, and by their number: the order
in which tasks run may differ from run to run, so that `die_before` may name one that does not come again.
Then the process lives, which the answer says, and the test asks again or fails. A scenario that is to be the
same every time lets nothing else happen meanwhile: no polling, and `Steps.quiet` before it arms.

`crashes.ground` has the ground on which all of it stands, for each store.
"""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import trio

NEST = Path(__file__).with_name("nest.py")


@dataclass(frozen=True, slots=True)
class Life:
    """How a process fared.

    Attributes:
        killed: Whether it died before the step that was named.
        steps: The steps that it took, if it lived.
    """

    killed: bool
    steps: tuple[str, ...]


class Victims:
    """Runs one process after the other. Made by `open_victims`."""

    def __init__(self, nest: trio.Process, report: Path) -> None:
        assert nest.stdin is not None
        assert nest.stdout is not None
        self._orders = nest.stdin
        self._answers = nest.stdout
        self._report = report
        self._lock = trio.Lock()

    async def run(self, scenario: str, *, die_before: str | None = None, **arguments: Any) -> Life:
        """Run a scenario, ``module:function``, in a process of its own.

        Args:
            scenario: An async function that takes `crashes.steps.Steps` and the arguments.
            die_before: The step before which it is killed.
            arguments: JSON-ready.

        Raises:
            AssertionError: It ended otherwise: by an error of its own (on standard error), or not at all.

        Cancellation: the process goes on; it ends with the nest.
        """
        order = {
            "scenario": scenario,
            "die_before": die_before,
            "arguments": arguments,
            "report": str(self._report),
        }
        async with self._lock:
            self._report.unlink(missing_ok=True)
            await self._orders.send_all(json.dumps(order).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                some = await self._answers.receive_some()
                assert some, "the nest has ended"
                answer += some
            status = int(answer)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                assert die_before is not None, "somebody else has killed it"
                return Life(killed=True, steps=())
            assert status == 0, f"{scenario} before {die_before!r} ended with {status}"
            return Life(killed=False, steps=tuple(json.loads(self._report.read_text(encoding="utf-8"))))


@asynccontextmanager
async def open_victims(folder: Path, *modules: str) -> AsyncGenerator[Victims]:
    """A nest of processes for the length of the block.

    Args:
        folder: Where it may write.
        modules: What is imported beforehand.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, str(NEST), *modules], stdin=PIPE, stdout=PIPE, cwd=folder
    )
    try:
        yield Victims(process, folder / "steps.json")
    finally:
        with trio.CancelScope(shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()
            with trio.move_on_after(1) as patience:
                await process.wait()
            if patience.cancelled_caught:
                process.kill()
                await process.wait()
