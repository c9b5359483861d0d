"""Children written for anyio or hosting an asyncio loop run unchanged; context variables stay in order."""

import asyncio
import contextvars
from dataclasses import replace

import anyio
import anyio.abc
import trio
import trio_asyncio  # type: ignore[import-untyped,unused-ignore] # has no types

from supervision.supervision_helpers import child, supervised
from tgworker.supervision import ChildEnded, ChildReady, OperationExpired, Pulse, Silence, Verdict
from tgworker.supervision.testing import Raises, ScriptedChild


async def test_a_child_written_with_anyio_runs_unchanged(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    cancelled: list[float] = []

    async def work(name: str) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append(trio.current_time())
            raise

    async def anyio_child(pulse: Pulse, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work, "one")
            task_status.started()
            with pulse.deadline("outer", 10) as outer, anyio.move_on_after(20):
                await anyio.sleep(30)
            assert outer.expired
            await anyio.sleep_forever()

    async with supervised(replace(child(anyio_child), silence=Silence(60))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.verdict is Verdict.SILENT
        assert ended.at_s == start + 70
        assert cancelled == [start + 70]
        [expired] = watched.recorder.of(OperationExpired)
        assert expired.at_s == start + 10
        await watched.recorder.wait_for(ChildReady, count=2)


async def test_each_incarnation_may_host_an_asyncio_loop_of_its_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    loops: list[object] = []
    tidied: list[int] = []

    async def hang_aio(number: int) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            tidied.append(number)

    async def hosting(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio_asyncio.open_loop() as loop:
            loops.append(loop)
            task_status.started()
            with pulse.deadline("aio", 20) as deadline:
                await trio_asyncio.aio_as_trio(hang_aio)(pulse.incarnation)
            assert deadline.expired
            await trio_asyncio.aio_as_trio(hang_aio)(pulse.incarnation + 100)

    async with supervised(replace(child(hosting), silence=Silence(60))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert (ended.at_s, ended.ending.verdict) == (start + 80, Verdict.SILENT)
        await watched.recorder.wait_for(ChildReady, count=2)
        assert tidied == [1, 101]
        assert loops[0] is not loops[1]
    assert tidied == [1, 101, 2]


async def test_an_asyncio_failure_is_a_failure_of_the_child(autojump_clock: trio.testing.MockClock) -> None:
    async def fail_aio() -> None:
        await asyncio.sleep(5)
        raise OSError("aio")

    async def hosting(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio_asyncio.open_loop():
            task_status.started()
            await trio_asyncio.aio_as_trio(fail_aio)()

    async with supervised(child(hosting)) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
        assert ended.ending.verdict is Verdict.RAISED
        assert "OSError: aio" in ended.ending.cause


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


async def test_every_incarnation_starts_in_the_context_in_which_its_child_was_added(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[str] = []

    async def looks(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        seen.append(WHO.get())
        WHO.set("incarnation")
        task_status.started()
        if pulse.incarnation < 3:
            raise OSError
        await trio.sleep_forever()

    async with supervised() as watched:
        token = WHO.set("adder")
        watched.supervisor.start_child(child(looks))
        WHO.reset(token)
        await watched.recorder.wait_for(ChildReady, count=3)
    assert seen == ["adder", "adder", "adder"]


async def test_each_incarnation_is_a_task_of_its_own_named_after_its_path(
    autojump_clock: trio.testing.MockClock,
) -> None:
    tasks: list[trio.lowlevel.Task] = []

    async def notes(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        tasks.append(trio.lowlevel.current_task())
        await ScriptedChild(Raises(OSError()))(pulse, task_status=task_status)

    async with supervised(child(notes)) as watched:
        await watched.recorder.wait_for(ChildEnded, count=3)
    assert len(set(map(id, tasks))) == len(tasks) == 3
    assert {task.name for task in tasks} == {"root.child"}
