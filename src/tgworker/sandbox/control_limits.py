"""The part of the control connection's language that is about how often an account may ask."""

from typing import Any, Literal

import msgspec

from tgworker.sandbox.control_command import Command
from tgworker.sandbox.limits import Limits, Rate


class Limit(Command, tag="limit"):
    """Hold accounts to limits instead of those before; without arguments to none. Result: all of them.

    A rate is ``{"burst": 5, "per_s": 1}``; the arguments are those of `Limits`.

    Attributes:
        published: Begin with Telegram's published numbers; what else is named goes before them.
    """

    published: bool = False
    chat: Rate | None = None
    group: Rate | None = None
    account: Rate | None = None
    methods: dict[str, Rate] = msgspec.field(default_factory=dict[str, Rate])
    takeout: dict[str, Rate] = msgspec.field(default_factory=dict[str, Rate])
    strangers: int | None = None
    scope: Literal["method", "chat"] = "method"
    premium: bool = False
    wait_at_least_s: int = 1

    def limits(self) -> Limits:
        """The limits. Raises ValueError if they make no sense."""
        given: dict[str, Any] = {name: getattr(self, name) for name in LIMITS}
        if self.published:
            usual = Limits.published()
            given |= {name: given[name] or getattr(usual, name) for name in ("chat", "group", "account")}
        return Limits(**given)


LIMITS = (
    "chat",
    "group",
    "account",
    "methods",
    "takeout",
    "strangers",
    "scope",
    "premium",
    "wait_at_least_s",
)


class SetSlowmode(Command, tag="set_slowmode"):
    """Let members of a supergroup wait after each of their messages. Result: the supergroup.

    Attributes:
        peer: It.
        seconds: How long; 0: not at all.
    """

    peer: int
    seconds: int


def shown_limits(limits: Limits) -> dict[str, Any]:
    """Limits by name, as commands and answers have them."""
    return {name: getattr(limits, name) for name in LIMITS} | {
        "methods": dict(limits.methods),
        "takeout": dict(limits.takeout),
    }
