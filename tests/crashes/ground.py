"""What survives every crash: a Telegram and a store, with one account that a person has written to."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from crashes.victims import Life, Victims, open_victims
from embedded.embedded_kit import SqliteApplication
from tgworker.app.supabase import open_supabase_books
from tgworker.devstack import Stack
from tgworker.embedded import DataFolder, inline, open_store
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox
from tgworker.settings import load_settings
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-0000-0000-000000000001"
SEND = "crashes.send_scenario:send"


@dataclass
class Ground:
    """What survives every crash.

    Attributes:
        sandbox: Telegram; its first user is the account, its second a person who has written to it.
        victims: Runs processes.
        arguments: What every scenario is told: where the store is, and Telegram, and whose the account is.
        sent: What the store holds as sent, ``(Telegram's id, text)`` in the order of its rows.
        rows: What stands in one of the application's tables, in the order of its insertion.
    """

    sandbox: Sandbox
    victims: Victims
    arguments: dict[str, Any]
    sent: Callable[[], Sequence[tuple[str, str]]]
    rows: Callable[[str], Sequence[Mapping[str, Any]]]

    async def send(
        self, text: str | None, *, to: SandboxUser, die_before: str | None = None, recovery: bool = False
    ) -> Life:
        """One worker: it finishes what it finds, sends one text, and dies when it is told to."""
        return await self.victims.run(
            SEND, die_before=die_before, to=f"@{to.username}", text=text, recovery=recovery, **self.arguments
        )

    def arrived(self, *peers: SandboxUser) -> list[tuple[str, str]]:
        """What Telegram holds of what was sent, under the sender's ids."""
        me = self.sandbox.users[0]
        chats = [self.sandbox.chat(me.id, peer.id) for peer in peers]
        return [(str(line.id), line.text) for chat in chats for line in chat if line.outgoing]


@asynccontextmanager
async def open_embedded_ground(folder: Path, *modules: str) -> AsyncGenerator[Ground]:
    """A data folder. ``modules``: what victims import beforehand, besides the sending of rows."""
    key = new_key()
    data = DataFolder(folder / "data")

    def sent() -> Sequence[tuple[str, str]]:
        app = SqliteApplication(data.database)
        rows = app.rows("messages", direction="outbound")
        app.close()
        return [(row["external_message_id"], row["text"]) for row in rows]

    def rows(table: str) -> Sequence[Mapping[str, Any]]:
        app = SqliteApplication(data.database)
        found = app.rows(table)
        app.close()
        return found

    async with open_sandbox(users=2, control_port=0) as sandbox:
        me = sandbox.users[0]
        with open_store(data, as_worker=True, run_sync=inline) as store:
            token = FernetVault([key]).encrypt(me.session)
            account = await store.add_account("me", OWNER, token, user_id=me.id)
        arguments = {"environment": {}, "account": account, "vault_key": key.value}
        async with _opened(folder, sandbox, modules, arguments, sent, rows) as ground:
            yield ground


@asynccontextmanager
async def open_supabase_ground(folder: Path, stack: Stack, *modules: str) -> AsyncGenerator[Ground]:
    """A database of the local stack, with the schema in it."""
    key = new_key()
    environment = {
        "SUPABASE_URL": stack.url,
        "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key,
        "TGWORKER_DATA_DIR": str(folder / "data"),
    }

    def sent() -> Sequence[tuple[str, str]]:
        with psycopg.connect(stack.db_url) as connection:
            return connection.execute(
                "select m.external_message_id, m.text from messages m"
                " join tgworker_outbox o on o.message_id = m.id order by o.seq"
            ).fetchall()

    def rows(table: str) -> Sequence[Mapping[str, Any]]:
        with psycopg.connect(stack.db_url) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql.SQL("select * from {}").format(sql.Identifier(table)))
            return cursor.fetchall()

    async with open_sandbox(users=2, control_port=0) as sandbox:
        me = sandbox.users[0]
        async with open_supabase_books(load_settings(environment, require=())) as (store, _):
            token = FernetVault([key]).encrypt(me.session)
            account = await store.add_account("me", OWNER, token, user_id=me.id)
        arguments = {"environment": environment, "account": account, "vault_key": key.value}
        async with _opened(folder, sandbox, modules, arguments, sent, rows) as ground:
            yield ground


@asynccontextmanager
async def _opened(
    folder: Path,
    sandbox: Sandbox,
    modules: Sequence[str],
    arguments: dict[str, Any],
    sent: Callable[[], Sequence[tuple[str, str]]],
    rows: Callable[[str], Sequence[Mapping[str, Any]]],
) -> AsyncGenerator[Ground]:
    me, peer = sandbox.users
    sandbox.send_text(peer.id, me.id, "hello")
    (folder / "data").mkdir(exist_ok=True)
    server = {
        "host": sandbox.host,
        "port": sandbox.port,
        "dc": sandbox.dc,
        "public_key": sandbox.public_key_pem,
    }
    async with open_victims(folder, "crashes.send_scenario", *modules) as victims:
        everybody = {**arguments, "folder": str(folder / "data"), "server": server}
        yield Ground(sandbox, victims, everybody, sent, rows)
