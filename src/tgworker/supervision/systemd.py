"""systemd: tell it when the service is ready, that it is well, and when it stops.

Nothing here reads the environment; `from_environ` is given one. Without systemd everything does nothing.
The protocol: sd_notify(3), sd_watchdog_enabled(3).
"""

import math
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import trio

from tgworker.supervision._child import Child, ChildState
from tgworker.supervision._events import Announcer, Event
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._snapshot import ChildSnapshot, Snapshot, SupervisorState
from tgworker.supervision._supervisor import Supervisor

_EXTEND_S = 30.0  # what is asked for at a time while starting and stopping; asked again after half of it
_LOOK_AGAIN_S = 1.0  # at a critical child that is unwell while the watchdog waits to be fed
_LAST_WORDS_S = 1.0  # how long to try, once cancelled
_STATUS_LENGTH = 300  # characters: what `systemctl status` shows in a line or two


@final
@dataclass(frozen=True, slots=True)
class Systemd:
    """What systemd told the process at its start.

    Attributes:
        notify_socket: Where to send to: the absolute path of a socket, or ``@`` and the name of an abstract
            one; ``None``: no systemd, or a unit that is not of ``Type=notify``.
        watchdog_s: systemd's watchdog bites when it was not fed for so long, seconds; ``None``: there is
            none.

    Raises:
        ValueError: A value that systemd would not give.
    """

    notify_socket: str | None = None
    watchdog_s: float | None = None

    def __post_init__(self) -> None:
        address = self.notify_socket
        if address is not None and (len(address) < 2 or address[0] not in "/@"):
            raise ValueError(f"NOTIFY_SOCKET: {address!r} is neither an absolute path nor @ and a name")
        if self.watchdog_s is not None and not 0 < self.watchdog_s < math.inf:
            raise ValueError("WATCHDOG_USEC must be more than 0, and finite")


def from_environ(environ: Mapping[str, str], *, pid: int | None = None) -> Systemd:
    """What the environment says of systemd.

    Args:
        environ: `os.environ`, or a copy of it. Processes that are started later inherit the variables: remove
            them if those are not to speak for the service.
        pid: Of the process that asks, if it is not this one: ``WATCHDOG_PID`` may say whom the watchdog
            concerns.

    Returns:
        The values; those of variables that are not set are ``None``.

    Raises:
        ValueError: A variable has a value that systemd would not give.
    """
    notify_socket = environ.get("NOTIFY_SOCKET") or None
    watchdog_s: float | None = None
    usec, whom = environ.get("WATCHDOG_USEC"), environ.get("WATCHDOG_PID")
    if usec and (not whom or whom == str(pid if pid is not None else os.getpid())):
        if not (usec.isascii() and usec.isdigit()):
            raise ValueError(f"WATCHDOG_USEC: {usec!r} is not a number of microseconds")
        watchdog_s = int(usec) / 1e6
    return Systemd(notify_socket, watchdog_s)


def notify(address: str, *assignments: str) -> None:
    """Send one message, in a program or a part of one that has no event loop.

    Args:
        address: As in `Systemd.notify_socket`.
        assignments: ``"READY=1"``, ``"STATUS=…"``, ``"MAINPID=…"`` and so on.

    Raises:
        OSError: It cannot be delivered.
        ValueError: An assignment has no ``=``, or is more than one line.
    """
    with _connected(address) as sock:
        sock.sendall(_message(assignments))


