"""The task that looks after the living, and starts what is due."""

from typing import assert_never, final

import trio

from tgworker.supervision._child import Child, ChildState, Run
from tgworker.supervision._crew import Crew
from tgworker.supervision._events import ChildQuiet
from tgworker.supervision._verdicts import Verdict
from tgworker.supervision._watchdog import CycleTooLong, NotReady, Quiet, Silent, dead_by_s, judge


@final
class Timekeeper:
    """Does for one crew whatever is due, at the moment it is."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        # Shielded: budgets must be watched while the supervisor is being cancelled.
        self._scope = trio.CancelScope(shield=True)

    def cancel(self) -> None:
        """Nothing more will be due."""
        self._scope.cancel(reason=f"{self._crew.path} has stopped")

    @trio.lowlevel.enable_ki_protection
    async def keep_time(self) -> None:
        """Run until `cancel`."""
        crew = self._crew
        with self._scope:
            while True:
                await crew.alarm.wait()
                # Whatever else wakes up at the same instant goes first, so that ties go to the child: an
                # operation that expires when its cycle does, a beat or a death at the last moment.
                await trio.lowlevel.checkpoint()
                starvation = crew.tree.starvation
                starvation.overslept(crew.alarm.due_s)
                now_s = starvation.turn_began_s
                for child in crew.alarm.take_due(now_s):
                    self._attend(child, now_s)
                    crew.rearm(child)

    def _attend(self, child: Child, now_s: float) -> None:
        run = child.run
        match child.state:
            case ChildState.BACKING_OFF:
                if child.restart_at_s <= now_s and not self._crew.closing:
                    self._crew.backoff_is_over(child)
            case ChildState.STARTING | ChildState.READY:
                assert run is not None
                self._look_at(child, run, now_s)
            case ChildState.STOPPING:
                assert run is not None
                assert run.kill is not None
                by_s = dead_by_s(run.kill, child.spec, self._crew.tree.starvation.lost_s)
                if by_s <= now_s and not child.sheltering:
                    budget_s = child.spec.stop_within_s
                    self._crew.reaper.wedge(
                        child, run, f"did not end within {budget_s:g} s ({run.kill.cause})"
                    )
            case ChildState.WAITING | ChildState.WEDGED | ChildState.STOPPED:
                pass  # nothing can be due
            case _:
                assert_never(child.state)

    def _look_at(self, child: Child, run: Run, now_s: float) -> None:
        crew = self._crew
        match judge(child, run, now_s, crew.tree.starvation.lost_s):
            case None:
                pass  # it gave a sign of life since the alarm was armed
            case Quiet(since_s=since_s):
                run.evidence_since_s = since_s
                crew.tree.announcer.tell(
                    ChildQuiet(
                        path=child.path,
                        at_s=now_s,
                        incarnation=run.number,
                        quiet_s=now_s - since_s,
                        evidence=crew.reaper.evidence(child, run),
                    )
                )
            case Silent(limit_s=limit_s):
                crew.reaper.kill(child, run, Verdict.SILENT, f"no sign of life for {limit_s:g} s")
            case CycleTooLong(limit_s=limit_s):
                crew.reaper.kill(child, run, Verdict.DEADLINE, f"a cycle took longer than {limit_s:g} s")
            case NotReady(limit_s=limit_s):
                crew.reaper.kill(child, run, Verdict.START_TIMEOUT, f"not ready within {limit_s:g} s")
