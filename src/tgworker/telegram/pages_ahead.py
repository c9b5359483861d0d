"""Pages of a history that are asked for before anybody wants them. One asyncio task's at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tgworker.messaging.models import Peer

DEPTH = 2
"""So many at a time: one that has come and waits, and the one below it, on its way."""

MOST = 100
"""So many messages Telegram gives at once."""


@dataclass(frozen=True, slots=True)
class _Asked:
    peer: Peer
    below: int
    limit: int
    takeout: int | None
    answer: asyncio.Task[Any]


class PagesAhead:
    """What one line has asked for ahead. Each page is asked for as soon as the one above it has come.

    Args:
        ask_aio: Asks for the page of a chat under an id, with so many messages, in a takeout session.
    """

    def __init__(self, ask_aio: Callable[[Peer, int, int, int | None], Coroutine[Any, Any, Any]]) -> None:
        self._ask_aio = ask_aio
        self._waiting: deque[_Asked] = deque()
        self._last: _Asked | None = None
        self._left = 0

    def take(self, peer: Peer, below: int, limit: int, takeout: int | None) -> asyncio.Task[Any] | None:
        """The answer, if it was asked for, come or not; if not, whatever else was is forgotten."""
        if self._waiting:
            first = self._waiting[0]
            if (first.peer.chat_id, first.below, first.limit) == (peer.chat_id, below, limit) and (
                first.takeout == takeout
            ):
                return self._waiting.popleft().answer
        for each in self._waiting:
            each.answer.cancel()
        self._waiting.clear()
        self._last = None
        return None

    def allow(self, peer: Peer, below: int, ahead: int, takeout: int | None) -> None:
        """Say how many messages below ``below``, the lowest one that was taken, may be asked for."""
        self._left = ahead - sum(each.limit for each in self._waiting)
        if not self._waiting:
            self._ask(peer, below, takeout)
        elif self._last is not None and self._last.answer.done():
            self._come(self._last)

    def _ask(self, peer: Peer, below: int, takeout: int | None) -> None:
        limit = min(MOST, self._left)
        if limit <= 0 or len(self._waiting) >= DEPTH:
            return
        self._left -= limit
        answer = asyncio.create_task(self._ask_aio(peer, below, limit, takeout))
        asked = self._last = _Asked(peer, below, limit, takeout, answer)
        self._waiting.append(asked)
        answer.add_done_callback(lambda _: self._come(asked))

    def _come(self, asked: _Asked) -> None:
        """Whoever wants the page hears of what went wrong, and if nobody does, nothing was lost."""
        if asked.answer.cancelled() or asked.answer.exception() is not None or asked is not self._last:
            return
        found = getattr(asked.answer.result(), "messages", None)
        if found:
            self._ask(asked.peer, min(each.id for each in found), asked.takeout)
