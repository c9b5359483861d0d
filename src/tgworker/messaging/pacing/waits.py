"""The waits that Telegram has announced to one account, and what each of them is about. Pure.

========================  ============================================================================
``FLOOD_WAIT_X``          a method, for the whole account (420)
``FLOOD_PREMIUM_WAIT_X``  a method, for an account without Premium (420)
``SLOWMODE_WAIT_X``       one chat: its members may write once in a while only (420)
``PEER_FLOOD``            first messages to strangers, no matter by which method (400)
========================  ============================================================================

(https://core.telegram.org/api/errors.) ``PEER_FLOOD`` has no seconds: Telegram takes the account for one that
writes to people who do not know it. `STRANGERS_S` is our number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SEND = "messages.sendMessage"
"""The method that sends a text, in Telegram's spelling."""

STRANGERS_S = 86_400.0
"""For so long after a ``PEER_FLOOD`` an account writes to no stranger. Telegram names no time and lifts
such a limit by itself after hours or days (https://telegram.org/faq_spam); to insist makes it worse."""


class ScopeKind(StrEnum):
    """What a wait is about."""

    METHOD = "method"
    CHAT = "chat"
    STRANGERS = "strangers"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a wait is about.

    Attributes:
        kind: A method, a chat, or whoever does not know the account.
        key: The method's name in Telegram's spelling, or the chat's marked id in decimal; else empty.
    """

    kind: ScopeKind
    key: str = ""

    @classmethod
    def method(cls, name: str) -> "Scope":
        """A method."""
        return cls(ScopeKind.METHOD, name)

    @classmethod
    def chat(cls, chat_id: int) -> "Scope":
        """A chat."""
        return cls(ScopeKind.CHAT, str(chat_id))


STRANGERS = Scope(ScopeKind.STRANGERS)
"""First messages to people who do not know the account."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that Telegram announced.

    Attributes:
        scope: What it is about.
        until_s: Until when, on trio's clock.
        reason: Telegram's error name.
    """

    scope: Scope
    until_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class StoredWait:
    """A wait as a store keeps it: clocks of other processes are of no use, what is left of it is.

    Attributes:
        scope: What it is about.
        left_s: For how long yet, by the store's clock.
        reason: Telegram's error name.
    """

    scope: Scope
    left_s: float
    reason: str


class Waits:
    """The waits of one account. One that is over is forgotten."""

    def __init__(self) -> None:
        self._waits: dict[Scope, Wait] = {}

    def __bool__(self) -> bool:
        """Whether there may be any: nearly always there is none, and then nothing need be looked up."""
        return bool(self._waits)

    def add(self, wait: Wait) -> bool:
        """Telegram announced a wait; returns whether it is longer than what was known."""
        known = self._waits.get(wait.scope)
        if known is not None and known.until_s >= wait.until_s:
            return False
        self._waits[wait.scope] = wait
        return True

    def of(self, scope: Scope, now_s: float) -> Wait | None:
        """The wait for this, if it is not over."""
        wait = self._waits.get(scope)
        if wait is None:
            return None
        if wait.until_s <= now_s:
            del self._waits[scope]
            return None
        return wait

    def open(self, now_s: float) -> tuple[Wait, ...]:
        """Every wait that is not over, the next to end first."""
        for scope in [scope for scope, wait in self._waits.items() if wait.until_s <= now_s]:
            del self._waits[scope]
        return tuple(sorted(self._waits.values(), key=lambda wait: wait.until_s))


def stored(waits: Iterable[Wait], now_s: float) -> tuple[StoredWait, ...]:
    """Waits as a store keeps them."""
    return tuple(StoredWait(wait.scope, wait.until_s - now_s, wait.reason) for wait in waits)


def restored(waits: Iterable[StoredWait], now_s: float) -> tuple[Wait, ...]:
    """What a store kept, on this process's clock."""
    return tuple(Wait(wait.scope, now_s + wait.left_s, wait.reason) for wait in waits)
