"""The Supabase store as contract tests want it: over a PostgREST of its own, with a calendar of theirs."""

import itertools
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg

from contracts.store_kit import Calendar
from supabase_schema.rpc_kit import Ids, PostgresApplication, open_database
from tgworker.devstack import Binaries, Cluster, Folders, Postgrest, open_postgrest, project_keys
from tgworker.messaging.incoming_files import FetchOutcome, IncomingFile
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    AccountId,
    AccountState,
    HistoryJob,
    JobId,
    MessageId,
    Peer,
    Secret,
)
from tgworker.messaging.outcomes import Deferred, Refused, Settled
from tgworker.messaging.pacing import StoredWait
from tgworker.messaging.presence import Presence
from tgworker.messaging.store_ports import JobTurn, Turn
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.supabase import Holder, Rest, SupabaseLeases, SupabaseStore

CLOCK = Path(__file__).with_name("postgrest_clock.sql")


class BareTransport(httpx.AsyncBaseTransport):
    """Straight to PostgREST's socket, without a gateway; carries the calendar along."""

    def __init__(self, socket: Path, calendar: Calendar) -> None:
        self._inner = httpx.AsyncHTTPTransport(uds=str(socket))
        self._calendar = calendar

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/rest/v1"))
        request.headers["X-Test-Now"] = self._calendar.today.isoformat()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class GreedyStore(SupabaseStore):
    """A store that takes the lease of every account that it is asked about, unless it lost it.

    (It keeps it, too: tests' calendars leap over the end of leases.)
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        super().__init__(rest, leases)
        self._greed = leases
        self._taken: set[AccountId] = set()

    async def take(self, account_ids: Collection[AccountId]) -> None:
        wanted = set(account_ids)
        await self._greed.acquire(wanted - self._taken | wanted & set(self._greed.held()))
        self._taken |= wanted

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        await self.take([account_id])
        await super().record_account(account_id, state, last_error=last_error, user_id=user_id)

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        await self.take(account_ids)
        await super().record_synced(account_ids)

    async def turn(
        self,
        settled: Sequence[Settled],
        slots: Mapping[AccountId, int],
        *,
        known: Collection[MessageId],
        text_limit: int = DEFAULT_TEXT_LIMIT,
        caption_limit: int = DEFAULT_CAPTION_LIMIT,
    ) -> Turn:
        await self.take(slots)
        return await super().turn(
            settled, slots, known=known, text_limit=text_limit, caption_limit=caption_limit
        )

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        await self.take([account_id])
        await super().save_peers(account_id, peers)

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        await self.take([account_id])
        return await super().ingest(account_id, batch)

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        await self.take([account_id])
        await super().finish_file(account_id, file, outcome)

    async def record_introduced(self, account_id: AccountId) -> None:
        await self.take([account_id])
        await super().record_introduced(account_id)

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        await self.take([account_id])
        return await super().record_recipients(account_id, found)

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        await self.take([account_id])
        await super().save_waits(account_id, waits)

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        await self.take(items)
        await super().record_presence(items)

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        await self.take(account_ids)
        return await super().claim_history(account_ids, known=known, limit=limit)

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        await self.take(account_ids)
        return await super().claim_jobs(account_ids, known=known, limit=limit)


class PostgrestKit:
    """Fills `contracts.store_kit.StoreKit`.

    Args:
        url: Of the database.
        postgrest: On that database.
        stack: Closes what is opened.
    """

    def __init__(self, url: str, postgrest: Postgrest, stack: AsyncExitStack) -> None:
        self.calendar = Calendar()
        self.url = url
        self.postgrest = postgrest
        self._stack = stack
        self._holder = uuid4()
        self._incarnations = itertools.count(1)
        self.app = PostgresApplication(url, Ids(), self.calendar)
        stack.callback(self.app.close)
        self.store = self.take_over()

    def take_over(self) -> GreedyStore:
        """Another process of the same holder: its predecessor's leases are its own at once."""
        incarnation = next(self._incarnations)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("select set_config('test.now', %s, false)", (self.calendar.today.isoformat(),))
            connection.execute(
                "select tgworker_acquire_leases("
                "%s, %s, 'test', array(select id from integration_accounts), 300)",
                (self._holder, incarnation),
            )
        rest = Rest(
            "http://postgrest",
            Secret(project_keys().service_role),
            max_connections=4,
            transport=BareTransport(self.postgrest.socket, self.calendar),
        )
        self._stack.push_async_callback(rest.close)
        holder = Holder(self._holder, incarnation, "test")
        leases = SupabaseLeases(rest, holder, clock=lambda: self.calendar.today.timestamp(), ttl_s=300)
        return GreedyStore(rest, leases)


@asynccontextmanager
async def open_postgrest_kit(
    cluster: Cluster, template: str, binaries: Binaries, folders: Folders
) -> AsyncGenerator[PostgrestKit]:
    """A store in a database of its own, behind a PostgREST of its own."""
    with open_database(cluster, template) as url:
        name = url.rpartition("/")[2].partition("?")[0]
        program = Postgrest(binaries.postgrest, folders, cluster.url(name, "authenticator"), name=name)
        async with open_postgrest(program) as postgrest, AsyncExitStack() as stack:
            yield PostgrestKit(url, postgrest, stack)
