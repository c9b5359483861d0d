"""What the adapter tells an observer. Frozen values; none holds what was sent or answered."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request was not answered with "done": once for each try.

    Attributes:
        request: Its id, as the ``X-Request-Id`` header carried it: the same for its repeats.
        call: What was asked: ``tgworker_claim``, ``storage: upload to BUCKET``.
        reason: What came instead.
        duration_s: How long that took, seconds.
    """

    request: str
    call: str
    reason: str
    duration_s: float


SupabaseEvent = RequestFailed

Observer = Callable[[SupabaseEvent], None]
"""Gets each event as it happens. Must neither block nor raise."""


def ignore(event: SupabaseEvent) -> None:
    """Observe nothing."""
