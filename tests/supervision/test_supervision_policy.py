"""The restart policy, as the pure function that it is; each rule of OTP's has a test named after it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.supervision import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Decision,
    Escalate,
    History,
    Intensity,
    LeaveEnded,
    Rejoin,
    Restart,
    RestartAfter,
    Silence,
    SpecError,
    Strategy,
    SupervisorSpec,
    Verdict,
    decide,
    time_to_escalate_s,
)
from tgworker.supervision._policy import COUNTED, is_concerned, shuts_down
from tgworker.supervision.testing import Runs, ScriptedChild

FAILURES = [Verdict.RAISED, Verdict.DEADLINE, Verdict.SILENT, Verdict.START_TIMEOUT]
NO_JITTER = Backoff(initial_s=0, factor=1, cap_s=0, reset_after_s=100)


class Ceiling(random.Random):
    """Draws the upper bound, always."""

    def uniform(self, a: float, b: float) -> float:
        return b


def decided(
    verdict: Verdict = Verdict.RAISED,
    *,
    restart: Restart = Restart.PERMANENT,
    backoff: Backoff = NO_JITTER,
    intensity: Intensity | None = None,
    stable_for_s: float = 0.0,
    history: History | None = None,
    now_s: float = 1000.0,
    set_aside: bool = False,
    starved: bool = False,
) -> Decision:
    return decide(
        restart=restart,
        backoff=backoff,
        intensity=intensity or Intensity.unlimited(),
        verdict=verdict,
        stable_for_s=stable_for_s,
        history=history or History(),
        now_s=now_s,
        rng=Ceiling(),
        set_aside=set_aside,
        starved=starved,
    )


def test_the_words_of_the_verdicts_are_a_contract() -> None:
    words = "returned, raised, deadline, silent, wedged, start-timeout, stopped"
    assert ", ".join(Verdict) == words


@pytest.mark.parametrize("verdict", [*FAILURES, Verdict.RETURNED])
def test_a_permanent_child_is_always_restarted(verdict: Verdict) -> None:
    assert isinstance(decided(verdict, restart=Restart.PERMANENT), RestartAfter)


@pytest.mark.parametrize("verdict", FAILURES)
def test_a_transient_child_is_restarted_only_if_it_ended_abnormally(verdict: Verdict) -> None:
    assert isinstance(decided(verdict, restart=Restart.TRANSIENT), RestartAfter)
    assert decided(Verdict.RETURNED, restart=Restart.TRANSIENT) == LeaveEnded(History())


@pytest.mark.parametrize("verdict", [*FAILURES, Verdict.RETURNED])
def test_a_temporary_child_is_never_restarted_and_counts_for_nothing(verdict: Verdict) -> None:
    decision = decided(verdict, restart=Restart.TEMPORARY, intensity=Intensity(restarts=0, period_s=1))
    assert decision == LeaveEnded(History())


@pytest.mark.parametrize("restart", list(Restart))
def test_a_child_that_was_told_to_stop_is_not_restarted(restart: Restart) -> None:
    assert decided(Verdict.STOPPED, restart=restart) == LeaveEnded(History())


@pytest.mark.parametrize("restart", list(Restart))
def test_a_wedged_child_always_escalates(restart: Restart) -> None:
    assert decided(Verdict.WEDGED, restart=restart) == Escalate(0, History())


def test_intensity_1_in_5_s_allows_one_restart_and_escalates_at_the_second_failure() -> None:
    intensity = Intensity(restarts=1, period_s=5)
    first = decided(intensity=intensity, now_s=10)
    assert first == RestartAfter(0, History(attempt=1, failures_at_s=(10,)))
    second = decided(intensity=intensity, now_s=15, history=first.history)
    assert second == Escalate(2, History(attempt=1, failures_at_s=(10, 15)))


def test_failures_older_than_the_period_are_forgotten() -> None:
    intensity = Intensity(restarts=1, period_s=5)
    decision = decided(intensity=intensity, now_s=15.1, history=History(failures_at_s=(10,)))
    assert decision == RestartAfter(0, History(attempt=1, failures_at_s=(15.1,)))


def test_intensity_0_escalates_at_the_first_failure() -> None:
    assert isinstance(decided(intensity=Intensity(restarts=0, period_s=5)), Escalate)


def test_without_a_limit_nothing_is_remembered_and_nothing_escalates() -> None:
    history = History()
    for second in range(10_000):
        decision = decided(history=history, now_s=second)
        assert isinstance(decision, RestartAfter)
        history = decision.history
    assert history == History(attempt=10_000)


def test_the_delay_is_drawn_evenly_between_zero_and_the_bound() -> None:
    backoff = Backoff(initial_s=4, factor=2, cap_s=60)
    decision = decide(
        restart=Restart.PERMANENT,
        backoff=backoff,
        intensity=Intensity.unlimited(),
        verdict=Verdict.RAISED,
        stable_for_s=0,
        history=History(attempt=2),
        now_s=0,
        rng=random.Random(3),
    )
    assert decision == RestartAfter(random.Random(3).uniform(0, 16), History(attempt=3))


def test_a_stable_run_counts_from_one_again_and_an_almost_stable_one_does_not() -> None:
    backoff = Backoff(initial_s=1, factor=3, cap_s=60, reset_after_s=100)
    history = History(attempt=3)
    assert decided(backoff=backoff, history=history, stable_for_s=100) == RestartAfter(1, History(attempt=1))
    assert decided(backoff=backoff, history=history, stable_for_s=99) == RestartAfter(27, History(attempt=4))


@given(
    initial_s=st.floats(0, 10),
    factor=st.floats(1, 10),
    more_s=st.floats(0, 1000),
    attempt=st.integers(1, 10**9),
)
def test_the_bound_never_falls_never_exceeds_the_cap_and_never_overflows(
    initial_s: float, factor: float, more_s: float, attempt: int
) -> None:
    backoff = Backoff(initial_s=initial_s, factor=factor, cap_s=initial_s + more_s)
    bound_s = backoff.bound_s(attempt)
    assert 0 <= bound_s <= backoff.cap_s
    assert bound_s <= backoff.bound_s(attempt + 1) or math.isclose(bound_s, backoff.bound_s(attempt + 1))


# ---------------------------------------------------------------- escalation that can be relied on


def test_the_worst_case_time_to_escalate_is_the_sum_of_the_longest_delays_and_runs() -> None:
    backoff = Backoff(initial_s=1, factor=2, cap_s=4, reset_after_s=1000)
    assert time_to_escalate_s(backoff, Intensity(restarts=4, period_s=20)) == 1 + 2 + 4 + 4
    assert time_to_escalate_s(backoff, Intensity(restarts=4, period_s=20), fails_after_s=2) == 5 * 2 + 11
    assert time_to_escalate_s(backoff, Intensity(restarts=4, period_s=10.9)) == math.inf
    assert time_to_escalate_s(backoff, Intensity.unlimited()) == math.inf


def test_runs_long_enough_to_reset_the_backoff_are_followed_by_the_first_delay() -> None:
    backoff = Backoff(initial_s=1, factor=2, cap_s=60, reset_after_s=10)
    assert time_to_escalate_s(backoff, Intensity(restarts=2, period_s=30), fails_after_s=10) == 10 + 2 * 11


@given(
    initial_s=st.floats(0, 10),
    factor=st.floats(1, 4),
    more_s=st.floats(0, 100),
    reset_after_s=st.floats(0.1, 50),
    restarts=st.integers(0, 12),
    period_s=st.floats(0.1, 500),
    fails_after_s=st.floats(0, 60),
    data=st.data(),
)
def test_the_stated_time_to_escalate_holds_for_whatever_delays_are_drawn(
    initial_s: float,
    factor: float,
    more_s: float,
    reset_after_s: float,
    restarts: int,
    period_s: float,
    fails_after_s: float,
    data: st.DataObject,
) -> None:
    backoff = Backoff(initial_s, factor, initial_s + more_s, reset_after_s)
    intensity = Intensity(restarts, period_s)
    stated_s = time_to_escalate_s(backoff, intensity, fails_after_s=fails_after_s)
    rng = data.draw(st.sampled_from([Ceiling(), random.Random(1), random.Random(2)]))
    now_s, history = 0.0, History()
    decision: Decision = LeaveEnded(history)
    for _ in range(restarts + 1):
        now_s += fails_after_s
        decision = decide(
            restart=Restart.PERMANENT,
            backoff=backoff,
            intensity=intensity,
            verdict=Verdict.RAISED,
            stable_for_s=fails_after_s,
            history=history,
            now_s=now_s,
            rng=rng,
        )
        if isinstance(decision, Escalate):
            break
        assert isinstance(decision, RestartAfter)
        history = decision.history
        now_s += decision.delay_s
    if (
        stated_s < math.inf and period_s - (stated_s - fails_after_s) > 1e-6
    ):  # exact ties are a matter of rounding
        assert isinstance(decision, Escalate)
        assert now_s <= stated_s + 1e-6


# ---------------------------------------------------------------- specs that could not work


def spec_of(name: str = "x", **values: object) -> ChildSpec:
    return ChildSpec(name, ScriptedChild(Runs()), **values)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the point


def test_a_backoff_that_its_supervisor_could_never_escalate_for_is_refused() -> None:
    child = spec_of("slow", backoff=Backoff(initial_s=10, factor=2, cap_s=60))
    with pytest.raises(
        SpecError, match=r"5 restarts in 60 s .* child slow, .* over 190 s: lengthen period_s"
    ):
        SupervisorSpec(children=(child,), intensity=Intensity(restarts=5, period_s=60))
    SupervisorSpec(children=(child,), intensity=Intensity(restarts=5, period_s=190))
    SupervisorSpec(children=(child,), intensity=Intensity.unlimited())
    temporary = ChildSpec("slow", child.start, restart=Restart.TEMPORARY, backoff=child.backoff)
    SupervisorSpec(children=(temporary,), intensity=Intensity(restarts=5, period_s=60))


def test_restarts_without_a_limit_and_without_a_pause_are_refused() -> None:
    child = spec_of("hot", backoff=NO_JITTER)
    with pytest.raises(SpecError, match="hot could be restarted for ever without any pause"):
        SupervisorSpec(children=(child,), intensity=Intensity.unlimited())
    SupervisorSpec(children=(child,), intensity=Intensity(restarts=1000, period_s=1))


def test_two_children_with_one_id_are_refused() -> None:
    with pytest.raises(SpecError, match="two children have the id twin"):
        SupervisorSpec(children=(spec_of("twin"), spec_of("other"), spec_of("twin")))


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a\n"])
def test_an_id_that_would_break_paths_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="an id is not empty and contains neither dots nor spaces"):
        spec_of(name)
    with pytest.raises(SpecError, match="an id is not empty and contains neither dots nor spaces"):
        SupervisorSpec(id=name)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Backoff(initial_s=-1), "initial_s must be 0 or more"),
        (lambda: Backoff(initial_s=math.inf, cap_s=math.inf), "initial_s must be 0 or more, and finite"),
        (lambda: Backoff(initial_s=math.nan), "initial_s"),
        (lambda: Backoff(factor=0.5), "factor must be 1 or more"),
        (lambda: Backoff(factor=math.inf), "factor must be 1 or more, and finite"),
        (lambda: Backoff(initial_s=10, cap_s=5), "cap_s must be initial_s or more"),
        (lambda: Backoff(cap_s=math.inf), "cap_s must be initial_s or more, and finite"),
        (lambda: Backoff(reset_after_s=-1), "reset_after_s must be 0 or more"),
        (lambda: Intensity(restarts=-1), "restarts must be 0 or more"),
        (lambda: Intensity(period_s=0), "period_s must be more than 0"),
        (lambda: Silence(stall_after_s=0), "stall_after_s must be more than 0"),
        (
            lambda: Silence(stall_after_s=60, evidence_after_s=60),
            "evidence_after_s must be more than 0 and less",
        ),
        (
            lambda: Silence(stall_after_s=60, evidence_after_s=0),
            "evidence_after_s must be more than 0 and less",
        ),
        (lambda: spec_of(start_within_s=0), "start_within_s must be more than 0"),
        (lambda: spec_of(stop_within_s=0), "stop_within_s must be more than 0"),
        (lambda: ChildSpec("x", start=None), "start must be callable"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the point
    ],
)
def test_values_that_contradict_themselves_are_refused_by_name(make: object, complaint: str) -> None:
    assert callable(make)
    with pytest.raises(SpecError, match=complaint):
        make()


# ---------------------------------------------------------------- siblings, significance, starvation


@pytest.mark.parametrize("verdict", [*FAILURES, Verdict.RETURNED, Verdict.STOPPED])
def test_a_child_that_was_set_aside_rejoins_its_group_without_counting(verdict: Verdict) -> None:
    history = History(attempt=3, failures_at_s=(995.0,))
    impatient = Intensity(restarts=0, period_s=60)
    decision = decided(verdict, set_aside=True, history=history, intensity=impatient)
    assert decision == Rejoin(history)
    assert decided(verdict, set_aside=True, restart=Restart.TEMPORARY) == LeaveEnded(History())


def test_a_stable_run_that_ended_for_a_sibling_resets_the_backoff_too() -> None:
    history = History(attempt=3, failures_at_s=(995.0,))
    for stable_for_s, attempt in [(99.0, 3), (100.0, 0)]:
        decision = decided(Verdict.STOPPED, set_aside=True, history=history, stable_for_s=stable_for_s)
        assert decision == Rejoin(History(attempt, failures_at_s=(995.0,)))


def test_a_child_that_had_done_its_work_when_it_was_set_aside_does_not_rejoin() -> None:
    transient = Restart.TRANSIENT
    assert decided(Verdict.RETURNED, set_aside=True, restart=transient) == LeaveEnded(History())
    assert decided(Verdict.STOPPED, set_aside=True, restart=transient) == Rejoin(History())
    assert decided(Verdict.WEDGED, set_aside=True, restart=transient) == Escalate(0, History())


@pytest.mark.parametrize("verdict", [*FAILURES, Verdict.RETURNED])
def test_what_ends_because_the_process_was_starved_is_restarted_and_costs_nothing(verdict: Verdict) -> None:
    impatient = Intensity(restarts=0, period_s=60)
    backoff = Backoff(initial_s=4, factor=2, cap_s=60)
    decision = decided(verdict, starved=True, intensity=impatient, backoff=backoff)
    assert decision == RestartAfter(4, History(attempt=1))
    assert isinstance(decided(verdict, starved=False, intensity=impatient), Escalate)


def test_every_verdict_that_can_be_followed_by_a_restart_counts() -> None:
    assert {verdict for verdict in Verdict if isinstance(decided(verdict), RestartAfter)} == COUNTED
    assert {Verdict.STOPPED, Verdict.WEDGED}.isdisjoint(COUNTED)


@pytest.mark.parametrize(
    ("strategy", "concerned"),
    [
        (Strategy.ONE_FOR_ONE, []),
        (Strategy.ONE_FOR_ALL, [0, 1, 3, 4]),
        (Strategy.REST_FOR_ONE, [3, 4]),
    ],
)
def test_whom_a_restart_concerns(strategy: Strategy, concerned: list[int]) -> None:
    siblings = [0, 1, 3, 4]
    assert [sibling for sibling in siblings if is_concerned(strategy, 2, sibling)] == concerned


@pytest.mark.parametrize("verdict", [*FAILURES, Verdict.RETURNED])
def test_when_a_supervisor_shuts_itself_down(verdict: Verdict) -> None:
    answers = {
        (auto_shutdown, left): shuts_down(auto_shutdown, verdict=verdict, significant_left=left)
        for auto_shutdown in AutoShutdown
        for left in (0, 1)
    }
    assert answers == {
        (AutoShutdown.NEVER, 0): False,
        (AutoShutdown.NEVER, 1): False,
        (AutoShutdown.ANY_SIGNIFICANT, 0): True,
        (AutoShutdown.ANY_SIGNIFICANT, 1): True,
        (AutoShutdown.ALL_SIGNIFICANT, 0): True,
        (AutoShutdown.ALL_SIGNIFICANT, 1): False,
    }


@pytest.mark.parametrize("auto_shutdown", list(AutoShutdown))
def test_a_child_that_was_told_to_stop_never_shuts_its_supervisor_down(auto_shutdown: AutoShutdown) -> None:
    assert not shuts_down(auto_shutdown, verdict=Verdict.STOPPED, significant_left=0)


def test_restarts_without_a_limit_and_without_a_pause_are_refused_whatever_the_cap() -> None:
    child = spec_of("hot", backoff=Backoff(initial_s=0, factor=2, cap_s=60))
    with pytest.raises(SpecError, match="give its backoff an initial_s"):
        SupervisorSpec(children=(child,), intensity=Intensity.unlimited())
