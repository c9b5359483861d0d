"""The heartbeats that the guard writes itself, each by a short-lived process of its own."""

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, final

from tgworker.guard._course import Exit
from tgworker.guard._process import fork
from tgworker.guard._row import HeartbeatRow
from tgworker.guard._ward import Posting, Ward
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import Heartbeat, WorkerStatus

POST_S: Final = 10.0
"""How long writing one heartbeat may take."""
_EXIT_AWAY: Final = 69
"""The store was away, and that has been said (sysexits.h: EX_UNAVAILABLE)."""


@final
class Posts:
    """The heartbeat's row in each store: what stands there, and who is writing it.

    Args:
        ward: Names the stores, and writes to them.
        now_s: The guard's clock now.
        close: Closes what a forked process has of the guard's.
    """

    def __init__(self, ward: Ward, *, now_s: float, close: Callable[[], None]) -> None:
        self._ward = ward
        self._close = close
        self._rows = {name: HeartbeatRow(every_s=ward.heartbeat_every_s, now_s=now_s) for name in ward.posts}
        self._writing: dict[int, tuple[str, WorkerStatus]] = {}
        self._said: dict[str, WorkerStatus] = {}
        self._away: set[str] = set()
        self._last: Heartbeat | None = None
        self._last_at_s = now_s

    @property
    def next_s(self) -> float:
        """When there is something to write even if nothing happens."""
        return min((row.next_s for row in self._rows.values()), default=float("inf"))

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return bool(self._writing)

    def late(self, now_s: float) -> bool:
        """Whether the worker's own heartbeat is overdue in every store."""
        return bool(self._rows) and all(row.is_late(now_s) for row in self._rows.values())

    def committed(self, name: str, heartbeat: Heartbeat, now_s: float) -> None:
        """The worker has written one."""
        self._last, self._last_at_s = heartbeat, now_s
        if name in self._rows:
            self._rows[name].committed(now_s)
            self._said[name] = heartbeat.status
            self._away.discard(name)

    def changed(self, now_s: float) -> None:
        """What stands in the rows is no longer true, and the worker cannot say so: the guard does."""
        for row in self._rows.values():
            row.changed(now_s)

    def unsaid(self, status: WorkerStatus) -> set[str]:
        """The stores in whose row something else stands."""
        return {name for name in self._rows if self._said.get(name) is not status}

    def turn(self, now_s: float, status: WorkerStatus, *, alive: bool) -> None:
        """Write what is due.

        Args:
            now_s: The guard's clock.
            status: What the worker is.
            alive: Whether there is one that is not being ended.
        """
        for name, row in self._rows.items():
            if now_s >= row.next_s:
                self._write(name, now_s, status, alive=alive)

    def write_last(self, names: set[str], now_s: float, status: WorkerStatus) -> set[str]:
        """Write a last word, due or not; returns the stores in which older words are still being written."""
        busy = {name for name, _ in self._writing.values()}
        for name in names - busy:
            self._write(name, now_s, status, alive=False)
        return names & busy

    def ended(self, pid: int, how: Exit, now_s: float) -> None:
        """A process has ended; it may be one of ours."""
        if pid not in self._writing:
            return
        name, status = self._writing.pop(pid)
        if how.code == 0:
            self._said[name] = status
            self._away.discard(name)
        elif how.code == _EXIT_AWAY:
            self._away.add(name)
        else:
            self._complain(name, f"not done in {POST_S:g} s" if how.signal == signal.SIGALRM else str(how))
        self._rows[name].ended(now_s, written=how.code == 0)

    def _write(self, name: str, now_s: float, status: WorkerStatus, *, alive: bool) -> None:
        posting = self._posting(now_s, status, alive=alive)
        try:
            pid = fork(partial(self._be_writer, name, posting))
        except OSError as error:
            self._rows[name].ended(now_s, written=False)
            self._complain(name, str(error))
        else:
            self._rows[name].begun()
            self._writing[pid] = name, status

    def _posting(self, now_s: float, status: WorkerStatus, *, alive: bool) -> Posting:
        last = self._last
        if last is None:
            return Posting(status, {}, None)
        since_s = now_s - self._last_at_s
        loops = {
            loop: replace(was, last_ping_ago=round(was.last_ping_ago + since_s, 3), alive=was.alive and alive)
            for loop, was in last.loops.items()
        }
        return Posting(status, loops, (last.incarnation, max(self._ward.seq(), last.seq + 1)))

    def _be_writer(self, name: str, posting: Posting) -> int:
        signal.setitimer(signal.ITIMER_REAL, POST_S)  # SIGALRM ends it, whatever it waits for
        self._close()
        try:
            self._ward.posts[name](posting)
        except StoreAway as error:
            if name not in self._away:  # it is tried every two seconds: once for each outage will do
                self._complain(name, str(error))
            return _EXIT_AWAY
        return 0

    def _complain(self, name: str, reason: str) -> None:
        self._ward.log.warning("guard's heartbeat not written", operation=f"heartbeat.{name}", reason=reason)
