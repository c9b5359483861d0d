"""However gaps fall, limits stand still in them: what hangs has its whole limit beside them."""

import math

import pytest
import trio
import trio.testing
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from supervision.supervision_helpers import supervised
from tgworker.supervision import ChildCancelled, ChildSpec, LoopStarved, Pulse, Silence, Verdict
from tgworker.supervision.testing import Hangs, Lingers, ScriptedChild, stop_the_host

Gap = tuple[float, float, bool]
"""Seconds of running before it, its length (enough for `ticks` to see it), and whether it is in a step."""

gaps = st.lists(
    st.tuples(
        st.integers(1, 60).map(lambda quarters: quarters / 4),
        st.integers(9, 400).map(lambda quarters: quarters / 4),
        st.booleans(),
    ),
    max_size=8,
)


def due_s(limit_s: float, story: list[Gap]) -> float:
    """When a limit that began at 0 is up."""
    ran_s = lost_s = 0.0
    for wait_s, gap_s, _ in story:
        assume(ran_s + wait_s != limit_s)  # whether the gap or the limit is first is then nobody's business
        if ran_s + wait_s > limit_s:
            break
        ran_s += wait_s
        lost_s += gap_s
    return limit_s + lost_s


async def ticks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    """Has a deadline every second, so that each gap passes one, and never one when a gap begins."""
    task_status.started()
    while True:
        await trio.sleep_until(math.floor(trio.current_time()) + 1.125)


async def make(story: list[Gap]) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    for wait_s, gap_s, in_step in story:
        await trio.sleep(wait_s)
        if in_step:
            clock.jump(gap_s)
        else:
            await stop_the_host(clock, gap_s)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(story=gaps, limit_s=st.sampled_from([5.0, 20.0, 60.0]))
def test_silence_is_found_at_its_exact_second_whatever_gaps_there_were(
    story: list[Gap], limit_s: float
) -> None:
    expected_s = due_s(limit_s, story)

    async def main() -> None:
        children = (
            ChildSpec("ticks", ticks),
            ChildSpec("hangs", ScriptedChild(Hangs()), silence=Silence(limit_s)),
        )
        async with supervised(*children) as watched, trio.open_nursery() as nursery:
            nursery.start_soon(make, story)
            cancelled = await watched.recorder.wait_for(ChildCancelled)
            assert (cancelled.path, cancelled.at_s) == ("root.hangs", expected_s)
            assert cancelled.verdict is Verdict.SILENT
            for starved in watched.recorder.of(LoopStarved):
                assert starved.late_s > 1
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(story=gaps, lingers_s=st.sampled_from([3.5, 4.75]))
def test_a_child_that_ends_within_its_budget_is_never_wedged_whatever_gaps_there_were(
    story: list[Gap], lingers_s: float
) -> None:
    async def main() -> None:
        slow = ChildSpec("slow", ScriptedChild(Lingers(lingers_s)), stop_within_s=5)
        async with supervised(ChildSpec("ticks", ticks), slow) as watched, trio.open_nursery() as nursery:
            nursery.start_soon(make, story)
            await trio.sleep(1)
            await watched.supervisor.stop_child("slow")  # raises, if it is wedged
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
