"""Operations, cycles and beats, as the code of a child uses them."""

import math

import pytest
import trio

from supervision.supervision_helpers import child, delays, supervised
from tgworker.supervision import ChildEnded, ChildReady, Event, OperationExpired, Pulse, Verdict
from tgworker.supervision.testing import lone_pulse


async def test_an_expired_operation_raises_nothing_and_is_an_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[Event] = []
    pulse = lone_pulse("root.outbound", events.append)
    start = trio.current_time()
    with pulse.deadline("telegram.send", 30) as deadline:
        await trio.sleep_forever()
    assert trio.current_time() == start + 30
    assert deadline.expired
    assert events == [
        OperationExpired(
            path="root.outbound",
            at_s=start + 30,
            incarnation=1,
            operation="telegram.send",
            limit_s=30,
            elapsed_s=30,
            cut_off=True,
        )
    ]


async def test_an_operation_that_ends_in_time_is_no_event(autojump_clock: trio.testing.MockClock) -> None:
    events: list[Event] = []
    with lone_pulse(observer=events.append).deadline("telegram.send", 30) as deadline:
        await trio.sleep(29.9)
    assert not deadline.expired
    await trio.sleep(100)
    assert not deadline.expired
    assert events == []


async def test_an_operation_that_raises_at_its_deadline_raises(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[Event] = []
    deadline = lone_pulse(observer=events.append).deadline("telegram.send", 30)

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), deadline:
        await fail_when_cancelled()
    assert not deadline.expired
    [event] = events
    assert isinstance(event, OperationExpired)
    assert not event.cut_off


async def test_an_operation_that_swallows_its_cancellation_is_reported_as_late_not_as_cut_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[Event] = []
    deadline = lone_pulse(observer=events.append).deadline("stubborn", 30)
    with deadline, trio.CancelScope(shield=True):
        await trio.sleep(45)
    assert not deadline.expired
    [event] = events
    assert isinstance(event, OperationExpired)
    assert (event.elapsed_s, event.cut_off) == (45, False)


async def test_an_operation_inside_a_nursery_that_fails_too_loses_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("late")

    with pytest.RaisesGroup(ValueError), lone_pulse().deadline("both", 30) as deadline:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail_late)
    assert deadline.expired


async def test_several_operations_may_be_open_at_once_in_several_tasks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[Event] = []
    pulse = lone_pulse(observer=events.append)

    async def operate(name: str, limit_s: float, takes_s: float) -> None:
        with pulse.deadline(name, limit_s) as deadline:
            await trio.sleep(takes_s)
        assert deadline.expired is (takes_s > limit_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operate, "short", 10, 99)
        nursery.start_soon(operate, "long", 30, 99)
        nursery.start_soon(operate, "quick", 30, 5)
        await trio.sleep(7)
        assert {operation.operation for operation in pulse.open} == {"short", "long"}
    assert [event.operation for event in events if isinstance(event, OperationExpired)] == ["short", "long"]
    assert not pulse.open


async def test_only_the_inner_operation_expires_when_it_is_due_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulse = lone_pulse()
    start = trio.current_time()
    inner = pulse.deadline("inner", 10)
    inner = pulse.deadline("inner", 10)
    with pulse.deadline("outer", 30) as outer:
        with inner:
            await trio.sleep_forever()
        assert trio.current_time() == start + 10
        await trio.sleep(5)
    assert (outer.expired, inner.expired) == (False, True)


async def test_an_outer_operation_that_is_due_first_ends_the_inner_one_without_its_expiring(
    autojump_clock: trio.testing.MockClock,
) -> None:
    events: list[Event] = []
    pulse = lone_pulse(observer=events.append)
    inner = pulse.deadline("inner", 30)
    with pulse.deadline("outer", 10) as outer, inner:
        await trio.sleep_forever()
    assert (outer.expired, inner.expired) == (True, False)
    assert [event.operation for event in events if isinstance(event, OperationExpired)] == ["outer"]


