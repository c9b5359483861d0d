"""The guard's loop: it waits, asks what is due, and does it. Single-threaded, no event loop to freeze."""

import faulthandler
import gc
import os
import random
import selectors
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, assert_never

from tgworker.guard._course import Act, Course, Exit, Phase
from tgworker.guard._footprints import Footprints
from tgworker.guard._link import Beat, Committed, Ear, Fault, Link, Message, Quiet, Ready
from tgworker.guard._notices import Notices
from tgworker.guard._posts import Posts
from tgworker.guard._process import HANDLED, abort, fork, is_stopped, reap, send
from tgworker.guard._ward import Ward
from tgworker.messaging.models import WorkerStatus

FAREWELL_S: Final = 3.0
"""How long the guard waits for the last heartbeat when it ends."""
LATE_S: Final = 0.1
"""Waking up so much later than planned is the host's doing."""
READ_BYTES: Final = 65_536


def guard(ward: Ward) -> int:
    """Run workers, one after the other, until told to stop; returns the exit code.

    SIGTERM and SIGINT stop in order, a second one at once; SIGHUP reloads; SIGUSR1 is passed on.

    Args:
        ward: What is guarded.

    Raises:
        RuntimeError: This process has more than one thread.
    """
    gc.collect()
    gc.freeze()  # what was imported stays where it is: workers share its memory
    with _woken_by_signals() as wake_fds:
        return _Guard(ward, wake_fds).run()


@dataclass(slots=True)
class _Worker:
    """The living worker, as the guard knows it."""

    pid: int
    fd: int
    ear: Ear = field(default_factory=Ear)
    said: WorkerStatus | None = None
    blamed: tuple[str, str] | None = None


