"""A whole stack: PostgreSQL, PostgREST, and the gateway in front of them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import trio

from tgworker.devstack.binaries import Binaries
from tgworker.devstack.cluster import DATABASE, Cluster, open_cluster
from tgworker.devstack.control import Control, Part, serve_controller
from tgworker.devstack.faults import Faults
from tgworker.devstack.folders import Folders, open_folders
from tgworker.devstack.gateway import Gateway, serve_client
from tgworker.devstack.keys import Keys, project_keys
from tgworker.devstack.migrations import apply_migrations
from tgworker.devstack.objects import Objects
from tgworker.devstack.postgrest import POOL, Postgrest, open_postgrest
from tgworker.devstack.server import Server
from tgworker.devstack.storage import Storage
from tgworker.devstack.upstream import Upstream

LOGIN_ROLE = "authenticator"
"""Whom PostgREST logs in as."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. `open_stack` makes them.

    Attributes:
        postgresql: The database server: to run SQL, to kill, freeze, restart.
        postgrest: The REST API: to kill, freeze, restart.
        gateway: The port in front: to kill, freeze, restart.
        faults: What goes wrong at the gateway.
        objects: What the stand-in for Storage holds.
        keys: The project's keys.
        database: The name of the database that it serves.
        control: URL of the control connection, if it has one.
        stopped: Set when somebody asked for its end.
    """

    postgresql: Cluster
    postgrest: Postgrest
    gateway: Server
    faults: Faults
    objects: Objects
    keys: Keys
    database: str
    control: str | None = None
    stopped: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        """What a client takes for the project's URL."""
        return f"http://{self.gateway.address}"

    @property
    def parts(self) -> Mapping[str, Part]:
        """What can be killed, frozen and restarted, by name."""
        return {"postgresql": self.postgresql, "postgrest": self.postgrest, "gateway": self.gateway}

    @property
    def service_role_key(self) -> str:
        """The JWT of ``service_role``."""
        return self.keys.service_role

    @property
    def anon_key(self) -> str:
        """The JWT of ``anon``."""
        return self.keys.anon

    @property
    def db_url(self) -> str:
        """Where the database is, for whoever applies migrations."""
        return self.postgresql.url(self.database)


@asynccontextmanager
async def open_stack(
    binaries: Binaries,
    *,
    migrations: Sequence[Path] = (),
    data_dir: Path | None = None,
    port: int = 0,
    control_port: int | None = None,
    pool: int = POOL,
) -> AsyncGenerator[Stack]:
    """A stack of one's own that lives as long as the context. It starts in about half a second.

    Args:
        binaries: The programs.
        migrations: Files of SQL, ``NUMBER_WORDS.sql``; those that the database does not have yet are applied.
        data_dir: Where database and objects are kept; ``None``: they go with the stack, which is then faster,
            because it need not survive a crash of the machine.
        port: Where the gateway listens; 0: anywhere.
        control_port: Where the control connection listens; 0: anywhere; ``None``: there is none.
        pool: How many connections to the database PostgREST holds at most.

    Raises:
        DevStackError: It cannot be started; the text says what to do.

    Cancellation, and leaving the context: everything is stopped; that is waited for.
    """
    with open_folders(data_dir) as folders:
        cluster = Cluster(binaries.postgresql, folders, durable=data_dir is not None)
        async with open_cluster(cluster):
            await apply_migrations(cluster, migrations)
            async with open_stack_on(
                cluster, binaries, folders, port=port, control_port=control_port, pool=pool
            ) as stack:
                yield stack


@asynccontextmanager
async def open_stack_on(
    cluster: Cluster,
    binaries: Binaries,
    folders: Folders,
    *,
    database: str = DATABASE,
    port: int = 0,
    control_port: int | None = None,
    pool: int = POOL,
) -> AsyncGenerator[Stack]:
    """PostgREST and a gateway on one database of a PostgreSQL that runs already, and runs on afterwards.

    Args:
        cluster: PostgreSQL.
        binaries: The programs.
        folders: The cluster's.
        database: The database.
        port: As for `open_stack`, like the rest.
        control_port: As for `open_stack`.
        pool: As for `open_stack`.

    Raises:
        DevStackError: It cannot be started; the text says what to do.

    Cancellation, and leaving the context: PostgREST and gateway are stopped; that is waited for.
    """
    url = cluster.url(database, LOGIN_ROLE)
    postgrest = Postgrest(binaries.postgrest, folders, url, name=f"postgrest-{database}", pool=pool)
    objects = Objects(folders.objects / database)
    upstream = Upstream(postgrest.socket)
    faults, keys = Faults(), project_keys()
    gateway = Server(partial(serve_client, Gateway(upstream, Storage(objects), keys, faults)), port=port)
    stack = Stack(cluster, postgrest, gateway, faults, objects, keys, database)
    controller = Server(
        partial(serve_controller, Control(stack.parts, faults, stack.stopped.set)),
        port=control_port or 0,
        option="--control-port",
    )
    failure: Exception | None = None
    async with open_postgrest(postgrest), trio.open_nursery() as nursery:
        try:
            await nursery.start(gateway.serve)
            if control_port is not None:
                await nursery.start(controller.serve)
                stack = replace(stack, control=f"http://{controller.address}")
            yield stack
        except Exception as error:  # noqa: BLE001 - raised below: the nursery would wrap it into a group
            failure = error
        nursery.cancel_scope.cancel(reason="the stack is closed")
    await upstream.aclose()
    if failure is not None:
        raise failure
