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

from tgworker.supervision._child import Child
from tgworker.supervision._conversation import Conversation
from tgworker.supervision._events import Announcer, Event
from tgworker.supervision._pulse import Pulse
from tgworker.supervision._snapshot import Snapshot, SupervisorState
from tgworker.supervision._supervisor import Supervisor

_LAST_WORDS_S = 1.0  # how long to try, once cancelled


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
        OSError: It cannot be delivered, or systemd takes nothing for a second.
        ValueError: An assignment has no ``=``, or is more than one line.
    """
    with _connected(address) as sock:
        sock.settimeout(_LAST_WORDS_S)
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
