"""What a message costs at the Supabase store, both ways, against the plan's requests row by row."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from time import perf_counter
from typing import final
from uuid import UUID

import psycopg
import trio

from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import Pairs, in_us, interleave, quantile, rounded
from benchmarks.stack import DevStack, migrations, open_dev_stack
from benchmarks.the_plan import OWNER, Plan, plan_client
from tgworker.app.supabase import boot_s
from tgworker.messaging.models import AccountId, ChatMessage, Peer, PeerKind, Position, Secret
from tgworker.messaging.outcomes import Sent, Settled
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.supabase import Holder, SupabaseLeases, SupabaseStore, open_rest

ACCOUNT = AccountId("00000000-0000-4000-8000-00000000aaaa")
CHATS = 50
CLAIMED_AT_ONCE = 10
INGESTED_AT_ONCE = 100
WAYS = ("gateway", "direct")
"""Through the gateway, as a project is reached, and past it: what PostgREST itself takes."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_FILL = f"""
insert into integration_accounts (id, owner_id, type, is_active, secrets_encrypted)
values ('{ACCOUNT}', '{OWNER}', 'telegram_user', true, 'none');
insert into contact_identities (id, owner_id, type, value)
select md5('identity ' || n)::uuid, '{OWNER}', 'telegram_user', (1000 + n)::text
from generate_series(0, {CHATS - 1}) n;
insert into conversations (id, owner_id, primary_identity_id, last_channel)
select md5('conversation ' || n)::uuid, '{OWNER}', md5('identity ' || n)::uuid, 'telegram'
from generate_series(0, {CHATS - 1}) n;
"""  # noqa: S608 - constants

_WRITE = f"""
insert into messages (id, owner_id, conversation_id, integration_account_id, identity_id, channel, direction,
    text, message_type, sent_at, external_message_id)
select md5('message ' || n)::uuid, '{OWNER}', md5('conversation ' || n %% {CHATS})::uuid, '{ACCOUNT}',
    md5('identity ' || n %% {CHATS})::uuid, 'telegram', 'outbound',
    'message ' || n, 'text', now(), 'local-' || n
from (select %(n)s::bigint as n) k
returning id::text, conversation_id::text
"""  # noqa: S608 - constants


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``supabase_settle_vs_plan`` and ``supabase_ingest_vs_plan``."""
    return trio.run(
        _measure, effort.pick(full=40, short=2), effort.pick(full=20, short=5), effort.pick(full=10, short=2)
    )


async def _measure(pairs: int, plan_messages: int, batches: int) -> dict[str, Measured]:
    sends: dict[str, Pairs] = {}
    receipts: dict[str, Pairs] = {}
    async with _open_databases() as (ours, plans):
        for way in WAYS:
            async with _open_sides(ours, plans, direct=way == "direct") as (us, plan):
                sends[way] = await interleave(
                    lambda: plan.send(plan_messages), lambda: us.send(batches), pairs=pairs
                )
                receipts[way] = await interleave(
                    lambda: plan.receive(plan_messages), lambda: us.receive(batches), pairs=pairs
                )
    return {
        "supabase_settle_vs_plan": _measured(sends, batch=CLAIMED_AT_ONCE, plan_requests=3),
        "supabase_ingest_vs_plan": _measured(receipts, batch=INGESTED_AT_ONCE, plan_requests=4),
    }


def _measured(found: Mapping[str, Pairs], *, batch: int, plan_requests: int) -> Measured:
    """From seconds for each message; the plan stands where `Pairs` says ours, so that more is better."""
    detail: dict[str, Json] = {"batch": batch, "pairs": len(found["gateway"].ratios)}
    for way, pairs in found.items():
        plan_us, ours_us = in_us(quantile(pairs.ours_s, 0.5)), in_us(quantile(pairs.bare_s, 0.5))
        detail[way] = {
            "ratio": rounded(pairs.ratio),
            "ratio_p10": rounded(quantile(pairs.ratios, 0.1)),
            "ratio_p90": rounded(quantile(pairs.ratios, 0.9)),
            "plan_us_per_message": plan_us,
            "ours_us_per_message": ours_us,
            "plan_us_per_request": rounded(plan_us / plan_requests),
        }
    return Measured(rounded(found["gateway"].ratio), detail)


@final
@dataclass(frozen=True, slots=True)
class Database:
    """A stack, and a connection past its REST API, for the application."""

    stack: DevStack
    connection: psycopg.Connection[tuple[str, str]]
    numbers: Iterator[int]


