"""What to do after an incarnation has ended: a pure function of history, verdict and now."""

from dataclasses import dataclass, replace
from random import Random
from typing import assert_never, final

from tgworker.supervision._spec import Backoff, Intensity, Restart
from tgworker.supervision._verdicts import Verdict


@final
@dataclass(frozen=True, slots=True)
class History:
    """What decisions depend on.

    Attributes:
        attempt: How many restarts in a row, without a stable run between, this child has had.
        failures_at_s: When the supervisor's children failed, oldest first; only those within the period
            matter.
    """

    attempt: int = 0
    failures_at_s: tuple[float, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Start a new incarnation after a delay."""

    delay_s: float
    history: History


@final
@dataclass(frozen=True, slots=True)
class LeaveEnded:
    """No new incarnation: the child has done its work, or was told to end."""

    history: History


@final
@dataclass(frozen=True, slots=True)
class Escalate:
    """The supervisor cannot help any more.

    Attributes:
        failures: How many failures fell into the period, this one included; 0 when the child is wedged.
        history: As it is now.
    """

    failures: int
    history: History


Decision = RestartAfter | LeaveEnded | Escalate


def decide(
    *,
    restart: Restart,
    backoff: Backoff,
    intensity: Intensity,
    verdict: Verdict,
    stable_for_s: float,
    history: History,
    now_s: float,
    rng: Random,
) -> Decision:
    """Decide what follows the end of an incarnation.

    Args:
        restart: The child's.
        backoff: The child's.
        intensity: The supervisor's.
        verdict: Why the incarnation ended.
        stable_for_s: For how long it had been ready and shown signs of life, seconds.
        history: Before this ending.
        now_s: Trio's clock.
        rng: Gives the jitter: exactly one draw for each `RestartAfter`, none otherwise.

    Returns:
        The decision, with the history after it.
    """
    match verdict:
        case Verdict.STOPPED:
            return LeaveEnded(history)
        case Verdict.WEDGED:
            return Escalate(0, history)
        case Verdict.RETURNED:
            again = restart is Restart.PERMANENT
        case Verdict.RAISED | Verdict.DEADLINE | Verdict.SILENT | Verdict.START_TIMEOUT:
            again = restart is not Restart.TEMPORARY
        case _:
            assert_never(verdict)
    if not again:
        return LeaveEnded(history)

    if intensity.restarts is not None:
        # A failure exactly one period ago still counts, as in OTP (add_restart in supervisor.erl).
        recent = tuple(at for at in history.failures_at_s if now_s <= at + intensity.period_s)
        history = replace(history, failures_at_s=(*recent, now_s))
        if len(history.failures_at_s) > intensity.restarts:
            return Escalate(len(history.failures_at_s), history)

    attempt = 1 if stable_for_s >= backoff.reset_after_s else history.attempt + 1
    delay_s = rng.uniform(0.0, backoff.bound_s(attempt))
    return RestartAfter(delay_s, replace(history, attempt=attempt))
