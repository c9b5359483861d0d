"""The status server: hypercorn's HTTP on trio, with bounds that hypercorn does not have.

``hypercorn.trio.serve`` takes any number of connections, and sends shielded from cancellation and without a
deadline: a client that reads nothing would keep a stopped worker alive. So its connections are accepted here:
at most `MOST_CLIENTS`, each for `CLIENT_WITHIN_S` at most, and closed by force at the end.

This module imports hypercorn: import it when there is something to serve.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, final

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app

from tgworker.operations.status_app import StatusApp

MOST_CLIENTS: Final = 32
"""Served at a time; those beyond are hung up on. Enough for every prober that there is."""
CLIENT_WITHIN_S: Final = 10.0
"""What a connection may last, seconds, with all its requests: Kubernetes asks every 10 s, on a new one."""
IDLE_S: Final = 5.0
"""How long a connection may say nothing, seconds."""
LARGEST_HEAD_BYTES: Final = 16 * 1024


async def serve_http(
    app: StatusApp,
    listeners: Sequence[trio.SocketListener],
    *,
    failed: Callable[[Exception], object],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. The listeners stay open: who comes next may serve on them.

    Args:
        app: Answers.
        listeners: Where to listen.
        failed: Told what goes wrong in a connection: it ends that one alone.
        task_status: Started when connections are accepted.
    """
    room = _Room(app, failed)
    own = [trio.SocketListener(listener.socket.dup()) for listener in listeners]  # closed with their server
    await trio.serve_listeners(room.serve, own, task_status=cast("trio.TaskStatus[Any]", task_status))


def reachable_from_elsewhere(listeners: Sequence[trio.SocketListener]) -> bool:
    """Whether any of the listeners can be reached from another machine."""
    return not all(
        ipaddress.ip_address(listener.socket.getsockname()[0].partition("%")[0]).is_loopback
        for listener in listeners
    )


@final
class _Room:
    """The clients of one server."""

    def __init__(self, app: StatusApp, failed: Callable[[Exception], object]) -> None:
        self._config = _config()
        self._app = wrap_app(cast("Any", app), 0, "asgi")
        self._context = WorkerContext(None)
        self._failed = failed
        self._clients = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        if self._clients >= MOST_CLIENTS:
            return  # trio closes the connection
        self._clients += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_in_time, stream)
                await self._converse(stream)
                nursery.cancel_scope.cancel(reason="the conversation is over")
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        server = _Connection(self._app, self._config, self._context, {}, cast("Any", stream))
        try:
            await server.run()
        except* Exception as errors:  # noqa: BLE001 - a client that hypercorn cannot deal with ends nobody else
            for error in errors.exceptions:
                self._failed(error)


@final
class _Connection(TCPServer):
    """hypercorn's, which would wait for its idle timer also when the client is gone, and keep its place."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


async def _close_in_time(stream: trio.SocketStream) -> None:
    """Close a connection when its time is over, or its server's: what is being sent then fails."""
    try:
        await trio.sleep(CLIENT_WITHIN_S)
    finally:
        await trio.aclose_forcefully(stream)


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None  # the application tells of its errors by itself
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_S
    config.h11_max_incomplete_size = LARGEST_HEAD_BYTES
    return config
