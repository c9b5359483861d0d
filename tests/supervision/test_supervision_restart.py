"""Crashes and hangs are answered at the exact second."""

import random

import trio

from tgworker.supervision import (
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildReady,
    ChildSpec,
    RestartScheduled,
    Silence,
    SupervisorSpec,
    Verdict,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Hangs, Runs, ScriptedChild


async def test_a_child_in_an_endless_sleep_is_cancelled_at_exactly_60_s_and_replaced_after_the_seeded_delay(
    autojump_clock: trio.testing.MockClock,
) -> None:
    child = ScriptedChild(Hangs(), Runs())
    recorder = EventRecorder()
    evidence_at: list[float] = []

    def dump(path: str, task: trio.lowlevel.Task) -> str:
        assert child.running == 1, "evidence is taken before the cancellation"
        evidence_at.append(trio.current_time())
        return f"stacks of {path}"

    spec = SupervisorSpec(
        children=(
            ChildSpec(
                "outbound",
                start=child,
                backoff=Backoff(initial_s=0.5, factor=2, cap_s=60),
                silence=Silence(stall_after_s=60, evidence_after_s=30),
            ),
        ),
    )
    start = trio.current_time()
    delay_s = random.Random(7).uniform(0, 0.5)
    async with open_supervisor(spec, rng=random.Random(7), observers=(recorder,), dump=dump) as supervisor:
        await recorder.wait_for(ChildReady, count=2)
        assert child.started_at_s == [start, start + 60 + delay_s]
        assert child.ended_at_s == [start + 60]
        assert evidence_at == [start + 30, start + 60]
        [cancelled] = recorder.of(ChildCancelled)
        assert (cancelled.verdict, cancelled.at_s) == (Verdict.SILENT, start + 60)
        [ended] = recorder.of(ChildEnded)
        assert ended.ending.evidence == "stacks of root.outbound"
        [scheduled] = recorder.of(RestartScheduled)
        assert (scheduled.delay_s, scheduled.incarnation) == (delay_s, 2)
        seen = supervisor.snapshot().child("root.outbound")
        assert (seen.restarts, seen.verdict, seen.alive) == (1, Verdict.SILENT, True)
    assert child.most_running == 1
    assert child.running == 0
