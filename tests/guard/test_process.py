"""Forking: refused where locks of other threads would stay locked in the child for ever."""

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