@final
@dataclass(slots=True)
class PlanSide:
    """The plan, on a database with the application's tables alone."""

    plan: Plan
    database: Database

    async def send(self, messages: int) -> float:
        """Send so many; returns seconds for each."""
        rows = _write(self.database, messages)
        began_s = perf_counter()
        for message, conversation in rows:
            await self.plan.send(message, conversation, next(self.database.numbers))
        return (perf_counter() - began_s) / messages

    async def receive(self, messages: int) -> float:
        """Receive so many; returns seconds for each."""
        began_s = perf_counter()
        for _ in range(messages):
            number = next(self.database.numbers)
            await self.plan.receive(ACCOUNT, 1000 + number % CHATS, number, f"message {number}")
        return (perf_counter() - began_s) / messages


@final
@dataclass(slots=True)
class OurSide:
    """The Supabase store."""

    store: SupabaseStore
    database: Database

    async def send(self, batches: int) -> float:
        """Claim and settle so many batches, as the outbound loop does; returns seconds for each message."""
        messages = batches * CLAIMED_AT_ONCE
        _write(self.database, messages)
        began_s = perf_counter()
        settled: list[Settled] = []
        for _ in range(batches):
            attempts = (await self.store.turn(settled, {ACCOUNT: CLAIMED_AT_ONCE}, known=())).attempts
            assert len(attempts) == CLAIMED_AT_ONCE
            settled = [Settled(attempt, Sent(next(self.database.numbers), NOW)) for attempt in attempts]
        # (With free slots as ever: there is nothing left.)
        assert (await self.store.turn(settled, {ACCOUNT: CLAIMED_AT_ONCE}, known=())).attempts == []
        return (perf_counter() - began_s) / messages

    async def receive(self, batches: int) -> float:
        """Ingest so many batches; returns seconds for each message."""
        began_s = perf_counter()
        for _ in range(batches):
            numbers = [next(self.database.numbers) for _ in range(INGESTED_AT_ONCE)]
            position = Position(pts=numbers[-1], qts=0, date=0, seq=0)
            batch = UpdateBatch(tuple(map(_message, numbers)), PEERS, (), position)
            new = await self.store.ingest(ACCOUNT, batch)
            assert new == INGESTED_AT_ONCE
        return (perf_counter() - began_s) / (batches * INGESTED_AT_ONCE)


def _message(number: int) -> ChatMessage:
    chat = 1000 + number % CHATS
    return ChatMessage(
        chat_id=chat,
        telegram_id=number,
        sender_id=chat,
        outgoing=False,
        text=f"message {number}",
        message_type="text",
        sent_at=NOW,
    )


PEERS = tuple(Peer(1000 + n, PeerKind.USER, n, first_name="Ada") for n in range(CHATS))


@asynccontextmanager
async def _open_databases() -> AsyncGenerator[tuple[Database, Database]]:
    """One with our schema and one with the application's tables alone, with the same chats."""
    theirs = ("--no-schema", "--sql", str(migrations()[0]))
    async with open_dev_stack() as our_stack, open_dev_stack(*theirs) as plan_stack:
        with _connect(our_stack) as ours, _connect(plan_stack) as plans:
            yield Database(our_stack, ours, count(1)), Database(plan_stack, plans, count(1))


@asynccontextmanager
async def _open_sides(
    ours: Database, plans: Database, *, direct: bool
) -> AsyncGenerator[tuple[OurSide, PlanSide]]:
    key = Secret(ours.stack.key)
    async with (
        plan_client(plans.stack, plans.stack.direct() if direct else None) as client,
        open_rest(ours.stack.url, key, transport=ours.stack.direct() if direct else None) as rest,
    ):
        leases = SupabaseLeases(
            rest, Holder(UUID(int=1), next(ours.numbers), "bench"), clock=boot_s, ttl_s=300
        )
        store = SupabaseStore(rest, leases)
        elsewhere = await leases.acquire([ACCOUNT])
        assert not elsewhere
        await store.save_peers(ACCOUNT, PEERS)
        yield OurSide(store, ours), PlanSide(Plan(client), plans)


def _connect(stack: DevStack) -> psycopg.Connection[tuple[str, str]]:
    connection = psycopg.Connection[tuple[str, str]].connect(stack.database, autocommit=True)
    connection.execute(_FILL.encode())
    return connection


def _write(database: Database, messages: int) -> list[tuple[str, str]]:
    """The application writes so many messages; returns their ids and their conversations."""
    return [
        row
        for _ in range(messages)
        for row in database.connection.execute(_WRITE.encode(), {"n": next(database.numbers)})
    ]
