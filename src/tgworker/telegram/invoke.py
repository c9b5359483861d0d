"""One attempt of one request."""

import asyncio
from typing import Any

from tgworker.telegram.books import LineLost, forget


async def invoke_aio(sender: Any, request: Any) -> Any:
    """Send a request and return its answer: no flood sleeps, no retries, no ghost.

    Args:
        sender: A connected sender.
        request: A request whose peers are resolved already.

    Raises:
        NeverSent: The line was gone before the request left.
        LineLost: The line broke under it, or somebody closed it.
        RPCError: Telegram answered with an error.

    Cancellation: the request is forgotten in the same step; if it had left, Telegram may still act on it.
    """
    future: asyncio.Future[Any] = sender.send(request)
    try:
        return await future
    except asyncio.CancelledError:
        forget(sender, future)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Not we were cancelled but the future: Telethon does so to whoever waits when a client disconnects.
        raise LineLost("the line was closed") from None
