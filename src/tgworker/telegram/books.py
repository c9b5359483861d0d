"""The sender's books: requests that wait to be sent, and requests that wait for their answer.

Telethon keeps a request in its books until it is answered, whoever still waits for it. A request whose caller
has gone must leave them at once, or it is sent later by itself: a "ghost send".
"""

import asyncio
from typing import Any


class LineLost(ConnectionError):
    """The line broke, or was closed, while a request was on its way: Telegram may have got it."""


class NeverSent(LineLost):
    """The line was gone before any byte of the request left."""


class Answer(asyncio.Future[Any]):
    """What a request waits for. To cancel it takes the request out of the books in the same step.

    Args:
        sender: The sender whose books the request is in.
    """

    def __init__(self, sender: Any, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._sender = sender

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel, and forget the request: whatever the server still says about it finds nobody."""
        forget(self._sender, self)
        return super().cancel(msg)


def forget(sender: Any, future: asyncio.Future[Any]) -> None:
    """Take a request out of a sender's books, so that nothing sends it (again)."""
    queue = sender._send_queue._deque
    for state in [state for state in queue if state.future is future]:
        queue.remove(state)
    pending = sender._pending_state
    for msg_id in [msg_id for msg_id, state in pending.items() if state.future is future]:
        del pending[msg_id]


def fail_all(sender: Any, reason: str) -> None:
    """Tell everyone who waits in a sender's books that the line is gone, and empty the books."""
    queue = sender._send_queue._deque
    for state in queue:
        # A request that was sent and is to be sent again (bad salt) has a number: it may have arrived.
        _fail(state.future, NeverSent(reason) if state.msg_id is None else LineLost(reason))
    for state in sender._pending_state.values():
        _fail(state.future, LineLost(reason))
    queue.clear()
    sender._pending_state.clear()


def _fail(future: asyncio.Future[Any], error: LineLost) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen: acknowledgements have futures too, and nobody waits for those
