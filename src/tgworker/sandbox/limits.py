"""How often an account may ask: token buckets with Telegram's published numbers, and others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, Self


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket.

    Attributes:
        burst: How many requests may come at once.
        per_s: How many more each second.
    """

    burst: int
    per_s: float

    def __post_init__(self) -> None:
        """Refuse what would never let anything pass. Raises ValueError."""
        if self.burst < 1 or not 0 < self.per_s < math.inf:
            raise ValueError("a rate has a burst of 1 or more, and per_s above 0")


class Admission(NamedTuple):
    """What a bucket says to a request.

    Attributes:
        full_at_s: When the bucket will be full again; all that it remembers.
        wait_s: How long the request must wait; 0: it passes.
    """

    full_at_s: float
    wait_s: float


def admit(rate: Rate, full_at_s: float, now_s: float) -> Admission:
    """Take a token, if there is one. Pure.

    Args:
        rate: The bucket.
        full_at_s: What it remembers; anything in the past: it is full.
        now_s: The time now.
    """
    full_at_s = max(full_at_s, now_s)
    wait_s = full_at_s - now_s - (rate.burst - 1) / rate.per_s
    if wait_s > 1e-9:  # sums of fractions of seconds are not exact
        return Admission(full_at_s, wait_s)
    return Admission(full_at_s + 1 / rate.per_s, 0)


_NO_METHODS: Mapping[str, Rate] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account is held to. By default to nothing.

    Attributes:
        chat: Messages into one private chat.
        group: Messages into one group or channel.
        account: Messages altogether.
        methods: Requests of certain methods, by name in Telegram's spelling.
        takeout: The same inside an export (`account.initTakeoutSession`), which ``methods`` does not hold.
        strangers: How many users who do not have him among their contacts an account may write to first; one
            more is ``PEER_FLOOD``, which no waiting cures. ``None``: any number.
        scope: Whether a ``FLOOD_WAIT`` holds for the whole ``method``, as Telegram's do, or for one ``chat``.
        premium: Whether those who do not pay are told ``FLOOD_PREMIUM_WAIT`` where they send too much in all.
        wait_at_least_s: The shortest wait that is announced.

    Source of the numbers in `published`: https://core.telegram.org/bots/faq#broadcasting-to-users
    """

    chat: Rate | None = None
    group: Rate | None = None
    account: Rate | None = None
    methods: Mapping[str, Rate] = field(default_factory=lambda: _NO_METHODS)
    takeout: Mapping[str, Rate] = field(default_factory=lambda: _NO_METHODS)
    strangers: int | None = None
    scope: Literal["method", "chat"] = "method"
    premium: bool = False
    wait_at_least_s: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no sense. Raises ValueError."""
        if self.scope not in ("method", "chat"):
            raise ValueError(f"scope is method or chat, not {self.scope}")
        if self.wait_at_least_s < 1 or (self.strangers is not None and self.strangers < 0):
            raise ValueError("wait_at_least_s is 1 or more, strangers 0 or more")

    @classmethod
    def published(cls) -> Self:
        """About one message a second in a chat with bursts, 20 a minute in a group, 30 a second in all."""
        return cls(chat=Rate(5, 1), group=Rate(20, 20 / 60), account=Rate(30, 30))
