"""Whose step the worker's event loop is running, in memory that outlives the worker."""

import mmap
from typing import Final, final

MOST: Final = 4096
"""Accounts that can be told apart; steps of those beyond are nobody's."""
_NAME_BYTES: Final = 64
_STEP_BYTES: Final = 64  # the number of the step's owner, on a line of its own in the processor's cache


@final
class Footprints:
    """Which account's code ran last, in memory that guard and worker share.

    A worker that is frozen cannot say whose code it is stuck in, and a stack shows code, not accounts. So its
    event loop leaves the number of the account before each step, and zero before it waits.

    The guard makes it before it forks; the worker writes, the guard reads.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _STEP_BYTES + MOST * _NAME_BYTES)
        self._bytes = memoryview(self._memory)
        self._step = self._bytes[:8].cast("Q")
        self._free = list(range(MOST, 0, -1))

    def clear(self) -> None:
        """Forget what a worker before left."""
        self._step[0] = 0

    def enter(self, account: str) -> int:
        """A number for an account's steps; 0 if there is none left.

        Args:
            account: Its id.
        """
        name = account.encode()
        if not self._free or len(name) >= _NAME_BYTES:
            return 0
        number = self._free.pop()
        self._bytes[self._place(number)] = name.ljust(_NAME_BYTES, b"\0")
        return number

    def leave(self, number: int) -> None:
        """The account has ended; its number may serve another."""
        if number:
            self._free.append(number)

    def step(self, number: int) -> None:
        """What runs from now on is this account's; 0: nobody's."""
        self._step[0] = number

    def account(self) -> str | None:
        """Whose step was the last; ``None`` if it was nobody's, or the loop waited."""
        number = self._step[0]
        if not 0 < number <= MOST:
            return None
        return bytes(self._bytes[self._place(number)]).rstrip(b"\0").decode(errors="replace") or None

    def close(self) -> None:
        """Give the memory back."""
        self._step.release()
        self._bytes.release()
        self._memory.close()

    @staticmethod
    def _place(number: int) -> slice:
        start = _STEP_BYTES + (number - 1) * _NAME_BYTES
        return slice(start, start + _NAME_BYTES)
