"""Updates a second that a worker commits to its store, against a bare handler that drops them."""

import json
import math
import statistics
import sys
from contextlib import AsyncExitStack
from subprocess import PIPE
from time import perf_counter

import trio

from benchmarks.cloud import Cloud, CloudUser, open_cloud
from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import rounded
from benchmarks.service import WITHIN_S, Service, open_service
from benchmarks.stack import open_dev_stack
from benchmarks.throughput import FIRST, HERE, LAST


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure both lines of what comes in."""
    return trio.run(_measure, effort.pick(full=5, short=1), effort.pick(full=5000, short=300))


async def _measure(rounds: int, messages: int) -> dict[str, Measured]:
    bare: list[float] = []
    rates: dict[str, list[float]] = {"embedded": [], "supabase": []}
    async with AsyncExitStack() as opened:
        cloud = await opened.enter_async_context(open_cloud(4))
        stack = await opened.enter_async_context(open_dev_stack())
        bare_user, sender, *ours = cloud.users
        services = {
            "embedded": await opened.enter_async_context(open_service(cloud, ours[:1])),
            "supabase": await opened.enter_async_context(open_service(cloud, ours[1:], stack=stack)),
        }
        for _ in range(rounds):
            bare.append(await _bare(cloud, bare_user, sender, messages))
            for (name, service), user in zip(services.items(), ours, strict=True):
                rates[name].append(await _ours(cloud, service, user, sender, messages))
    detail: dict[str, Json] = {
        "messages": messages,
        "rounds": rounds,
        "bare_per_s": rounded(statistics.median(bare)),
        **{f"{name}_per_s": rounded(statistics.median(found)) for name, found in rates.items()},
    }
    return {
        f"inbound_{name}_vs_bare": Measured(
            rounded(statistics.median(ours / theirs for ours, theirs in zip(found, bare, strict=True))),
            detail,
        )
        for name, found in rates.items()
    }


async def _bare(cloud: Cloud, user: CloudUser, sender: CloudUser, messages: int) -> float:
    process = await trio.lowlevel.open_process(
        [sys.executable, str(HERE / "bare_run.py"), "receive"], stdin=PIPE, stdout=PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        facts = {"session": user.session, "messages": messages}
        await process.stdin.send_all(json.dumps(facts).encode() + b"\n")
        said = b""
        with trio.fail_after(WITHIN_S):
            while b"ready\n" not in said:
                said += await process.stdout.receive_some()
            await cloud.burst(sender, user, messages)
            async for data in process.stdout:
                said += data
        return float(json.loads(said.splitlines()[-1]))
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _ours(cloud: Cloud, service: Service, user: CloudUser, sender: CloudUser, messages: int) -> float:
    """From the first tenth that the store has to the last."""
    async with service.worker():
        await service.wait_online()
        before = service.received()
        counts: list[int] = []
        times: list[float] = []
        began_s = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cloud.burst, sender, user, messages)
            for share in (FIRST, LAST, 1.0):
                counts.append(await service.wait_received(before + math.ceil(share * messages)))
                times.append(perf_counter())
    if counts[1] == counts[0]:  # a short burst, committed at once
        return (counts[1] - before) / (times[1] - began_s)
    return (counts[1] - counts[0]) / (times[1] - times[0])
