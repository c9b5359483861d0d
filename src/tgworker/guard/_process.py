"""Processes: forking one that dies with its parent, and hearing how one ended. Linux; else best effort."""

import ctypes
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from tgworker.guard._course import Exit

_REQUESTS: Final = (signal.SIGHUP, signal.SIGUSR1)
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, *_REQUESTS)
"""Signals that the guard listens for; its children begin without that."""

_PR_SET_PDEATHSIG: Final = 1
_EXIT_BUG: Final = 1


def fork(child: Callable[[], int]) -> int:
    """Fork; the child runs ``child``, exits with what that returns, and never comes back here.

    The child dies with this process (prctl(2), PR_SET_PDEATHSIG), has default signal handlers, a process
    group of its own (Ctrl-C on the terminal is this process's to pass on), from which it may write to a
    terminal that stops background jobs which do (stty tostop), and leaves no core file: that would hold
    sessions, and take longer to write than a restart may. SIGHUP and SIGUSR1 stay blocked until it
    unblocks them: they ask for something, and must not end who is not ready for them.

    Args:
        child: What it does.

    Returns:
        The child's process id.

    Raises:
        RuntimeError: This process has more than one thread: locks that others hold would stay locked for ever
            in the child.
        OSError: There is no room for another process.
    """
    if threads() != 1:
        raise RuntimeError(f"a process with {threads()} threads must not fork")
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)  # none may run a handler of the parent's in the child
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(parent, child)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    return pid


def _be_child(parent: int, child: Callable[[], int]) -> NoReturn:
    code = _EXIT_BUG
    try:
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(HANDLED) - set(_REQUESTS))
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # in a group of its own it would be stopped for logging
        os.setpgid(0, 0)
        die_with(parent)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = child()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - whatever it was: this process must end here, not in the caller's code
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, also when the parent has died just now."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        os._exit(_EXIT_BUG)


def threads() -> int:
    """How many threads this process has, those of C libraries included."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - only how many counts
    except OSError:  # not Linux
        return threading.active_count()


def reap() -> Iterator[tuple[int, Exit]]:
    """Every child that has ended, and how; strangers too, for which this process may be PID 1."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        yield pid, Exit(code=code) if code >= 0 else Exit(signal=-code)


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped a process (SIGSTOP, a debugger): then what it ran last is not at fault."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


def abort(pid: int) -> None:
    """Have a process write its stacks and end, also if it is stopped.

    SIGABRT goes to its main thread, so that the stacks begin with that one's; SIGCONT follows, because a
    process that is stopped takes nothing else.

    Args:
        pid: The process.
    """
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)  # glibc 2.30 and later
    if tgkill is None or tgkill(pid, pid, signal.SIGABRT) != 0:
        send(pid, signal.SIGABRT)
    send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; to a process that has ended, nothing."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
