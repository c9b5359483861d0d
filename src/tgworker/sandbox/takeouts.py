"""Takeout sessions: who exports what an account holds, and who must wait before he may.

Source: https://core.telegram.org/api/takeout
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tgworker.sandbox.errors import RequestRefused

INVALID = RequestRefused(400, "TAKEOUT_INVALID")
"""No such session, or another export has taken its place."""

REQUIRED = RequestRefused(403, "TAKEOUT_REQUIRED")
"""What there is for takeouts alone."""

TakeoutState = Literal["open", "success", "failure", "replaced"]


@dataclass(slots=True)
class Takeout:
    """One takeout session.

    Attributes:
        id: What requests in it name.
        user_id: Whose.
        key_id: The authorization key that opened it: no other may use it.
        parts: What it was asked for, by Telegram's names: ``message_users``, ``files``…
        file_max_size: How large a file may be, bytes; ``None``: it was not said.
        state: What became of it: still ``open``, finished as a ``success`` or a ``failure``, or ``replaced``.
        requests: How many came in it.
    """

    id: int
    user_id: int
    key_id: int
    parts: tuple[str, ...]
    file_max_size: int | None = None
    state: TakeoutState = "open"
    requests: int = 0


@dataclass(slots=True)
class _Wait:
    """Until when a key has to wait for its first takeout; 0: it need not any more."""

    user_id: int
    until_s: float = field(default=0)


class Takeouts:
    """The takeout sessions of all accounts: an account has one at a time.

    Args:
        rng: Where their ids come from.
        clock: Time that passes, in seconds.
    """

    def __init__(self, rng: Random, clock: Callable[[], float]) -> None:
        self._rng = rng
        self._clock = clock
        self._all: dict[int, Takeout] = {}
        self._waits: dict[int, _Wait] = {}

    def of_user(self, user_id: int) -> tuple[Takeout, ...]:
        """The sessions that an account had, oldest first."""
        return tuple(each for each in self._all.values() if each.user_id == user_id)

    def first_asks(self, user_id: int, key_id: int, delay_s: float) -> bool:
        """Note that a key asks for a takeout; whether its wait begins now.

        Args:
            user_id: Whose key it is.
            key_id: The key.
            delay_s: How long a key waits that never asked before; 0: not at all.
        """
        if key_id in self._waits or delay_s <= 0:
            return False
        self._waits[key_id] = _Wait(user_id, self._clock() + delay_s)
        return True

    def check_wait(self, key_id: int) -> None:
        """Make sure that a key need not wait.

        Raises:
            RequestRefused: ``TAKEOUT_INIT_DELAY_X``.
        """
        wait = self._waits.get(key_id)
        left_s = 0 if wait is None else wait.until_s - self._clock()
        if left_s > 0:
            raise RequestRefused(420, f"TAKEOUT_INIT_DELAY_{math.ceil(left_s)}")

    def allow(self, user_id: int) -> int:
        """Let the keys of an account wait no more, as its owner does on another device; how many waited."""
        waiting = [
            each for each in self._waits.values() if each.user_id == user_id and each.until_s > self._clock()
        ]
        for each in waiting:
            each.until_s = 0
        return len(waiting)

    def open(
        self, user_id: int, key_id: int, parts: tuple[str, ...], file_max_size: int | None = None
    ) -> Takeout:
        """A new session, in the place of the one that the account had."""
        for each in self.of_user(user_id):
            if each.state == "open":
                each.state = "replaced"
        made = Takeout(self._rng.getrandbits(62) | 1, user_id, key_id, parts, file_max_size)
        self._all[made.id] = made
        return made

    def enter(self, takeout_id: int, user_id: int, key_id: int) -> Takeout:
        """The open session that a request names.

        Raises:
            RequestRefused: It names none, or another's.
        """
        takeout = self._all.get(takeout_id)
        if takeout is None or (takeout.user_id, takeout.key_id, takeout.state) != (user_id, key_id, "open"):
            raise INVALID
        takeout.requests += 1
        return takeout
