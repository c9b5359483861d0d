"""How supervisors come to be: as the root of a tree, inside a child, or as a child."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import final

import trio

from tgworker.supervision._child import Child
from tgworker.supervision._crew import Tree
from tgworker.supervision._errors import Wedged
from tgworker.supervision._events import Announcer, LoopStarved, Observer
from tgworker.supervision._evidence import Dump, task_stacks
from tgworker.supervision._lag import Gauges, LagCause, ThreadGauges
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._spec import SupervisorSpec
from tgworker.supervision._starvation import Starvation
from tgworker.supervision._supervisor import CANCELLED, Supervisor


def open_supervisor(
    spec: SupervisorSpec,
    *,
    rng: Random,
    observers: Iterable[Observer] = (),
    dump: Dump | None = task_stacks,
    on_wedged: Callable[[Wedged], object] | None = None,
    gauges: Callable[[], Gauges] = ThreadGauges,
) -> AbstractAsyncContextManager[Supervisor]:
    """Run a supervisor, the root of a tree, for the length of a block.

    Entering starts the static children in their order, in the background (`Supervisor.wait_ready` waits for
    them). Leaving the block, an exception in it, or a cancellation from outside stops all children, in the
    reverse order, each within its budget; what did not stop is named in `SupervisorStopped`. If the
    supervisor shuts itself down (see `AutoShutdown`), the block is cancelled, and the code after it goes on.

    Args:
        spec: What to run.
        rng: Gives the jitter of every restart in the tree.
        observers: Told of every event in the tree, in this order.
        dump: Describes a child before it is cancelled for cause; ``None``: no evidence is collected.
        on_wedged: Called when everything has been stopped that can be, and a wedged task is left. The
            supervisor cannot return while that lives: flush what must be flushed, and end the process
            (`os._exit`).
        gauges: Makes what tells a host that did not run the process from code that blocked it (see
            ``starved_after_s`` of `SupervisorSpec`). Called in the loop's thread.

    Returns:
        An async context manager for the `Supervisor`.

    Raises:
        IntensityExceeded: Restarting did not help. The block was cancelled, all children are dead.
        Wedged: A child was wedged, and ended after all.
        KeyboardInterrupt, SystemExit: A child raised it; the block was cancelled, all children are dead.
        BaseExceptionGroup: More than one of these, or one of these and what the block raised. What the block
            alone raised passes unchanged.
    """
    announcer = Announcer(observers)

    def tell_starved(at_s: float, late_s: float, cause: LagCause) -> None:
        announcer.tell(LoopStarved(path=spec.id, at_s=at_s, late_s=late_s, cause=cause))

    starvation = Starvation(spec.starved_after_s, gauges, tell_starved)
    return _open_root(spec, Tree(rng, announcer, dump, on_wedged, starvation))


def open_nested(spec: SupervisorSpec, pulse: Pulse) -> AbstractAsyncContextManager[Supervisor]:
    """Run a supervisor inside a child, for the length of a block.

    It shares the random numbers, the observers and the dump of its tree; its path is the child's. If it
    escalates, the exception ends the child, which counts as ``raised`` at the supervisor above; a wedged
    child below wedges it. If it shuts itself down (see `AutoShutdown`), the block is cancelled, and the code
    after it goes on.

    Args:
        spec: What to run; its ``id`` has no meaning here.
        pulse: That of the child in which it runs. A child contains one supervisor at a time.

    Returns:
        An async context manager for the `Supervisor`.

    Raises:
        RuntimeError: The pulse belongs to no running child, or the child already contains a supervisor.
        SupervisorFailed: And the others, as from `open_supervisor`.
    """
    host = pulse.keeper
    if not isinstance(host, Child) or host.run is None or host.run.pulse is not pulse:
        raise RuntimeError(f"{pulse.path}: this pulse belongs to no running child")
    if host.nested is not None:
        raise RuntimeError(f"{pulse.path} already contains a supervisor")
    return _open(spec, pulse.path, host.owner.tree, host)


@final
@dataclass(frozen=True, slots=True)
class Subtree:
    """A supervisor as a child: ``ChildSpec("accounts", start=Subtree(SupervisorSpec(...)), ...)``.

    It is ready when each of its static children has been ready once: mind that in the child's
    ``start_within_s``. It returns if the supervisor shuts itself down (see `AutoShutdown`). Give the child no
    `Silence`: a supervisor never beats.

    Attributes:
        spec: What to run.
    """

    spec: SupervisorSpec

    async def __call__(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the supervisor until it is cancelled, escalates, or shuts itself down."""
        async with open_nested(self.spec, pulse) as supervisor:
            await supervisor.wait_ready()
            task_status.started()
            await trio.sleep_forever()


@asynccontextmanager
async def _open_root(spec: SupervisorSpec, tree: Tree) -> AsyncGenerator[Supervisor]:
    with tree.starvation.watching():
        async with _open(spec, spec.id, tree, None) as supervisor:
            yield supervisor


@asynccontextmanager
async def _open(
    spec: SupervisorSpec, path: str, tree: Tree, host: Child | None
) -> AsyncGenerator[Supervisor]:
    supervisor = Supervisor(spec, path, tree, host)
    if host is not None:
        host.nested = supervisor
        host.sheltering = True
    raised: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            try:
                with trio.CancelScope() as block:
                    supervisor._begin(nursery, block)
                    yield supervisor
            except BaseException as error:  # noqa: BLE001 (raised again, below)
                raised.append(error)
                cancelled = isinstance(error, trio.Cancelled)
                cause = CANCELLED if cancelled else f"its block raised {type(error).__name__}"
                supervisor._request_stop(cause)
            else:
                supervisor._request_stop("its block has ended")
    except BaseExceptionGroup as group:
        # A strict nursery wraps whatever leaves it in exactly one group: that layer is ours, and comes off
        # again.
        raised.extend(group.exceptions)
    finally:
        if host is not None:
            host.nested = None
            host.sheltering = False
    raised.extend(supervisor._raised())
    if raised:
        raise _as_one(path, raised)


def _as_one(path: str, raised: list[BaseException]) -> BaseException:
    # A cancellation from outside reaches the block and the supervisor's own task: one Cancelled says it all.
    # Beside an error it says nothing: the error unwinds the stack as well, and the cancelled scope stays
    # cancelled.
    errors = [error for error in raised if not isinstance(error, trio.Cancelled)] or raised[:1]
    if len(errors) == 1:
        return errors[0]
    return BaseExceptionGroup(f"supervisor {path}", errors)
