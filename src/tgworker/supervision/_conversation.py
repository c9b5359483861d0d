"""What to say to systemd, and when: pure. No socket, no clock."""

import math
from collections.abc import Callable, Mapping
from typing import final

from tgworker.supervision._child import ChildState
from tgworker.supervision._snapshot import ChildSnapshot, Snapshot, SupervisorState

_EXTEND_S = 30.0  # what is asked for at a time while starting and stopping; asked again after half of it
_LOOK_AGAIN_S = 1.0  # at a critical child that is unwell while the watchdog waits to be fed
_STATUS_LENGTH = 300  # characters: what `systemctl status` shows in a line or two


def ailment(child: ChildSnapshot | None) -> str | None:
    """What is wrong with a child, in a word or two; ``None`` if it is well."""
    if child is None:
        return "does not exist"
    if child.state is not ChildState.READY:
        return f"is {child.state.value}"
    # An overdue cycle is not looked for: the supervisor cancels the child for it, at that moment.
    for operation in child.operations:
        if operation.remaining_s < 0:
            return f"does not end {operation.name}"
    if child.supervisor is not None and child.supervisor.state is not SupervisorState.RUNNING:
        return f"is {child.supervisor.state.value}"
    return None


@final
class Conversation:
    """What to say to systemd, and when: no socket, no clock.

    Attributes:
        next_s: When there may be something to say even if nothing happens, trio's clock.
    """

    def __init__(
        self, critical: tuple[str, ...], watchdog_s: float | None, status: Callable[[Snapshot], str]
    ) -> None:
        self.next_s = math.inf
        self._critical = critical
        self._feed_every_s = watchdog_s / 2 if watchdog_s is not None else None
        self._status = status
        self._ready = self._stopping = False
        self._feed_at_s = self._extend_at_s = -math.inf
        self._said: str | None = None

    def say(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The assignments to send now, perhaps none.

        Args:
            snapshot: Of the supervisor, taken now.
        """
        now_s = snapshot.at_s
        children = {child.path: child for child in snapshot.walk()}
        unwell = {
            path: wrong for path in self._critical if (wrong := ailment(children.get(path))) is not None
        }
        lines: list[str] = []
        if snapshot.state is not SupervisorState.RUNNING:
            if not self._stopping:
                self._stopping = True
                self._extend_at_s = now_s  # what was asked for before was for another phase
                lines.append("STOPPING=1")
            lines += self._extend(now_s)
        elif self._ready or not unwell:
            if not self._ready:
                self._ready = True
                lines.append("READY=1")
            lines += self._feed(now_s, well=not unwell)
        elif all(_is_coming(path, children) for path in unwell):
            lines += self._extend(now_s)
        else:
            self.next_s = math.inf  # until something happens, systemd's own limit for the start counts
        status = self._describe(snapshot, unwell)
        if status != self._said:
            lines.append(f"STATUS={status}")
            self._said = status
        return tuple(lines)

    def _extend(self, now_s: float) -> list[str]:
        due = now_s >= self._extend_at_s
        if due:
            self._extend_at_s = now_s + _EXTEND_S / 2
        self.next_s = self._extend_at_s
        return [f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1e6:.0f}"] * due

    def _feed(self, now_s: float, *, well: bool) -> list[str]:
        if self._feed_every_s is None:
            self.next_s = math.inf
            return []
        due = now_s >= self._feed_at_s
        if due and well:
            self._feed_at_s = now_s + self._feed_every_s
        elif due:
            self.next_s = now_s + min(_LOOK_AGAIN_S, self._feed_every_s)
            return []
        self.next_s = self._feed_at_s
        return ["WATCHDOG=1"] * due

    def _describe(self, snapshot: Snapshot, unwell: Mapping[str, str]) -> str:
        if snapshot.state is SupervisorState.RUNNING:
            parts = [self._status(snapshot) if self._ready else "starting"]
            parts += [f"{path} {wrong}" for path, wrong in unwell.items()]
        else:
            parts = [self._status(snapshot), *([snapshot.failure] if snapshot.failure is not None else [])]
        text = " ".join("; ".join(parts).split())  # one line
        return text if len(text) <= _STATUS_LENGTH else text[: _STATUS_LENGTH - 1] + "…"


def _is_coming(path: str, children: Mapping[str, ChildSnapshot]) -> bool:
    """Whether a child that is not ready may be so without a failure of anything before."""
    child = children.get(path)
    while child is None and path:
        path = path.rpartition(".")[0]
        child = children.get(path)
        if child is not None and child.state is ChildState.READY:
            return False  # what contains it has started everything, and not this
    return child is not None and (child.alive or child.state is ChildState.WAITING)
