"""A bell: it makes a loop look before its time."""

import trio


class Bell:
    """Tells one loop that there may be something to do. Only it may wait."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """There is news."""
        self._event.set()

    async def wait(self, most_s: float) -> bool:
        """Wait for a ring since the last wait, ``most_s`` seconds at most; returns whether it rang.

        Cancellation: a ring that came meanwhile counts for the next wait.
        """
        with trio.move_on_after(most_s):
            await self._event.wait()
        rang = self._event.is_set()
        self._event = trio.Event()
        return rang
