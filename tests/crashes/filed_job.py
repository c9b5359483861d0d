"""What the scenarios of both tables of jobs share: a worker that does one job, as a process of its own."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import trio

from crashes.steps import Steps
from crashes.victim_worker import LOOK_EVERY_S, Victim, open_victim
from tgworker.embedded import EmbeddedStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of jobs.

    Attributes:
        name: In the application's database.
        others: Whose steps are not counted.
        count: How many of its jobs have not ended.
        ring: Tells the worker's loop of a new one; nobody polls in the short life of this worker.
        ring_every_s: How often it is told again: what was put off is asked for now and then.
    """

    name: str
    others: tuple[str, ...]
    count: Callable[[Victim], Awaitable[int]]
    ring: Callable[[Victim], None]
    ring_every_s: float = math.inf


async def do_filed(
    steps: Steps, table: Table, row: dict[str, Any] | None, arguments: Mapping[str, Any]
) -> None:
    """Finish what an earlier process has left behind, then do one job and end without any farewell.

    Args:
        steps: Counts from the job's row on.
        table: Where the job is filed.
        row: Its columns; ``None``: nothing, only finish.
        arguments: As for `crashes.victim_worker.open_victim`.
    """
    steps.others = table.others
    with trio.fail_after(20):
        async with open_victim(**arguments) as victim:
            await victim.online.wait()
            await _idle(victim, table)
            if row is not None:
                await steps.quiet()
                steps.arm()
                await _insert(victim, table.name, row, arguments["environment"])
                table.ring(victim)
                await _idle(victim, table)
            steps.end()


async def _insert(victim: Victim, table: str, row: dict[str, Any], environment: Mapping[str, str]) -> None:
    """What the application does."""
    if isinstance(victim.store, EmbeddedStore):
        values = [json.dumps(value) if isinstance(value, dict) else value for value in row.values()]
        insert = f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})"
        await victim.store._database.write(lambda connection: connection.execute(insert, values))
        return
    key = environment["SUPABASE_SERVICE_ROLE_KEY"]
    async with httpx.AsyncClient(headers={"apikey": key, "authorization": f"Bearer {key}"}) as client:
        answer = await client.post(f"{environment['SUPABASE_URL']}/rest/v1/{table}", json=row)
        answer.raise_for_status()


async def _idle(victim: Victim, table: Table) -> None:
    """Wait until no job is open."""
    ring_at = trio.current_time() + table.ring_every_s
    while await table.count(victim):
        if trio.current_time() > ring_at:
            ring_at += table.ring_every_s
            table.ring(victim)
        await trio.sleep(LOOK_EVERY_S)
