"""Silence: found at the exact second, whatever was announced, with one sleeper for all children."""

from dataclasses import replace

import pytest
import trio

from supervision.supervision_helpers import child, supervised
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildQuiet,
    ChildSpec,
    Pulse,
    Restart,
    Silence,
    StartFunction,
    Verdict,
)
from tgworker.supervision.testing import Hangs, Runs, ScriptedChild


def watched_child(
    start: StartFunction, name: str = "child", evidence_after_s: float | None = None
) -> ChildSpec:
    return replace(child(start, name), silence=Silence(stall_after_s=60, evidence_after_s=evidence_after_s))


async def silent_at(start: StartFunction, evidence_after_s: float | None = None) -> float:
    """When a child that runs ``start`` is cancelled for silence, seconds from its start."""
    started_at = trio.current_time()
    async with supervised(watched_child(start, evidence_after_s=evidence_after_s)) as watched:
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert cancelled.verdict is Verdict.SILENT
        return cancelled.at_s - started_at


async def test_a_child_that_beats_is_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(watched_child(ScriptedChild(Runs(beat_every_s=59)))) as watched:
        await trio.sleep(10_000)
        assert not watched.recorder.of(ChildCancelled)


async def test_a_child_that_nobody_watches_may_be_silent_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with supervised(child(ScriptedChild(Hangs()))) as watched:
        await trio.sleep(80_000)
        assert not watched.recorder.of(ChildCancelled)


@pytest.mark.parametrize("evidence_after_s", [None, 30])
@pytest.mark.parametrize("last_beat_s", [0.0, 0.25, 59.75, 60.0, 61.0, 119.5, 1000.5])
async def test_silence_counts_from_the_last_beat(
    last_beat_s: float, evidence_after_s: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    async def beat_until(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        for _ in range(int(last_beat_s / 0.25)):
            await trio.sleep(0.25)
            pulse.beat()
        await trio.sleep_forever()

    assert await silent_at(beat_until, evidence_after_s) == last_beat_s + 60


async def test_announced_silence_does_not_count(autojump_clock: trio.testing.MockClock) -> None:
    async def flood_wait(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        pulse.expect(within_s=300)
        await trio.sleep_forever()

    assert await silent_at(flood_wait) == 300 + 60


@pytest.mark.parametrize("evidence_after_s", [None, 30])
@pytest.mark.parametrize("beat_s", [1, 45, 60, 61, 100, 299])
async def test_a_beat_ends_an_announced_silence(
    beat_s: float, evidence_after_s: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    async def woken_early(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        pulse.expect(within_s=300)
        await trio.sleep(beat_s)
        pulse.beat()
        await trio.sleep_forever()

    assert await silent_at(woken_early, evidence_after_s) == beat_s + 60


@pytest.mark.parametrize("evidence_after_s", [None, 30])
@pytest.mark.parametrize("ends_s", [1, 59, 60, 61, 100, 299])
async def test_silence_counts_from_the_end_of_an_operation_that_ended_early(
    ends_s: float, evidence_after_s: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    async def quick(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.deadline("download", 300):
            await trio.sleep(ends_s)
        await trio.sleep_forever()

    assert await silent_at(quick, evidence_after_s) == ends_s + 60


async def test_of_several_open_operations_the_last_to_expire_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def operate(pulse: Pulse, limit_s: float) -> None:
        with pulse.deadline("operation", limit_s), trio.CancelScope(shield=True):
            await trio.sleep(1000)

    async def both(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operate, pulse, 100)
            nursery.start_soon(operate, pulse, 40)

    started_at = trio.current_time()
    async with supervised(replace(watched_child(both), stop_within_s=2000)) as watched:
        assert (await watched.recorder.wait_for(ChildCancelled)).at_s == started_at + 100 + 60


async def test_silence_is_watched_before_a_child_is_ready_too(autojump_clock: trio.testing.MockClock) -> None:
    async def connect(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        for _ in range(10):
            await trio.sleep(50)
            pulse.beat()
        await trio.sleep_forever()

    started_at = trio.current_time()
    async with supervised(replace(watched_child(connect), start_within_s=None)) as watched:
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert (cancelled.at_s, cancelled.verdict) == (started_at + 560, Verdict.SILENT)


async def test_the_soft_limit_collects_evidence_once_for_each_silence_and_cancels_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    started_at = trio.current_time()

    async def sluggish(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(50)
        pulse.beat()
        await trio.sleep(29)
        pulse.beat()
        await trio.sleep_forever()

    async with supervised(watched_child(sluggish, evidence_after_s=30)) as watched:
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        quiet = watched.recorder.of(ChildQuiet)
        assert [(event.at_s - started_at, event.quiet_s) for event in quiet] == [(30, 30), (109, 30)]
        assert all(event.evidence is not None and "sluggish" in event.evidence for event in quiet)
        assert cancelled.at_s - started_at == 139


async def test_each_of_many_children_is_found_at_its_own_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    started_at = trio.current_time()

    def hangs_after(beats: int) -> StartFunction:
        async def run(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            for _ in range(beats):
                pulse.beat()
                await trio.sleep(1)
            await trio.sleep_forever()

        return run

    children = [
        replace(watched_child(hangs_after(beats), f"c{beats}"), restart=Restart.TEMPORARY)
        for beats in range(1, 60)
    ]
    async with supervised(*children) as watched:
        await watched.recorder.wait_for(ChildEnded, count=len(children))
        found = {event.path: event.at_s - started_at for event in watched.recorder.of(ChildEnded)}
        assert found == {f"root.c{beats}": beats - 1 + 60 for beats in range(1, 60)}


async def test_the_alarm_keeps_few_entries_however_often_cycles_open(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            with pulse.cycle(3):
                await trio.sleep(1)
            await trio.sleep(4)

    async with supervised(replace(child(loop), silence=Silence(stall_after_s=100_000))) as watched:
        await trio.sleep(5_000)
        assert len(watched.supervisor._crew.alarm) < 40
        assert not watched.recorder.of(ChildCancelled)
