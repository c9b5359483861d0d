"""Messages a second through the whole worker, against a bare script and against the plan as it is written."""

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import psycopg
import trio

from benchmarks.cloud import Cloud, CloudUser, open_cloud
from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import rounded
from benchmarks.service import WITHIN_S, Service, open_service
from benchmarks.stack import DevStack, migrations, open_dev_stack

HERE = Path(__file__).parent
CHATS = 50
FIRST, LAST = 0.1, 0.9
"""The rate is taken between these shares of the messages: neither the start nor the tail counts."""


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure the three lines of throughput."""
    return trio.run(
        _measure,
        effort.pick(full=5, short=1),
        effort.pick(full=3000, short=100),
        effort.pick(full=20.0, short=0.1),
    )


async def _measure(rounds: int, messages: int, plan_s: float) -> dict[str, Measured]:
    bare: list[float] = []
    rates: dict[str, list[float]] = {"embedded": [], "supabase": []}
    async with open_cloud(CHATS + 3) as cloud, open_dev_stack() as stack:
        bare_user, *ours = cloud.users[:3]
        chats = cloud.users[3:]
        async with (
            open_service(cloud, ours[:1]) as embedded,
            open_service(cloud, ours[1:], stack=stack) as supabase,
        ):
            services = {"embedded": embedded, "supabase": supabase}
            for _ in range(rounds):
                bare.append(await _bare(bare_user, chats, messages))
                for name, service in services.items():
                    rates[name].append(await _ours(cloud, service, chats, messages))
        plan = await _plan(bare_user, chats, plan_s)
    detail: dict[str, Json] = {
        "messages": messages,
        "chats": CHATS,
        "rounds": rounds,
        "bare_per_s": rounded(statistics.median(bare)),
        "plan_per_s": rounded(plan),
        **{f"{name}_per_s": rounded(statistics.median(found)) for name, found in rates.items()},
    }
    ratios = {
        name: [ours / theirs for ours, theirs in zip(found, bare, strict=True)]
        for name, found in rates.items()
    }
    return {
        **{
            f"throughput_{name}_vs_bare": Measured(
                rounded(statistics.median(found)),
                {**detail, "lowest": rounded(min(found)), "highest": rounded(max(found))},
            )
            for name, found in ratios.items()
        },
        "throughput_vs_plan": Measured(rounded(statistics.median(rates["supabase"]) / plan), detail),
    }


async def _bare(user: CloudUser, chats: Sequence[CloudUser], messages: int) -> float:
    facts = {"session": user.session, "chats": [chat.id for chat in chats], "messages": messages}
    return await run_script("bare_run.py", "send", facts=facts)


async def run_script(name: str, *words: str, facts: Mapping[str, object]) -> float:
    """What a script prints on its last line."""
    done = await trio.run_process(
        [sys.executable, str(HERE / name), *words],
        stdin=json.dumps(facts).encode() + b"\n",
        capture_stdout=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


async def _ours(cloud: Cloud, service: Service, chats: Sequence[CloudUser], messages: int) -> float:
    """Rows that wait already, through a worker that starts: claim, attempt, send, settle."""
    (account,) = service.accounts
    for number, chat in enumerate(chats):
        texts = [f"ours {number} {each}" for each in range(messages // len(chats))]
        await service.books.outbox.enqueue(account, str(chat.id), texts)
    began = await cloud.delivered()
    async with service.worker():
        times: list[float] = []
        with trio.fail_after(WITHIN_S):
            for share in (FIRST, LAST):
                await cloud.wait_delivered(began + math.ceil(share * messages))
                times.append(perf_counter())
            await service.wait_settled()
    return (LAST - FIRST) * messages / (times[1] - times[0])


async def _plan(user: CloudUser, chats: Sequence[CloudUser], seconds: float) -> float:
    async with open_dev_stack("--no-schema", "--sql", str(migrations()[0])) as stack:
        await _fill(stack, chats)
        facts = {"session": user.session, "url": stack.url, "key": stack.key, "seconds": seconds}
        return await run_script("plan_run.py", facts=facts)


async def _fill(stack: DevStack, chats: Sequence[CloudUser]) -> None:
    """Rows for the plan, over a connection of PostgreSQL's own."""
    with psycopg.connect(stack.database, autocommit=True) as connection:
        for chat in chats:
            connection.execute(_CHAT, {"chat": str(chat.id)})
        connection.execute(_ROWS)


_CHAT = """
with identity as (
    insert into contact_identities (id, owner_id, type, value)
    values (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'telegram_user', %(chat)s) returning id
)
insert into conversations (id, owner_id, primary_identity_id, last_channel)
select gen_random_uuid(), '00000000-0000-4000-8000-000000000001', id, 'telegram' from identity
"""
_ROWS = """
insert into messages (id, owner_id, conversation_id, channel, direction, text, message_type, sent_at,
    external_message_id)
select gen_random_uuid(), c.owner_id, c.id, 'telegram', 'outbound', 'plan ' || n, 'text', now(), 'local-' || n
from conversations c cross join generate_series(1, 20) n
"""
