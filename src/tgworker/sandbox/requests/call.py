"""What a request's handler gets, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.takeouts import Takeout

Answer = Any
"""A TL object, serialised bytes, or a bool."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, when nobody need be logged in.

    Attributes:
        cloud: The sandbox.
        record: The authorization key that the request came under.
        dc_id: The data centre that was asked.
    """

    cloud: Cloud
    record: KeyRecord
    dc_id: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Call(Caller):
    """Who asks, logged in.

    Attributes:
        me: The account.
        line: The connection.
        takeout: The export that the request belongs to.
        within: The range of messages that it is about: from which number to which; ``None``: all.
    """

    me: Account
    line: Line
    takeout: Takeout | None = field(default=None, kw_only=True)
    within: range | None = field(default=None, kw_only=True)


PublicHandler = Callable[[Caller, Any], Answer]
Handler = Callable[[Call, Any], Answer]
"""Handlers never wait. They raise `RequestRefused` to answer with an error."""
