"""Whom Telegram is asked about next, and when: pure decisions about names that rows wait for.

Telegram publishes no limits for these questions. Accounts were flooded for a day after some 200 usernames,
and then nothing more is found until the next one: the bucket stays below that by itself. Each name is asked
for once, however many rows wait for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tgworker.messaging.models import Peer
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.pacing import Bucket, Rate

USERNAMES = "contacts.resolveUsername"
PHONES = "contacts.resolvePhone"
LISTS = "messages.getDialogs"

METHODS = (USERNAMES, PHONES, LISTS)
"""In Telegram's spelling: how names and phone numbers are found, and ids, which only lists show."""

MOST_NAMES = 1000
"""So many are remembered; the store has the others."""

ANSWER_FOR_S = 60.0
"""For so long an answer is good for rows that were claimed before it was stored."""

SHOW_FROM_S = 60.0
"""Waits that are shorter are not written into their rows."""

PACED = "paced: so many names may be asked for in a day"


def method_of(to: str) -> str:
    """How whom ``to`` names is found."""
    return {"@": USERNAMES, "+": PHONES}.get(to[:1], LISTS)


@dataclass(slots=True)
class _Name:
    """A name that rows wait for: when it may be asked for at the earliest, and what its rows show."""

    not_before_s: float
    reason: str
    shown_s: float | None = None
    answer: Peer | Refused | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do next.

    Attributes:
        to: The name.
        at_s: When.
        answer: What Telegram has said already: only the store is to hear of it.
    """

    to: str
    at_s: float
    answer: Peer | Refused | None


class Seeking:
    """The names that one account looks for, in the order in which they were wanted.

    Args:
        rate: How many usernames, and how many phone numbers, Telegram may be asked for.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._names: dict[str, _Name] = {}
        self._buckets: dict[str, Bucket] = {}
        self._waits: dict[str, tuple[float, str]] = {}
        self._answers: dict[str, tuple[float, Peer | Refused]] = {}
        self.overflowed = False
        """Whether a name was wanted for which there was no room: the store has it."""

    def __len__(self) -> int:
        """How many names are looked for."""
        return len(self._names)

    # ---------------------------------------------------------------- what is wanted

    def want(self, to: str, now_s: float, *, left_s: float = 0, seen: bool = False) -> None:
        """A row waits for this name.

        Args:
            to: The name, in any case.
            now_s: The time.
            left_s: It is not to be asked for before so many seconds.
            seen: Whether its rows show that already.
        """
        to = to.lower()
        if to in self._names:
            return
        if len(self._names) >= MOST_NAMES:
            self.overflowed = True
            return
        known_until_s, answer = self._answers.get(to, (0.0, None))
        name = _Name(now_s + left_s, PACED, now_s + left_s if seen and left_s else None)
        if answer is not None and now_s < known_until_s:
            name.answer = answer
            name.not_before_s = now_s
        self._names[to] = name

    # ---------------------------------------------------------------- what is next

    def next(self, now_s: float) -> Turn | None:
        """The next name, and when its time has come; ``None`` if there is none."""
        if not self._names:
            return None
        ready = {method: self._ready_at(method, now_s) for method in METHODS}
        turns = (
            Turn(to, max(now_s, name.not_before_s), name.answer)
            if name.answer is not None
            else Turn(to, max(ready[method_of(to)], name.not_before_s), None)
            for to, name in self._names.items()
        )
        return min(turns, key=lambda turn: turn.at_s)  # (the first of equals)

    def to_show(self, now_s: float) -> Mapping[str, Deferred]:
        """Names whose rows do not show yet until when they wait."""
        shown: dict[str, Deferred] = {}
        ready = {method: self._ready_at(method, now_s) for method in METHODS}
        for to, name in self._names.items():
            if name.answer is not None:
                continue
            method = method_of(to)
            at_s = max(ready[method], name.not_before_s)
            if method != LISTS:
                ready[method] = max(ready[method], at_s) + self._rate.every_s * (at_s > now_s)
            wait_s = at_s - now_s
            if wait_s > SHOW_FROM_S and (name.shown_s is None or abs(name.shown_s - at_s) > SHOW_FROM_S):
                name.shown_s = at_s
                until_s, reason = self._waits.get(method, (0.0, ""))
                shown[to] = Deferred(wait_s, reason if until_s > now_s else name.reason)
        return shown

    # ---------------------------------------------------------------- what is learned

    def asked(self, to: str, now_s: float) -> None:
        """Telegram is asked for it: that counts."""
        method = method_of(to)
        if method != LISTS:
            self._buckets[method] = self._bucket(method, now_s).take(self._rate, now_s)

    def later(self, to: str, until_s: float, reason: str) -> None:
        """It is asked for again, but not before."""
        if (name := self._names.get(to)) is not None:
            name.not_before_s, name.reason = until_s, reason

    def announced(self, method: str, until_s: float, reason: str) -> None:
        """Telegram does not answer such questions until then."""
        if until_s > self._waits.get(method, (0.0, ""))[0]:
            self._waits[method] = (until_s, reason)

    def answered(self, to: str, answer: Peer | Refused, now_s: float) -> None:
        """Telegram has said who that is, or that it is nobody. It stays until the store has it."""
        if (name := self._names.get(to)) is not None:
            name.answer, name.not_before_s = answer, now_s
        if len(self._answers) >= MOST_NAMES:
            self._answers.clear()
        self._answers[to] = (now_s + ANSWER_FOR_S, answer)

    def stored(self, names: Iterable[str]) -> None:
        """No row waits for these any more."""
        for to in names:
            self._names.pop(to, None)

    # ---------------------------------------------------------------- inside

    def _bucket(self, method: str, now_s: float) -> Bucket:
        return self._buckets.get(method) or Bucket(self._rate.burst, now_s)

    def _ready_at(self, method: str, now_s: float) -> float:
        ready_s = now_s if method == LISTS else self._bucket(method, now_s).ready_at(self._rate, now_s)
        return max(ready_s, self._waits.get(method, (0.0, ""))[0])