async def test_an_operation_whose_outer_one_was_cut_off_earlier_does_not_claim_the_expiry(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulse = lone_pulse()
    start = trio.current_time()
    went_on = False
    inner = pulse.deadline("inner", 20)
    with pulse.deadline("outer", 10) as outer:
        with inner:
            with trio.CancelScope(shield=True):
                await trio.sleep(25)  # a slow clean-up, after which both are late
            await trio.sleep_forever()
        went_on = True
    assert trio.current_time() == start + 25
    assert (outer.expired, inner.expired) == (True, False)
    assert not went_on


async def test_a_cancellation_from_outside_is_no_expiry(autojump_clock: trio.testing.MockClock) -> None:
    events: list[Event] = []
    deadline = lone_pulse(observer=events.append).deadline("inside", 30)
    with trio.move_on_after(5) as outside, deadline:
        await trio.sleep_forever()
    assert outside.cancelled_caught
    assert not deadline.expired
    assert events == []


async def test_progress_extends_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    pulse = lone_pulse()
    start = trio.current_time()
    with pulse.deadline("media", 60) as deadline:
        for _ in range(5):
            await trio.sleep(59)
            deadline.extend()
        assert pulse.beat_at_s == start + 5 * 59
        deadline.extend(10)
        assert deadline.expires_at_s == start + 5 * 59 + 10
        await trio.sleep_forever()
    assert deadline.expired
    assert trio.current_time() == start + 5 * 59 + 10


async def test_a_deadline_without_a_limit_never_expires(autojump_clock: trio.testing.MockClock) -> None:
    with lone_pulse().deadline("download", math.inf) as deadline:
        await trio.sleep(80_000)
    assert not deadline.expired


async def test_a_deadline_of_zero_ends_the_block_at_its_first_checkpoint(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with lone_pulse().deadline("impossible", 0) as deadline:
        await trio.sleep(1)
    assert deadline.expired


async def test_a_deadline_is_entered_once(autojump_clock: trio.testing.MockClock) -> None:
    deadline = lone_pulse().deadline("once", 1)
    with deadline:
        pass
    with pytest.raises(RuntimeError, match="single 'with' block"), deadline:
        pass


async def test_opening_and_closing_operations_and_cycles_are_signs_of_life(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulse = lone_pulse()
    start = trio.current_time()
    await trio.sleep(1)
    with pulse.deadline("op", 30):
        assert pulse.beat_at_s == start + 1
        await trio.sleep(1)
    assert pulse.beat_at_s == start + 2
    await trio.sleep(1)
    with pulse.cycle(120):
        assert pulse.beat_at_s == start + 3
        await trio.sleep(1)
    assert pulse.beat_at_s == start + 4
    await trio.sleep(1)
    pulse.beat()
    assert pulse.beat_at_s == start + 5


# ---------------------------------------------------------------- cycles


async def test_a_cycle_that_takes_too_long_ends_the_child_with_the_verdict_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        for turn in range(1, 100):
            with pulse.cycle(120):
                await trio.sleep(turn * 40)

    async with supervised(child(loop)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.at_s == start + 40 + 80 + 120 + 120
        assert ended.ending.verdict is Verdict.DEADLINE
        assert ended.ending.cause == "a cycle took longer than 120 s"
        assert ended.ending.evidence is not None
        assert "loop" in ended.ending.evidence
        assert (await watched.recorder.wait_for(ChildReady, count=2)).at_s == ended.at_s + delays(0.5)[0]


async def test_a_cycle_is_over_even_if_the_code_in_it_catches_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def loop(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            try:
                with pulse.cycle(120):
                    while True:
                        with pulse.deadline("poll", 10):  # beats all the time, and never gets anywhere
                            await trio.sleep_forever()
            except Exception:  # noqa: BLE001 (what a careless loop does)
                pass

    async with supervised(child(loop)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.verdict) == (start + 120, Verdict.DEADLINE)


async def test_the_cycle_of_any_of_several_tasks_counts(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def turn(pulse: Pulse, limit_s: float, takes_s: float) -> None:
        with pulse.cycle(limit_s):
            await trio.sleep(takes_s)

    async def both(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn, pulse, 200, 150)
            nursery.start_soon(turn, pulse, 100, 101)

    async with supervised(child(both)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.cause) == (start + 100, "a cycle took longer than 100 s")


async def test_the_pulse_of_a_dead_incarnation_is_harmless(autojump_clock: trio.testing.MockClock) -> None:
    pulses: list[Pulse] = []

    async def crash_once(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        pulses.append(pulse)
        if pulse.incarnation == 1:
            raise OSError
        await trio.sleep_forever()

    async with supervised(child(crash_once)) as watched:
        await watched.recorder.wait_for(ChildReady, count=2)
        await trio.sleep(50)
        pulses[0].beat()
        with pulses[0].cycle(1):
            await trio.sleep(10)
        assert watched.supervisor.snapshot().child("root.child").beat_age_s == 60
        assert len(watched.recorder.of(ChildEnded)) == 1
