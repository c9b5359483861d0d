"""What the guard does with its worker, at exact seconds: no process runs here."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.guard._course import Act, Course, Exit, GuardLimits, Phase
from tgworker.messaging.models import WorkerStatus
from tgworker.supervision import Backoff, Intensity

EVEN = Backoff(initial_s=1, factor=2, cap_s=8, reset_after_s=100)
LIMITS = GuardLimits(freeze_after_s=10, stacks_s=1, stop_s=30, backoff=EVEN, intensity=Intensity(3, 100))


class LongestDelay(Random):
    """Jitter that is always the whole bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def course(limits: GuardLimits = LIMITS) -> Course:
    return Course(limits, rng=LongestDelay(), now_s=0)


def running(limits: GuardLimits = LIMITS) -> Course:
    """A course with a worker that was forked at 0 and has shown itself."""
    here = course(limits)
    assert here.due(0) is Act.FORK
    here.heard(0)
    return here


def test_the_first_worker_is_forked_at_once() -> None:
    here = course()
    assert here.next_s == 0
    assert here.due(0) is Act.FORK
    assert here.due(0) is None
    assert here.phase is Phase.ALIVE
    assert here.restarts == 0


def test_silence_is_a_freeze_at_the_limit_and_not_before() -> None:
    here = running()
    here.heard(3)
    assert here.next_s == 13
    assert here.due(12.999) is None
    assert here.due(13) is Act.ABORT
    assert here.frozen
    assert here.next_s == 14


def test_a_worker_that_never_shows_itself_is_frozen_too() -> None:
    here = course()
    here.due(5)
    assert here.due(14.999) is None
    assert here.due(15) is Act.ABORT


def test_announced_silence_moves_the_limit_until_the_next_beat() -> None:
    here = running()
    here.heard(1, quiet_for_s=300)
    assert here.next_s == 311
    here.heard(2)
    assert here.next_s == 12


def test_the_guard_s_own_lateness_is_not_counted_as_silence() -> None:
    here = running()
    here.starved(4, 4)
    assert here.due(13.9) is None
    assert here.due(14) is Act.ABORT


def test_a_worker_that_stood_still_with_the_guard_has_a_moment_to_show_itself() -> None:
    here = running()
    here.starved(16, 6)  # both were stopped before 10
    assert here.due(16) is None
    assert here.due(16.999) is None
    assert here.due(17) is Act.ABORT
    here = running()
    here.starved(16, 6)
    here.heard(16.5)
    assert here.due(26.499) is None


def test_what_does_not_end_after_its_stacks_is_killed() -> None:
    here = running()
    assert here.due(10) is Act.ABORT
    assert here.due(10.999) is None
    assert here.due(11) is Act.KILL
    assert here.due(99) is None, "the kernel will say when it is dead; nothing else starts meanwhile"


def test_a_beat_from_the_dying_changes_nothing() -> None:
    here = running()
    here.due(10)
    here.heard(10.5)
    assert here.due(11) is Act.KILL


def test_the_first_freeze_within_a_period_costs_no_delay_and_further_ones_do() -> None:
    here = running()
    now_s, delays = 0.0, []
    for _ in range(3):
        now_s += 10
        assert here.due(now_s) is Act.ABORT
        here.ended(now_s, Exit(signal=6))
        delays.append(here.restart_at_s - now_s)
        now_s = here.restart_at_s
        assert here.due(now_s) is Act.FORK
        here.heard(now_s)
    assert delays == [0, 2, 4]


def test_who_asks_for_a_new_process_gets_it_at_once_the_first_time_only() -> None:
    here = running()
    here.ended(5, Exit(code=75))
    assert here.restart_at_s == 5
    here.due(5)
    here.heard(5)
    here.ended(6, Exit(code=75))
    assert here.restart_at_s == 6 + 2
    here.due(8)
    here.heard(8)
    here.ended(105.5, Exit(code=75))  # more than a period after the first
    assert here.restart_at_s == 105.5


