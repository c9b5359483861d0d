"""Lines to data centres where files lie: the account's own, and others that are made when they are needed.

The account's own key is used over its one line alone: over a second one to the same data centre Telegram
would take it for stolen (``AUTH_KEY_DUPLICATED``, https://core.telegram.org/api/errors#406-not-acceptable).
Another data centre gets a key of its own, and the login by ``auth.exportAuthorization``
(https://core.telegram.org/api/datacenter).
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions

from tgworker.telegram.books import LineLost
from tgworker.telegram.client import AccountClient
from tgworker.telegram.data_centres import introduced, option_for
from tgworker.telegram.invoke import invoke_aio
from tgworker.telegram.line import LineSender

IDLE_S = 60.0
"""A line that nobody has asked anything for so long is closed."""


class FileLines:
    """One account's lines to data centres.

    Args:
        client: A connected client.
    """

    def __init__(self, client: AccountClient) -> None:
        self._client = client
        self._home: Any = client.session
        self._making: dict[int, asyncio.Lock] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._users = 0

    async def line_aio(self, dc_id: int) -> LineSender:
        """A line to a data centre that holds files.

        Raises:
            LineLost: It cannot be made.
            RPCError: Telegram does not let this account in there.

        Cancellation: a line that is half made is dropped; nobody waits for it.
        """
        client = self._client
        if self.is_home(dc_id):
            own: LineSender = client._sender
            return own
        async with self._making.setdefault(dc_id, asyncio.Lock()):
            sender: LineSender | None = client._borrowed_senders.get(dc_id, (None, None))[1]
            if sender is None or sender.over:
                sender = await self._make_aio(dc_id)
        self._keep(dc_id)
        return sender

    async def _make_aio(self, dc_id: int) -> LineSender:
        client = self._client
        config: Any = await client.ask_aio(functions.help.GetConfigRequest())
        dc = option_for(config.dc_options, dc_id, ipv6=client._use_ipv6)
        if dc is None:
            raise LineLost(f"Telegram names no data centre {dc_id}")
        sender = LineSender(
            None,
            loggers=client._log,
            updates_queue=asyncio.Queue(),  # (nothing comes: it is asked without updates)
            on_heard=lambda: None,
            on_lost=lambda _error: None,
            permit=client.permit,
        )
        client._borrowed_senders[dc_id] = (None, sender)  # closed with the client, whatever happens to it
        try:
            await sender.connect(
                client._connection(
                    dc.ip_address,
                    dc.port,
                    dc.id,
                    loggers=client._log,
                    proxy=client._proxy,
                    local_addr=client._local_addr,
                )
            )
            ticket: Any = await client.ask_aio(functions.auth.ExportAuthorizationRequest(dc_id))
            login = functions.auth.ImportAuthorizationRequest(ticket.id, ticket.bytes)
            # (What is said there is said of that key alone: it is no no to the account.)
            await invoke_aio(sender, introduced(client, login))
        except BaseException as error:
            sender.lose(None)
            if isinstance(error, OSError) and not isinstance(error, LineLost):
                raise LineLost(f"data centre {dc_id} cannot be reached: {type(error).__name__}") from None
            raise
        return sender

    @property
    def home(self) -> int:
        """The account's own data centre."""
        dc_id: int = self._home.dc_id
        return dc_id

    def is_home(self, dc_id: int) -> bool:
        """Whether a data centre is the account's own: its line is the account's."""
        return dc_id == self.home

    def drop(self, dc_id: int, line: LineSender) -> None:
        """Close a line to another data centre, which is of no use any more, unless there is a newer one."""
        _, current = self._client._borrowed_senders.get(dc_id, (None, None))
        if current is line and not self.is_home(dc_id):
            self._close(dc_id)

    def hear_refusal(self, dc_id: int, error: RPCError) -> None:
        """An answer may have been a final no to the account, if it came over the account's own line."""
        if self.is_home(dc_id):
            self._client.hear_refusal(error)

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Keep every line while the block runs, whoever is slow to ask the next question."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    def _keep(self, dc_id: int) -> None:
        timer = self._timers.pop(dc_id, None)
        if timer is not None:
            timer.cancel()
        self._timers[dc_id] = asyncio.get_running_loop().call_later(IDLE_S, self._close_idle, dc_id)

    def _close_idle(self, dc_id: int) -> None:
        if self._users:
            self._keep(dc_id)
        else:
            self._close(dc_id)

    def _close(self, dc_id: int) -> None:
        timer = self._timers.pop(dc_id, None)
        if timer is not None:
            timer.cancel()
        _, sender = self._client._borrowed_senders.pop(dc_id, (None, None))
        if sender is not None:
            sender.lose(None)
