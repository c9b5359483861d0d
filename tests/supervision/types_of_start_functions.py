"""Read by type checkers only: what may be a child, and what may not.

Each line that must be refused carries an ignore comment for each checker. Both report an ignore comment that
silences nothing, so a line that one of them accepts fails `scripts/check`.
"""

from functools import partial
from typing import NoReturn

import anyio.abc
import trio

import tgworker.messaging.ports as messaging
from tgworker.supervision import Canary, ChildSpec, Pulse, StartFunction, Subtree, SupervisorSpec
from tgworker.supervision.systemd import NotifySystemd, Systemd
from tgworker.supervision.testing import Raises, Saboteur, ScriptedChild

# ---------------------------------------------------------------- what fits


async def plain(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


async def with_defaults(
    pulse: Pulse, limit: int = 3, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    task_status.started()


async def by_any_name(handle: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


async def content_with_less(pulse: object, *, task_status: object) -> None:
    await trio.sleep_forever()


async def written_with_anyio(pulse: Pulse, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    task_status.started()


async def written_for_the_messaging_room(
    pulse: messaging.Pulse, *, task_status: trio.TaskStatus[None]
) -> None:
    with pulse.deadline("x", 1):
        task_status.started()


async def with_arguments(limit: int, name: str, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


class Service:
    """Methods and instances may be children, too."""

    async def run(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()

    async def __call__(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()


async def never_returns(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> NoReturn:
    await trio.sleep_forever()


FITTING: tuple[StartFunction, ...] = (
    plain,
    with_defaults,
    by_any_name,
    content_with_less,
    written_with_anyio,
    written_for_the_messaging_room,
    partial(with_arguments, 3, "x"),
    Service(),
    Service().run,
    never_returns,
    Canary(),
    NotifySystemd(Systemd(), critical=("root.x",)),
    ScriptedChild(Raises(OSError())),
    Subtree(SupervisorSpec()),
    Saboteur().wrap(ChildSpec("victim", start=plain)).start,
)

# ---------------------------------------------------------------- what does not


async def without_task_status(pulse: Pulse) -> None:
    await trio.sleep_forever()


async def ready_with_a_value(pulse: Pulse, *, task_status: trio.TaskStatus[int]) -> None:
    task_status.started(8080)


async def without_pulse(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


async def wants_more(pulse: Pulse, limit: int, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


async def task_status_by_another_name(pulse: Pulse, *, status: trio.TaskStatus[None]) -> None:
    status.started()


def not_async(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


async def returns_something(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> int:
    task_status.started()
    return 3


async def for_another_library(pulse: str, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()


ChildSpec("x", start=without_task_status)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=ready_with_a_value)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=without_pulse)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=wants_more)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=task_status_by_another_name)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=not_async)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=returns_something)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=for_another_library)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=with_arguments)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=partial(with_arguments, "3", "x"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=Service)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=Service.run)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=Canary)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=SupervisorSpec())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=trio.sleep_forever)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", start=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def calls_instead_of_naming(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    running = plain(pulse, task_status=task_status)
    ChildSpec("x", start=running)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await running


async def ready_with_what_nobody_wants(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started(8080)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
