"""Limits that the child sets for itself before it touches a stranger's file."""

import os
import resource
import signal
import threading
from typing import Final

ADDRESS_SPACE_BYTES: Final = 1024 * 1024 * 1024
"""Python with PyAV takes 160 MB of it; damaged headers ask for as much as they like."""

OUTPUT_BYTES: Final = 64 * 1024 * 1024
"""More than four hours of a voice note at 32 kbit/s."""

NICENESS: Final = 10
_FILES: Final = 64
_SPARE_S: Final = 5


def confine(seconds: int) -> None:
    """Limit time, memory, output and importance of this process, and let it end with its parent.

    Args:
        seconds: Of the deadline. The parent kills at it; so long after it, this process ends by itself.
    """
    os.nice(NICENESS)
    for kind, most in (
        (resource.RLIMIT_CPU, seconds + _SPARE_S),
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (wanted, wanted))
    signal.alarm(seconds + _SPARE_S)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Nothing is ever written to standard input: it ends when the worker does, be it by SIGKILL.
    # (PR_SET_PDEATHSIG would fire when the thread ends that started this process: trio's come and go.)
    while os.read(0, 1):
        pass
    os._exit(1)
