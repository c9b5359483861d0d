"""A port of ours that can be taken down, frozen and put up again, as if a process of its own held it."""

from collections.abc import Awaitable, Callable

import trio

from tgworker.devstack.listening import HOST, listen, port_of

Gate = Callable[[], Awaitable[None]]
Handler = Callable[[Gate, trio.SocketStream], Awaitable[None]]
"""Serves one connection; awaits the gate before each byte that goes in or out."""


class Server:
    """A port on 127.0.0.1.

    Args:
        handler: Serves one connection.
        port: Where it listens; 0: anywhere, but there again after a restart.
        option: The option that sets the port, for messages.
    """

    def __init__(self, handler: Handler, *, port: int = 0, option: str = "--port") -> None:
        self._handler = handler
        self._port = port
        self._option = option
        self._serving: trio.CancelScope | None = None
        self._up = trio.Event()
        self._down = trio.Event()
        self._wanted = trio.Event()
        self._thawed = trio.Event()
        self._thawed.set()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self._port}"

    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._serving is not None

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, and serve whoever connects, until cancelled.

        Raises:
            PortTaken: Another program listens there.

        Cancellation: all connections are closed.
        """
        while True:
            listener = await listen(self._port, self._option)
            self._port = port_of(listener)
            self._down, self._wanted = trio.Event(), trio.Event()
            with trio.CancelScope() as self._serving:
                self._up.set()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await trio.serve_listeners(self._serve_client, [listener])
            self._serving = None
            self._up = trio.Event()
            self._down.set()
            await self._wanted.wait()

    async def kill(self) -> None:
        """Close the port and all connections, at once; nobody is told."""
        if self._serving is not None:
            self._serving.cancel(reason="the server is killed")
            await self._down.wait()

    def freeze(self) -> None:
        """Say nothing more, and hear nothing: connections stay open, new ones are taken."""
        if self._thawed.is_set():
            self._thawed = trio.Event()

    def thaw(self) -> None:
        """Go on."""
        self._thawed.set()

    async def restart(self) -> None:
        """Listen again, on the same port; if it listens it is killed first.

        Cancellation: it may be down.
        """
        await self.kill()
        self.thaw()
        self._wanted.set()
        await self._up.wait()

    async def _serve_client(self, stream: trio.SocketStream) -> None:
        await self._handler(self._wait_thawed, stream)

    async def _wait_thawed(self) -> None:
        await self._thawed.wait()
