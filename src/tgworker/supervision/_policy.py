"""What to do after an incarnation has ended: a pure function of history, verdict and now."""

from dataclasses import dataclass, replace
from random import Random
from typing import Final, assert_never, final

from tgworker.supervision._backoff import Backoff, Intensity
from tgworker.supervision._spec import AutoShutdown, Restart, Strategy
from tgworker.supervision._verdicts import Verdict

COUNTED: Final = frozenset(
    {Verdict.RETURNED, Verdict.RAISED, Verdict.DEADLINE, Verdict.SILENT, Verdict.START_TIMEOUT}
)
"""The verdicts that count towards the intensity, if a restart follows and the process was not starved.

A child that was told to end has not failed, and a wedged one escalates by itself. After starvation by the
host none counts: deadlines that passed while the process could not run make children return, raise, or be
cancelled.
"""


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
class Rejoin:
    """Start a new incarnation together with the sibling that failed, when its turn comes. No failure."""

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


Decision = RestartAfter | Rejoin | LeaveEnded | Escalate


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
    set_aside: bool = False,
    starved: bool = False,
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
        set_aside: A sibling failed before, with which this child is to be restarted: the incarnation was
            being stopped for that, or its turn to be stopped was still to come.
        starved: The host did not run the process when it should have, and has only just gone on with it.

    Returns:
        The decision, with the history after it.
    """
    match verdict:
        case Verdict.STOPPED:
            again = set_aside and restart is not Restart.TEMPORARY
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
    stable = stable_for_s >= backoff.reset_after_s
    if set_aside:
        return Rejoin(replace(history, attempt=0) if stable else history)

    if intensity.restarts is not None and verdict in COUNTED and not starved:
        # A failure exactly one period ago still counts, as in OTP (add_restart in supervisor.erl).
        recent = tuple(at for at in history.failures_at_s if now_s <= at + intensity.period_s)
        history = replace(history, failures_at_s=(*recent, now_s))
        if len(history.failures_at_s) > intensity.restarts:
            return Escalate(len(history.failures_at_s), history)

    attempt = 1 if stable else history.attempt + 1
    delay_s = rng.uniform(0.0, backoff.bound_s(attempt))
    return RestartAfter(delay_s, replace(history, attempt=attempt))


def is_concerned(strategy: Strategy, failed: int, sibling: int) -> bool:
    """Whether a restart concerns a sibling.

    Args:
        strategy: The supervisor's.
        failed: Where the child that failed stands in the order of starts.
        sibling: Where the sibling stands.
    """
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return False
        case Strategy.ONE_FOR_ALL:
            return True
        case Strategy.REST_FOR_ONE:
            return sibling > failed
        case _:
            assert_never(strategy)


def shuts_down(auto_shutdown: AutoShutdown, *, verdict: Verdict, significant_left: int) -> bool:
    """Whether a supervisor shuts itself down, now that a significant child has ended for good.

    Args:
        auto_shutdown: The supervisor's.
        verdict: How the child ended.
        significant_left: How many other significant children have not ended for good.
    """
    if verdict is Verdict.STOPPED:
        return False  # it was told to
    match auto_shutdown:
        case AutoShutdown.NEVER:
            return False
        case AutoShutdown.ANY_SIGNIFICANT:
            return True
        case AutoShutdown.ALL_SIGNIFICANT:
            return significant_left == 0
        case _:
            assert_never(auto_shutdown)
