"""Does an update cost more after 200,000 of them? A connection that has had them in turns with a new one."""

import statistics
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import count

import trio

from benchmarks.client_process import ClientProcess, open_client
from benchmarks.line import Effort, Measured
from benchmarks.pairs import in_us, quantile, rounded
from benchmarks.telethon_jobs import Facts
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox

PORTION = 500
"""Updates that are on their way at a time: fewer than any queue on the way would drop."""

WARM_UP = 4
"""Portions that a connection gets before it is measured: they pay for the first use of everything."""


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure the line."""
    portions, pairs = effort.pick(full=(400, 60), short=(4, 2))
    return trio.run(_measure, portions, pairs)


async def _measure(portions: int, pairs: int) -> dict[str, Measured]:
    async with open_sandbox(users=3) as sandbox, AsyncExitStack() as stack:
        writer, elder, newcomer = sandbox.users
        old = await stack.enter_async_context(_open(sandbox, elder))
        numbers = count()
        before = [await _portion(sandbox, old, writer, elder, numbers) for _ in range(portions)]
        new = await stack.enter_async_context(_open(sandbox, newcomer))
        for _ in range(WARM_UP):
            await _portion(sandbox, new, writer, newcomer, numbers)
        olds: list[dict[str, float]] = []
        news: list[dict[str, float]] = []
        for number in range(pairs):
            sides = [(old, elder, olds), (new, newcomer, news)]
            for client, reader, found in sides if number % 2 == 0 else reversed(sides):
                found.append(await _portion(sandbox, client, writer, reader, numbers))
    ratios = [one["cpu_s"] / other["cpu_s"] for one, other in zip(olds, news, strict=True)]
    return {
        "update_cost_drift": Measured(
            statistics.median(ratios),
            {
                "ratio_p10": rounded(quantile(ratios, 0.1)),
                "ratio_p90": rounded(quantile(ratios, 0.9)),
                "pairs": pairs,
                "updates_before": portions * PORTION,
                "old_cpu_us": in_us(statistics.median(one["cpu_s"] for one in olds), PORTION),
                "new_cpu_us": in_us(statistics.median(one["cpu_s"] for one in news), PORTION),
                "timers_held": olds[-1]["timers"],
                "memory_at_the_start_mb": rounded(before[WARM_UP - 1]["rss_mb"]),
                "memory_at_the_end_mb": rounded(olds[-1]["rss_mb"]),
            },
        )
    }


def _open(sandbox: Sandbox, user: SandboxUser) -> AbstractAsyncContextManager[ClientProcess]:
    facts = Facts(sandbox.server, sandbox.dc, sandbox.public_key_pem, user.session, ())
    return open_client(facts, "benchmarks.updated_telethon")


async def _portion(
    sandbox: Sandbox, client: ClientProcess, writer: SandboxUser, reader: SandboxUser, numbers: Iterator[int]
) -> dict[str, float]:
    """Write some messages, each an update of its own; returns what taking them cost the reader."""
    await client.tell("updates", PORTION)
    await client.hear()  # it waits for them
    for _ in range(PORTION):
        sandbox.send_text(writer.id, reader.id, f"text {next(numbers)}")
        await trio.lowlevel.checkpoint()
    return await client.hear()
