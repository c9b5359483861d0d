"""What is open while a file passes: one thread at a time uses it, and the last one lets go of it."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from tgworker.embedded.database import RunSync
from tgworker.messaging.errors import StoreAway

T = TypeVar("T")

CLOSE_S: Final = 5.0
"""How long it is waited for the disk when all is over; after that, its thread tidies up by itself."""


class Held:
    """Something open. A call on a disk that hangs cannot be ended, only left behind with what it uses."""

    def __init__(self) -> None:
        self._using = threading.Lock()
        self._left = threading.Event()

    def use(self, work: Callable[[], T]) -> T:
        """Do something with it, in a thread.

        Args:
            work: What.

        Raises:
            StoreAway: Nobody waits for it any more.
        """
        with self._using:
            if self._left.is_set():
                raise StoreAway("the file was closed")
            try:
                return work()
            finally:
                if self._left.is_set():
                    self.let_go()

    def leave(self) -> None:
        """From now on nobody uses it: a call that still runs lets go of it."""
        self._left.set()

    def close(self) -> None:
        """Let go of it, in a thread, once no call uses it."""
        with self._using:
            self.let_go()

    def let_go(self) -> None:
        """Close what is open, and remove what is unfinished; called more than once, and never raises."""
        raise NotImplementedError


class Steps:
    """One transfer's way to the disk: calls in a thread, one after the other, each with a deadline.

    Args:
        held: What they use.
        run_sync: Runs them; nobody else's calls.
        patience_s: How long the disk may take for one, seconds.
    """

    def __init__(self, held: Held, run_sync: RunSync, patience_s: float) -> None:
        self._held = held
        self._run_sync = run_sync
        self._patience_s = patience_s

    async def take(self, work: Callable[[], T]) -> T:
        """Take the next one.

        Raises:
            StoreAway: The disk did not answer in time; whatever is held is of no more use then.

        Cancellation: it is left to end by itself.
        """
        with trio.move_on_after(self._patience_s):
            return await self._run_sync(lambda: self._held.use(work))
        self._held.leave()
        raise StoreAway(f"the disk did not answer within {self._patience_s:g} s: see whether it is well")


@asynccontextmanager
async def holding(held: Held, run_sync: RunSync, patience_s: float) -> AsyncGenerator[Steps]:
    """Use something for the length of the block, and let go of it after that.

    Args:
        held: What, not open yet.
        run_sync: As for `Steps`.
        patience_s: The same.
    """
    try:
        yield Steps(held, run_sync, patience_s)
    finally:
        held.leave()
        with trio.move_on_after(CLOSE_S, shield=True):
            await run_sync(held.close)
