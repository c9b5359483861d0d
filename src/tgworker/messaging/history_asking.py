"""Asking Telegram about histories: behind live traffic, within announced waits, and not for ever."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tgworker.messaging.bounded import Delays
from tgworker.messaging.desk import Desk
from tgworker.messaging.gate import Gate
from tgworker.messaging.history_words import given_up
from tgworker.messaging.limits import Limits
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.messaging.ports import Pulse
from tgworker.messaging.traffic import Traffic

T = TypeVar("T")

COURTESY_S = 5.0
"""So long a page waits for what is on its way, out or in. An account that is always busy must get on, too."""

MOST_TRIES = 20
"""So often a page is asked for that does not come, though Telegram announces no wait. With backoff up to a
minute that is a quarter of an hour."""


class HistoryAsking:
    """Puts one account's questions about histories, one at a time.

    Args:
        pulse: Shows the operations.
        gate: Keeps waits that Telegram announced, for the next process, too.
        sends: The account's desk of attempts: what is sent goes first.
        traffic: What comes in and is being committed: that goes first, too.
        limits: The deadline of a question.
        delays: Backoff after one that Telegram did not answer.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        gate: Gate,
        sends: Desk,
        traffic: Traffic,
        limits: Limits,
        delays: Delays,
    ) -> None:
        self._pulse = pulse
        self._gate = gate
        self._sends = sends
        self._traffic = traffic
        self._limits = limits
        self._delays = delays

    @property
    def is_busy(self) -> bool:
        """Whether something is being sent or committed."""
        return self._sends.in_flight > 0 or self._traffic.is_busy

    async def ask(
        self, method: str, question: Callable[[], Awaitable[T | Refused | Deferred]]
    ) -> T | Refused:
        """Ask until Telegram answers with something other than "later".

        Args:
            method: What waits are kept under that Telegram announces, in Telegram's spelling.
            question: Asks once.

        Raises: as ``question``. Cancellation: the question may have been asked.
        """
        tries = 0
        while True:
            if (wait := self._gate.wait_of(method)) is not None:
                await trio.sleep_until(wait.until_s)
            await self._let_go_first()
            said: list[T | Refused | Deferred] = []
            with self._pulse.deadline("telegram.history", self._limits.send_s):
                said.append(await question())
            answer = (
                said[0] if said else Deferred(0, f"Telegram did not answer within {self._limits.send_s:g} s")
            )
            if not isinstance(answer, Deferred):
                return answer
            if answer.holds_up is not HoldsUp.ROW:
                self._gate.announced(method, answer.retry_after_s, answer.reason)
                await trio.sleep(answer.retry_after_s)
                continue
            tries += 1
            if tries >= MOST_TRIES:
                return Refused(given_up(tries, answer.reason))
            await trio.sleep(max(self._delays(tries), answer.retry_after_s))

    async def _let_go_first(self) -> None:
        if not self.is_busy:
            return
        with trio.move_on_after(COURTESY_S):
            await self._sends.wait_idle()
            await self._traffic.wait_idle()
