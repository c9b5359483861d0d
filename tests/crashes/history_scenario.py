"""A worker that reads one history, as a process of its own: see `crashes.victims`."""

from collections.abc import Mapping
from typing import Any

import httpx
import trio

from crashes.steps import Steps
from crashes.victim_worker import LOOK_EVERY_S, Victim, open_victim
from tgworker.embedded import EmbeddedStore

OTHERS = ("recorder", "jobs", "files")

_INSERT = """
insert into sync_history_jobs (owner_id, integration_account_id, telegram_id, limit_messages)
values (:owner_id, :integration_account_id, :telegram_id, :limit_messages)
"""


async def read(
    steps: Steps,
    *,
    account: str,
    job: dict[str, Any] | None,
    **arguments: Any,
) -> None:
    """Finish what an earlier process has left behind, then read one history and end without any farewell.

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
                row = {**job, "integration_account_id": account}
                await _insert(victim, row, arguments["environment"])
                _ring(victim)
                await _idle(victim)
            steps.end()


def _ring(victim: Victim) -> None:
    """Nobody polls in the short life of this worker."""
    victim.worker.accounts._context.histories.ring()


async def _insert(victim: Victim, job: dict[str, Any], environment: Mapping[str, str]) -> None:
    """What the application does."""
    if isinstance(victim.store, EmbeddedStore):
        await victim.store._database.write(lambda connection: connection.execute(_INSERT, job))
        return
    key = environment["SUPABASE_SERVICE_ROLE_KEY"]
    async with httpx.AsyncClient(headers={"apikey": key, "authorization": f"Bearer {key}"}) as client:
        answer = await client.post(f"{environment['SUPABASE_URL']}/rest/v1/sync_history_jobs", json=job)
        answer.raise_for_status()


async def _idle(victim: Victim) -> None:
    """Wait until no history is asked for."""
    while await _open_histories(victim):
        await trio.sleep(LOOK_EVERY_S)


async def _open_histories(victim: Victim) -> int:
    if isinstance(victim.store, EmbeddedStore):
        return await victim.store.count_history()
    return (await victim.store._jobs._count(-1)).history