@final
@dataclass(frozen=True, slots=True)
class NotifySystemd:
    """A child that speaks with systemd for the supervisor above it and all its children.

    ``ChildSpec("systemd", start=NotifySystemd(from_environ(os.environ), critical=("root.outbound",)))``, as
    the first child of the root: it is then stopped last, and speaks until the end. Without systemd it sleeps.

    It says READY when all critical children are ready at once; WATCHDOG every half of the watchdog's time
    as long as all of them are well, and as soon as they are again; STOPPING when the supervisor begins to
    stop. While the service starts, with each critical child alive or waiting for its turn, and while it
    stops, it asks for more time (EXTEND_TIMEOUT): the supervisor's own budgets are then what counts, not
    systemd's.

    A child is well if it is alive and ready, and none of its operations is over its deadline and still open;
    one that contains a supervisor, if that is running, too. So a watchdog must be more patient than the
    longest restart that is to be put up with.

    Attributes:
        systemd: What systemd told the process.
        critical: Dotted paths of the children that matter, at least one. One that does not exist is unwell.
        status: What `systemctl status` is to show, made from a snapshot, beside what is wrong with critical
            children; looked at with each message, and when something happens to a critical child.

    Raises:
        ValueError: No child is critical.
    """

    systemd: Systemd
    critical: tuple[str, ...]
    status: Callable[[Snapshot], str] = lambda snapshot: snapshot.state.value

    def __post_init__(self) -> None:
        if not self.critical:
            raise ValueError("at least one child must be critical")

    async def __call__(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """Speak until cancelled.

        Raises:
            OSError: systemd cannot be reached. The child may be restarted like any other.
            RuntimeError: The pulse belongs to no running child.

        Cancellation: what systemd must know of a stop is still said, for which it takes a second at most.
        """
        supervisor, announcer = _above(pulse)
        task_status.started()
        address = self.systemd.notify_socket
        if address is None:
            await trio.sleep_forever()
        bell = _Bell(self._concerns(supervisor.path))
        talk = Conversation(self.critical, self.systemd.watchdog_s, self.status)
        unsent: tuple[str, ...] = ()
        with announcer.joined_by(bell):
            try:
                while True:
                    unsent = talk.say(supervisor.snapshot())
                    await _send(address, unsent)
                    unsent = ()
                    pulse.beat()
                    with trio.CancelScope(deadline=talk.next_s):
                        await bell.wait()
            finally:
                snapshot = supervisor.snapshot()
                if snapshot.state is not SupervisorState.RUNNING:
                    with trio.CancelScope(shield=True, relative_deadline=_LAST_WORDS_S):
                        await _send(address, (*unsent, *talk.say(snapshot)))

    def _concerns(self, root: str) -> frozenset[str]:
        """Paths of which an event may change what is to be said: the critical ones, and all above them."""
        paths = {root}
        for path in self.critical:
            while path:
                paths.add(path)
                path = path.rpartition(".")[0]
        return frozenset(paths)


def ailment(child: ChildSnapshot | None) -> str | None:
    """What is wrong with a child, in a word or two; ``None`` if it is well (see `NotifySystemd`)."""
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


@final
class _Bell:
    """Rings when something happens at one of some paths."""

    def __init__(self, paths: frozenset[str]) -> None:
        self._paths = paths
        self._rung = trio.Event()

    def __call__(self, event: Event) -> None:
        if event.path in self._paths:
            self._rung.set()

    async def wait(self) -> None:
        """Wait until it rings, or has since the last time."""
        await self._rung.wait()
        self._rung = trio.Event()


def _above(pulse: Pulse) -> tuple[Supervisor, Announcer]:
    """The supervisor that runs the child whose pulse this is."""
    host = pulse.keeper
    if not isinstance(host, Child) or host.run is None or host.run.pulse is not pulse:
        raise RuntimeError(f"{pulse.path}: this pulse belongs to no running child")
    supervisor = host.owner.superior
    assert isinstance(supervisor, Supervisor)
    return supervisor, host.owner.tree.announcer


# ---------------------------------------------------------------- the socket


def _connected(address: str) -> socket.socket:
    """A socket of its own for each message, as libsystemd has it: systemd may have made a new one since."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        # Connected, so that the wait for room (should it be needed) is a wait for room at the other end.
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _send(address: str, assignments: tuple[str, ...]) -> None:
    """Send one message, if there is anything to say. Cancellation: all of it was sent, or nothing."""
    if not assignments:
        return
    with _connected(address) as sock:
        sock.setblocking(False)
        while True:
            try:
                sock.send(_message(assignments))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
            else:
                break


def _message(assignments: tuple[str, ...]) -> bytes:
    for assignment in assignments:
        if "=" not in assignment or "\n" in assignment:
            raise ValueError(f"{assignment!r} is not one line of NAME=value")
    return "\n".join(assignments).encode()