@pytest.mark.parametrize("how", [Exit(code=1), Exit(code=70), Exit(signal=9), Exit(signal=11)], ids=str)
def test_a_crash_is_followed_by_a_backoff(how: Exit) -> None:
    here = running()
    here.ended(5, how)
    assert here.restart_at_s == 6
    assert here.due(5.999) is None
    assert here.due(6) is Act.FORK
    assert here.restarts == 1


def test_a_stable_run_resets_the_backoff() -> None:
    here = running()
    here.ended(1, Exit(code=1))
    here.due(2)
    here.heard(2)
    here.ended(102, Exit(code=1))
    assert here.restart_at_s == 103


@pytest.mark.parametrize("code", [0, 2, 3])
def test_some_exits_no_new_process_cures(code: int) -> None:
    here = running()
    here.ended(5, Exit(code=code))
    assert here.due(5) is Act.EXIT
    assert here.exit_code == code
    assert here.status(None, late=True) is WorkerStatus.OFFLINE


def test_past_its_budget_the_guard_goes_on_at_the_longest_backoff_and_says_so() -> None:
    here = running()
    now_s = 0.0
    for _ in range(8):
        here.ended(now_s, Exit(code=1))
        now_s = here.restart_at_s
        here.due(now_s)
        here.heard(now_s)
    here.ended(now_s, Exit(code=1))
    assert here.failed
    assert here.status(None, late=True) is WorkerStatus.FAILED
    assert here.restart_at_s == now_s + 8
    assert here.due(now_s + 8) is Act.FORK


def test_a_guard_that_may_give_up_ends_with_70() -> None:
    limits = GuardLimits(backoff=EVEN, intensity=Intensity(1, 100), give_up=True)
    here = running(limits)
    here.ended(0, Exit(code=1))
    assert here.due(1) is Act.FORK
    here.ended(1, Exit(code=1))
    assert here.due(1) is Act.EXIT
    assert here.exit_code == 70
    assert here.status(None, late=False) is WorkerStatus.FAILED


def test_a_stop_is_orderly_and_bounded() -> None:
    here = running()
    here.stop(5)
    assert here.due(5) is Act.TERMINATE
    assert here.due(5) is None
    for second in range(6, 35):
        here.heard(second)
        assert here.due(second) is None
    assert here.due(35) is Act.ABORT, "30 s are over: its stacks say what did not stop"
    assert not here.frozen
    assert here.due(36) is Act.KILL
    here.ended(36.1, Exit(signal=9))
    assert here.due(36.1) is Act.EXIT
    assert here.exit_code == 0


def test_a_worker_that_freezes_while_it_stops_is_not_waited_for() -> None:
    here = running()
    here.stop(5)
    here.due(5)
    assert here.due(10) is Act.ABORT
    assert here.frozen
    here.ended(10, Exit(signal=6))
    assert here.exit_code == 0


def test_a_second_stop_kills_at_once() -> None:
    here = running()
    here.stop(5)
    here.due(5)
    here.stop(6)
    assert here.due(6) is Act.KILL
    here.ended(6, Exit(signal=9))
    assert here.exit_code == 0


def test_a_second_stop_does_not_wait_for_stacks_that_are_being_written() -> None:
    here = running()
    assert here.due(10) is Act.ABORT
    here.stop(10.1)
    here.stop(10.7)
    assert here.due(10.7) is Act.KILL


def test_a_stop_that_is_said_twice_in_one_breath_is_one_stop() -> None:
    here = running()
    here.stop(5)
    assert here.due(5) is Act.TERMINATE
    here.stop(5.001)
    here.stop(5.499)
    assert here.due(5.499) is None
    here.stop(5.5)
    assert here.due(5.5) is Act.KILL


def test_a_stop_without_a_worker_ends_the_guard() -> None:
    here = running()
    here.ended(5, Exit(code=1))
    here.stop(5.5)
    assert here.due(5.5) is Act.EXIT
    assert here.exit_code == 0


