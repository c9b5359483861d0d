"""A terminal of its own for a process: a person who reads what is shown, types, and presses Ctrl-C."""

import os
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

LAUNCH = """
import os, sys
os.setsid()
terminal = os.open(sys.argv[1], os.O_RDWR)  # the first that a session opens is its own: Ctrl-C works
for fd in (0, 1, 2):
    os.dup2(terminal, fd)
os.execv(sys.argv[2], sys.argv[2:])
"""

PATIENCE_S = 30.0


class Terminal:
    """``shown`` is everything that was ever shown."""

    def __init__(self, fd: int, process: trio.Process) -> None:
        self.fd = fd
        self.process = process
        self.shown = ""
        self._seen = 0

    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    async def wait_for(self, text: str) -> str:
        """Read until a text is shown, beyond the last that was waited for; returns what came before it."""
        with trio.move_on_after(PATIENCE_S), suppress(OSError):  # (nobody has it open any more)
            while text not in self.shown[self._seen :]:
                await trio.lowlevel.wait_readable(self.fd)
                self.shown += os.read(self.fd, 65536).decode()
        assert text in self.shown[self._seen :], f"{text!r} was not shown, but: {self.shown}"
        before, _, _ = self.shown[self._seen :].partition(text)
        self._seen += len(before) + len(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    async def end(self) -> int:
        """Read to the end; returns the exit code."""
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                code = await self.process.wait()
                nursery.cancel_scope.cancel()
        with suppress(BlockingIOError):
            while True:
                self.shown += os.read(self.fd, 65536).decode()
        return code

    async def _read(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            self.shown += os.read(self.fd, 65536).decode()

    def seen_by_others(self) -> str:
        """What any user of the machine can read of the process, and its environment."""
        proc = Path(f"/proc/{self.process.pid}")
        return "".join((proc / name).read_bytes().decode() for name in ("cmdline", "environ", "comm"))


@asynccontextmanager
async def in_terminal(
    *argv: str,
    program: Sequence[str] = (sys.executable, "-m", "tgworker"),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncGenerator[Terminal]:
    """Run a command of the program at a terminal; where nothing is said, in the environment of the test."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", LAUNCH, os.ttyname(theirs), *program, *argv],
        stdin=subprocess.DEVNULL,
        env=env,
        cwd=cwd,
    )
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
        os.close(theirs)
        os.close(ours)
