"""When a child must be looked at next, and what to think of it then: pure functions.

``lost_s`` says how much time since a moment was lost to gaps in which nothing could run (see `Starvation`),
whoever took it. The clock of every limit stands still meanwhile: whoever is judged has had the whole of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from tgworker.supervision._child import Child, ChildState, Kill, Run
from tgworker.supervision._pulse import Cycle, Pulse
from tgworker.supervision._spec import ChildSpec


@final
@dataclass(frozen=True, slots=True)
class NotReady:
    """It took longer than its ``start_within_s``."""

    limit_s: float


@final
@dataclass(frozen=True, slots=True)
class CycleTooLong:
    """A turn of its loop took longer than it may."""

    limit_s: float


@final
@dataclass(frozen=True, slots=True)
class Silent:
    """It passed the hard limit of silence."""

    limit_s: float


@final
@dataclass(frozen=True, slots=True)
class Quiet:
    """It passed the soft limit of silence, which began at ``since_s``."""

    since_s: float


Finding = NotReady | CycleTooLong | Silent | Quiet


LostSince = Callable[[float], float]


def silent_since_s(pulse: Pulse) -> float:
    """When the silence that counts began: the last sign of life, or the end of what was announced."""
    since_s = max(pulse.beat_at_s, pulse.announced_until_s)
    for operation in pulse.open:
        since_s = max(since_s, operation.expires_at_s)
    return since_s


def look_again_at_s(child: Child, now_s: float, lost_s: LostSince) -> float:
    """The earliest time at which something can be due for the child, whatever it does; `math.inf` for never.

    (Except a `Pulse.cycle` that it opens meanwhile, which arms the alarm itself.)
    """
    # Plain comparisons: thousands of idle children are looked at once in each limit of silence.
    state, run = child.state, child.run
    if run is not None and (state is ChildState.READY or state is ChildState.STARTING):
        due_s = _silence_look_s(run, child.spec, now_s, lost_s)
        if state is ChildState.STARTING:
            due_s = min(due_s, _start_due_s(child, run, lost_s))
        for cycle in run.pulse.cycles:
            due_s = min(due_s, _cycle_due_s(cycle, lost_s))
        return due_s
    if state is ChildState.BACKING_OFF:
        return child.restart_at_s
    if state is ChildState.STOPPING and run is not None and run.kill is not None and not child.sheltering:
        return dead_by_s(run.kill, child.spec, lost_s)
    return math.inf


def dead_by_s(kill: Kill, spec: ChildSpec, lost_s: LostSince) -> float:
    """When a cancelled incarnation that has not ended is wedged."""
    if spec.stop_within_s == math.inf:
        return math.inf
    return kill.dead_by_s + lost_s(kill.dead_by_s - spec.stop_within_s)


def judge(child: Child, run: Run, now_s: float, lost_s: LostSince) -> Finding | None:
    """What is wrong with a running incarnation; what the child said itself goes first."""
    pulse = run.pulse
    for cycle in pulse.cycles:
        if _cycle_due_s(cycle, lost_s) <= now_s:
            return CycleTooLong(cycle.limit_s)
    if child.state is ChildState.STARTING and _start_due_s(child, run, lost_s) <= now_s:
        assert child.spec.start_within_s is not None
        return NotReady(child.spec.start_within_s)
    silence = child.spec.silence
    if silence is not None:
        since_s = silent_since_s(pulse)
        counts_from_s = since_s + lost_s(since_s)
        if counts_from_s + silence.stall_after_s <= now_s:
            return Silent(silence.stall_after_s)
        if (
            silence.evidence_after_s is not None
            and run.evidence_since_s != since_s
            and counts_from_s + silence.evidence_after_s <= now_s
        ):
            return Quiet(since_s)
    return None


def _start_due_s(child: Child, run: Run, lost_s: LostSince) -> float:
    if child.spec.start_within_s is None:
        return math.inf
    return run.started_at_s + child.spec.start_within_s + lost_s(run.started_at_s)


def _cycle_due_s(cycle: Cycle, lost_s: LostSince) -> float:
    return cycle.due_s + lost_s(cycle.opened_at_s)


def _silence_look_s(run: Run, spec: ChildSpec, now_s: float, lost_s: LostSince) -> float:
    silence = spec.silence
    if silence is None:
        return math.inf
    since_s = silent_since_s(run.pulse)
    counts_from_s = since_s + lost_s(since_s)
    if silence.evidence_after_s is None:
        first_limit_s = silence.stall_after_s
        due_s = counts_from_s + silence.stall_after_s
    else:
        first_limit_s = silence.evidence_after_s
        taken = run.evidence_since_s == since_s
        due_s = counts_from_s + (silence.stall_after_s if taken else silence.evidence_after_s)
    # What was announced may be withdrawn: an operation ends early, a beat ends an announcement. Silence then
    # counts from that moment, so that nothing can be due before the first limit has passed from now.
    return min(due_s, now_s + first_limit_s)
