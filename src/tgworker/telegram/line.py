"""Telethon's TCP line and sender, with one change of mind: a line that breaks is over.

Telethon reconnects by itself, sends what it thinks was not answered again, gives up after a while and says
nothing. Here the first sign of trouble ends the line at once, fails whatever was on its way, and is reported;
making a new line is the business of whoever opened this one.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from telethon.network import ConnectionTcpFull, MTProtoSender
from telethon.network.connection.connection import Connection, ObfuscatedConnection
from telethon.network.connection.tcpintermediate import RandomizedIntermediatePacketCodec
from telethon.network.connection.tcpmtproxy import MTProxyIO
from telethon.network.requeststate import RequestState
from telethon.tl.functions import PingRequest

from tgworker.telegram.books import Answer, NeverSent, fail_all
from tgworker.telegram.line_state import LineState
from tgworker.telegram.proxied_line import Streams, open_through_aio, open_to_aio
from tgworker.telegram.proxies import Proxy, ProxyKind

NOT_OURS = "the account's lease has run out"

ACKNOWLEDGED_AT = 64
"""So many messages of the server's are acknowledged at the latest, even if there is nothing else to send.

Telethon acknowledges with the next request. A line that only listens would never do so, keep the ids of all
that it ever got, and get it again (https://core.telegram.org/mtproto/service_messages_about_messages).
"""


class _Line(Connection):  # type: ignore[misc] # Telethon has no types
    """A line that closes at once, and that writes nothing once it may not."""

    _proxy: Any
    _writer: Any
    packet_codec: Any

    permit: Callable[[], bool] = staticmethod(lambda: True)
    """Asked before every write; whoever makes the line says whom to ask."""

    def _send(self, data: bytes) -> None:
        # The account may be another process's by now: a machine that slept notices only here.
        if not self.permit():
            raise ConnectionError(NOT_OURS)
        super()._send(data)

    async def disconnect(self) -> None:
        """Drop the line. `StreamWriter.close` would wait up to 10 s for a peer that does not read."""
        self._connected = False
        if self._writer is not None:
            self._writer.transport.abort()

    async def _begin_aio(self, opened: Streams) -> None:
        """Speak first over a line that was made another way than Telethon's own."""
        self._reader, self._writer = opened
        self._codec = self.packet_codec(self)
        self._init_conn()
        await self._writer.drain()


class LineConnection(_Line, ConnectionTcpFull):  # type: ignore[misc] # Telethon has no types
    """A line to a server: straight, or through a SOCKS5 or HTTP proxy."""

    async def _connect(self, timeout: float | None = None, ssl: Any = None) -> None:
        if self._proxy is None:
            await super()._connect(timeout=timeout, ssl=ssl)
        else:
            await self._begin_aio(await open_through_aio(self._proxy, self._ip, self._port))


class MtproxyConnection(_Line, ObfuscatedConnection):  # type: ignore[misc] # Telethon has no types
    """A line to an MTProxy, which finds the data centre by its number.

    Telethon's own takes a secret that begins with ``dd`` or ``ee`` for a shorter one, and waits for 2 s on
    each line whether the proxy hangs up. Packets are padded whatever the secret says: any proxy takes them.
    """

    packet_codec = RandomizedIntermediatePacketCodec
    obfuscated_io = MTProxyIO

    def __init__(self, ip: str, port: int, dc_id: int, *, proxy: Proxy, **more: Any) -> None:
        super().__init__(ip, port, dc_id, proxy=proxy, **more)
        self._secret = proxy.secret

    async def _connect(self, timeout: float | None = None, ssl: Any = None) -> None:  # noqa: ARG002
        await self._begin_aio(await open_to_aio(self._proxy))


def connection_for(proxy: Proxy | None) -> type[Any]:
    """What makes an account's lines."""
    return MtproxyConnection if proxy is not None and proxy.kind is ProxyKind.MTPROXY else LineConnection


class LineSender(MTProtoSender):  # type: ignore[misc] # Telethon has no types
    """Sends requests and receives answers over one line, once.

    Args:
        auth_key: The session's key.
        loggers: Telethon's loggers.
        updates_queue: Where the server's updates go.
        on_heard: Called for each message that comes in.
        on_lost: Called once, with what ended the line (``None``: somebody closed it).
        permit: Whether the line may still be written to.
        on_new_session: Called when the server has forgotten what it knew of this line: what it would have
            sent meanwhile is lost (https://core.telegram.org/mtproto/service_messages#new-session-creation-notification).

    Attributes:
        server_time: Telegram's clock when it sent the last message that came in, in seconds since 1970: its
            message ids hold it (https://core.telegram.org/mtproto/description#message-identifier-msg-id).
    """

    def __init__(
        self,
        auth_key: Any,
        *,
        loggers: Any,
        updates_queue: asyncio.Queue[Any],
        on_heard: Callable[[], None],
        on_lost: Callable[[BaseException | None], None],
        permit: Callable[[], bool] = lambda: True,
        on_new_session: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            auth_key, loggers=loggers, retries=0, delay=0, auto_reconnect=False, updates_queue=updates_queue
        )
        self._state = self._send_queue._state = LineState(self.auth_key, loggers=self._loggers)
        self._on_heard = on_heard
        self._on_lost = on_lost
        self._permit = permit
        self._on_new_session = on_new_session
        self._is_introduced = False
        self._ping_ids = iter(range(1, 2**63))
        self.server_time = 0
        self.over = False

    def send(self, request: Any, ordered: bool = False) -> "asyncio.Future[Any]":  # noqa: ARG002, FBT # Telethon's
        """Put a request into the queue; returns what its answer will arrive in.

        Raises:
            NeverSent: The line is not open.
        """
        if not self._user_connected:
            raise NeverSent("the line is not open")
        state = RequestState(request)
        answer = Answer(self, loop=asyncio.get_running_loop())
        state.future = answer
        self._send_queue.append(state)
        return answer

    def ping(self) -> "asyncio.Future[Any]":
        """Ask the server for a sign of life (https://core.telegram.org/mtproto/service_messages#ping)."""
        return self.send(PingRequest(next(self._ping_ids)))

    def lose(self, error: BaseException | None) -> None:
        """End the line in this very step: no flush, no farewell. Whoever waits for an answer is told.

        Args:
            error: What happened; ``None`` if somebody closed the line.
        """
        self._user_connected = (
            False  # also the condition of the loops: a swallowed cancellation ends them too
        )
        fail_all(self, "the line was closed" if error is None else f"the line broke: {type(error).__name__}")
        connection = self._connection
        if connection is not None:
            connection._connected = False
            if connection._writer is not None:
                connection._writer.transport.abort()
        if not self.over:
            self.over = True
            self._on_lost(error)

    # What Telethon calls when something is wrong.

    def _start_reconnect(self, error: BaseException | None) -> None:
        self.lose(error if error is not None else ConnectionError("no answer to a ping"))

    async def _disconnect(self, error: BaseException | None = None) -> None:
        self.lose(error)

    async def disconnect(self) -> None:
        """Close the line."""
        self.lose(None)

    async def _try_connect(self, attempt: int) -> bool:  # noqa: ARG002 # Telethon's
        # Telethon would hide the error behind "failed 1 time(s)". No timeout: deadlines are the caller's.
        connection: Any = self._connection
        if not self._permit():
            raise ConnectionError(NOT_OURS)
        connection.permit = self._permit
        await connection.connect(timeout=None)
        return True

    async def _process_message(self, message: Any) -> None:
        self.server_time = max(self.server_time, message.msg_id >> 32)
        self._on_heard()
        await super()._process_message(message)
        if len(self._pending_ack) >= ACKNOWLEDGED_AT:
            self._send_queue._ready.set()  # wakes the send loop, which sends acknowledgements first

    async def _handle_new_session_created(self, message: Any) -> None:
        await super()._handle_new_session_created(message)
        if self._is_introduced:  # the first is the line's own beginning, and who begins catches up anyhow
            self._on_new_session()
        self._is_introduced = True
