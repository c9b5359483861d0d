"""The end of children: told to end, cancelled with evidence, or declared wedged."""

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never, final

from tgworker.supervision._child import Child, ChildState, Kill, Run
from tgworker.supervision._errors import SupervisorFailed, Wedged
from tgworker.supervision._events import ChildCancelled, ChildWedged
from tgworker.supervision._verdicts import Ending, Verdict

if TYPE_CHECKING:
    from tgworker.supervision._crew import Crew


@final
class Reaper:
    """Ends the children of one crew. What follows an ending is the crew's business."""

    def __init__(self, crew: "Crew") -> None:
        self._crew = crew

    def doom(self, child: Child, cause: str) -> None:
        """Have the child end for good; `Child.settled` says when it has."""
        child.doomed = True
        match child.state:
            case ChildState.WAITING | ChildState.BACKING_OFF:
                child.become(ChildState.STOPPED)
                self._crew.finish(child)
            case ChildState.STARTING | ChildState.READY:
                assert child.run is not None
                self.kill(child, child.run, Verdict.STOPPED, cause)
            case ChildState.STOPPING | ChildState.WEDGED | ChildState.STOPPED:
                pass
            case _:
                assert_never(child.state)

    def kill(self, child: Child, run: Run, verdict: Verdict, cause: str) -> None:
        """Cancel an incarnation, with evidence unless it is only asked to stop."""
        crew = self._crew
        evidence = self.evidence(child, run) if verdict is not Verdict.STOPPED else None
        now_s = crew.now_s()
        run.kill = Kill(verdict, cause, evidence, now_s + child.spec.stop_within_s)
        child.become(ChildState.STOPPING)
        crew.tree.announcer.tell(
            ChildCancelled(
                path=child.path,
                at_s=now_s,
                incarnation=run.number,
                verdict=verdict,
                cause=cause,
                evidence=evidence,
                stop_within_s=child.spec.stop_within_s,
            )
        )
        run.scope.cancel(reason=f"{child.path}: {verdict}: {cause}")
        crew.rearm(child)

    def wedge(self, child: Child, run: Run, cause: str) -> None:
        """Declare that a cancelled incarnation does not end."""
        failure = Wedged(f"{child.path} is wedged: {cause}", path=child.path, cause=cause)
        self._wedge(child, run, cause, failure)

    def nested_wedged(self, child: Child, failure: Wedged) -> None:
        """The supervisor inside ``child`` has a wedged child, and has stopped the others."""
        if child.run is not None and child.state is not ChildState.WEDGED:
            self._wedge(child, child.run, str(failure), failure)

    def nested_stopped(self, child: Child) -> None:
        """The supervisor inside ``child`` has stopped its children: the budget of ``child`` itself begins."""
        child.sheltering = False
        if child.run is not None and child.run.kill is not None:
            dead_by_s = self._crew.now_s() + child.spec.stop_within_s
            child.run.kill = replace(child.run.kill, dead_by_s=dead_by_s)
            self._crew.rearm(child)

    def _wedge(self, child: Child, run: Run, cause: str, failure: SupervisorFailed) -> None:
        now_s = self._crew.now_s()
        evidence = self.evidence(child, run)
        child.last = Ending(Verdict.WEDGED, cause, run.number, run.started_at_s, now_s, evidence=evidence)
        child.become(ChildState.WEDGED)
        self._crew.tree.announcer.tell(ChildWedged(path=child.path, at_s=now_s, ending=child.last))
        self._crew.superior.escalate(failure)
        run.outcome.set()
        child.ready_once.set()
        child.settled.set()

    def evidence(self, child: Child, run: Run) -> str | None:
        """What the injected dump says of an incarnation."""
        tree = self._crew.tree
        if tree.dump is None or run.task is None:
            return None
        try:
            return tree.dump(child.path, run.task)
        except Exception as error:  # noqa: BLE001 (told to the observers; evidence must never stop a cure)
            tree.announcer.tell_failed(tree.dump, error, path=child.path, at_s=self._crew.now_s())
            return f"no evidence: the dump raised {type(error).__name__}"