class _Guard:
    def __init__(self, ward: Ward, wake_fds: tuple[int, int]) -> None:
        self._ward = ward
        self._log = ward.log
        self._now_s = time.monotonic
        now_s = self._now_s()
        self._course = Course(ward.limits, rng=random.Random(), now_s=now_s)
        self._posts = Posts(ward, now_s=now_s, close=self._close_what_is_the_guard_s)
        self._notices = Notices(ward.systemd)
        self._footprints = Footprints()
        self._selector = selectors.DefaultSelector()
        self._wake_fds = wake_fds
        self._wake_fd = wake_fds[0]
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        self._worker: _Worker | None = None

    def run(self) -> int:
        self._bury()  # what this process left behind, or was given, before it became a guard
        while True:
            while (act := self._course.due(self._now_s())) is not None:
                if act is Act.EXIT:
                    return self._leave()
                self._do(act)
            now_s = self._now_s()
            self._posts.turn(now_s, self._status(), alive=self._course.phase is Phase.ALIVE)
            self._notices.turn(now_s, self._status().value)
            self._wait()

    def _wait(self) -> None:
        """Wait until something happens or is due, and take note of what happened."""
        next_s = max(
            self._now_s(),
            min(self._course.next_s, self._notices.next_s, self._posts.next_s),
        )
        woken = self._select(next_s)
        late_s = self._now_s() - next_s
        if late_s > LATE_S:
            self._course.starved(self._now_s(), late_s)
        self._hear()
        if self._wake_fd in woken:
            for number in os.read(self._wake_fd, READ_BYTES):
                self._take_signal(signal.Signals(number))
            self._bury()

    def _select(self, until_s: float) -> set[int]:
        timeout = None if until_s == float("inf") else max(0.0, until_s - self._now_s())
        return {key.fd for key, _ in self._selector.select(timeout)}

    # ---------------------------------------------------------------- doing

    def _do(self, act: Act) -> None:
        match act:
            case Act.FORK:
                self._fork()
            case Act.TERMINATE:
                self._signal(signal.SIGTERM)
            case Act.ABORT:
                self._abort()
            case Act.KILL:
                self._signal(signal.SIGKILL)
            case Act.EXIT:
                pass  # the caller's
            case _:
                assert_never(act)

    def _fork(self) -> None:
        self._footprints.clear()
        try:
            pid, read_fd = self._forked()
        except OSError as error:  # no room for a process, or for a pipe: that passes, as other outages do
            self._log.error("worker cannot be forked", reason=str(error))
            self._course.ended(self._now_s(), Exit())
            self._posts.changed(self._now_s())
            return
        self._selector.register(read_fd, selectors.EVENT_READ)
        self._worker = _Worker(pid, read_fd)
        self._log.info("worker forked", worker_pid=pid, restarts=self._course.restarts)

    def _forked(self) -> tuple[int, int]:
        """A worker's process, and the end of its pipe."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return fork(partial(self._be_worker, read_fd, write_fd)), read_fd
        except OSError:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)

    def _be_worker(self, read_fd: int, write_fd: int) -> int:
        os.close(read_fd)
        self._close_what_is_the_guard_s()
        try:
            # The descriptor stays open for as long as the process lives.
            faulthandler.enable(os.open(self._ward.stacks.create(), os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            faulthandler.enable()  # to standard error
            self._log.warning("no file for stacks", reason=str(error))
        return self._ward.work(Link(write_fd, self._footprints), self._ward.faults.held())

    def _abort(self) -> None:
        worker = self._worker
        assert worker is not None
        if self._course.frozen:
            account = None if is_stopped(worker.pid) else self._footprints.account()
            if account is not None:
                worker.blamed = (account, "frozen")
            self._log.error(
                "worker is frozen",
                worker_pid=worker.pid,
                account=account,
                silent_s=round(self._ward.limits.freeze_after_s, 3),
            )
            self._posts.changed(self._now_s())
        else:
            self._log.error("worker does not stop", worker_pid=worker.pid, within_s=self._ward.limits.stop_s)
        abort(worker.pid)

    def _signal(self, number: signal.Signals) -> None:
        if self._worker is not None:
            send(self._worker.pid, number)

    # ---------------------------------------------------------------- what happens

    def _take_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGTERM | signal.SIGINT:
                at_once = self._course.stop(self._now_s())
                self._log.info("guard stopping", signal=number.name, at_once=at_once)
                self._notices.stopping()
            case signal.SIGHUP:
                if self._ward.reload():
                    self._course.renew()
                self._signal(signal.SIGHUP)
            case signal.SIGUSR1:
                self._signal(signal.SIGUSR1)
            case _:
                pass  # SIGCHLD: the dead are looked for in any case

    def _hear(self) -> None:
        worker = self._worker
        if worker is None:
            return
        with suppress(BlockingIOError):
            while data := os.read(worker.fd, READ_BYTES):
                for message in worker.ear.hear(data):
                    self._take(worker, message)
            # The worker has closed its end, or is dead: nothing more will be read, SIGCHLD tells the rest.
            with suppress(KeyError):
                self._selector.unregister(worker.fd)

    def _take(self, worker: _Worker, message: Message) -> None:
        now_s = self._now_s()
        match message:
            case Beat():
                self._course.heard(now_s)
            case Quiet(for_s=for_s):
                self._course.heard(now_s, quiet_for_s=for_s)
            case Ready():
                self._notices.ready()
            case Committed(writer=name, heartbeat=heartbeat):
                worker.said = heartbeat.status
                self._posts.committed(name, heartbeat, now_s)
            case Fault(account=account):
                worker.blamed = (account, "wedged")
            case _:
                assert_never(message)

    def _bury(self) -> None:
        for pid, how in reap():
            if self._worker is not None and pid == self._worker.pid:
                self._worker_ended(self._worker, how)
            else:
                self._posts.ended(pid, how, self._now_s())

    def _worker_ended(self, worker: _Worker, how: Exit) -> None:
        self._hear()  # what it said last
        with suppress(KeyError):
            self._selector.unregister(worker.fd)
        os.close(worker.fd)
        self._worker = None
        if worker.blamed is not None:
            self._blame(*worker.blamed)
        now_s = self._now_s()
        in_order = self._course.ended(now_s, how)
        last = self._course.exit_code is not None
        stacks = self._ward.stacks.written(worker.pid)
        (self._log.info if in_order else self._log.error)(
            "worker ended",
            worker_pid=worker.pid,
            reason=str(how),
            stacks=None if stacks is None else str(stacks),
            restart_in_s=None if last else round(max(0.0, self._course.restart_at_s - now_s), 3),
        )
        if self._course.failed:
            what = "giving up" if last else "trying at the longest backoff from now on"
            self._log.error(f"too many workers ended: {what}")
        self._posts.changed(now_s)

    def _blame(self, account: str, what: str) -> None:
        try:
            held = self._ward.faults.add(account, what)
        except OSError as error:
            self._log.warning("an account's fault could not be stored", account=account, reason=str(error))
            held = self._ward.faults.held().get(account)
        reason = None if held is None else held.reason or "it starts last from now on"
        self._log.warning(f"account has {what} the worker", account=account, reason=reason)

    def _status(self) -> WorkerStatus:
        said = self._worker.said if self._worker is not None else None
        return self._course.status(said, late=self._posts.late(self._now_s()))

    def _close_what_is_the_guard_s(self) -> None:
        """In a forked process: what belongs to the guard alone."""
        self._selector.close()
        for fd in self._wake_fds:
            os.close(fd)
        if self._worker is not None:
            os.close(self._worker.fd)

    # ---------------------------------------------------------------- the end

    def _leave(self) -> int:
        """Say the last word in every row that the worker has not said it in; returns the exit code."""
        code = self._course.exit_code
        assert code is not None
        last, until_s = self._status(), self._now_s() + FAREWELL_S
        unsaid = self._posts.unsaid(last)
        while (unsaid or self._posts.busy) and self._now_s() < until_s:
            unsaid = self._posts.write_last(unsaid, self._now_s(), last)  # once is all that there is time for
            if self._wake_fd in self._select(until_s):
                os.read(self._wake_fd, READ_BYTES)
                self._bury()
        self._footprints.close()
        self._selector.close()
        self._log.info("guard stopped", exit_code=code)
        return code


@contextmanager
def _woken_by_signals() -> Generator[tuple[int, int]]:
    """A pipe: its first end becomes readable with the number of each signal that is handled."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
    previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield read_fd, write_fd
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)
