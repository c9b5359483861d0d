"""The steps of a process: all that it does to the outside, named, in order; and death before any of them.

A process that is killed leaves behind what it has done to the outside and nothing else: what stands in its
memory is gone. So two moments of its life are the same crash if it does nothing to the outside between them,
and it is enough to kill it once before each such *step*, and once after the last. The steps are found by
instrumentation, not by reading: `watching` wraps

* every statement that SQLite is given (a transaction has many, of which the last is its ``commit``),
* every write to a socket (Telegram's, the database's), before and after: what it set off on the other side
  may still be going on when the next process looks,
* every read from a socket, after it: not a deed, but the proof that the other side has done its own.

Reads, and statements that only look, are steps that change nothing: they cost a run each and prove the
argument above by doing it.
"""

import json
import os
import re
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import trio

if TYPE_CHECKING:
    from types import FrameType

READ = "read from a socket"

_OURS = f"{os.sep}tgworker{os.sep}"


class Steps:
    """Names steps, and kills the process before one of them.

    Nothing counts until `arm`; what the scenario's own task does (the one that arms) never counts.

    Args:
        report: Where the names go in the end.
        die_before: The name of the step that the process does not live to take; ``None``: it lives.
    """

    others: tuple[str, ...] = ()
    """Ends of names of tasks that go about something else: what they do is no step."""

    def __init__(self, report: Path, die_before: str | None = None) -> None:
        self._report = report
        self._names: list[str] = []
        self._die_before = die_before
        self._seen: Counter[str] = Counter()
        self._scenario: trio.lowlevel.Task | None = None
        self._armed = False
        self._last_at = 0.0
        self._last = ("", "")

    def arm(self) -> None:
        """Count from here."""
        self._scenario = trio.lowlevel.current_task()
        self._armed = True

    def end(self) -> NoReturn:
        """The work is done: one more step, ``end``; then the process ends as if it crashed."""
        self._take("end")
        self._report.write_text(json.dumps(self._names), encoding="utf-8")
        os._exit(0)

    async def quiet(self, seconds: float = 0.03) -> None:
        """Wait until nothing was done for so long: what began before is no step of what comes now."""
        while (left_s := self._last_at + seconds - trio.current_time()) > 0:
            await trio.sleep(left_s)

    def step(self, what: str) -> None:
        """Something is about to be done; may not return."""
        try:
            task = trio.lowlevel.current_task()
        except RuntimeError:
            return  # outside of trio: the process begins, or ends
        if task is self._scenario or task.name.endswith(self.others):
            return
        self._last_at = trio.current_time()
        again, self._last = self._last == (task.name, READ) == (task.name, what), (task.name, what)
        if self._armed and not again:  # in how many pieces an answer comes is the network's matter
            self._take(f"{_site()}: {what}")

    def _take(self, what: str) -> None:
        self._seen[what] += 1
        name = f"{what} ({self._seen[what]})"
        self._names.append(name)
        if name == self._die_before:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watching(steps: Steps) -> Generator[None]:
    """Tell ``steps`` of everything that this process does to the outside while the block runs."""
    connect = sqlite3.connect

    def connect_watched(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(lambda sql: steps.step(f"sql {_verb(sql)}"))
        return connection

    def plain(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, *args: Any) -> Any:
            _before(steps, name)
            result = method(self, *args)
            _after(steps, name)
            return result

        return call

    def of_trio(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(self: trio.socket.SocketType, *args: Any) -> Any:
            _before(steps, name)
            result = await method(self, *args)
            _after(steps, name)
            return result

        return call

    with ExitStack() as stack:
        stack.callback(setattr, sqlite3, "connect", connect)
        setattr(sqlite3, "connect", connect_watched)  # noqa: B010 # for mypy, assigning would be an error
        for kind, wrapped in ((socket.socket, plain), (_kind_of_trio(), of_trio)):
            for name in ("send", "recv", "recv_into"):
                method = getattr(kind, name)
                stack.callback(setattr, kind, name, method)
                setattr(kind, name, wrapped(name, method))
        yield


def _before(steps: Steps, name: str) -> None:
    if name == "send":
        steps.step("write to a socket")


def _after(steps: Steps, name: str) -> None:
    steps.step("written to a socket" if name == "send" else READ)


def _kind_of_trio() -> type[Any]:
    """The class of trio's sockets, which has taken the standard library's methods at its import."""
    with socket.socket() as example:
        return type(trio.socket.from_stdlib_socket(example))


def _verb(sql: str) -> str:
    """A statement without its values."""
    return " ".join(re.findall(r"[a-z_]+", sql.removeprefix("-- ").partition("'")[0])[:5])


def _site() -> str:
    """The innermost function of the worker on the stack, and which of another module has called it."""
    sites: dict[str, str] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(sites) < 2:
        code = frame.f_code
        if _OURS in code.co_filename:
            module = Path(code.co_filename).stem
            sites.setdefault(module, f"{module}.{code.co_name}")
        frame = frame.f_back
    return " > ".join(reversed(sites.values())) or "elsewhere"
