"""Ten thousand messages, two hundred conversations, twelve workers; PostgREST is killed all the time."""

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest
import trio

from supabase_schema.rpc_kit import migrations
from tgworker.devstack import Binaries, Stack, open_stack
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import AccountId, Attempt, ConversationId, MessageId, Secret
from tgworker.messaging.outcomes import Outcome, Sent, Settled, Unknown
from tgworker.supabase import Holder, SupabaseLeases, SupabaseStore, open_rest

CLAIMERS = 12
CHATS = 200
MESSAGES = 10_000
KILLED_EVERY_S = 2.0

WRITE = """
insert into conversations (id, owner_id, primary_identity_id)
select gen_random_uuid(), i.owner_id, i.id from contact_identities i;
insert into messages (owner_id, conversation_id, integration_account_id, channel, direction, text, sent_at,
    external_message_id)
select c.owner_id, c.id, a.id, 'telegram', 'outbound', lpad(n::text, 5, '0'), now(), 'local-' || n
from generate_series(0, {messages} - 1) n
join (select c.*, row_number() over (order by c.id) - 1 as k from conversations c) c on c.k = n % {chats}
join (select a.*, row_number() over (order by a.id) - 1 as k from integration_accounts a) a
    on a.k = (n % {chats}) % {claimers}
order by n
"""

T = TypeVar("T")


@pytest.fixture
async def own_stack(stack_binaries: Binaries) -> AsyncGenerator[Stack]:
    """A stack whose PostgREST may be killed."""
    async with open_stack(stack_binaries, migrations=migrations()) as stack:
        yield stack


class Telegram:
    """Accepts each random id once, and knows what is in flight."""

    def __init__(self) -> None:
        self.ids: dict[int, int] = {}
        self.texts: dict[ConversationId, list[str]] = defaultdict(list)
        self.flying: dict[ConversationId, MessageId] = {}

    def take_off(self, attempt: Attempt) -> None:
        other = self.flying.setdefault(attempt.conversation_id, attempt.message_id)
        assert other == attempt.message_id, "two of one conversation in flight"

    def accept(self, attempt: Attempt) -> int:
        if attempt.random_id not in self.ids:
            self.ids[attempt.random_id] = 1000 + len(self.ids)
            self.texts[attempt.conversation_id].append(attempt.text)
        return self.ids[attempt.random_id]

    def land(self, attempt: Attempt) -> None:
        self.flying.pop(attempt.conversation_id, None)


async def again(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except StoreAway:
            await trio.sleep(0.05)


async def claimer(store: SupabaseStore, account: AccountId, telegram: Telegram, rng: random.Random) -> None:
    """Claims, sends, settles; sometimes it does not hear Telegram's answer."""
    settled: list[Settled] = []
    while len(telegram.ids) < MESSAGES or telegram.flying or settled:
        attempts = await again(lambda: store.turn(settled, {account: 20}, known=()))  # noqa: B023 - awaited here
        settled = []
        for attempt in attempts:
            telegram.take_off(attempt)
            telegram_id = telegram.accept(attempt)
            outcome: Outcome = Sent(telegram_id) if rng.random() > 0.01 else Unknown("no answer")
            settled.append(Settled(attempt, outcome))
        for attempt in attempts:
            telegram.land(attempt)
        if not settled:
            await trio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_order_violation_no_double_send_and_no_loss(own_stack: Stack) -> None:
    telegram = Telegram()
    owner = "0f000000-0000-4000-8000-000000000001"
    async with AsyncExitStack() as opened:
        workers: list[tuple[SupabaseStore, AccountId]] = []
        for number in range(CLAIMERS):
            rest = await opened.enter_async_context(
                open_rest(own_stack.url, Secret(own_stack.service_role_key), rng=random.Random(number))
            )
            leases = SupabaseLeases(rest, Holder(uuid4(), 1, f"worker {number}"), clock=trio.current_time)
            store = SupabaseStore(rest, leases)
            account = await store.add_account(f"a{number}", owner, "token", user_id=number + 1)
            assert await leases.acquire([account]) == {}
            workers.append((store, account))
        with psycopg.connect(own_stack.db_url) as connection:
            connection.execute(
                "insert into contact_identities (owner_id, type, value)"
                " select %s, 'telegram_user', (500 + n)::text from generate_series(1, %s) n",
                (owner, CHATS),
            )
            connection.execute(WRITE.format(messages=MESSAGES, chats=CHATS, claimers=CLAIMERS).encode())

        kills = 0
        async with trio.open_nursery() as killing:

            async def kill() -> None:
                nonlocal kills
                while True:
                    await trio.sleep(KILLED_EVERY_S)
                    await own_stack.postgrest.kill()
                    await trio.sleep(0.3)
                    await own_stack.postgrest.start()
                    kills += 1

            killing.start_soon(kill)
            async with trio.open_nursery() as claiming:
                for number, (store, account) in enumerate(workers):
                    claiming.start_soon(claimer, store, account, telegram, random.Random(number))
            killing.cancel_scope.cancel(reason="everything was sent")
        if not own_stack.postgrest.is_alive():
            await own_stack.postgrest.start()
        assert kills >= 2
        assert len(telegram.ids) == MESSAGES
        assert len(telegram.texts) == CHATS
        assert all(texts == sorted(texts) for texts in telegram.texts.values())
        with psycopg.connect(own_stack.db_url) as connection:
            states: dict[str, int] = dict(
                connection.execute("select state, count(*) from tgworker_outbox group by 1").fetchall()
            )
        # (What nobody heard of waits for its repeat.)
        assert sum(states.values()) == MESSAGES
        assert set(states) <= {"sent", "deferred"}
