"""Named faults: what goes wrong, for whom, and how often. They decide nothing else; connections obey them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from tgworker.sandbox.methods import is_called, known_names, plain_name

Action = Literal[
    "blackhole",
    "drop",
    "delay",
    "rpc_error",
    "flood_wait",
    "accept_mute",
    "accept_drop",
    "half_close",
    "deaf",
    "transport_error",
]
"""What a fault does.

========================  ==============================================================================
``blackhole``             the request vanishes: not executed, not answered; the line stays open
``drop``                  the request is not executed, and the line is cut
``delay``                 the request is executed and answered ``seconds`` later, if the line still stands
``rpc_error``             answered with ``code`` and ``message``; not executed
``flood_wait``            answered with ``FLOOD_WAIT_X``, X being ``seconds``; not executed
``accept_mute``           executed; the answer is swallowed
``accept_drop``           executed; the line is cut before the answer
``half_close``            executed; the server shuts its sending side and goes on reading
``transport_error``       a packet is answered with ``code`` alone (404: no such key, 429: too much)
``deaf``                  no update is pushed any more, while requests and pings are answered; see ``heals``
========================  ==============================================================================
"""

Heals = Literal["never", "difference", "reconnect", "client", "key"]
"""What ends deafness, short of clearing the fault.

==============  ========================================================================================
``never``       nothing; but ``updates.getDifference`` tells all
``difference``  a ``updates.getDifference`` over the line: from then on updates are pushed over it
``reconnect``   another connection. Until then the differences are empty too; ``updates.getState`` is true
``client``      a connection that begins with ``initConnection``, as a new client's does
``key``         another authorization key: the account logs in anew
==============  ========================================================================================
"""

CONNECT = "connect"
RAW = "raw"
PING = "ping"
PUSH = "push"
ANY = "*"

TRANSPORT_ERRORS = (403, 404, 429, 444)
"""Those that Telegram has: of proxies, no such key, too much, no such data centre."""

_OF_LINES: frozenset[Action] = frozenset({"blackhole", "drop", "delay", "half_close", "transport_error"})
"""Actions that make sense where there is no request."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        action: What happens; see `Action`.
        method: Where it happens. A request in Telegram's spelling (``messages.sendMessage``) or Telethon's
            (``SendMessageRequest``); ``*``: every request; ``ping``: keep-alives; ``connect``: fresh TCP
            connections, for as long as they live; ``raw``: every packet, even of handshakes and keep-alives;
            ``push``: an update for a client (``deaf`` alone).
            A ``blackhole`` on ``raw`` also swallows what the server would send: nothing comes in or out,
            and what was written into the hole is never executed.
        user: Only for this user; ``None``: for all. (Whose a fresh connection or a handshake is, nobody
            knows.)
        peer: Only for requests to this user, group or channel (a marked id); ``None``: whatever they are
            about.
        seconds: How long ``delay`` waits; the X of ``flood_wait`` (rounded up).
        code: The error code of ``rpc_error``, or of ``transport_error``.
        message: The error name of ``rpc_error``.
        count: How often it happens before it is over; ``None``: until it is cleared.
        after: So often what it concerns passes first.
        heals: What ends ``deaf``; see `Heals`.

    Raises:
        ValueError: These attributes do not go together; the text says why.
    """

    action: Action
    method: str = ANY
    user: int | None = None
    peer: int | None = None
    seconds: float = 0
    code: int = 400
    message: str = ""
    count: int | None = None
    after: int = 0
    heals: Heals = "never"

    def __post_init__(self) -> None:
        """Refuse what could never happen: a fault that is set and does nothing would prove anything."""
        if self.action not in get_args(Action):
            raise ValueError(f"no fault is called {self.action}: choose one of {', '.join(get_args(Action))}")
        place = plain_name(self.method)
        if place not in (ANY, CONNECT, RAW, PING, PUSH) and place not in known_names():
            raise ValueError(f"Telegram has no method {self.method}")
        if (place == PUSH) is not (self.action == "deaf"):
            raise ValueError("what is pushed can be deaf, and nothing else can: deaf has the method push")
        if place in (CONNECT, RAW, PING, PUSH):
            if place != PUSH and self.action not in _OF_LINES:
                raise ValueError(f"{self.action} needs a request, and {place} is none")
            if self.peer is not None:
                raise ValueError(f"{place} is not about a peer")
        if self.action == "transport_error" and (
            place not in (CONNECT, RAW) or self.code not in TRANSPORT_ERRORS
        ):
            codes = ", ".join(map(str, TRANSPORT_ERRORS))
            raise ValueError(f"transport_error has the method connect or raw, and one of the codes {codes}")
        if place == CONNECT and self.user is not None:
            raise ValueError("nobody knows whose a fresh connection is: use method raw with user")
        if self.action == "rpc_error" and not self.message:
            raise ValueError("rpc_error needs a message, for example INTERNAL")
        if self.action in ("delay", "flood_wait") and not 0 < self.seconds < 2**31:
            raise ValueError(f"{self.action} needs seconds above 0")
        if self.heals not in get_args(Heals):
            raise ValueError(f"heals is {', '.join(get_args(Heals))}, not {self.heals}")
        if self.heals != "never" and self.action != "deaf":
            raise ValueError("heals is for deaf alone")
        if self.count is not None and self.count < 1:
            raise ValueError("count must be 1 or more")
        if self.after < 0:
            raise ValueError("after must be 0 or more")


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
class Births:
    """When what a line has to do with came about, as `Faults.moment` counts: deafness heals by what is newer.

    Attributes:
        line: The connection itself.
        client: The last ``initConnection`` over it.
        difference: The last ``updates.getDifference`` over it.
        key: The authorization key that it uses.
    """

    line: int
    client: int = 0
    difference: int = 0
    key: int = 0


@dataclass(slots=True)
class _Set:
    fault: Fault
    born: int
    hits: int = 0
    passed: int = 0
    place: str = field(init=False)

    def __post_init__(self) -> None:
        self.place = plain_name(self.fault.method)

    def deafens(self, births: Births) -> bool:
        match self.fault.heals:
            case "never":
                return True
            case "difference":
                return births.difference < self.born
            case "reconnect":
                return births.line < self.born
            case "client":
                return births.client < self.born
            case "key":
                return births.key < self.born

    def concerns(self, user: int | None, peer: int | None) -> bool:
        return self.fault.user in (None, user) and self.fault.peer in (None, peer)


class Faults:
    """The faults of one sandbox. Where several fit, the one that was set first happens."""

    def __init__(self) -> None:
        self._set: dict[int, _Set] = {}
        self._last_id = 0
        self._moments = 0
        self._hits: Counter[str] = Counter()

    def set(self, fault: Fault) -> int:
        """Set a fault; returns its id."""
        self._last_id += 1
        self._set[self._last_id] = _Set(fault, self.moment())
        return self._last_id

    def moment(self) -> int:
        """A number above all before: what came about when, as far as faults are concerned."""
        self._moments += 1
        return self._moments

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

    def on_connect(self) -> Fault | None:
        """What happens to a fresh connection."""
        return self._meet(lambda each: each.place == CONNECT, None, None)

    def on_packet(self, user: int | None) -> Fault | None:
        """What happens to a packet of a user (``None``: whose it is cannot be told)."""
        return self._meet(lambda each: each.place == RAW, user, None)

    def on_ping(self, user: int | None) -> Fault | None:
        """What happens to a keep-alive."""
        return self._meet(lambda each: each.place == PING, user, None)

    def on_request(self, method: str, user: int | None, peer: int | None) -> Fault | None:
        """What happens to a request.

        Args:
            method: Its name, in Telegram's spelling.
            user: Whose it is, if that is known.
            peer: Whom it is about, if it says so.
        """
        return self._meet(lambda each: each.place == ANY or is_called(method, each.place), user, peer)

    def on_push(self, user: int | None, births: Births) -> Fault | None:
        """What happens to an update that is to be pushed over a line of a user's."""
        return self._meet(lambda each: each.place == PUSH and each.deafens(births), user, None)

    def withholds(self, user: int | None, births: Births) -> bool:
        """Whether a user is not even told the difference over a line. Asking is no hit."""
        return any(
            each.place == PUSH
            and each.concerns(user, None)
            and each.fault.heals in ("reconnect", "client", "key")
            and each.deafens(births)
            for each in self._set.values()
        )

    def silences(self, user: int | None) -> bool:
        """Whether nothing may be sent to a user now. Asking is no hit."""
        return any(
            each.place == RAW and each.fault.action == "blackhole" and each.concerns(user, None)
            for each in self._set.values()
        )

    def _meet(self, fits: Callable[[_Set], bool], user: int | None, peer: int | None) -> Fault | None:
        for number, each in self._set.items():
            if fits(each) and each.concerns(user, peer):
                if each.passed < each.fault.after:
                    each.passed += 1
                    continue
                each.hits += 1
                self._hits[each.fault.action] += 1
                if each.hits == each.fault.count:
                    del self._set[number]
                return each.fault
        return None
