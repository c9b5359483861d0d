"""The Supabase store on the local stack. Imported only where it is asked for: httpx costs 0.2 s."""

import json
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import trio

from tgworker.app.supabase import open_supabase, open_supabase_books
from tgworker.cli.demo.ground import LIMITS, Ground, KeptFile
from tgworker.cli.demo.watch import Watch
from tgworker.cli.dev_stack import MIGRATIONS
from tgworker.devstack import Binaries, Stack, open_stack
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.values import new_id
from tgworker.settings import load_settings
from tgworker.supabase import SupabaseStore

AGAIN_S = 0.1
"""So long after the database was away the application tries once more."""


class PatientApplication:
    """An application that keeps what the database did not take, and gives it again, under the same id.

    Args:
        store: Its own way to the database, apart from the worker's.
    """

    def __init__(self, store: SupabaseStore) -> None:
        self._store = store

    async def add_account(
        self,
        name: str | None,
        owner_id: str,
        secrets_encrypted: str,
        *,
        user_id: int,
        phone: str | None = None,
    ) -> AccountId:
        """See `tgworker.cli.demo.ground.Application`."""
        return await self._store.add_account(name, owner_id, secrets_encrypted, user_id=user_id, phone=phone)

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
    ) -> Sequence[MessageId]:
        """See `tgworker.cli.demo.ground.Application`."""
        ids = [MessageId(new_id()) for _ in range(1 if files else len(texts))]
        while True:
            try:
                return await self._store.enqueue(account_id, to, texts, files=files, kind=kind, ids=ids)
            except StoreAway:
                await trio.sleep(AGAIN_S)

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """See `tgworker.cli.demo.ground.Application`."""
        while True:
            try:
                return await self._store.transcript(account_id, direction=direction)
            except StoreAway:
                await trio.sleep(AGAIN_S)


@asynccontextmanager
async def open_stack_ground(
    folder: Path, binaries: Binaries, rng: random.Random, watch: Watch
) -> AsyncGenerator[Ground]:
    """A local stack with the schema, and the Supabase store on it; leaving takes both down.

    Args:
        folder: What the settings name as data folder.
        binaries: PostgreSQL and PostgREST.
        rng: The holder of the leases, ids of requests, jitter.
        watch: Hears of requests that failed.

    Raises:
        DevStackError: The stack does not start; the text says what to do.
    """
    holder = UUID(int=rng.getrandbits(128), version=4)
    async with open_stack(binaries, migrations=sorted(MIGRATIONS.glob("*.sql"))) as stack:
        settings = load_settings(
            {
                "SUPABASE_URL": stack.url,
                "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key,
                "TGWORKER_DATA_DIR": str(folder),
                "TGWORKER_WORKER_ID": "demo",
            },
            require=(),
        )
        async with (
            open_supabase(settings, holder=holder, rng=rng, observer=watch.note, report=watch.note) as opened,
            open_supabase_books(settings) as (store, _),
        ):
            limits = replace(LIMITS, jobs_every_s=opened.limits.jobs_every_s)
            yield Ground(
                replace(opened, limits=limits),
                PatientApplication(store),
                partial(_attachments, stack),
                PostgresTables(stack),
                stack.postgrest,
            )


class PostgresTables:
    """Fills `tgworker.cli.demo.ground.Tables`.

    Args:
        stack: The local stack.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def insert(self, table: str, **columns: str | int) -> str:
        """See the port."""
        names, values = ", ".join(columns), ", ".join(map(_literal, columns.values()))
        said = await self._run(f"insert into public.{table} ({names}) values ({values}) returning id")  # noqa: S608
        return said.split()[0]

    async def rows(self, table: str, **where: str) -> Sequence[Mapping[str, Any]]:
        """See the port."""
        tests = " and ".join(f"{name} = {_literal(value)}" for name, value in where.items()) or "true"
        found: Sequence[Mapping[str, Any]] = json.loads(
            await self._run(f"select coalesce(json_agg(t), '[]') from public.{table} t where {tests}")  # noqa: S608
        )
        return found

    async def _run(self, sql: str) -> str:
        return await self._stack.postgresql.run_sql(sql, database=self._stack.database)


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


_KEPT: Final = """
select coalesce(json_agg(json_build_array(
    coalesce(m.text, ''), m.message_type, m.raw_payload ->> 'grouped_id' is not null,
    a.storage_bucket, a.storage_path, a.mime_type, a.byte_size
) order by k.telegram_id), '[]')
from attachments a
join messages m on m.id = a.message_id
join tgworker_message_keys k on k.message_id = m.id
where m.integration_account_id = '{account_id}' and k.chat_id = {chat_id} and m.direction = 'inbound'
"""


async def _attachments(stack: Stack, account_id: AccountId, chat_id: int) -> Sequence[KeptFile]:
    sql = _KEPT.format(account_id=UUID(account_id), chat_id=int(chat_id))
    rows = json.loads(await stack.postgresql.run_sql(sql, database=stack.database))
    return [KeptFile(*row) for row in rows]
