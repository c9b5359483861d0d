"""The worker's processes, under an init that starts what ends, and under whoever kills them."""

import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Literal

import trio

from soak.site import Site

START_AGAIN_S = 0.2
"""What systemd's RestartSec would be."""


class Processes:
    """A guard that is started again whenever it ends, as systemd would do, and its worker.

    Args:
        site: Where they run.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._guard: trio.Process | None = None
        self.kills: Counter[str] = Counter()
        self.starts = 0
        self.log = site.folder / "worker.log"

    async def run(self) -> None:
        """Keep the guard running until cancelled; then it is stopped in order."""
        with self.log.open("ab") as log:
            while True:
                self.starts += 1
                self._guard = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "tgworker", "run"],
                    env=dict(self._site.env),
                    cwd=self._site.folder,
                    stderr=log,
                    start_new_session=True,
                )
                try:
                    await self._guard.wait()
                finally:
                    await self._stop(self._guard)
                await trio.sleep(START_AGAIN_S)

    async def _stop(self, guard: trio.Process) -> None:
        if guard.poll() is not None:
            return
        with trio.CancelScope(shield=True):
            self.signal_worker(signal.SIGCONT)
            guard.send_signal(signal.SIGTERM)
            with trio.move_on_after(40) as patience:
                await guard.wait()
            if patience.cancelled_caught:
                guard.kill()
                await guard.wait()

    def worker_pids(self) -> list[int]:
        """The guard's children: one worker, or none just now."""
        if self._guard is None or self._guard.poll() is not None:
            return []
        pid = self._guard.pid
        try:
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def signal_worker(self, number: signal.Signals) -> bool:
        """Send the worker a signal; returns whether there was one."""
        pids = self.worker_pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return bool(pids)

    def kill(self, whom: Literal["worker", "guard"]) -> bool:
        """Kill -9; returns whether there was somebody to kill."""
        if whom == "worker":
            done = self.signal_worker(signal.SIGKILL)
        else:
            done = self._guard is not None and self._guard.poll() is None
            if done and self._guard is not None:
                self._guard.kill()
        self.kills[whom] += done
        return done

    async def keep_killing(self, rng: Random, stop: trio.Event) -> None:
        """Kill worker or guard, over and over, until it is to stop; never two within 2 s."""
        while not stop.is_set():
            with trio.move_on_after(2 + rng.expovariate(1 / max(0.1, self._site.plan.kill_every_s - 2))):
                await stop.wait()
                return
            self.kill("guard" if rng.random() < self._site.plan.guard_share else "worker")
