"""Read by mypy and pyright only: the library's types, as its users meet them."""

import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import assert_type

import trio

import tgworker.messaging.ports as messaging
from tgworker.supervision import (
    ChildEnded,
    ChildSpec,
    Deadline,
    Event,
    Pulse,
    Restart,
    Snapshot,
    StartFunction,
    Subtree,
    Supervisor,
    SupervisorFailed,
    SupervisorSpec,
    Verdict,
    open_nested,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Raises, Saboteur, ScriptedChild


def the_pulse_is_what_the_messaging_room_asks_for(pulse: Pulse) -> messaging.Pulse:
    return pulse


def so_is_the_deadline(deadline: Deadline) -> messaging.Deadline:
    return deadline


def a_deadline_is_its_own_context_manager(pulse: Pulse) -> AbstractContextManager[messaging.Deadline]:
    return pulse.deadline("telegram.send", 30)


def a_cycle_is_a_context_manager(pulse: Pulse) -> AbstractContextManager[None]:
    return pulse.cycle(120)


async def written_for_the_messaging_room(
    pulse: messaging.Pulse, *, task_status: trio.TaskStatus[None]
) -> None:
    with pulse.deadline("x", 1) as deadline:
        task_status.started()
    assert_type(deadline.expired, bool)


async def with_arguments(limit: int, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    with pulse.deadline("x", limit) as deadline:
        task_status.started()
    assert_type(deadline, Deadline)


async def without_readiness(pulse: Pulse) -> None:
    pulse.beat()


async def blocking_is_no_child(pulse: Pulse, *, task_status: trio.TaskStatus[int]) -> None:
    task_status.started(1)


start: StartFunction = written_for_the_messaging_room
children = (
    ChildSpec("loop", start=written_for_the_messaging_room),
    ChildSpec("partial", start=partial(with_arguments, 3), restart=Restart.TRANSIENT),
    ChildSpec("scripted", start=ScriptedChild(Raises(OSError()))),
    ChildSpec("tree", start=Subtree(SupervisorSpec())),
    Saboteur().wrap(ChildSpec("victim", start=start)),
)
ChildSpec("wrong", start=without_readiness)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # must fail
ChildSpec("wrong", start=blocking_is_no_child)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # must fail


def observer(event: Event) -> None:
    if isinstance(event, ChildEnded):
        assert_type(event.ending.verdict, Verdict)


async def root() -> None:
    recorder = EventRecorder()
    async with open_supervisor(
        SupervisorSpec(children=children), rng=random.Random(1), observers=[observer, recorder]
    ) as supervisor:
        assert_type(supervisor, Supervisor)
        assert_type(supervisor.snapshot(), Snapshot)
        assert_type(await supervisor.wait_failed(), SupervisorFailed)
        assert_type(await recorder.wait_for(ChildEnded), ChildEnded)


def nested(pulse: Pulse) -> AbstractAsyncContextManager[Supervisor]:
    return open_nested(SupervisorSpec(), pulse)


async def every_verdict_can_be_matched(verdict: Verdict) -> AsyncGenerator[str]:
    match verdict:
        case Verdict.RETURNED | Verdict.RAISED | Verdict.DEADLINE | Verdict.SILENT:
            yield "it ended"
        case Verdict.WEDGED | Verdict.START_TIMEOUT | Verdict.STOPPED:
            yield "it was ended"
