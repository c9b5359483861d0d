"""The order of one supervisor's children: who starts after whom, and who makes room for whom."""

from typing import TYPE_CHECKING, final

import trio

from tgworker.supervision._child import Child, ChildState
from tgworker.supervision._events import SiblingsDisturbed
from tgworker.supervision._policy import is_concerned
from tgworker.supervision._spec import StopOrder, Strategy
from tgworker.supervision._verdicts import Ending, Verdict

if TYPE_CHECKING:
    from tgworker.supervision._crew import Crew


@final
class Lineup:
    """Starts children in order, and keeps the order when a restart concerns several of them.

    It works in rounds: stop whoever is to make room, in reverse; start whoever waits, in order, each when
    the one before is ready. A failure that concerns siblings begins a new round, whatever the old one has
    come to: what is done already is found done.
    """

    def __init__(self, crew: "Crew") -> None:
        self._crew = crew
        self._round = trio.CancelScope()
        self._complete = False
        """Nobody waits for a turn any more."""
        self._news = trio.Event()
        """A child that backed off has come to the end of that, or to its own."""
        self._cause = ""

    @property
    def _in_groups(self) -> bool:
        # Under one_for_one a backoff ends in a start, whatever the siblings do: the timekeeper sees to it.
        return self._crew.spec.strategy is not Strategy.ONE_FOR_ONE

    async def keep(self) -> None:
        """Play rounds until cancelled. Cancellation: nobody else is stopped or started."""
        while True:
            with trio.CancelScope() as self._round:
                await self._make_room()
                await self._start()
                self._complete = True
                await trio.sleep_forever()

    def join(self, child: Child) -> None:
        """Start a child that was added; in groups when its turn comes."""
        if not self._in_groups:
            self._crew.start(child)
        elif self._complete:
            self._begin_round("a child was added")

    def disturb(self, failed: Child, ending: Ending) -> None:
        """A child failed, and backs off: have the siblings that its restart concerns make room."""
        if not self._in_groups:
            return
        disturbed: list[str] = []
        for sibling in self._crew.children.values():
            concerned = is_concerned(self._crew.spec.strategy, failed.order, sibling.order)
            if sibling.run is not None and concerned:
                sibling.run.set_aside = True
                disturbed.append(sibling.path)
        self._cause = f"to be restarted with {failed.path}, whose end was: {ending.verdict}"
        if disturbed:
            at_s = self._crew.now_s()
            self._crew.tree.announcer.tell(
                SiblingsDisturbed(path=failed.path, at_s=at_s, siblings=tuple(disturbed))
            )
        self._begin_round(f"{failed.path} failed")

    def _begin_round(self, why: str) -> None:
        self._complete = False
        self._round.cancel(reason=why)

    def news(self) -> None:
        """A backoff is over, or a child has ended for good."""
        if self._in_groups:
            self._news.set()
            self._news = trio.Event()

    async def _make_room(self) -> None:
        # In groups children are started in the order in which they were added, which is that of the dict.
        living = [(child, child.run) for child in self._crew.children.values() if child.run is not None]
        leaving = [(child, run) for child, run in reversed(living) if run.set_aside]
        for child, run in leaving:
            if child.state in (ChildState.STARTING, ChildState.READY) and child.run is run:
                self._crew.reaper.kill(child, run, Verdict.STOPPED, self._cause)
            if self._crew.spec.stop is StopOrder.REVERSE:
                await run.over.wait()
        for _, run in leaving:
            await run.over.wait()

    async def _start(self) -> None:
        if self._crew.spec.strategy is Strategy.ONE_FOR_ALL:
            for child in tuple(self._crew.children.values()):
                await self._wait_until_backed_off(child)
        while line := self._line():
            for child in line:
                await self._wait_until_backed_off(child)
                # Whoever was waited for may have become ready and have brought trouble in the same instant.
                await trio.lowlevel.checkpoint_if_cancelled()
                if child.state is ChildState.WAITING:  # else stop_child was faster
                    run = self._crew.start(child)
                    if child.spec.start_within_s is not None:
                        await run.outcome.wait()

    def _line(self) -> list[Child]:
        waits = {ChildState.WAITING, ChildState.BACKING_OFF} if self._in_groups else {ChildState.WAITING}
        return [child for child in self._crew.children.values() if child.state in waits]

    async def _wait_until_backed_off(self, child: Child) -> None:
        while self._in_groups and child.state is ChildState.BACKING_OFF:
            await self._news.wait()