def test_a_renewed_worker_is_no_failure_and_starts_at_once() -> None:
    here = running()
    for second in range(1, 20):
        here.renew()
        here.ended(second, Exit(code=75))
        assert here.restart_at_s == second
        assert not here.failed
        here.due(second)
        here.heard(second)


def test_a_crash_while_a_new_worker_was_asked_for_is_a_crash() -> None:
    here = running()
    here.renew()
    here.ended(1, Exit(signal=11))
    assert here.restart_at_s == 2


def test_the_status_tells_the_truth_at_each_moment() -> None:
    here = running()
    assert here.status(None, late=False) is WorkerStatus.STARTING
    assert here.status(None, late=True) is WorkerStatus.STARTING
    assert here.status(WorkerStatus.ONLINE, late=False) is WorkerStatus.ONLINE
    assert here.status(WorkerStatus.ONLINE, late=True) is WorkerStatus.STALLED
    here.due(10)
    assert here.status(WorkerStatus.ONLINE, late=True) is WorkerStatus.FROZEN
    here.ended(10, Exit(signal=6))
    assert here.status(WorkerStatus.ONLINE, late=True) is WorkerStatus.RESTARTING
    here.due(10)
    assert here.status(None, late=True) is WorkerStatus.STARTING


def test_an_end_that_was_asked_for_is_in_order_and_no_other_is() -> None:
    assert running().ended(1, Exit(code=2)), "no new process would cure it"
    assert not running().ended(1, Exit(code=75))
    renewed, crashed = running(), running()
    renewed.renew()
    crashed.renew()
    assert renewed.ended(1, Exit(code=75))
    assert not crashed.ended(1, Exit(code=1))
    for how, in_order in [
        (Exit(code=0), True),
        (Exit(signal=15), True),
        (Exit(code=75), False),
        (Exit(signal=9), False),
    ]:
        here = running()
        here.stop(1)
        assert here.ended(2, how) is in_order
        assert here.exit_code == 0
    frozen = running()
    frozen.stop(1)
    assert [frozen.due(1), frozen.due(10)] == [Act.TERMINATE, Act.ABORT]
    assert not frozen.ended(10, Exit(code=0))


HAPPENINGS = st.sampled_from(
    ["beat", "quiet", "late", "stop", "again", "renew", "crash", "75", "killed", "wait"]
)


@given(st.lists(st.tuples(HAPPENINGS, st.floats(0, 20)), max_size=60), st.booleans())
def test_whatever_happens_there_is_one_worker_at_most_and_nothing_is_forgotten(
    story: list[tuple[str, float]], give_up: bool
) -> None:
    here = Course(
        GuardLimits(backoff=EVEN, intensity=Intensity(3, 100), give_up=give_up), rng=Random(1), now_s=0
    )
    now_s, alive = 0.0, False
    for what, later_s in story:
        now_s += later_s
        while (act := here.due(now_s)) is not None and act is not Act.EXIT:
            match act:
                case Act.FORK:
                    assert not alive
                    assert not here.stopping
                    alive = True
                case _:
                    assert alive
        if here.exit_code is not None:
            assert not alive
            return
        assert here.next_s > now_s, "what was due was done"
        match what:
            case "beat":
                here.heard(now_s)
            case "quiet":
                here.heard(now_s, quiet_for_s=5)
            case "late":
                here.starved(now_s, 1)
            case "stop":
                here.stop(now_s)
            case "again":
                here.stop(now_s)
            case "renew":
                here.renew()
            case "crash" | "75" | "killed" if alive:
                alive = False
                here.ended(now_s, {"crash": Exit(1), "75": Exit(75), "killed": Exit(signal=9)}[what])
            case _:
                pass
    if alive:
        # A worker that shows nothing any more is dead within the limits, or the guard has ended.
        for _ in range(3):
            now_s = max(now_s, here.next_s)
            if here.due(now_s) is Act.KILL:
                break
        else:
            assert here.phase in {Phase.KILLING, Phase.ABORTING}
