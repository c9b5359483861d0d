"""How long a message takes through an idle worker, and what idling costs: three workers, asked in turns."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import final

import psycopg
import trio

from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import in_ms, quantile, rounded
from benchmarks.place import ACCOUNT, OWNER, PROGRAM, Guard, Place, open_place, open_sandbox_place
from benchmarks.processes import cpu_s
from benchmarks.stack import migrations
from tgworker.app.supabase import open_supabase_books
from tgworker.cli.dev_stack import places
from tgworker.devstack import Stack, open_stack
from tgworker.embedded import open_store
from tgworker.settings import load_settings

FREEZE_AFTER_S = 30.0
GAPS_S = (0.2, 0.7)
"""Between two messages, each through another worker: one worker's own messages are some two seconds apart."""
POLLING = Path(__file__).with_name("polling_run.py")

_INSERT = """
insert into messages (owner_id, conversation_id, integration_account_id, channel, direction, text,
    external_message_id)
select c.owner_id, c.id, %s, 'telegram', 'outbound', %s, 'local-' || %s from conversations c
"""


@final
@dataclass(slots=True)
class Side:
    """A worker that idles, and what was measured of it.

    Attributes:
        place: Where it runs.
        guard: Its guard.
        insert: The application inserts a text into its tables, over a connection that is open already.
        stack: What it is connected to, if it is one of Supabase's.
        taken_s: Row inserted → Telegram has it, seconds.
    """

    place: Place
    guard: Guard
    insert: Callable[[str], Awaitable[None]]
    stack: Stack | None = None
    taken_s: list[float] = field(default_factory=list[float])

    async def time(self, text: str) -> float:
        """Seconds from before the insert until Telegram has the message."""
        began_s = perf_counter()
        await self.insert(text)
        await self.place.wait_arrived(text)
        return perf_counter() - began_s

    def requests(self) -> int:
        """How many requests its gateway has had."""
        return 0 if self.stack is None else self.stack.faults.requests

    def cpu_s(self) -> float:
        """The processor time of the worker, seconds."""
        return cpu_s(self.guard.workers[-1])


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure the three latencies, and what an idle worker asks and uses."""
    rounds = effort.pick(full=150, short=1)
    window_s = effort.pick(full=61.0, short=0.5)
    gaps_s = effort.pick(full=GAPS_S, short=(0.0, 0.1))
    return trio.run(_measure, rounds, window_s, gaps_s)


async def _measure(rounds: int, window_s: float, gaps_s: tuple[float, float]) -> dict[str, Measured]:
    async with _open_sides() as sides:
        await _take_turns(sides, 2, gaps_s, Random(1))
        for side in sides.values():
            side.taken_s.clear()
        idle = await _idle(sides, window_s)
        await _take_turns(sides, rounds, gaps_s, Random(2))
    found = {
        "latency_embedded_p99_ms": _latency(sides["embedded"], idle["embedded"]),
        "latency_supabase_p99_ms": _latency(sides["polling"], idle["polling"]),
        "latency_supabase_wakeup_p99_ms": _latency(sides["wakeup"], idle["wakeup"]),
    }
    detail: dict[str, Json] = {"window_s": window_s}
    for what in ("requests_per_s", "cpu_percent"):
        detail |= {f"{name}_{what}": costs[what] for name, costs in idle.items()}
    for name in ("polling", "wakeup"):
        found[f"supabase_{name}_requests_per_s"] = Measured(idle[name]["requests_per_s"], detail)
    worst = max(costs["cpu_percent"] for costs in idle.values())
    return {**found, "worker_idle_cpu_percent": Measured(worst, detail)}


async def _take_turns(sides: dict[str, Side], rounds: int, gaps_s: tuple[float, float], rng: Random) -> None:
    for number in range(rounds):
        for name, side in rng.sample(sorted(sides.items()), len(sides)):
            await trio.sleep(rng.uniform(*gaps_s))
            side.taken_s.append(await side.time(f"{name} {number} {rng.random()}"))


async def _idle(sides: dict[str, Side], window_s: float) -> dict[str, dict[str, float]]:
    """Requests and processor time while nothing is to be done."""
    await trio.sleep(min(20.0, window_s))  # until everybody looks as seldom as he will
    before = {name: (side.requests(), side.cpu_s()) for name, side in sides.items()}
    began_s = perf_counter()
    await trio.sleep(window_s)
    took_s = perf_counter() - began_s
    return {
        name: {
            "requests_per_s": rounded((side.requests() - before[name][0]) / took_s),
            "cpu_percent": rounded(100 * (side.cpu_s() - before[name][1]) / took_s),
        }
        for name, side in sides.items()
    }


def _latency(side: Side, idle: dict[str, float]) -> Measured:
    return Measured(
        in_ms(quantile(side.taken_s, 0.99)),
        {
            "p50_ms": in_ms(quantile(side.taken_s, 0.5)),
            "p90_ms": in_ms(quantile(side.taken_s, 0.9)),
            "worst_ms": in_ms(max(side.taken_s)),
            "messages": len(side.taken_s),
            "idle_requests_per_s": idle["requests_per_s"],
        },
    )


@asynccontextmanager
async def _open_sides() -> AsyncGenerator[dict[str, Side]]:
    async with AsyncExitStack() as stack:
        sides = {
            "embedded": await stack.enter_async_context(_open_embedded()),
            "polling": await stack.enter_async_context(_open_supabase(POLLING)),
            "wakeup": await stack.enter_async_context(_open_supabase(PROGRAM)),
        }
        yield sides


@asynccontextmanager
async def _open_embedded() -> AsyncGenerator[Side]:
    async with open_place() as place, place.guard(freeze_after_s=FREEZE_AFTER_S) as guard:
        with open_store(place.data, as_worker=False) as store:
            account = await store.find_account(ACCOUNT)
            assert account is not None
            account_id = account.account.id

            async def insert(text: str) -> None:
                await store.enqueue(account_id, str(place.sandbox.users[1].id), [text])

            yield Side(place, guard, insert)


@asynccontextmanager
async def _open_supabase(program: Path) -> AsyncGenerator[Side]:
    async with open_stack(places().find(), migrations=migrations()) as stack:
        env = {"SUPABASE_URL": stack.url, "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key}
        async with open_sandbox_place(env, program=program) as place:
            me, peer = place.sandbox.users
            async with open_supabase_books(load_settings(place.env, require=())) as (store, _):
                session = place.vault.encrypt(me.session)
                account = await store.add_account(ACCOUNT, OWNER, session, user_id=me.id, phone=me.phone)
                await store.enqueue(account, str(peer.id), ["first"])  # makes the conversation
            with psycopg.connect(stack.db_url, autocommit=True) as connection:

                async def insert(text: str) -> None:
                    connection.execute(_INSERT, (account, text, text))

                async with place.guard(freeze_after_s=FREEZE_AFTER_S) as guard:
                    await place.wait_arrived("first")
                    yield Side(place, guard, insert, stack)
