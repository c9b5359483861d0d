"""How a loop is opened: trio-asyncio's ``open_loop``, around one of ours."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FunctionType
from typing import Any, cast

import trio_asyncio

from tgworker.telegram.host.loop import HostLoop

LOOP = "TrioEventLoop"
"""The global name under which ``open_loop`` finds its class."""


def _opener() -> Callable[..., AbstractAsyncContextManager[HostLoop]]:
    """The code of ``open_loop``, for which that name means another class.

    So nothing of trio-asyncio changes for anybody else, and nothing of how it begins and ends is repeated.
    """
    decorated: Any = trio_asyncio.open_loop
    theirs: Any = decorated.__wrapped__
    names = {**theirs.__globals__, LOOP: HostLoop}
    ours = FunctionType(theirs.__code__, names, "open_hosted_loop", theirs.__defaults__, theirs.__closure__)
    return asynccontextmanager(cast("Callable[..., AsyncGenerator[HostLoop]]", ours))


open_hosted_loop = _opener()
"""Open a `HostLoop`, as ``trio_asyncio.open_loop`` opens a loop: an asynchronous context manager."""


def open_host(*, stock: bool) -> AbstractAsyncContextManager[Any]:
    """Open an asyncio loop inside trio: an asynchronous context manager.

    Args:
        stock: Whether it is trio-asyncio's own instead of ours: slower, and cancelled timers pile up in it.
    """
    return cast("AbstractAsyncContextManager[Any]", trio_asyncio.open_loop()) if stock else open_hosted_loop()
