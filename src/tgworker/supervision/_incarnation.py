"""One incarnation, from its first step to the record of its end."""

from collections.abc import Callable
from typing import final

import trio

from tgworker.supervision._child import Child, ChildState, Run
from tgworker.supervision._evidence import one_line, stack_of
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._spec import StartFunction
from tgworker.supervision._verdicts import Ending, Verdict


async def live(start: StartFunction, run: Run, ready: Callable[[], None]) -> BaseException | None:
    """Run ``start`` until it is dead, inside the scope by which it can be cancelled.

    Args:
        start: What to run.
        run: The incarnation.
        ready: Called when it says that it is ready.

    Returns:
        What it raised, whatever that is; ``None`` if it returned or gave way to the cancellation.
    """
    try:
        with run.scope:
            await _unprotected(start, run.pulse, Readiness(ready))
    except BaseException as raised:  # noqa: BLE001 (becomes a verdict; the supervisor raises fatal ones again)
        return raised
    return None


@final
class Readiness(trio.TaskStatus[None]):
    """The ``task_status`` of an incarnation."""

    __slots__ = ("_ready",)

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready: Callable[[], None] | None = ready

    def started(self, value: None = None) -> None:  # noqa: ARG002 (trio's protocol)
        if self._ready is None:
            raise RuntimeError("called 'started' twice on the same task status")
        ready, self._ready = self._ready, None
        ready()


@trio.lowlevel.disable_ki_protection
async def _unprotected(start: StartFunction, pulse: Pulse, task_status: trio.TaskStatus[None]) -> None:
    # A child is the user's code, in which Ctrl-C may strike as anywhere else.
    await start(pulse, task_status=task_status)


def ending_of(child: Child, run: Run, error: BaseException | None, now_s: float) -> Ending:
    """The record of how ``run`` ended, having raised ``error`` (or nothing)."""
    evidence: str | None = None
    if child.state is ChildState.WEDGED:
        assert child.last is not None
        verdict, cause, evidence = Verdict.WEDGED, child.last.cause, child.last.evidence
    elif run.kill is not None:
        verdict, cause, evidence = run.kill.verdict, run.kill.cause, run.kill.evidence
        if error is not None:
            cause = f"{cause}; while it was being cancelled it raised {one_line(error)}"
    elif error is not None:
        verdict, cause = Verdict.RAISED, one_line(error)
    else:
        verdict, cause = Verdict.RETURNED, "returned"
    stack = stack_of(error) if error is not None else None
    return Ending(verdict, cause, run.number, run.started_at_s, now_s, evidence=evidence, stack=stack)
