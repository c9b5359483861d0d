"""Getting rid of a client in any state: mid-handshake, with a full send buffer, while updates stream in."""

import asyncio
from typing import Any

ROUND_S = 0.05
"""How long a cancelled task gets before it is cancelled again (something swallowed the first one)."""


def sever(client: Any) -> None:
    """Drop a client's lines in this very step. Its tasks still live; nothing that they do leaves any more."""
    client._sender.lose(None)
    for _, sender in client._borrowed_senders.values():
        sender.lose(None)


async def hard_close_aio(client: Any, *, patience_s: float) -> tuple[str, ...]:
    """Get rid of a client and of everything else that runs in its loop, which is the client's own.

    Args:
        client: The client, in any state.
        patience_s: Seconds of the loop's clock that tasks have to die in; milliseconds are the rule.

    Returns:
        The names of the tasks that would not die. Only the end of the process ends those.

    Cancellation: the lines are down in any case; tasks may be left.
    """
    sever(client)
    await asyncio.sleep(0)  # calls that were told so return to their callers before the others are cancelled
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while doomed := _others():
        if loop.time() >= deadline:
            return tuple(_name(task) for task in doomed)
        for task in doomed:
            task.cancel()
        done, _ = await asyncio.wait(doomed, timeout=ROUND_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen: never "exception was never retrieved"
    for _ in range(2):  # transports tell their protocols, then close their sockets, in callbacks of their own
        await asyncio.sleep(0)
    return ()


def _others() -> set[asyncio.Task[Any]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return str(getattr(coroutine, "__qualname__", coroutine))
