"""Forking: refused where locks of other threads would stay locked in the child; what a child may do."""

import os
import subprocess
import sys
import threading

import pytest

from tgworker.guard._process import fork, threads


def test_a_process_with_several_threads_does_not_fork() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert threads() > 1
        with pytest.raises(RuntimeError, match=r"a process with \d+ threads must not fork"):
            fork(lambda: 0)
    finally:
        done.set()
        thread.join()


TERMINAL = """
import os, signal, sys, termios
from tgworker.guard._process import fork

terminal = os.open(sys.argv[1], os.O_RDWR)  # of a session's leader it becomes the controlling one
modes = termios.tcgetattr(terminal)
modes[3] |= termios.TOSTOP
termios.tcsetattr(terminal, termios.TCSANOW, modes)
pid = fork(lambda: 7 if os.write(terminal, b"a line") else 1)
_, status = os.waitpid(pid, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(pid, signal.SIGKILL)
    sys.exit("stopped for writing to the terminal")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_child_may_write_to_a_terminal_that_stops_background_jobs_for_it() -> None:
    master, slave = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", TERMINAL, os.ttyname(slave)],
            start_new_session=True,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (7, b"")
        assert os.read(master, 100) == b"a line"
    finally:
        os.close(master)
        os.close(slave)
