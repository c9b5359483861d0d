"""The checks of the promises are worth something: for each, a supervisor broken on purpose is found out.

Each mutant is one small change to one function or decision. Plans are generated until one breaks the promise
in question; another promise that breaks on the way does not count.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import hypothesis
import pytest
import trio

from supervision.supervision_plans import Plan, perform, plans
from supervision.supervision_promises import (
    PROMISES,
    Story,
    a_stopped_child_never_returns,
    a_supervisor_that_ended_left_no_task,
    failures_are_raised,
    in_groups_children_start_in_order,
    never_two_incarnations_at_once,
    nobody_is_forgotten,
    only_who_is_done_or_told_ends_for_good,
    restarts_come_when_they_were_announced,
    siblings_are_disturbed_exactly_as_the_strategy_says,
    significant_children_end_their_supervisor,
    tell,
    the_budget_of_restarts_is_kept,
    the_stop_is_in_the_reverse_order_of_the_start,
)
from tgworker.supervision import (
    Decision,
    LeaveEnded,
    Restart,
    StartFunction,
    Strategy,
    Supervisor,
    Verdict,
    _crew,
    _lineup,
)
from tgworker.supervision._child import Child, Run
from tgworker.supervision._crew import Crew
from tgworker.supervision._incarnation import Readiness
from tgworker.supervision._policy import decide, is_concerned
from tgworker.supervision._reaper import Reaper

Mutation = Callable[[pytest.MonkeyPatch], None]


def abandon_what_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    """A cancelled incarnation counts as dead at once, as where a task is dropped after `asyncio.wait_for`."""

    async def live(start: StartFunction, run: Run, ready: Callable[[], None]) -> BaseException | None:
        over = trio.Event()
        raised: list[BaseException] = []

        async def apart() -> None:
            try:
                await start(run.pulse, task_status=Readiness(ready))
            except Exception as error:  # noqa: BLE001 (a mutant)
                raised.append(error)
            over.set()

        trio.lowlevel.spawn_system_task(apart)
        with run.scope:
            await over.wait()
        return raised[0] if raised else None

    patch.setattr(_crew, "live", live)


def forget_who_was_told_to_stop(patch: pytest.MonkeyPatch) -> None:
    original = Crew._decide

    def mutant(self: Crew, child: Child, run: Run, ending: Any, *, over: bool) -> Decision:
        if child.doomed and not self.closing:
            child.doomed = False
            ending = replace(ending, verdict=Verdict.RAISED)
        return original(self, child, run, ending, over=over)

    patch.setattr(Crew, "_decide", mutant)


def restart_what_is_temporary(patch: pytest.MonkeyPatch) -> None:
    def mutant(**values: Any) -> Decision:
        if values["restart"] is Restart.TEMPORARY and values["set_aside"]:
            values["restart"] = Restart.TRANSIENT
        return decide(**values)

    patch.setattr(_crew, "decide", mutant)


def allow_one_restart_more(patch: pytest.MonkeyPatch) -> None:
    def mutant(**values: Any) -> Decision:
        intensity = values["intensity"]
        if intensity.restarts is not None:
            values["intensity"] = replace(intensity, restarts=intensity.restarts + 1)
        return decide(**values)

    patch.setattr(_crew, "decide", mutant)


def count_siblings_as_failures(patch: pytest.MonkeyPatch) -> None:
    def mutant(**values: Any) -> Decision:
        decision = decide(**values)
        if values["set_aside"]:
            history = decision.history
            history = replace(history, failures_at_s=(*history.failures_at_s, values["now_s"]))
            return replace(decision, history=history)
        return decision

    patch.setattr(_crew, "decide", mutant)


def stop_in_the_order_of_the_start(patch: pytest.MonkeyPatch) -> None:
    original: Callable[[Supervisor], Awaitable[None]] = Supervisor._stop_in_order

    async def mutant(self: Supervisor) -> None:
        for child in self._crew.children.values():
            child.order = -child.order
        await original(self)

    patch.setattr(Supervisor, "_stop_in_order", mutant)


def make_room_in_the_order_of_the_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_lineup, "reversed", list, raising=False)


def stop_all_at_once(patch: pytest.MonkeyPatch) -> None:
    original = Reaper.kill

    def mutant(self: Reaper, child: Child, run: Run, verdict: Verdict, cause: str) -> None:
        original(self, child, run, verdict, cause)
        if self._crew.closing:
            run.over.set()
            child.settled.set()

    patch.setattr(Reaper, "kill", mutant)


def disturb_all_with_rest_for_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_lineup, "is_concerned", lambda strategy, _failed, _sibling: strategy is not None)


def disturb_the_rest_with_one_for_all(patch: pytest.MonkeyPatch) -> None:
    def mutant(_strategy: Strategy, failed: int, sibling: int) -> bool:
        return is_concerned(Strategy.REST_FOR_ONE, failed, sibling)

    patch.setattr(_lineup, "is_concerned", mutant)


def disturb_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_lineup, "is_concerned", lambda *_: False)


def leave_disturbed_siblings_ended(patch: pytest.MonkeyPatch) -> None:
    def mutant(**values: Any) -> Decision:
        return LeaveEnded(values["history"]) if values["set_aside"] else decide(**values)

    patch.setattr(_crew, "decide", mutant)


def lose_a_sibling_that_waits(patch: pytest.MonkeyPatch) -> None:
    def mutant(self: _lineup.Lineup) -> list[Child]:
        return [
            child for child in original(self) if child.number == 0 or child.last is None or child.last.delay_s
        ]

    original = _lineup.Lineup._line
    patch.setattr(_lineup.Lineup, "_line", mutant)


def do_not_wait_for_readiness(patch: pytest.MonkeyPatch) -> None:
    original = Crew.start

    def mutant(self: Crew, child: Child) -> Run:
        run = original(self, child)
        run.outcome.set()
        return run

    patch.setattr(Crew, "start", mutant)


def do_not_wait_for_the_backoff(patch: pytest.MonkeyPatch) -> None:
    original = Crew._schedule

    def mutant(self: Crew, child: Child, now_s: float, decision: Any) -> None:
        original(self, child, now_s, decision)
        child.restart_at_s = now_s
        self.rearm(child)

    patch.setattr(Crew, "_schedule", mutant)


def never_shut_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_crew, "shuts_down", lambda *_args, **_values: False)


def shut_down_with_the_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_crew, "shuts_down", lambda *_args, **_values: True)


def keep_failures_to_itself(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supervisor, "_raised", lambda self: self._fatal)


MUTANTS: list[tuple[Mutation, Callable[[Story], None]]] = [
    (abandon_what_is_cancelled, never_two_incarnations_at_once),
    (abandon_what_is_cancelled, a_supervisor_that_ended_left_no_task),
    (forget_who_was_told_to_stop, a_stopped_child_never_returns),
    (restart_what_is_temporary, a_stopped_child_never_returns),
    (allow_one_restart_more, the_budget_of_restarts_is_kept),
    (count_siblings_as_failures, the_budget_of_restarts_is_kept),
    (stop_in_the_order_of_the_start, the_stop_is_in_the_reverse_order_of_the_start),
    (make_room_in_the_order_of_the_start, the_stop_is_in_the_reverse_order_of_the_start),
    (stop_all_at_once, the_stop_is_in_the_reverse_order_of_the_start),
    (disturb_all_with_rest_for_one, siblings_are_disturbed_exactly_as_the_strategy_says),
    (disturb_the_rest_with_one_for_all, siblings_are_disturbed_exactly_as_the_strategy_says),
    (disturb_nobody, siblings_are_disturbed_exactly_as_the_strategy_says),
    (leave_disturbed_siblings_ended, only_who_is_done_or_told_ends_for_good),
    (lose_a_sibling_that_waits, nobody_is_forgotten),
    (do_not_wait_for_readiness, in_groups_children_start_in_order),
    (do_not_wait_for_the_backoff, restarts_come_when_they_were_announced),
    (never_shut_down, significant_children_end_their_supervisor),
    (shut_down_with_the_first, significant_children_end_their_supervisor),
    (keep_failures_to_itself, failures_are_raised),
]


def test_each_promise_is_broken_on_purpose_at_least_once() -> None:
    assert {promise for _, promise in MUTANTS} == set(PROMISES)


def breaks(plan: Plan, promise: Callable[[Story], None]) -> bool:
    try:
        this = perform(plan)
    except Exception:  # noqa: BLE001 (the supervisor's own assertions found the mutant: that does not count)
        return False
    try:
        promise(tell(plan, this))
    except AssertionError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutation", "promise"), MUTANTS, ids=[f"{mutation.__name__}" for mutation, _ in MUTANTS]
)
def test_a_supervisor_broken_on_purpose_is_found_out(
    mutation: Mutation, promise: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    settings = hypothesis.settings(
        max_examples=1500,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.find(plans(), lambda plan: breaks(plan, promise), settings=settings)
