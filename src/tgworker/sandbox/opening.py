"""Opening a sandbox: its ports, and the tasks that serve them."""

import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random

import trio

from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.control import serve_control
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.listening import HOST, listen, port_of
from tgworker.sandbox.sandbox import Sandbox
from tgworker.sandbox.server_key import ServerKey

DC_ID = 2


@asynccontextmanager
async def open_sandbox(
    users: int = 2,
    *,
    port: int = 0,
    control_port: int | None = None,
    dc_id: int = DC_ID,
    more_dcs: Sequence[int] = (),
    rng: Random | None = None,
    calendar: Callable[[], float] = time.time,
    behaviour: Behaviour | None = None,
    key: ServerKey | None = None,
) -> AsyncGenerator[Sandbox]:
    """A Telegram server on 127.0.0.1 that lives as long as the context.

    Args:
        users: How many users it begins with.
        port: Where it listens; 0: anywhere.
        control_port: Where its control connection listens; 0: anywhere; ``None``: it has none.
        dc_id: The number of the data centre that it claims to be, where all users live at first.
        more_dcs: Further data centres, each on a port of its own.
        rng: Where keys, salts and access hashes come from; a seeded one makes them the same each time.
        calendar: Unix time in seconds, for message ids and dates. Whatever waits uses trio's clock.
        behaviour: The switches to begin with.
        key: The server's RSA key; ``None``: one is made when it is first needed.

    Raises:
        PortTaken: Another program listens there.
        SandboxError: A data centre is there twice.

    Cancellation, and leaving the context: connections and ports are closed at once; nothing of it runs on.
    """
    cloud = Cloud(
        dc_id=dc_id,
        rng=random.SystemRandom() if rng is None else rng,
        calendar=calendar,
        behaviour=behaviour or Behaviour(),
        given_key=key,
    )
    async with AsyncExitStack() as listeners:
        clients = {dc_id: await listeners.enter_async_context(await listen(port, "--port"))}
        for each in more_dcs:
            if each in clients:
                raise SandboxError(f"data centre {each} is there twice")
            clients[each] = await listeners.enter_async_context(await listen(0, "--more-dcs"))
        controllers = None
        if control_port is not None:
            controllers = await listeners.enter_async_context(await listen(control_port, "--control-port"))
        cloud.ports.update({each: port_of(listener) for each, listener in clients.items()})
        sandbox = Sandbox(cloud, None if controllers is None else f"{HOST}:{port_of(controllers)}")
        for _ in range(users):
            sandbox.add_user()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, sandbox, clients, controllers, name="sandbox")
            try:
                yield sandbox
            except Exception as error:  # noqa: BLE001 # raised below: the nursery would wrap it into a group
                failure = error
            nursery.cancel_scope.cancel(reason="the sandbox is closed")
    if failure is not None:
        raise failure


async def _serve(
    sandbox: Sandbox, clients: Mapping[int, trio.SocketListener], controllers: trio.SocketListener | None
) -> None:
    async with trio.open_nursery() as nursery:
        for dc_id, listener in clients.items():
            nursery.start_soon(trio.serve_listeners, partial(sandbox.serve_client, dc_id), [listener])
        if controllers is not None:
            serve = partial(serve_control, sandbox)
            nursery.start_soon(trio.serve_listeners, serve, [controllers])
        nursery.start_soon(sandbox.proxies.serve)
        await sandbox.stopped.wait()
        nursery.cancel_scope.cancel(reason="the sandbox is stopped")
