"""A child process under a deadline: what it said and how it ended, and nothing of it left."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

REAPED_WITHIN_S = 5.0
"""What was killed is gone in milliseconds, unless it waits for a disk that does not answer."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended by itself.

    Attributes:
        code: Its exit code, negative for a signal.
        said: What it wrote to its standard output; one byte longer than allowed if it wrote too much.
    """

    code: int
    said: bytes


async def run_child(command: Sequence[str], *, env: Mapping[str, str], most_bytes: int) -> Ended:
    """Run a program in a session of its own until it ends or has said too much.

    The caller gives the deadline, by cancelling.

    Args:
        command: The program and its arguments.
        env: All of its environment.
        most_bytes: It is killed if it writes more.

    Raises:
        OSError: It cannot be started.

    Cancellation: its process group is killed and it is reaped, before this returns.
    """
    child = await trio.lowlevel.open_process(
        list(command),
        stdin=subprocess.PIPE,  # held open, never written: its end tells the child that the worker is gone
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(env),
        cwd="/",
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        said = bytearray()
        async for piece in child.stdout:
            said += piece
            if len(said) > most_bytes:
                _kill(child)
                break
        return Ended(await child.wait(), bytes(said[: most_bytes + 1]))
    finally:
        _kill(child)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAPED_WITHIN_S):
            await child.wait()
        with trio.CancelScope(shield=True):
            await child.stdout.aclose()
            await child.stdin.aclose()


def _kill(child: trio.Process) -> None:
    if child.poll() is None:  # not reaped yet: the group's number is still its own
        os.killpg(child.pid, signal.SIGKILL)
