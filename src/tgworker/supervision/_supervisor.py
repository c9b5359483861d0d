"""The supervisor: starts its children in order, stops them in reverse, and escalates."""

from typing import final

import trio

from tgworker.supervision._child import Child, ChildState
from tgworker.supervision._crew import Crew, Tree
from tgworker.supervision._errors import (
    DuplicateChild,
    NotSupervising,
    SupervisorFailed,
    UnknownChild,
    Wedged,
)
from tgworker.supervision._events import SupervisorEscalated, SupervisorStopped, SupervisorStopping
from tgworker.supervision._snapshot import Snapshot, SupervisorState, picture
from tgworker.supervision._spec import ChildSpec, StopOrder, SupervisorSpec, check_child
from tgworker.supervision._timekeeper import Timekeeper
from tgworker.supervision._verdicts import Verdict

CANCELLED = "it was cancelled from outside"
"""Why a supervisor stops, if an outer scope says so."""


@final
class Supervisor:
    """Keeps children alive. Made by `open_supervisor` and `open_nested` only.

    Attributes:
        spec: What it was made from.
        path: Its dotted path, with which the paths of its children begin.
    """

    def __init__(self, spec: SupervisorSpec, path: str, tree: Tree, host: Child | None) -> None:
        self.spec = spec
        self.path = path
        self._tree = tree
        self._host = host
        self._crew = Crew(spec, path, tree, self)
        self._timekeeper = Timekeeper(self._crew)
        self._state = SupervisorState.RUNNING
        self._starting = trio.CancelScope()
        self._block: trio.CancelScope | None = None
        self._stop_cause: str | None = None
        self._stop_requested = trio.Event()
        self._stopped = trio.Event()
        self._failed = trio.Event()
        self._failure: SupervisorFailed | None = None
        self._fatal: list[BaseException] = []

    # ------------------------------------------------------------------ for everyone

    def start_child(self, spec: ChildSpec) -> None:
        """Add a child and start it; it is kept alive until `stop_child`.

        It stands last in the order of children, which matters to `Strategy.ONE_FOR_ALL` and
        `Strategy.REST_FOR_ONE`: if children before it are still to be started, it waits for its turn. A child
        added at run time is forgotten once it has ended for good.

        Raises:
            DuplicateChild: The id is taken, perhaps by a child that is still stopping.
            SpecError: The supervisor's intensity could not be relied on to trip for it, or it is significant
                and the supervisor's ``auto_shutdown`` is ``NEVER``.
            NotSupervising: The supervisor is stopping or has stopped.
        """
        if self._crew.closing:
            raise NotSupervising(f"{self.path} stops and starts no children: {self._stop_cause}")
        if spec.id in self._crew.children:
            raise DuplicateChild(f"{self.path} has a child {spec.id}")
        check_child(self.spec, spec)
        self._crew.lineup.join(self._crew.add(spec, dynamic=True))

    async def stop_child(self, child_id: str) -> None:
        """Stop a child, wait until it is dead, and forget it.

        Raises:
            UnknownChild: There is no such child.
            Wedged: It did not end within its budget (the supervisor escalates).

        Cancellation: the child is stopped and forgotten all the same.
        """
        child = self._crew.children.get(child_id)
        if child is None:
            raise UnknownChild(f"{self.path} has no child {child_id}")
        child.dynamic = True  # to be forgotten when it is dead
        self._crew.reaper.doom(child, f"{self.path} was told to stop it")
        await child.settled.wait()
        if child.last is not None and child.last.verdict is Verdict.WEDGED:
            raise Wedged(f"{child.path} is wedged", path=child.path, cause=child.last.cause)

    def __contains__(self, child_id: object) -> bool:
        """Whether there is such a child, in whatever state."""
        return child_id in self._crew.children

    def snapshot(self) -> Snapshot:
        """The tree from here down, frozen."""
        now_s = self._crew.now_s()
        return Snapshot(
            path=self.path,
            at_s=now_s,
            state=self._state,
            failure=str(self._failure) if self._failure is not None else None,
            children=tuple(picture(child, now_s) for child in self._crew.children.values()),
        )

    def forgive(self, late_s: float) -> None:
        """Blame nobody in the tree for the time up to now, in which the host did not run the process.

        Supervisors notice by themselves gaps in which a deadline of the program passed. Whoever knows of
        another one says so here: that time counts for no limit, and failures within the next
        ``starved_after_s`` seconds count for no intensity.

        Args:
            late_s: How long nothing could run, seconds.
        """
        self._crew.forgive(late_s)

    async def wait_ready(self) -> None:
        """Wait until each static child has been ready once, or has ended for good.

        Raises:
            NotSupervising: The supervisor stops before.
        """
        await trio.lowlevel.checkpoint()
        for spec in self.spec.children:
            child = self._crew.children.get(spec.id)
            if child is not None:
                await child.ready_once.wait()
        if self._crew.closing:
            await trio.lowlevel.checkpoint_if_cancelled()  # in a block that ends, that is what to say
            raise NotSupervising(f"{self.path} stops: {self._stop_cause}")

    async def wait_failed(self) -> SupervisorFailed:
        """Wait until the supervisor escalates; returns why (as a value). Never returns otherwise.

        The block of `open_supervisor` is cancelled at that moment: to act on the failure, wait in another
        task.
        """
        await self._failed.wait()
        assert self._failure is not None
        return self._failure

    async def wait_stopped(self) -> tuple[str, ...]:
        """Wait until all children have been stopped; returns the paths of those that are wedged."""
        await self._stopped.wait()
        return self._crew.orphans()

    # ------------------------------------------------------------------ its life, directed by `_open`

    def _begin(self, nursery: trio.Nursery, block: trio.CancelScope) -> None:
        self._crew.nursery = nursery
        self._block = block
        for spec in self.spec.children:
            self._crew.add(spec, dynamic=False)
        nursery.start_soon(self._timekeeper.keep_time, name=f"{self.path} (timekeeper)")
        nursery.start_soon(self._manage, name=f"{self.path} (supervisor)")

    def _request_stop(self, cause: str) -> None:
        if self._stop_cause is None:
            self._stop_cause = cause
            self._crew.closing = True
            self._starting.cancel(reason=cause)
            self._stop_requested.set()

    def _raised(self) -> list[BaseException]:
        """What must leave the block of `open_supervisor`, beside what the block itself raised."""
        return self._fatal if self._failure is None else [*self._fatal, self._failure]

    @trio.lowlevel.enable_ki_protection
    async def _manage(self) -> None:
        try:
            with self._starting:
                await self._crew.lineup.keep()
            await self._stop_requested.wait()
        finally:
            self._request_stop(CANCELLED)
            with trio.CancelScope(shield=True):
                await self._stop_in_order()

    async def _stop_in_order(self) -> None:
        assert self._stop_cause is not None
        crew, announcer = self._crew, self._tree.announcer
        self._state = SupervisorState.STOPPING
        announcer.tell(SupervisorStopping(path=self.path, at_s=crew.now_s(), cause=self._stop_cause))
        children = sorted(crew.children.values(), key=lambda child: -child.order)
        for child in children:
            if child.state in (ChildState.WAITING, ChildState.BACKING_OFF):
                crew.reaper.doom(child, self._stop_cause)  # nothing to wait for: it must only not start again
        for child in children:
            crew.reaper.doom(child, self._stop_cause)
            if self.spec.stop is StopOrder.REVERSE:
                await child.settled.wait()
        for child in children:
            if not child.settled.is_set():  # each wait would cost a turn of the loop
                await child.settled.wait()
        self._timekeeper.cancel()
        self._state = SupervisorState.STOPPED
        orphans = crew.orphans()
        announcer.tell(SupervisorStopped(path=self.path, at_s=crew.now_s(), orphans=orphans))
        self._stopped.set()
        if self._host is not None:
            self._host.owner.reaper.nested_stopped(self._host)
        if orphans and isinstance(self._failure, Wedged):
            self._report_wedged(self._failure)

    # ------------------------------------------------------------------ giving up

    def escalate(self, failure: SupervisorFailed) -> None:
        """Fail, once the children have been stopped (for the crew). A wedged child outweighs the rest."""
        if isinstance(self._failure, Wedged) or (self._failure and not isinstance(failure, Wedged)):
            return
        self._failure = failure
        self._tree.announcer.tell(
            SupervisorEscalated(path=self.path, at_s=self._crew.now_s(), failure=failure)
        )
        self._failed.set()
        self._abandon(str(failure))

    def collapse(self, error: BaseException, cause: str) -> None:
        """Pass ``error`` on, once the children have been stopped. For the crew."""
        self._fatal.append(error)
        self._abandon(cause)

    def retire(self, cause: str) -> None:
        """Stop the children and end the block, for the work is done. For the crew."""
        self._abandon(cause)

    def _abandon(self, cause: str) -> None:
        self._request_stop(cause)
        if self._block is not None:
            self._block.cancel(reason=cause)

    def _report_wedged(self, failure: Wedged) -> None:
        if self._host is not None:
            self._host.owner.reaper.nested_wedged(self._host, failure)
        elif self._tree.on_wedged is not None:
            self._tree.on_wedged(failure)
