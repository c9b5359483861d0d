"""A program of the stack, and what may befall it: it fills `tgworker.devstack.control.Part`."""

from abc import ABC, abstractmethod

from tgworker.devstack.errors import PartFailed
from tgworker.devstack.process import Process


class Program(ABC):
    """A program that is started, stopped, and broken on purpose. Each says itself how it starts and stops.

    It belongs to no event loop: what one `trio.run` started another may use and stop.

    Args:
        title: What messages call it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Its process id; of PostgreSQL the postmaster's. Raises PartFailed when it was never started."""
        return self._running().pid

    def is_alive(self) -> bool:
        """Whether it, or a process of it, still runs."""
        return self._process is not None and self._process.is_alive()

    @abstractmethod
    async def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            PartFailed: It does not start; with the last line of its log.

        Cancellation: it may run; `stop` it.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Stop it; nothing happens where it does not run."""

    async def kill(self) -> None:
        """Kill it and all its processes (SIGKILL), as when the machine loses power but for the disk."""
        await self._running().kill()

    def freeze(self) -> None:
        """Stop all its processes (SIGSTOP): connections are taken and stay open, and nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """Let them go on."""
        self._running().thaw()

    async def restart(self) -> None:
        """Start it again, after it was killed; if it runs it is stopped first."""
        await self.stop()
        await self.start()

    def _running(self) -> Process:
        if self._process is None:
            raise PartFailed(f"{self._title} was not started")
        return self._process
