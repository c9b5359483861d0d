"""Children written for anyio, or hosting asyncio, run unchanged: cancelled, timed, restarted like others."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import pytest
import trio
import trio.testing
import trio_asyncio  # type: ignore[import-untyped,unused-ignore] # has no types

from supervision.supervision_helpers import child, supervised
from tgworker.supervision import (
    ChildEnded,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildWedged,
    OperationExpired,
    Pulse,
    Silence,
    StartFunction,
    Supervisor,
    SupervisorSpec,
    SupervisorStopped,
    Verdict,
    Wedged,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Raises, Runs, ScriptedChild

Work = Callable[[Pulse], Awaitable[object]]


def anyio_child(work: Work, name: str = "child") -> ChildSpec:
    """A child that says that it is ready by anyio's task status, then works."""

    async def start(
        pulse: Pulse, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        await anyio.lowlevel.checkpoint()
        task_status.started()
        await work(pulse)

    return child(start, name)


# ---------------------------------------------------------------- anyio


async def test_a_task_group_is_cancelled_as_a_whole_and_its_tasks_may_tidy_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    tidied: list[tuple[str, float]] = []

    async def task(name: str, takes_s: float) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(takes_s)
            tidied.append((name, trio.current_time() - start))
            raise

    async def work(pulse: Pulse) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(task, "quick", 1)
            group.start_soon(task, "slow", 4)

    async with supervised(anyio_child(work)) as watched:
        await trio.sleep(10)
    assert tidied == [("quick", 11), ("slow", 14)]
    [ended] = watched.recorder.of(ChildEnded)
    assert (ended.at_s, ended.ending.verdict) == (start + 14, Verdict.STOPPED)


async def test_an_error_in_a_task_group_ends_the_incarnation_and_names_the_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail() -> None:
        await anyio.sleep(3)
        raise OSError("line broke")

    async def work(pulse: Pulse) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            group.start_soon(anyio.sleep_forever)

    async with supervised(anyio_child(work)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.ending.verdict, ended.ending.cause) == (Verdict.RAISED, "OSError: line broke")
        assert isinstance(ended.error, ExceptionGroup)
        await watched.recorder.wait_for(ChildReady, count=2)


async def test_a_timeout_of_anyio_is_an_error_of_the_child(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def work(pulse: Pulse) -> None:
        with anyio.fail_after(7):
            await anyio.sleep_forever()

    async with supervised(anyio_child(work)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.verdict) == (start + 7, Verdict.RAISED)
        assert isinstance(ended.error, TimeoutError)
        assert not watched.recorder.of(OperationExpired), "it was nobody's pulse"


@pytest.mark.parametrize(
    ("pulse_s", "anyio_s", "expired", "cancelled", "after"),
    [
        pytest.param(5, 10, True, False, 5, id="the pulse's deadline is first"),
        pytest.param(10, 5, False, True, 5, id="anyio's is first"),
        pytest.param(5, 5, True, True, 5, id="a tie: the innermost goes first, then the outer one"),
    ],
)
async def test_a_pulses_deadline_within_a_scope_of_anyio(
    pulse_s: float,
    anyio_s: float,
    expired: bool,
    cancelled: bool,
    after: float,
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[tuple[bool, bool, float]] = []

    async def work(pulse: Pulse) -> None:
        start = anyio.current_time()
        deadline = pulse.deadline("work", pulse_s)
        with anyio.move_on_after(anyio_s) as scope:
            with deadline:
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
        seen.append((deadline.expired, scope.cancelled_caught, anyio.current_time() - start))
        await anyio.sleep_forever()

    async with supervised(anyio_child(work)) as watched:
        await trio.sleep(20)
        assert len(watched.recorder.of(OperationExpired)) == int(expired)
    assert seen == [(expired, cancelled, after)]


@pytest.mark.parametrize(
    ("pulse_s", "anyio_s", "expired", "timeouts"),
    [
        pytest.param(5, 10, True, [], id="the pulse's deadline is first"),
        pytest.param(10, 5, False, [5], id="anyio's is first"),
    ],
)
async def test_a_timeout_of_anyio_within_a_pulses_deadline(
    pulse_s: float,
    anyio_s: float,
    expired: bool,
    timeouts: list[float],
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[float] = []
    ends: list[bool] = []

    async def work(pulse: Pulse) -> None:
        start = anyio.current_time()
        with pulse.deadline("work", pulse_s) as deadline:
            try:
                with anyio.fail_after(anyio_s):
                    await anyio.sleep_forever()
            except TimeoutError:
                seen.append(anyio.current_time() - start)
        ends.append(deadline.expired)
        await anyio.sleep_forever()

    async with supervised(anyio_child(work)):
        await trio.sleep(20)
    assert seen == timeouts
    assert ends == [expired]


async def test_a_child_that_shields_itself_with_anyio_for_too_long_is_wedged_and_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    release = trio.Event()
    recorder = EventRecorder()

    async def work(pulse: Pulse) -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    async def serve() -> None:
        async with supervised(anyio_child(work, "deaf"), recorder=recorder):
            await trio.sleep(10)

    async def expect_failure() -> None:
        with pytest.raises(Wedged, match=r"root\.deaf is wedged"):
            await serve()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_failure)
        try:
            stopped = await recorder.wait_for(SupervisorStopped)
            assert (stopped.at_s, stopped.orphans) == (start + 15, ("root.deaf",))
        finally:
            release.set()


async def test_children_may_talk_through_anyios_streams_and_limiters(
    autojump_clock: trio.testing.MockClock,
) -> None:
    got: list[int] = []
    send, receive = anyio.create_memory_object_stream[int](0)
    limiter = anyio.CapacityLimiter(1)

    async def produce(pulse: Pulse) -> None:
        for number in range(5):
            async with limiter:
                await anyio.sleep(1)
            await send.send(10 * pulse.incarnation + number)
            pulse.beat()
            if number == 2 and pulse.incarnation == 1:
                raise OSError

    async def consume(pulse: Pulse) -> None:
        async for number in receive:
            got.append(number)
            pulse.beat()

    watchful = Silence(stall_after_s=60)
    async with (
        send,
        receive,
        supervised(
            replace(anyio_child(consume, "consumer"), silence=None),
            replace(anyio_child(produce, "producer"), silence=watchful),
        ) as watched,
    ):
        await watched.recorder.wait_for(ChildReady, "root.producer", count=3)
    assert got == [10, 11, 12, 20, 21, 22, 23, 24]


async def test_a_child_may_start_tasks_that_report_their_readiness_by_anyio(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def listener(*, task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
        await anyio.sleep(4)
        task_status.started(8080)
        await anyio.sleep_forever()

    async def server(pulse: Pulse, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with anyio.create_task_group() as group:
            assert await group.start(listener) == 8080
            task_status.started()

    async with supervised(child(server)) as watched:
        await watched.supervisor.wait_ready()
        assert trio.current_time() == start + 4


def test_a_whole_service_may_be_started_by_anyio() -> None:
    recorder = EventRecorder()

    async def main() -> float:
        spec = SupervisorSpec(children=(child(ScriptedChild(Raises(OSError(), after_s=5), Runs(60))),))
        with anyio.move_on_after(3_600):
            async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,)):
                await anyio.sleep_forever()
        return anyio.current_time()

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert anyio.run(main, backend="trio", backend_options={"clock": clock}) == 3_600
    assert len(recorder.of(ChildStarting)) == 2
    assert recorder.of(SupervisorStopped)[0].orphans == ()


def test_a_tree_may_live_in_a_thread_of_its_own_behind_anyios_portal() -> None:
    # Real time, for threads wait for each other: no second passes.
    recorder = EventRecorder()
    spec = SupervisorSpec(children=(child(ScriptedChild(Runs())),))

    def open_tree() -> AbstractAsyncContextManager[Supervisor]:
        return open_supervisor(spec, rng=random.Random(1), observers=(recorder,))

    with (
        anyio.from_thread.start_blocking_portal(backend="trio") as portal,
        portal.wrap_async_context_manager(portal.call(open_tree)) as supervisor,
    ):
        portal.call(supervisor.wait_ready)
        assert portal.call(supervisor.snapshot).child("root.child").alive
    assert [event.ending.verdict for event in recorder.of(ChildEnded)] == [Verdict.STOPPED]


# ---------------------------------------------------------------- asyncio, hosted by trio-asyncio


def hosting(work: Callable[[], Awaitable[object]], name: str = "child") -> ChildSpec:
    """A child with an asyncio loop of its own, in which an asyncio-flavoured function works."""

    async def start(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio_asyncio.open_loop():
            task_status.started()
            await trio_asyncio.aio_as_trio(work)()

    return child(start, name)


async def test_asyncio_code_is_cancelled_in_its_own_way_and_may_take_its_time_within_the_budget(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    seen: list[tuple[str, float]] = []

    async def work_aio() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1_000))
                group.create_task(asyncio.sleep(1_000))
        except asyncio.CancelledError:
            seen.append(("cancelled", trio.current_time() - start))
            await asyncio.sleep(3)
            seen.append(("tidied", trio.current_time() - start))
            raise

    async with supervised(hosting(work_aio)) as watched:
        await trio.sleep(10)
    assert seen == [("cancelled", 10), ("tidied", 13)]
    [ended] = watched.recorder.of(ChildEnded)
    assert (ended.at_s, ended.ending.verdict) == (start + 13, Verdict.STOPPED)


async def test_asyncio_code_that_swallows_its_cancellation_is_wedged_and_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    release = trio.Event()
    recorder = EventRecorder()

    async def stubborn_aio() -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    async def serve() -> None:
        async with supervised(
            replace(hosting(stubborn_aio, "stubborn"), silence=Silence(60)), recorder=recorder
        ):
            await trio.sleep_forever()

    async def expect_failure() -> None:
        with pytest.raises(Wedged, match=r"root\.stubborn is wedged"):
            await serve()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_failure)
        try:
            wedged = await recorder.wait_for(ChildWedged)
            assert wedged.at_s == start + 65
            stopped = await recorder.wait_for(SupervisorStopped)
            assert stopped.orphans == ("root.stubborn",)
            await trio.sleep(1_000)
            assert len(recorder.of(ChildStarting)) == 1, "no second one beside it"
        finally:
            release.set()


async def test_a_timeout_of_asyncio_is_an_error_of_the_child(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()

    async def work_aio() -> None:
        async with asyncio.timeout(7):
            await asyncio.sleep(1_000)

    async with supervised(hosting(work_aio)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.verdict) == (start + 7, Verdict.RAISED)
        assert "TimeoutError" in ended.ending.cause


async def test_a_loop_that_is_brought_down_by_a_stray_callback_takes_no_siblings_loop_with_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def bring_down_aio() -> None:
        def fail() -> None:
            raise OSError("callback")

        asyncio.get_running_loop().call_later(5, fail)
        await asyncio.sleep(1_000)

    turns: list[int] = []

    async def work_aio() -> None:
        for turn in range(1_000):
            turns.append(turn)
            await asyncio.sleep(1)

    async with supervised(hosting(bring_down_aio, "fragile"), hosting(work_aio, "sound")) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.path, ended.ending.verdict) == ("root.fragile", Verdict.RAISED)
        assert "OSError: callback" in ended.ending.cause
        await watched.recorder.wait_for(ChildReady, "root.fragile", count=2)
        await trio.sleep(2)
        assert turns == list(range(len(turns)))
        assert len(turns) >= 7
        assert len(watched.recorder.of(ChildStarting, "root.sound")) == 1


async def test_anyio_asyncio_and_trio_children_stop_in_the_reverse_order_under_one_supervisor(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()

    async def linger_anyio(pulse: Pulse) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)

    async def linger_aio() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(2)

    async def linger_trio(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    plain: StartFunction = linger_trio
    async with supervised(
        anyio_child(linger_anyio, "anyio"), hosting(linger_aio, "asyncio"), child(plain, "trio")
    ) as watched:
        await watched.supervisor.wait_ready()
    assert [(event.path, event.at_s - start) for event in watched.recorder.of(ChildEnded)] == [
        ("root.trio", 3),
        ("root.asyncio", 5),
        ("root.anyio", 6),
    ]
