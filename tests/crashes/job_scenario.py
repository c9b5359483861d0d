"""A worker that does one message job, as a process of its own: see `crashes.victims`."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import trio

from crashes.steps import Steps
from crashes.victim_worker import LOOK_EVERY_S, Victim, open_victim
from tgworker.embedded import EmbeddedStore

RING_EVERY_S = 0.5
OTHERS = ("recorder", "history", "files")

_INSERT = "insert into message_jobs (owner_id, message_id, action, payload) values (?, ?, ?, ?)"


async def do(
    steps: Steps,
    *,
    account: str,
    job: dict[str, Any] | None,
    **arguments: Any,
) -> None:
    """Finish what an earlier process has left behind, then do one job and end without any farewell.

    Args:
        steps: Counts from the job's row on.
        account: Whose the worker is.
        job: The row's columns; ``None``: nothing, only finish.
        arguments: As for `crashes.victim_worker.open_victim`.
    """
    steps.others = OTHERS
    with trio.fail_after(20):
        async with open_victim(**arguments) as victim:
            await victim.online.wait()
            await _idle(victim)
            if job is not None:
                await steps.quiet()
                steps.arm()
                await _insert(victim, job, arguments["environment"])
                victim.worker._jobs.ring()
                await _idle(victim)
            steps.end()


async def _insert(victim: Victim, job: dict[str, Any], environment: Mapping[str, str]) -> None:
    """What the application does."""
    if isinstance(victim.store, EmbeddedStore):
        values = (job["owner_id"], job["message_id"], job["action"], json.dumps(job["payload"]))
        await victim.store._database.write(lambda connection: connection.execute(_INSERT, values))
        return
    key = environment["SUPABASE_SERVICE_ROLE_KEY"]
    async with httpx.AsyncClient(headers={"apikey": key, "authorization": f"Bearer {key}"}) as client:
        answer = await client.post(f"{environment['SUPABASE_URL']}/rest/v1/message_jobs", json=job)
        answer.raise_for_status()


async def _idle(victim: Victim) -> None:
    """Wait until no job is open; what was put off is asked for now and then, since nobody polls."""
    ring_at = trio.current_time() + RING_EVERY_S
    while await _open_jobs(victim):
        if trio.current_time() > ring_at:
            ring_at += RING_EVERY_S
            victim.worker._jobs.ring()
        await trio.sleep(LOOK_EVERY_S)


async def _open_jobs(victim: Victim) -> int:
    if isinstance(victim.store, EmbeddedStore):
        return await victim.store.count_jobs()
    return (await victim.store._jobs._count(-1)).jobs
