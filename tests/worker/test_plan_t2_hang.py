"""The plan's test 2: a loop in an endless sleep is cancelled at exactly 60 s and replaced once dead."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from tgworker.messaging.limits import Limits
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildReady,
    ChildSpec,
    Pulse,
    RestartScheduled,
    Verdict,
)
from worker.worker_world import open_world, wait_until


def first_asleep(child_id: str) -> Callable[[ChildSpec], ChildSpec]:
    """The child's first incarnation beats once and then sleeps for ever."""

    def adjust(spec: ChildSpec) -> ChildSpec:
        async def start(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
            if pulse.incarnation > 1:
                await spec.start(pulse, task_status=task_status)
                return
            task_status.started()
            pulse.beat()
            await trio.sleep_forever()

        return replace(spec, start=start) if spec.id == child_id else spec

    return adjust


async def test_an_outbound_loop_in_an_endless_sleep_is_replaced_at_exact_seconds(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, adjust=first_asleep("outbound"), seed=7) as world:
        await world.until(10)
        message = await world.give("while it hangs")
        await world.until(59.999)
        assert not world.seen(ChildCancelled)
        await world.until(65)

        ((cancelled_at_s, cancelled),) = world.seen(ChildCancelled)
        assert (cancelled.path, cancelled.verdict) == ("root.outbound", Verdict.SILENT)
        assert round(cancelled_at_s, 6) == 60
        assert cancelled.evidence is not None
        assert "sleep_forever" in cancelled.evidence, "the evidence says where it slept"

        ((ended_at_s, ended),) = world.seen(ChildEnded)
        ((_, restart),) = world.seen(RestartScheduled)
        assert (ended.ending.verdict, round(ended_at_s, 6)) == (Verdict.SILENT, 60)
        assert restart.delay_s == random.Random(7).uniform(0, 0.5)
        ready = [(at_s, event) for at_s, event in world.seen(ChildReady) if event.path == "root.outbound"]
        assert [event.incarnation for _, event in ready] == [1, 2]
        assert round(ready[1][0] - ended_at_s, 9) == round(restart.delay_s, 9)

        await wait_until(lambda: world.arrived() == ["while it hangs"])
        assert (await world.state_of(message)).settled


async def test_a_loop_that_hangs_in_an_announced_pause_has_60_s_from_the_end_of_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, limits=Limits(outbound_every_s=1)) as world:
        await world.until(10.5)  # in a pause that was announced until 11 s
        world.saboteur.hang("root.outbound")
        await world.until(75)
        ((cancelled_at_s, cancelled),) = world.seen(ChildCancelled)
        assert (cancelled.path, cancelled.verdict, round(cancelled_at_s, 6)) == (
            "root.outbound",
            Verdict.SILENT,
            71,
        )
