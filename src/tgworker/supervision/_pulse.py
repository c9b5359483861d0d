"""The pulse: one handle for each incarnation of a child, by which it shows that it lives."""

import math
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, final

import trio

from tgworker.supervision._events import OperationExpired


class PulseKeeper(Protocol):
    """What a pulse needs of the one that watches it."""

    def operation_expired(self, event: OperationExpired) -> None:
        """An operation's deadline passed."""
        ...

    def sooner(self, due_s: float) -> None:
        """Something is due at ``due_s`` that may be earlier than what was known."""
        ...


@final
class Deadline:
    """An operation under its deadline: a `trio.move_on_after` whose expiry is never silent.

    Made by `Pulse.deadline`, entered once. If the time is up, the block is cancelled and the code after it
    goes on; that is told to observers as `OperationExpired`, and `expired` says so.
    """

    __slots__ = ("_expires_at_s", "_opened_at_s", "_pulse", "_scope", "expired", "limit_s", "operation")

    operation: str
    """Its name."""
    limit_s: float
    """Seconds allowed, since it was opened or extended."""
    expired: bool
    """Whether the block was cut off at its deadline. Meaningful after the block."""

    def __init__(self, pulse: "Pulse", operation: str, limit_s: float) -> None:
        self._pulse = pulse
        self.operation = operation
        self.limit_s = limit_s
        self.expired = False
        self._scope = trio.CancelScope(relative_deadline=limit_s)
        self._opened_at_s = self._expires_at_s = math.nan

    @property
    def opened_at_s(self) -> float:
        """When the block was entered, trio's clock."""
        return self._opened_at_s

    @property
    def expires_at_s(self) -> float:
        """When the block will be cut off, trio's clock."""
        return self._expires_at_s

    def extend(self, seconds: float | None = None) -> None:
        """Count from now again: progress was made.

        Args:
            seconds: The new limit from now; ``None`` for the same as before.
        """
        pulse = self._pulse
        if seconds is not None:
            self.limit_s = seconds
        pulse.beat_at_s = now_s = pulse.now_s()
        self._expires_at_s = self._scope.deadline = now_s + self.limit_s

    def __enter__(self) -> "Deadline":
        pulse = self._pulse
        # Opening and closing an operation are signs of life themselves.
        self._scope.__enter__()
        pulse.beat_at_s = self._opened_at_s = pulse.now_s()
        self._expires_at_s = self._scope.deadline
        pulse.open[self] = None
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        pulse = self._pulse
        del pulse.open[self]
        pulse.beat_at_s = now_s = pulse.now_s()
        scope = self._scope
        try:
            swallow = scope.__exit__(exc_type, exc, traceback)
        finally:
            self.expired = scope.cancelled_caught
            if now_s >= self._expires_at_s:
                if isinstance(exc, trio.Cancelled) and exc.source == "deadline" and not self.expired:
                    self.expired = self._wins_tie()
                pulse.keeper.operation_expired(
                    OperationExpired(
                        path=pulse.path,
                        at_s=now_s,
                        incarnation=pulse.incarnation,
                        operation=self.operation,
                        limit_s=self.limit_s,
                        elapsed_s=now_s - self._opened_at_s,
                        cut_off=self.expired,
                    )
                )
        return swallow or self.expired

    def _wins_tie(self) -> bool:
        # Trio lets the outermost of several expired scopes catch the Cancelled. We promise the innermost, so
        # that the code after the operation runs first: taking the Cancelled here is safe, because
        # cancellation is level-triggered, and the outer scope raises it again at the next checkpoint. It is
        # no tie if an outer operation expired earlier (nor, see above, if something else than a deadline
        # cancelled the block).
        return all(other.expires_at_s >= self._expires_at_s for other in self._pulse.open)


@final
class Cycle:
    """One turn of a loop under its limit. Made by `Pulse.cycle`, entered once."""

    __slots__ = ("_pulse", "due_s", "limit_s", "opened_at_s")

    def __init__(self, pulse: "Pulse", limit_s: float) -> None:
        self._pulse = pulse
        self.limit_s = limit_s
        self.opened_at_s = self.due_s = math.nan

    def __enter__(self) -> None:
        pulse = self._pulse
        pulse.beat_at_s = self.opened_at_s = now_s = pulse.now_s()
        self.due_s = now_s + self.limit_s
        pulse.cycles[self] = None
        pulse.keeper.sooner(self.due_s)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pulse = self._pulse
        del pulse.cycles[self]
        pulse.beat_at_s = pulse.now_s()


@final
class Pulse:
    """A child's sign of life, handed to each of its incarnations.

    Several tasks of one child may use it at once. A pulse outlives its incarnation harmlessly: it then
    watches over nothing.

    Attributes:
        path: Dotted path of the child.
        incarnation: Which run of the child this is; the first is 1.
        phase: Which part of its work the child is in, for people: ``"catching up"``. Set it at will; it
            stands in the snapshot, and is no sign of life. No contents, no secrets.
    """

    __slots__ = (
        "announced_until_s",
        "beat_at_s",
        "cycles",
        "incarnation",
        "keeper",
        "now_s",
        "open",
        "path",
        "phase",
    )

    def __init__(self, path: str, incarnation: int, keeper: PulseKeeper, now_s: Callable[[], float]) -> None:
        self.path = path
        self.incarnation = incarnation
        self.phase: str | None = None
        # The rest is for the supervisor, which reads it when something may be due.
        self.keeper = keeper
        self.now_s = now_s
        self.beat_at_s = now_s()
        self.announced_until_s = -math.inf
        self.open: dict[Deadline, None] = {}  # a dict, because it keeps the order of opening
        self.cycles: dict[Cycle, None] = {}

    def beat(self) -> None:
        """Say "alive". Only stores the time; it also ends an announced silence."""
        self.beat_at_s = self.now_s()
        self.announced_until_s = -math.inf

    def deadline(self, operation: str, seconds: float) -> Deadline:
        """Run a block for at most ``seconds``. An expiry raises nothing, is told to observers, can be asked.

        While it is open, the operation announces its own silence: the limits of `Silence` run from its
        expiry.

        Args:
            operation: What is done, for people: ``telegram.send``. No contents, no secrets.
            seconds: 0 or more.

        Returns:
            The context manager, which the block may extend and the code after it may ask whether it
            ``expired``.
        """
        return Deadline(self, operation, seconds)

    def cycle(self, seconds: float) -> Cycle:
        """Run one turn of a loop, which may take ``seconds``; if it takes longer, the incarnation is over.

        The supervisor then cancels the whole incarnation, with the verdict ``deadline``; it does not rely on
        the block's cooperation. A cycle announces no silence.

        Args:
            seconds: More than 0.
        """
        return Cycle(self, seconds)

    def expect(self, within_s: float) -> None:
        """Announce silence: no beat need come before ``within_s`` seconds from now.

        The limits of `Silence` then run from that time. The next `beat` ends the announcement.
        """
        self.beat_at_s = now_s = self.now_s()
        self.announced_until_s = now_s + within_s
