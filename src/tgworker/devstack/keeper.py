"""Runs one program and sees to it that the program does not outlive whoever asked for it.

A program of its own, not a module of the rest: ``python -I -S keeper.py [--user UID:GID] [--ask SIGNAL]
[--grace SECONDS] [--remove FOLDER] -- PROGRAM ARGUMENTS…``. It writes the program's process id as one line
and ends with the program's exit code, as shells count it. The program's output goes where the keeper's
standard error goes.

The program is stopped (asked, waited for, killed) when something comes on the keeper's standard input, when
that ends, or when its parent dies, be it by SIGKILL. The parent is watched through a file descriptor, because
PR_SET_PDEATHSIG would already fire when the *thread* that started us ends. Descendants that lose their parent
come to the keeper (PR_SET_CHILD_SUBREAPER), and it does not end before they did: where a keeper has ended,
nothing is left. Should the keeper itself be killed, the kernel kills the program (PR_SET_PDEATHSIG; a keeper
has one thread).
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a service manager sends to everybody: our parent decides what they mean."""
CANNOT_RUN = 127
"""Exit code of a program that cannot be executed, as in a shell."""


def descendants_of(pid: int) -> list[int]:
    """The living processes below one, parents before their children.

    Args:
        pid: Where to begin; it is not in the result.
    """
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:  # noqa: PTH123
                found += map(int, file.read().split())
        except OSError:
            continue  # it ended meanwhile
    return found[1:]


def send(number: int, pids: Sequence[int]) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _become(words: Sequence[str], user: str, keeper: int) -> NoReturn:
    """Turn this forked process into the program."""
    try:
        if user:
            uid, gid = map(int, user.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # After setuid, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(CANNOT_RUN)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        for number in (*DEAF_TO, signal.SIGPIPE):  # what is ignored stays ignored through execv
            signal.signal(number, signal.SIG_DFL)
        os.execv(words[0], list(words))  # noqa: S606 - what the stack is made of
    except OSError as error:
        os.write(2, f"{words[0]}: {error.strerror}\n".encode())
    os._exit(CANNOT_RUN)


def _reap(program: int) -> tuple[int | None, bool]:
    """Collect who ended: the program's exit code if it is among them, and whether anybody is left."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code, False
        if pid == 0:
            return code, True
        if pid == program:
            code = os.waitstatus_to_exitcode(status)


def keep(words: Sequence[str], *, user: str, ask: int, grace_s: float) -> tuple[int, bool]:
    """Run the program until it ends or must; returns its exit code, and whether our parent died.

    Args:
        words: The program's path and arguments.
        user: ``uid:gid`` to run it as; empty: as we are.
        ask: The signal that asks it to end.
        grace_s: How long it may take to end before it is killed with all that it started, in seconds.
    """
    parent, keeper = os.getppid(), os.getpid()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    program = os.fork()
    if program == 0:
        _become(words, user, keeper)
    os.write(1, b"%d\n" % program)
    os.close(1)
    watch = _Watch(parent)
    code: int | None = None
    kill_at: float | None = None
    while True:
        ended, anybody_left = _reap(program)
        code = ended if code is None else code
        if not anybody_left:
            return 0 if code is None else code, watch.must_end and not watch.told
        if kill_at is None and watch.must_end:
            kill_at = time.monotonic() + grace_s
            # A stopped process takes no other signal.
            send(signal.SIGCONT, [program, *descendants_of(program)])
            send(ask, [program])
        elif kill_at is None and code is not None:
            kill_at = time.monotonic() + grace_s  # what it started may take as long to end by itself
        elif kill_at is not None and time.monotonic() >= kill_at:
            # Again and again: what forks while it is being killed has children that were not in the list.
            send(signal.SIGKILL, descendants_of(keeper))
            kill_at = time.monotonic() + 0.05
        watch.wait(None if kill_at is None else max(0.0, kill_at - time.monotonic()))


class _Watch:
    """Waits for what may happen to the keeper: a child ends, standard input ends, the parent dies."""

    def __init__(self, parent: int) -> None:
        self.must_end = False
        self.told = False
        """Whether somebody wanted the end. (A dying parent's pipes are closed before it counts as dead.)"""
        self._poll = select.poll()
        self._children, wakes_us = os.pipe()
        for descriptor in (self._children, wakes_us):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakes_us, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            alive = os.pidfd_open(parent)
        except ProcessLookupError:
            self.must_end = True
        else:
            self.must_end = os.getppid() != parent
            self._poll.register(alive, select.POLLIN)
        self._poll.register(0, select.POLLIN)
        self._poll.register(self._children, select.POLLIN)

    def wait(self, timeout_s: float | None) -> None:
        """Wait until something happens, or the time is up."""
        for descriptor, _ in self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            if descriptor == self._children:
                os.read(self._children, 4096)
            else:
                self.told = self.told or (descriptor == 0 and os.read(0, 1) != b"")
                self._poll.unregister(descriptor)
                self.must_end = True


def _main(arguments: Sequence[str]) -> int:
    import shutil

    end = arguments.index("--")
    options = dict(zip(arguments[:end:2], arguments[1:end:2], strict=True))
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    code, orphaned = keep(
        arguments[end + 1 :],
        user=options.get("--user", ""),
        ask=signal.Signals[options.get("--ask", "SIGTERM")],
        grace_s=float(options.get("--grace", "5")),
    )
    if "--remove" in options and orphaned:
        shutil.rmtree(options["--remove"], ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
