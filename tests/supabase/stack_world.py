"""A whole worker in the test's own process, on a real stack and the sandbox, in real time."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import trio

from tgworker.app.parts import Parts
from tgworker.app.supabase import open_supabase
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.devstack import Stack
from tgworker.messaging.events import HeartbeatWritten
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Secret
from tgworker.messaging.pacing import UNPACED
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox
from tgworker.settings import Settings, TelegramServer, TelegramSettings, load_settings
from tgworker.supabase import SupabaseStore
from tgworker.supervision import Backoff
from tgworker.vault import FernetVault, new_key

OWNER = "0f000000-0000-4000-8000-000000000001"
LIMITS = Limits(
    database_s=2,
    heartbeat_every_s=1,
    accounts_every_s=2,
    lease_renew_s=1,
    connect_s=5,
    ping_idle_s=5,
)


@dataclass
class StackWorld:
    """What a test sees and does."""

    stack: Stack
    sandbox: Sandbox
    store: SupabaseStore
    worker: Worker
    account: AccountId
    me: SandboxUser
    peers: tuple[SandboxUser, ...]
    notes: list[tuple[float, object]] = field(default_factory=list[tuple[float, object]])
    tries: int = 0
    told: dict[int, list[str]] = field(default_factory=dict[int, list[str]])

    def give(self, peer: SandboxUser) -> None:
        """The application writes a row, in its old way, over a connection of its own."""
        self.tries += 1
        text = f"{peer.id}-{self.tries:05d}"
        with psycopg.connect(self.stack.db_url, autocommit=True, connect_timeout=5) as connection:
            connection.execute("set statement_timeout = '5s'")
            row = connection.execute(
                "select c.id from conversations c join contact_identities i on i.id = c.primary_identity_id"
                " where i.value = %s",
                (str(peer.id),),
            ).fetchone()
            assert row is not None
            connection.execute(
                "insert into messages (owner_id, conversation_id, integration_account_id, channel, direction,"
                " text, external_message_id) values (%s, %s, %s, 'telegram', 'outbound', %s, %s)",
                (OWNER, row[0], self.account, text, f"local-{text}"),
            )

    def given(self) -> dict[int, list[str]]:
        """What the application wrote, in its order. As its tables say: a commit may have had no answer."""
        given: dict[int, list[str]] = {}
        with psycopg.connect(self.stack.db_url, autocommit=True, connect_timeout=5) as connection:
            for (text,) in connection.execute(
                "select text from messages where direction = 'outbound' order by text"
            ):
                given.setdefault(int(text.partition("-")[0]), []).append(text)
        return given

    def tell(self, peer: SandboxUser) -> None:
        """A person writes to the account."""
        texts = self.told.setdefault(peer.id, [])
        texts.append(f"from {peer.id}-{len(texts):04d}")
        self.sandbox.send_text(peer.id, self.me.id, texts[-1])

    def arrived(self) -> dict[int, list[str]]:
        """What Telegram holds of what the account sent."""
        return {
            peer.id: [line.text for line in self.sandbox.chat(peer.id, self.me.id) if not line.outgoing]
            for peer in self.peers
            if any(not line.outgoing for line in self.sandbox.chat(peer.id, self.me.id))
        }

    async def stored(self) -> dict[int, list[str]]:
        """What the database holds of what people wrote."""
        texts: dict[int, list[str]] = {}
        for chat_id, text in await self.store.transcript(self.account, direction="inbound"):
            texts.setdefault(chat_id, []).append(text)
        return texts

    async def settle_down(self, within_s: float) -> None:
        """Wait until everything is where it belongs, and nothing is open."""
        with trio.move_on_after(within_s) as patience:
            while self.arrived() != self.given() or await self.stored() != self.told:
                await trio.sleep(0.05)
            while [row for row in await self.store.list_outbox() if row.state is not OutboxState.SENT]:
                await trio.sleep(0.05)
        if patience.cancelled_caught:
            raise AssertionError(
                f"sent {_counts(self.arrived())} of {_counts(self.given())}, "
                f"stored {_counts(await self.stored())} of {_counts(self.told)}, "
                f"open: {[(row.state.value, row.error) for row in await self.store.list_outbox()][:5]}, "
                f"online: {self.worker.dispatch.statistics()}"
            )

    async def wait_heartbeat(self, within_s: float) -> float:
        """Wait for the next heartbeat in the database; returns how long that took."""
        since = trio.current_time()
        with trio.fail_after(within_s):
            while True:
                for at_s, event in self.notes:
                    if at_s > since and isinstance(event, HeartbeatWritten) and event.writer == "supabase":
                        return at_s - since
                await trio.sleep(0.02)


def _counts(texts: dict[int, list[str]]) -> dict[int, tuple[int, int]]:
    """How many texts of each chat, and how many different ones."""
    return {chat: (len(some), len(set(some))) for chat, some in texts.items()}


def settings_of(stack: Stack, folder: Path, **more: str) -> Settings:
    """What the environment of a worker on this stack says."""
    return load_settings(
        {
            "SUPABASE_URL": stack.url,
            "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key,
            "TGWORKER_DATA_DIR": str(folder),
            "TGWORKER_WORKER_ID": "test",
            **more,
        },
        require=(),
    )


@asynccontextmanager
async def open_worker(
    stack: Stack,
    folder: Path,
    sandbox: Sandbox,
    vault: FernetVault,
    note: Callable[[object], None],
    *,
    limits: Limits = LIMITS,
    prepare: Callable[[SupabaseStore], Awaitable[object]],
) -> AsyncGenerator[tuple[Worker, SupabaseStore]]:
    """A worker with a holder of its own, put together as `tgworker.app.run` does.

    Args:
        stack: The project.
        folder: Its data folder.
        sandbox: Telegram.
        vault: Opens sessions.
        note: Hears everything.
        limits: The deadlines.
        prepare: What is done to the store before the worker starts.
    """
    rng = random.Random(1)
    settings = settings_of(stack, folder)
    await trio.Path(folder).mkdir(exist_ok=True)
    async with open_supabase(settings, holder=uuid4(), rng=rng, observer=note, report=note) as opened:
        store = opened.store
        assert isinstance(store, SupabaseStore)
        await prepare(store)
        server = TelegramServer(
            host=sandbox.host, port=sandbox.port, dc=sandbox.dc, public_key=sandbox.public_key_pem
        )
        parts = Parts(
            worker_id="test",
            incarnation=opened.incarnation,
            data_dir=folder,
            limits=limits,
            stall_after_s=60,
            store=store,
            files=opened.files,
            leases=opened.leases,
            wakeup=opened.wakeup,
            pace=opened.pace,
            rates=UNPACED,
            sweeper=opened.sweeper,
            telegram=make_telegram(
                TelegramSettings(api_id=1, api_hash=Secret("sandbox"), server=server),
                note,
                may_write=opened.may_write,
            ),
            vault=vault,
            heartbeats=opened.heartbeats,
            rng=rng,
            report=note,
            observers=(note,),
            line_backoff=Backoff(initial_s=0.2, cap_s=2),
        )
        async with Worker(parts).open() as worker:
            yield worker, store


@asynccontextmanager
async def open_stack_world(
    stack: Stack, folder: Path, *, limits: Limits = LIMITS, peers: int = 3
) -> AsyncGenerator[StackWorld]:
    """A worker with one account, online, and some people who have written to it once."""
    notes: list[tuple[float, object]] = []
    accounts: list[AccountId] = []
    vault = FernetVault([new_key()])

    def note(event: object) -> None:
        notes.append((trio.current_time(), event))

    async with open_sandbox(users=1 + peers) as sandbox:
        me, *others = sandbox.users

        async def log_in(store: SupabaseStore) -> None:
            accounts.append(await store.add_account("me", OWNER, vault.encrypt(me.session), user_id=me.id))

        async with open_worker(stack, folder, sandbox, vault, note, limits=limits, prepare=log_in) as (
            worker,
            store,
        ):
            world = StackWorld(stack, sandbox, store, worker, accounts[0], me, tuple(others), notes)
            await wait_online(worker)
            for peer in world.peers:
                world.tell(peer)
            await world.settle_down(20)
            yield world


async def wait_online(worker: Worker, within_s: float = 20) -> None:
    """Wait until an account is online."""
    with trio.fail_after(within_s):
        while not worker.dispatch.online():
            await trio.sleep(0.01)
