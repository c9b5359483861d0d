"""Named faults of the gateway: what goes wrong, where, and how often. They decide nothing else."""

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Action = Literal["delay", "delay_answer", "error", "cut", "cut_answer", "lose_answer", "blackhole", "mute"]
"""What a fault does.

================  ======================================================================================
``delay``         the request is held for ``seconds``, then it goes its way
``delay_answer``  the request is executed at once; its answer is held for ``seconds``
``error``         answered with ``status``; not executed
``cut``           the connection is cut; not executed
``cut_answer``    executed; the connection is cut in the middle of the answer
``lose_answer``   executed (a write is committed); the connection is cut before the answer
``blackhole``     not executed, never answered; the connection stays open
``mute``          executed, never answered; the connection stays open
================  ======================================================================================
"""

EVERYWHERE = "*"

_WITH_SECONDS: frozenset[Action] = frozenset({"delay", "delay_answer"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        action: What happens; see `Action`.
        path: Where it happens: a pattern for the whole path without its query, in which ``*`` stands for
            anything, slashes too: ``/rest/v1/rpc/*``.
        method: Only for requests of this HTTP method; ``*``: for all.
        seconds: How long ``delay`` and ``delay_answer`` wait.
        status: What ``error`` answers, 400 to 599.
        skip: How many requests that fit are let through first.
        count: How often it happens before it is over; ``None``: until it is cleared.

    Raises:
        ValueError: These attributes do not go together; the text says why.
    """

    action: Action
    path: str = EVERYWHERE
    method: str = EVERYWHERE
    seconds: float = 0
    status: int = 500
    skip: int = 0
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could never happen: a fault that is set and does nothing would prove anything."""
        if self.action not in get_args(Action):
            raise ValueError(f"no fault is called {self.action}: choose one of {', '.join(get_args(Action))}")
        if not self.path.startswith(("/", "*")):
            raise ValueError(f"path must begin with / or *, not {self.path[:1] or 'with nothing'}")
        if self.method != EVERYWHERE and not (self.method.isalpha() and self.method.isupper()):
            raise ValueError("method must be an HTTP method in capitals, or *")
        if self.action in _WITH_SECONDS and not 0 < self.seconds < 2**31:
            raise ValueError(f"{self.action} needs seconds above 0")
        if not 400 <= self.status <= 599:
            raise ValueError("status must be 400 to 599")
        if self.skip < 0:
            raise ValueError("skip must be 0 or more")
        if self.count is not None and self.count < 1:
            raise ValueError("count must be 1 or more")

    def fits(self, method: str, path: str) -> bool:
        """Whether it concerns a request."""
        return self.method in (EVERYWHERE, method) and fnmatchcase(path, self.path)


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that is set.

    Attributes:
        id: What `Faults.clear` takes.
        fault: The fault.
        hits: How often it happened.
    """

    id: int
    fault: Fault
    hits: int


@dataclass(slots=True)
class _Set:
    fault: Fault
    seen: int = 0
    hits: int = 0


class Faults:
    """The faults of one gateway. Where several fit, the one that was set first happens."""

    def __init__(self) -> None:
        self._set: dict[int, _Set] = {}
        self._last_id = 0
        self._hits: Counter[str] = Counter()
        self.requests = 0
        """How many requests have come, those that something happened to included."""

    def set(self, fault: Fault) -> int:
        """Set a fault; returns its id."""
        self._last_id += 1
        self._set[self._last_id] = _Set(fault)
        return self._last_id

    def clear(self, fault_id: int | None = None) -> int:
        """Clear one fault, or all; one that is over already is no error. Returns how many were cleared."""
        gone = [each for each in self._set if fault_id in (None, each)]
        for each in gone:
            del self._set[each]
        return len(gone)

    def listing(self) -> tuple[ActiveFault, ...]:
        """The faults that are set, in the order in which they were set."""
        return tuple(ActiveFault(number, each.fault, each.hits) for number, each in self._set.items())

    def hits(self) -> dict[str, int]:
        """How often each action happened, cleared faults included."""
        return dict(self._hits)

    def on_request(self, method: str, path: str) -> Fault | None:
        """What happens to a request; a hit is counted.

        Args:
            method: Its HTTP method.
            path: Its path without the query.
        """
        self.requests += 1
        for number, each in self._set.items():
            if not each.fault.fits(method, path):
                continue
            each.seen += 1
            if each.seen <= each.fault.skip:
                continue
            each.hits += 1
            self._hits[each.fault.action] += 1
            if each.hits == each.fault.count:
                del self._set[number]
            return each.fault
        return None
