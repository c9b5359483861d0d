"""Where a soak takes place: a pretended Telegram, a store, the application beside the worker."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import trio

from benchmarks.processes import worker_environment
from soak.plan import Plan
from tgworker.app.books import Books, open_books
from tgworker.cli.dev_stack import MIGRATIONS, places
from tgworker.devstack import Stack, open_stack
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import AccountId, AccountState, MessageId
from tgworker.messaging.records import HeartbeatRecord, OutboxRecord, OutboxState
from tgworker.messaging.values import new_id
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox
from tgworker.settings import load_settings
from tgworker.supabase import SupabaseStore
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-0000-0000-000000000001"
WORKER_ID = "soak"
AGAIN_S = 0.1


class Transcripts(Protocol):
    """What the stores can say beyond the books."""

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of everything."""
        ...


class Application:
    """The application: it keeps what the store does not take, and gives it again.

    Args:
        books: Its own way to the store, apart from the worker's.
    """

    def __init__(self, books: Books) -> None:
        self._books = books

    async def enqueue(self, account_id: AccountId, to: int, text: str) -> None:
        """Insert a row, for as long as it takes."""
        ids = [MessageId(new_id())]
        while True:
            try:
                if isinstance(self._books.outbox, SupabaseStore):
                    # An answer that was lost after the commit must not make a second row.
                    await self._books.outbox.enqueue(account_id, str(to), [text], ids=ids)
                else:
                    await self._books.outbox.enqueue(account_id, str(to), [text])
            except StoreAway:
                await trio.sleep(AGAIN_S)
            else:
                return

    async def transcript(
        self, account_id: AccountId, direction: Literal["inbound", "outbound"]
    ) -> dict[int, list[str]]:
        """The texts of each chat, in the store's order."""
        store: Transcripts = self._books.outbox  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
        while True:
            try:
                lines = await store.transcript(account_id, direction=direction)
            except StoreAway:
                await trio.sleep(AGAIN_S)
                continue
            chats: dict[int, list[str]] = {}
            for chat, text in lines:
                chats.setdefault(chat, []).append(text)
            return chats

    async def unsent(self, *states: OutboxState) -> Sequence[OutboxRecord]:
        """Rows in these states; without states: everything that is not sent."""
        while True:
            try:
                return await self._books.outbox.list_outbox(states or None, limit=1000)
            except StoreAway:
                await trio.sleep(AGAIN_S)

    async def wait_online(self) -> None:
        """Wait until every account is online.

        What was written to an account before its first time is no news to Telegram, and would not come.
        """
        online = False
        while not online:
            await trio.sleep(AGAIN_S)
            accounts = await self._books.accounts.list_accounts()
            online = all(account.state is AccountState.ONLINE for account in accounts)

    async def heartbeat(self) -> HeartbeatRecord | None:
        """The worker's row; ``None`` where there is none, or the store is away."""
        try:
            return await self._books.heartbeats.read(WORKER_ID)
        except StoreAway:
            return None


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the soak's tasks share.

    Attributes:
        plan: What is to happen.
        folder: Where the worker runs.
        env: Its environment.
        sandbox: Telegram.
        users: The users of the accounts.
        accounts: The accounts, in the order of ``users``.
        application: The other side of the store.
        stack: The store's server, if it has one.
    """

    plan: Plan
    folder: Path
    env: Mapping[str, str]
    sandbox: Sandbox
    users: Sequence[SandboxUser]
    accounts: Sequence[AccountId]
    application: Application
    stack: Stack | None = None
    partners: Sequence[SandboxUser] = field(default_factory=tuple[SandboxUser, ...])


@asynccontextmanager
async def open_site(plan: Plan, folder: Path) -> AsyncGenerator[Site]:
    """Make everything but the worker; leaving takes it down."""
    key = new_key()
    async with open_sandbox(users=plan.accounts + plan.partners) as sandbox, _open_stack(plan) as stack:
        pem = folder / "server.pem"
        pem.write_text(sandbox.public_key_pem)
        env = worker_environment(folder / "data", key, server=sandbox.server, dc=sandbox.dc, pem=pem)
        env |= {"TGWORKER_WORKER_ID": WORKER_ID, **plan.variables}
        if stack is not None:
            env |= {"SUPABASE_URL": stack.url, "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key}
        async with open_books(load_settings(env, require=())) as books:
            vault = FernetVault([key])
            users = sandbox.users[: plan.accounts]
            accounts = [
                await books.accounts.add_account(
                    f"account-{number}", OWNER, vault.encrypt(user.session), user_id=user.id, phone=user.phone
                )
                for number, user in enumerate(users)
            ]
            yield Site(
                plan,
                folder,
                env,
                sandbox,
                users,
                accounts,
                Application(books),
                stack,
                sandbox.users[plan.accounts :],
            )


@asynccontextmanager
async def _open_stack(plan: Plan) -> AsyncGenerator[Stack | None]:
    if not plan.supabase:
        yield None
        return
    async with open_stack(places().find(), migrations=sorted(MIGRATIONS.glob("*.sql"))) as stack:
        yield stack
