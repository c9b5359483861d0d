"""What can become of a message job, and what the store is told of it: pure decisions."""

from dataclasses import dataclass
from typing import assert_never

from tgworker.messaging.models import JobId, MessageJob
from tgworker.messaging.outcomes import Deferred, Refused, Released, Unknown

MOST_TRIES = 5
"""So many attempts may leave it open whether the job was done. Each repeats what is harmless to repeat."""

RETRY_FROM_S = 1.0
RETRY_MAX_S = 60.0
"""How long a job of which nobody knows whether it was done waits: 1, 2, 4, … seconds."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, or was done already."""


JobAnswer = Done | Deferred | Refused | Unknown
"""What Telegram's answer to one request makes of a job."""

JobOutcome = Done | Deferred | Refused | Unknown | Released


@dataclass(frozen=True, slots=True)
class SettledJob:
    """A job and what became of it."""

    job: MessageJob
    outcome: JobOutcome


@dataclass(frozen=True, slots=True)
class JobVerdict:
    """What the store writes of a job.

    Attributes:
        job_id: The row's id.
        ended: Whether it is ``completed``, or ``failed``; otherwise it is ``pending`` again.
        error: Why it failed.
        retry_after_s: Not before so many seconds it is claimed again.
        was_tried: Whether the attempt counts.
    """

    job_id: JobId
    ended: bool
    error: str | None = None
    retry_after_s: float = 0
    was_tried: bool = True


def verdict(settled: SettledJob) -> JobVerdict:
    """What an outcome means for the row."""
    job, outcome = settled.job, settled.outcome
    match outcome:
        case Done():
            return JobVerdict(job.id, ended=True)
        case Refused():
            return JobVerdict(job.id, ended=True, error=outcome.reason)
        case Released():
            return JobVerdict(job.id, ended=False, was_tried=False)
        case Deferred() | Unknown() if job.action == "typing":
            return JobVerdict(job.id, ended=True, error=f"{outcome.reason}; typing is worth nothing later")
        case Deferred():
            return JobVerdict(job.id, ended=False, retry_after_s=outcome.retry_after_s, was_tried=False)
        case Unknown() if job.attempt >= MOST_TRIES:
            error = f"{outcome.reason}; nobody knows whether it was done, after {job.attempt} attempts"
            return JobVerdict(job.id, ended=True, error=error)
        case Unknown():
            wait_s = min(RETRY_MAX_S, RETRY_FROM_S * 2.0 ** min(job.attempt - 1, 10))
            return JobVerdict(job.id, ended=False, retry_after_s=wait_s)
        case _:
            assert_never(outcome)
