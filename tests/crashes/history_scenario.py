"""A worker that reads one history, as a process of its own: see `crashes.victims`."""

from typing import Any

from crashes.filed_job import Table, do_filed
from crashes.steps import Steps
from crashes.victim_worker import Victim
from tgworker.embedded import EmbeddedStore


async def read(steps: Steps, *, account: str, job: dict[str, Any] | None, **arguments: Any) -> None:
    """See `crashes.filed_job.do_filed`; the account is whose history it is."""
    row = None if job is None else {**job, "integration_account_id": account}
    await do_filed(steps, _HISTORIES, row, arguments)


async def _count(victim: Victim) -> int:
    if isinstance(victim.store, EmbeddedStore):
        return await victim.store.count_history()
    return (await victim.store._jobs._count(-1)).history


_HISTORIES = Table(
    name="sync_history_jobs",
    others=("recorder", "jobs", "files"),
    count=_count,
    ring=lambda victim: victim.worker.accounts._context.histories.ring(),
)
