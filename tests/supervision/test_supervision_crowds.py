"""Thousands of children: what each costs does not depend on how many there are.

Counted in calls of Python functions, not in time: exact on any machine. (`scripts/bench` measures the time.)
"""

import gc
import random
import sys
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tgworker.supervision import (
    ChildSpec,
    Pulse,
    Silence,
    StopOrder,
    Strategy,
    SupervisorSpec,
    open_supervisor,
)


async def idle(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


def children(number: int) -> list[ChildSpec]:
    return [ChildSpec(f"c{n}", idle, silence=Silence(60)) for n in range(number)]


async def one_after_the_other(number: int) -> None:
    async with open_supervisor(
        SupervisorSpec(children=tuple(children(number))), rng=random.Random(0)
    ) as supervisor:
        await supervisor.wait_ready()


async def together(number: int) -> None:
    spec = SupervisorSpec(children=tuple(children(number)), stop=StopOrder.TOGETHER)
    async with open_supervisor(spec, rng=random.Random(0)) as supervisor:
        await supervisor.wait_ready()


async def as_a_group(number: int) -> None:
    spec = SupervisorSpec(children=tuple(children(number)), strategy=Strategy.ONE_FOR_ALL)
    async with open_supervisor(spec, rng=random.Random(0)) as supervisor:
        await supervisor.wait_ready()


async def added_and_removed_at_run_time(number: int) -> None:
    async with open_supervisor(SupervisorSpec(), rng=random.Random(0)) as supervisor:
        for spec in children(number):
            supervisor.start_child(spec)
        await trio.testing.wait_all_tasks_blocked()
        for spec in children(number):
            await supervisor.stop_child(spec.id)


async def calls_of(work: Callable[[int], Awaitable[None]], number: int) -> int:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    gc.disable()  # what finalizers do belongs to other tests
    sys.setprofile(count)
    try:
        await work(number)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.mark.parametrize("work", [one_after_the_other, together, as_a_group, added_and_removed_at_run_time])
async def test_starting_and_stopping_is_linear_in_the_number_of_children(
    work: Callable[[int], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    await work(10)  # imports and caches
    few, some, many = [await calls_of(work, number) for number in (100, 200, 400)]
    of_hundred, of_two_hundred = some - few, many - some
    assert of_two_hundred == pytest.approx(2 * of_hundred, rel=0.02)
