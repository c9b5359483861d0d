"""What it costs to host Telethon inside trio: messages/s ÷ on plain asyncio, one by one and 50 at once."""

import statistics
from collections.abc import Mapping
from contextlib import AsyncExitStack

import trio

from benchmarks.client_process import ClientProcess, open_client
from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import in_us, quantile, rounded
from benchmarks.telethon_jobs import AT_ONCE, Facts
from tgworker.sandbox import open_sandbox

HOSTED = {
    "ours": "the whole job crosses the bridge once",
    "each": "each message crosses it",
    "worker": "the worker's own connection",
    "stock": "trio-asyncio's loop",
}
"""What is compared with the bare side, and the words for it in the detail."""


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure both lines."""
    rounds = effort.pick(full=100, short=2)  # many short ones: what disturbs the machine disturbs few
    sequential, concurrent = effort.pick(full=(60, 300), short=(20, 100))
    return trio.run(_measure, rounds, sequential, concurrent)


async def _measure(rounds: int, sequential: int, concurrent: int) -> dict[str, Measured]:
    async with open_sandbox(users=AT_ONCE + 1 + len(HOSTED)) as sandbox, AsyncExitStack() as stack:
        users = sandbox.users
        peers = tuple(user.username for user in users[:AT_ONCE])
        clients: dict[str, ClientProcess] = {}
        for side, user in zip(("bare", *HOSTED), users[AT_ONCE:], strict=True):
            facts = Facts(sandbox.server, sandbox.dc, sandbox.public_key_pem, user.session, peers)
            words = ("benchmarks.hosted_telethon", side) if side in HOSTED else ("benchmarks.bare_telethon",)
            clients[side] = await stack.enter_async_context(open_client(facts, *words))
        return {
            "host_vs_asyncio_sequential": await _compare(clients, "sequential", sequential, rounds),
            "host_vs_asyncio_concurrent": await _compare(clients, "concurrent", concurrent, rounds),
        }


async def _compare(clients: Mapping[str, ClientProcess], job: str, count: int, rounds: int) -> Measured:
    """All sides in turns, in an order that goes round; the ratio of neighbours, its median."""
    took_s: dict[str, list[float]] = {side: [] for side in clients}
    cpu_s: dict[str, list[float]] = {side: [] for side in clients}
    order = list(clients)
    for number in range(-1, rounds):
        for side in order:
            took = await clients[side].do(job, count)
            if number >= 0:  # the first round pays for the first use of everything
                took_s[side].append(took["took_s"])
                cpu_s[side].append(took["cpu_s"])
        order.append(order.pop(0))
    rates = {side: _ratios(took_s["bare"], took_s[side]) for side in HOSTED}  # a rate is one over a time
    detail: dict[str, Json] = {
        "ratio_p10": rounded(quantile(rates["ours"], 0.1)),
        "ratio_p90": rounded(quantile(rates["ours"], 0.9)),
        "rounds": rounds,
        "messages_per_round": count,
    }
    for side in HOSTED:
        if side != "ours":
            detail[f"{side}_ratio"] = rounded(statistics.median(rates[side]))
        detail[f"{side}_cpu_ratio"] = rounded(statistics.median(_ratios(cpu_s[side], cpu_s["bare"])))
    for side in clients:
        detail[f"{side}_per_s"] = rounded(count / statistics.median(took_s[side]))
        detail[f"{side}_cpu_us"] = in_us(statistics.median(cpu_s[side]), count)
    return Measured(statistics.median(rates["ours"]), detail)


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]
