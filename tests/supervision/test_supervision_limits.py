"""The service's own limits, each pair due at the same instant: who wins is never left to chance.

Send 30 s, entity 15 s, media 60 s, database 10 s (operations), 120 s per cycle, 60 s of silence.
"""

from dataclasses import replace
from itertools import combinations

import pytest
import trio

from supervision.supervision_helpers import child, supervised
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildSpec,
    OperationExpired,
    Pulse,
    Silence,
    StartFunction,
    Verdict,
)

OPERATIONS = {"send": 30, "entity": 15, "media": 60, "database": 10}
CYCLE_S = 120
STALL_S = 60

operation_pairs = pytest.mark.parametrize(
    ("outer", "inner"),
    [sorted(pair, key=lambda name: -OPERATIONS[name]) for pair in combinations(OPERATIONS, 2)],
)
each_operation = pytest.mark.parametrize(("name", "limit_s"), OPERATIONS.items())


def watched_child(start: StartFunction) -> ChildSpec:
    return replace(child(start), silence=Silence(stall_after_s=STALL_S))


@operation_pairs
async def test_of_two_operations_due_together_the_inner_one_wins_and_the_outer_one_follows(
    outer: str, inner: str, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()
    story: list[tuple[str, float]] = []

    async def operate(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.deadline(outer, OPERATIONS[outer]) as outside:
            await trio.sleep(OPERATIONS[outer] - OPERATIONS[inner])
            with pulse.deadline(inner, OPERATIONS[inner]) as inside:
                await trio.sleep_forever()
            assert inside.expired
            story.append(("after the inner operation", trio.current_time() - start))
            await trio.sleep_forever()
        assert outside.expired
        story.append(("after the outer operation", trio.current_time() - start))
        pulse.expect(within_s=1000)
        await trio.sleep_forever()

    async with supervised(watched_child(operate)) as watched:
        await trio.sleep(500)
        tie_s = OPERATIONS[outer]
        assert story == [("after the inner operation", tie_s), ("after the outer operation", tie_s)]
        assert [
            (event.operation, event.at_s - start, event.cut_off)
            for event in watched.recorder.of(OperationExpired)
        ] == [
            (inner, tie_s, True),
            (outer, tie_s, True),
        ]
        assert not watched.recorder.of(ChildCancelled)


@each_operation
async def test_an_operation_due_with_its_cycle_wins_and_the_turn_may_still_end_in_time(
    name: str, limit_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(CYCLE_S):
            pulse.expect(within_s=CYCLE_S)
            await trio.sleep(CYCLE_S - limit_s)
            with pulse.deadline(name, limit_s) as deadline:
                await trio.sleep_forever()
            assert deadline.expired
        pulse.expect(within_s=1000)
        await trio.sleep_forever()

    async with supervised(watched_child(loop)) as watched:
        await trio.sleep(500)
        [expired] = watched.recorder.of(OperationExpired)
        assert (expired.operation, expired.at_s - start, expired.cut_off) == (name, CYCLE_S, True)
        assert not watched.recorder.of(ChildCancelled)


@each_operation
async def test_an_operation_due_with_its_cycle_wins_and_a_turn_that_goes_on_ends_the_child(
    name: str, limit_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(CYCLE_S):
            pulse.expect(within_s=CYCLE_S)
            await trio.sleep(CYCLE_S - limit_s)
            with pulse.deadline(name, limit_s):
                await trio.sleep_forever()
            await trio.sleep(1)

    async with supervised(watched_child(loop)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        [expired] = watched.recorder.of(OperationExpired)
        assert (expired.operation, expired.at_s - start, expired.cut_off) == (name, CYCLE_S, True)
        assert (ended.at_s - start, ended.ending.verdict) == (CYCLE_S, Verdict.DEADLINE)


@each_operation
async def test_an_operation_due_when_the_silence_limit_would_be_wins_and_silence_counts_from_its_expiry(
    name: str, limit_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()

    async def hang(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(STALL_S - limit_s)  # the last beat was at the start: 60 s later it would be silent
        with pulse.deadline(name, limit_s) as deadline:
            await trio.sleep_forever()
        assert deadline.expired
        await trio.sleep_forever()

    async with supervised(watched_child(hang)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        [expired] = watched.recorder.of(OperationExpired)
        assert (expired.operation, expired.at_s - start, expired.cut_off) == (name, STALL_S, True)
        assert (ended.at_s - start, ended.ending.verdict) == (STALL_S + STALL_S, Verdict.SILENT)


@each_operation
async def test_an_operation_that_cannot_be_cut_off_is_silent_60_s_after_its_expiry(
    name: str, limit_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    start = trio.current_time()

    async def deaf(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.deadline(name, limit_s), trio.CancelScope(shield=True):
            await trio.sleep(limit_s + STALL_S + 3)

    async with supervised(watched_child(deaf)) as watched:
        cancelled = await watched.recorder.wait_for(ChildCancelled)
        assert (cancelled.at_s - start, cancelled.verdict) == (limit_s + STALL_S, Verdict.SILENT)
        [operation] = watched.supervisor.snapshot().child("root.child").operations
        assert (operation.name, operation.remaining_s) == (name, -STALL_S)
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s - start, ended.ending.verdict) == (limit_s + STALL_S + 3, Verdict.SILENT)


async def test_a_cycle_announces_no_silence(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def hang(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(CYCLE_S):
            await trio.sleep_forever()

    async with supervised(watched_child(hang)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s - start, ended.ending.verdict) == (STALL_S, Verdict.SILENT)


async def test_a_cycle_due_with_the_silence_limit_wins_for_the_child_named_it_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def hang(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        with pulse.cycle(CYCLE_S):
            await trio.sleep(CYCLE_S - STALL_S)
            pulse.beat()
            await trio.sleep_forever()

    async with supervised(watched_child(hang)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s - start, ended.ending.verdict) == (CYCLE_S, Verdict.DEADLINE)


async def test_a_beat_at_the_very_limit_of_silence_is_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await trio.sleep(STALL_S)
            pulse.beat()

    async with supervised(watched_child(slow)) as watched:
        await trio.sleep(100 * STALL_S)
        assert not watched.recorder.of(ChildCancelled)
