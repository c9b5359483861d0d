"""Notices each of a client's loops that ends: Telethon says nothing, and later calls would hang."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from tgworker.telegram.client import AccountClient
from tgworker.telegram.closing import sever


def watch_loops(client: AccountClient, say: Callable[[str], None]) -> None:
    """Sever the client when one of its loops ends.

    Args:
        client: Connected.
        say: Hears why the line is lost.
    """
    sender = client._sender
    connection = sender._connection
    for name, task in (
        ("send loop", sender._send_loop_handle),
        ("receive loop", sender._recv_loop_handle),
        ("line's send loop", connection._send_task if connection else None),
        ("line's receive loop", connection._recv_task if connection else None),
        ("update loop", client._updates_handle),
    ):
        if task is not None:
            task.add_done_callback(partial(_ended, client, say, name))


def _ended(client: AccountClient, say: Callable[[str], None], name: str, task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    say(f"Telethon's {name} ended" + (f": {type(error).__name__}" if error else ""))
    sever(client)
