"""A call that is repeated while nobody answers: for commands, which somebody waits for."""

from collections.abc import Mapping
from typing import Any, TypeVar

import trio

from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.supabase.rest import Rest

TRIES = 5
TRY_AGAIN_S = 1.0
"""Longer than it takes until somebody may ask again."""

T = TypeVar("T")


async def insist(rest: Rest, function: str, arguments: Mapping[str, Any], answer: type[T]) -> T:
    """Call a function that may be repeated, `TRIES` times at most.

    Args:
        rest: The project's REST API.
        function: Its name.
        arguments: The same each time.
        answer: What it answers.

    Raises: as `Rest`; a `StoreRefused` at once.
    """
    for _ in range(TRIES - 1):
        try:
            return await rest.call(function, arguments, answer)
        except StoreRefused:
            raise
        except StoreAway:
            await trio.sleep(TRY_AGAIN_S)
    return await rest.call(function, arguments, answer)
