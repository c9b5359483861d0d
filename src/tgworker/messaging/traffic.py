"""Whether an account's own traffic is being committed: what is read from the past waits for it."""

from collections.abc import Generator
from contextlib import contextmanager

import trio


class Traffic:
    """What comes in over one line, on its way into the store."""

    def __init__(self) -> None:
        self._idle = trio.Event()
        self._idle.set()

    @contextmanager
    def committing(self) -> Generator[None]:
        """Something is being committed while the block runs. One block at a time."""
        self._idle = trio.Event()
        try:
            yield
        finally:
            self._idle.set()

    @property
    def is_busy(self) -> bool:
        """Whether something is being committed."""
        return not self._idle.is_set()

    async def wait_idle(self) -> None:
        """Wait until nothing is being committed."""
        await self._idle.wait()
