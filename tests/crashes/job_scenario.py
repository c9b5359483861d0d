"""A worker that does one message job, as a process of its own: see `crashes.victims`."""

from typing import Any

from crashes.filed_job import Table, do_filed
from crashes.steps import Steps
from crashes.victim_worker import Victim
from tgworker.embedded import EmbeddedStore


async def do(steps: Steps, *, account: str, job: dict[str, Any] | None, **arguments: Any) -> None:
    """See `crashes.filed_job.do_filed`; the job itself says whose it is."""
    del account
    await do_filed(steps, _JOBS, job, arguments)


async def _count(victim: Victim) -> int:
    if isinstance(victim.store, EmbeddedStore):
        return await victim.store.count_jobs()
    return (await victim.store._jobs._count(-1)).jobs


_JOBS = Table(
    name="message_jobs",
    others=("recorder", "history", "files"),
    count=_count,
    ring=lambda victim: victim.worker._jobs.ring(),
    ring_every_s=0.5,
)
