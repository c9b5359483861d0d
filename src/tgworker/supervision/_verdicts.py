"""Why an incarnation ended."""

from dataclasses import dataclass
from enum import StrEnum
from typing import final


@final
class Verdict(StrEnum):
    """Why an incarnation ended, in one word. The values are part of the heartbeat's contract."""

    RETURNED = "returned"
    """It returned by itself."""
    RAISED = "raised"
    """It raised by itself."""
    DEADLINE = "deadline"
    """A turn took longer than `Pulse.cycle` allowed. (An expired `Pulse.deadline` is only an event.)"""
    SILENT = "silent"
    """It gave no sign of life for `Silence.stall_after_s`."""
    WEDGED = "wedged"
    """It was cancelled, for whatever reason, and did not end within its budget."""
    START_TIMEOUT = "start-timeout"
    """It was not ready within `ChildSpec.start_within_s`."""
    STOPPED = "stopped"
    """It was asked to end: by `Supervisor.stop_child`, because its supervisor stops, or for a sibling."""


@final
@dataclass(frozen=True, slots=True)
class Ending:
    """The record of one incarnation's end.

    Attributes:
        verdict: In one word.
        cause: In one line, for people: no newline, at most a few hundred characters.
        incarnation: Which one; the first is 1.
        started_at_s: Trio's clock.
        ended_at_s: Trio's clock. For a wedged one: when it was declared so.
        evidence: What the injected dump said before the incarnation was cancelled; ``None`` if nothing was
            dumped.
        attempt: Which restart in a row follows, without a stable run between; 0 if none follows, or one that
            is owed to a sibling.
        delay_s: Seconds until the next incarnation starts; ``None`` if none will, or with its siblings.
        stack: The traceback of what it raised, if it raised: text, no values of variables.
    """

    verdict: Verdict
    cause: str
    incarnation: int
    started_at_s: float
    ended_at_s: float
    evidence: str | None = None
    stack: str | None = None
    attempt: int = 0
    delay_s: float | None = None
