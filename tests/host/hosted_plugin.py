"""A pytest plugin for a process that runs trio-asyncio's own tests: whoever opens a loop there gets ours."""

from contextlib import AbstractAsyncContextManager

import pytest
import trio_asyncio
from trio_asyncio import _loop

from tgworker.telegram.host import HostLoop, open_hosted_loop

opened = 0


def open_counted(queue_len: int | None = None) -> AbstractAsyncContextManager[HostLoop]:
    global opened
    opened += 1
    return open_hosted_loop(queue_len)


def pytest_configure() -> None:
    trio_asyncio.open_loop = _loop.open_loop = open_counted


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"hosted loops: {opened}")
