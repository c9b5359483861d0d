"""What Kubernetes and load balancers ask: is it alive, is it useful, has it started? Pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker at one moment, as far as probes care.

    Attributes:
        supervised: Whether the root supervisor lives, or is still to be started.
        stopping: Whether the worker was told to stop.
        synced: Whether the accounts have been read once.
        status: What the heartbeat says: ``online``, ``degraded``, …
        store_away: Whether the store did not answer when it was asked last.
        telegram_away: Whether there are accounts that should be online, and none of them is.
    """

    supervised: bool
    stopping: bool
    synced: bool
    status: str
    store_away: bool
    telegram_away: bool


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a probe.

    Attributes:
        ok: Whether it is yes.
        body: What is said, JSON-ready: nothing in it is secret, or names anybody.
    """

    ok: bool
    body: Mapping[str, Any]


USEFUL = frozenset({"online", "degraded"})
"""A worker that is ``degraded`` serves some accounts, or will again in a moment."""


def alive(facts: WorkerFacts) -> Verdict:
    """Whether it would be wrong to kill the process.

    That the question is answered shows that the event loop turns. An outage of the store or of Telegram is no
    reason: a new process would not end it.
    """
    return Verdict(facts.supervised, {"alive": facts.supervised})


def ready(facts: WorkerFacts) -> Verdict:
    """Whether the worker does now what it is for."""
    reason = _not_ready_because(facts)
    if reason is None:
        return Verdict(True, {"ready": True, "status": facts.status})
    return Verdict(False, {"ready": False, "status": facts.status, "reason": reason})


def started(facts: WorkerFacts) -> Verdict:
    """Whether the worker has begun its work: it has read once which accounts are its own."""
    return Verdict(facts.synced, {"started": facts.synced})


def _not_ready_because(facts: WorkerFacts) -> str | None:
    if facts.stopping:
        return "the worker stops"
    if facts.store_away:
        return "the store does not answer"
    if not facts.synced:
        return "the accounts have not been read yet"
    if facts.telegram_away:
        return "no account has a line to Telegram"
    if facts.status not in USEFUL:
        return "a loop hangs"
    return None
