"""A program that was started here and dies with us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from tgworker.devstack import keeper
from tgworker.devstack.errors import PartFailed, Unfit
from tgworker.devstack.user import User

START_WITHIN_S = 30.0
KILL_WITHIN_S = 10.0
"""A killed process that does not end within this hangs in the kernel: nobody can do more about it."""


class Process:
    """A program under a keeper of its own (`tgworker.devstack.keeper`), which ends after all it started did.

    `start_process` makes them. It belongs to no event loop: what one `trio.run` started another may stop.

    Args:
        name: What messages call it.
        its_keeper: The keeper's process.
        log: Where its output goes.
        grace_s: How long it has to end before it is killed, in seconds.
    """

    def __init__(self, name: str, its_keeper: "subprocess.Popen[bytes]", log: Path, grace_s: float) -> None:
        self.name = name
        self.log = log
        self.pid = 0
        """Process id of the program itself, once the keeper has said it."""
        self._keeper = its_keeper
        self._grace_s = grace_s

    async def wait_started(self) -> None:
        """Wait until the keeper has said what the program's process id is.

        Raises:
            PartFailed: It does not say so; neither of them runs.

        Cancellation: as when that fails.
        """
        announcement = self._keeper.stdout
        assert announcement is not None
        try:
            with announcement, trio.move_on_after(START_WITHIN_S):
                await trio.lowlevel.wait_readable(announcement)
                self.pid = int(announcement.readline() or b"0")
            if self.pid == 0:
                raise PartFailed(f"{self.name} could not be started: {last_line(self.log)}")
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.stop()
            raise

    def is_alive(self) -> bool:
        """Whether it, or anything that it started, still runs."""
        if self._keeper.poll() is None:
            return True
        self._let_go()
        return False

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal, if it is still there."""
        # Whoever is below the keeper is no stranger who got the number of a process that ended.
        keeper.send(number, [pid for pid in self._family() if pid == self.pid])

    def freeze(self) -> None:
        """Stop it and all that it started (SIGSTOP): connections stay, and nothing answers."""
        self.send(signal.SIGSTOP)  # first, so that it starts nothing more
        keeper.send(signal.SIGSTOP, self._family())

    def thaw(self) -> None:
        """Let it go on."""
        keeper.send(signal.SIGCONT, self._family()[::-1])

    async def kill(self) -> None:
        """Kill it and all that it started (SIGKILL), and wait until they are gone.

        Raises:
            PartFailed: They are not gone after `KILL_WITHIN_S`.

        Cancellation: they are killed; that they are gone is not waited for.
        """
        keeper.send(signal.SIGKILL, self._family())
        await self.wait(KILL_WITHIN_S)

    async def stop(self) -> None:
        """Ask it to end, and kill it if it has not after its grace; returns when it is gone.

        Raises:
            PartFailed: It is not even gone then.

        Cancellation: it is stopped all the same, and not waited for.
        """
        self._let_go()
        await self.wait(self._grace_s + KILL_WITHIN_S)

    async def wait(self, within_s: float) -> int:
        """Wait until it and all that it started is gone; returns its exit code.

        Raises:
            PartFailed: That takes longer.
        """
        with trio.move_on_after(within_s):
            if self.is_alive():
                descriptor = os.pidfd_open(self._keeper.pid)
                try:
                    await trio.lowlevel.wait_readable(descriptor)
                finally:
                    os.close(descriptor)
        code = self._keeper.poll()
        if code is None:
            raise PartFailed(f"{self.name} (process {self.pid}) does not end")
        self._let_go()
        return code

    def _family(self) -> Sequence[int]:
        """The program and all that it started, as far as they live."""
        return keeper.descendants_of(self._keeper.pid) if self.is_alive() else []

    def _let_go(self) -> None:
        """Tell the keeper that the end is wanted, if it still is there."""
        pipe = self._keeper.stdin
        assert pipe is not None
        if not pipe.closed:
            with suppress(BrokenPipeError), pipe:
                pipe.write(b".")


async def start_process(
    name: str,
    words: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    user: User | None = None,
    ask: signal.Signals = signal.SIGTERM,
    grace_s: float = 5.0,
    remove: Path | None = None,
) -> Process:
    """Start a program that dies with us.

    Args:
        name: What messages call it.
        words: The program's absolute path and its arguments.
        log: Where its output is appended.
        environment: All of its environment.
        folder: Its working directory.
        user: Whom it runs as; ``None``: as we are.
        ask: The signal that asks it to end.
        grace_s: How long it then has before it is killed, in seconds.
        remove: A folder that the keeper removes if we die without having done so.

    Raises:
        Unfit: This system has no process file descriptors.
        PartFailed: It cannot be started.

    Cancellation: it does not run.
    """
    if not hasattr(os, "pidfd_open"):
        raise Unfit("the local stack needs Linux (5.3 or newer): run it there, or in WSL")
    options = ["--ask", ask.name, "--grace", str(grace_s)]
    if user is not None:
        options += ["--user", f"{user.uid}:{user.gid}"]
    if remove is not None:
        options += ["--remove", str(remove)]
    with log.open("ab") as output:
        its_keeper = subprocess.Popen(  # noqa: S603, ASYNC220 - what the stack is made of; a fork takes a moment
            [sys.executable, "-I", "-S", keeper.__file__, *options, "--", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for us; what it means for the parts, we decide
        )
    process = Process(name, its_keeper, log, grace_s)
    await process.wait_started()
    return process


def last_line(log: Path) -> str:
    """The last line of a log that says why it ended, or else the last that says anything."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    told = [line for line in lines if line]
    fatal = [line for line in told if "FATAL" in line or "PANIC" in line]
    return (fatal or told or ["it said nothing"])[-1]
