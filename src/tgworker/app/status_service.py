"""A process's status server: it listens before anything connects, and answers before there is a worker."""

import errno
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any, final

import trio

from tgworker.app.reload import LiveSettings
from tgworker.app.worker import Worker
from tgworker.operations.logs import Logger
from tgworker.operations.probes import WorkerFacts
from tgworker.operations.status_app import StatusApp
from tgworker.operations.status_socket import StatusUnavailable
from tgworker.settings import StatusBind
from tgworker.supervision import Pulse

BIND_WITHIN_S = 10.0
"""What it may take to find out what a name in TGWORKER_STATUS_BIND stands for, seconds."""

EARLY_AFTER_S = 1.0
"""How long a start may take before probes are answered without a worker, seconds: its store is away."""

NOT_YET = WorkerFacts(
    supervised=True,
    stopping=False,
    synced=False,
    status="starting",
    store_away=True,
    telegram_away=False,
)
"""A process that still waits for its store."""


@final
class StatusService:
    """The status server, from before the worker until after it.

    Args:
        live: Where to listen, and the token that details want.
        log: Where lines go.
        worker: The worker once there is one.
        metrics: What Prometheus scrapes.
    """

    def __init__(
        self,
        live: LiveSettings,
        log: Logger,
        worker: Callable[[], Worker | None],
        metrics: Callable[[], bytes],
    ) -> None:
        self._live = live
        self._metrics = metrics
        self._log = log
        self._worker = worker
        self._listeners: list[trio.SocketListener] = []
        self._problem: str | None = None
        self._bound = trio.Event()
        self._early = trio.CancelScope()

    @property
    def listens(self) -> bool:
        """Whether there is anything to serve on."""
        return bool(self._listeners)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen for the length of the block. Nothing is said about it yet: see `tell`.

        Raises:
            StatusUnavailable: Somebody asked for an address on which nobody can listen here.
        """
        bind = self._live.now.status_bind
        try:
            if bind is not None:
                await self._listen(bind)
            self._bound.set()
            yield
        finally:
            for listener in self._listeners:
                await trio.aclose_forcefully(listener)

    async def _listen(self, bind: StatusBind) -> None:
        try:
            with trio.fail_after(BIND_WITHIN_S):
                self._listeners = await trio.open_tcp_listeners(bind.port, host=bind.host)
        except (OSError, trio.TooSlowError) as error:
            self._problem = unusable(bind, error)
            if bind.configured:
                raise StatusUnavailable(self._problem) from None

    def tell(self) -> None:
        """Say in the log where the server listens, or why it does not."""
        for listener in self._listeners:
            self._log.info("status server listens", address=address_of(*listener.socket.getsockname()[:2]))
        if self._problem is not None:
            self._log.warning("status server does not listen", reason=self._problem)

    async def serve(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ARG002
        """The child that serves, until cancelled."""
        task_status.started()  # nobody waits for it: nothing is built on it
        await self._serve()

    async def serve_early(self) -> None:
        """Serve from before there is a worker until its own child does. Runs beside the worker."""
        await self._bound.wait()
        if not self.listens:
            return
        with self._early:
            await trio.sleep(EARLY_AFTER_S)
            try:
                await self._serve(early=True)
            except Exception as error:  # noqa: BLE001 - the worker does not depend on it
                self._failed(error)

    async def _serve(self, *, early: bool = False) -> None:
        # hypercorn takes 40 ms to import, prometheus_client 10: in a thread, while the accounts connect.
        for module in ("tgworker.operations.status_server", "tgworker.operations.metrics_text"):
            await trio.to_thread.run_sync(import_module, module)
        from tgworker.operations.status_server import reachable_from_elsewhere, serve_http

        app = StatusApp(
            facts=self._facts,
            details=self._details,
            metrics=self._metrics,
            token=lambda: self._live.now.status_token,
            open_to_all=reachable_from_elsewhere(self._listeners),
            failed=self._failed,
        )
        serve = partial(serve_http, app, self._listeners, failed=self._failed)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            if not early:
                self._early.cancel(reason="the worker's own child serves")

    def _facts(self) -> WorkerFacts:
        worker = self._worker()
        return NOT_YET if worker is None else worker.facts()

    def _details(self) -> Mapping[str, Any] | None:
        worker = self._worker()
        return worker.describe() if worker is not None and worker.opened else None

    def _failed(self, error: Exception) -> None:
        self._log.warning("status server failed a client", exc_info=error)


def unusable(bind: StatusBind, error: OSError | trio.TooSlowError) -> str:
    """Why nobody can listen there, in one line with the remedy."""
    where = f"TGWORKER_STATUS_BIND {address_of(bind.host, bind.port)}"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{where} is taken: stop who has it, or set another address, or off"
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else "the name is not resolved"
    return f"{where} cannot be used ({reason}): set host:port with an address of this machine, or off"


def address_of(host: str, port: int) -> str:
    """``host:port``; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
