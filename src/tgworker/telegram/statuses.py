"""Whether the account's contacts are online: asked for once where nobody was there to be told.

Telegram tells of comings and goings only to lines that are there, and never again. So each line asks once,
and once more where the server has forgotten the line (a new session): what it would have told meanwhile is
lost.

Source: https://core.telegram.org/method/contacts.getStatuses
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import trio
from telethon.errors import RPCError, TypeNotFoundError
from telethon.tl import functions

from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.presence import Presence
from tgworker.telegram.client import AccountClient
from tgworker.telegram.presence import status_of
from tgworker.telegram.rpc_errors import wait_of

ASK_EVERY_S = 60.0
"""Between two questions on one line, whatever happens to its session; and before the next try."""

ASK_S = 30.0
"""How long an answer may take: an account may have thousands of contacts."""

TRIES = 3
"""So often Telegram is asked for one answer. Without one all stay as they are until their time is over."""


class Statuses:
    """Asks Telegram who of the contacts is online, seldom, and tells it.

    Args:
        hear: Told of each contact.
    """

    def __init__(self, hear: Callable[[Presence], None]) -> None:
        self._hear = hear
        self._wanted = trio.Event()

    def want(self) -> None:
        """Ask, when it is time to."""
        self._wanted.set()

    async def run(self, ask: Callable[[], Awaitable[float | None]]) -> None:
        """Ask whenever that is wanted; returns never.

        Args:
            ask: Calls `ask_aio` in the account's loop.

        Cancellation: who was told of was told of.
        """
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            for _ in range(TRIES):
                again_s: float | None = None
                with suppress(TelegramAway):  # the next line asks
                    again_s = await ask()
                await trio.sleep(max(ASK_EVERY_S, again_s or 0))
                if again_s is None:
                    break

    async def ask_aio(self, client: AccountClient) -> float | None:
        """Ask once, and tell what Telegram says; returns after how many seconds to ask again, ``None``: not.

        Raises:
            LineLost: The line broke.

        Cancellation: nobody was told of.
        """
        answer: Any = None
        try:
            async with asyncio.timeout(ASK_S):
                answer = await client.ask_aio(functions.contacts.GetStatusesRequest())
        except TimeoutError:
            return ASK_EVERY_S
        except RPCError as error:
            return wait_of(error)
        except TypeNotFoundError:
            return None
        now = datetime.fromtimestamp(client.server_time, UTC)
        for each in answer:
            if (presence := status_of(int(each.user_id), each.status, now)) is not None:
                self._hear(presence)
        return None
