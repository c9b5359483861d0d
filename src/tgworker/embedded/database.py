"""One SQLite file, one connection, one call at a time; calls that can be cut off."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from tgworker.embedded.errors import translated
from tgworker.messaging.errors import StoreAway

T = TypeVar("T")

BUSY_S = 5.0
"""Seconds to wait for another process's lock: well under the database's deadline of 10 s, so that "locked" is
said by SQLite and not guessed by the deadline."""


_BEGIN_WRITING = "begin immediate"  # the lock now, not at the first statement that writes: no deadlock


class RunSync(Protocol):
    """How a blocking call is run. It must run one call at a time, and return or raise what the call does."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Run ``call``. When this is cancelled, the call has not begun, or is left to end by itself."""
        ...


def in_threads() -> RunSync:
    """Blocking calls in a thread, one after the other: for production.

    A cancelled call returns at once; its thread is left to end by itself, and the next call waits for that
    (the limiter's only token goes with the thread), so that two never overlap.
    """
    limiter = trio.CapacityLimiter(1)

    async def run_sync(call: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)

    return run_sync


async def inline(call: Callable[[], T], /) -> T:
    """Blocking calls on the spot: for tests on a mock clock, which does not wait for threads."""
    await trio.lowlevel.checkpoint()
    return call()


class _Call:
    """A call in progress, and whether anybody still waits for it."""

    def __init__(self) -> None:
        self.abandoned = False

    def ending(self) -> str:
        """How its transaction ends: what nobody waits for is better undone than done in secret."""
        return "rollback" if self.abandoned else "commit"


class Database:
    """One file. Calls are functions of a connection; each is one transaction.

    Args:
        path: The file.
        run_sync: How calls are run.
        prepare: Makes a fresh connection ready (pragmas, temporary tables); it may be called again after an
            error of the disk.
        busy_s: Seconds to wait for another process's lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        run_sync: RunSync,
        prepare: Callable[[sqlite3.Connection], None],
        busy_s: float = BUSY_S,
    ) -> None:
        self.path = path
        self._run_sync = run_sync
        self._prepare = prepare
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._using = threading.Lock()  # held while a call uses the connection
        self._changing = threading.Lock()  # guards _running and abandoned; held for moments only
        self._running: _Call | None = None
        self._durable: bool | None = None  # what the connection was last told; None: what `prepare` said
        self._closed = False

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a read transaction: it sees one state of the file.

        Raises:
            StoreAway: An outage.
            StoreDamaged: The file is damaged.
        """
        return await self._submit(work, "begin", durable=None)

    async def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run ``work`` in a write transaction; when this returns, it is committed.

        Args:
            work: As in `read`.
            durable: Whether it survives a power failure too, at the price of one ``fsync``, and not only the
                death of the process.

        Raises: as `read`.

        Cancellation: nothing is half-done. The call may still commit if it was cancelled in its last moment.
        """
        return await self._submit(work, _BEGIN_WRITING, durable=durable)

    async def bare(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, but outside of a transaction: for what SQLite allows only there."""
        return await self._submit(work, None, durable=None)

    async def write_unless(
        self, idle: Callable[[sqlite3.Connection], bool], work: Callable[[sqlite3.Connection], T]
    ) -> T | None:
        """As `write`, but ask ``idle`` first, without a lock; if it says yes, do nothing: ``None``."""

        def unless_idle(connection: sqlite3.Connection) -> T | None:
            if idle(connection):
                return None
            connection.execute(_BEGIN_WRITING)
            return work(connection)

        return await self._submit(unless_idle, None, durable=True)

    def peek(self, look: Callable[[sqlite3.Connection], bool]) -> bool:
        """Run ``look`` here and now, without a thread and without a transaction; no, while a call runs.

        Only for what reads shared memory and takes microseconds. Where it cannot look, it says yes: a call
        will say what is wrong.
        """
        if not self._using.acquire(blocking=False):
            return False
        try:
            return self._connection is None or look(self._connection)
        except sqlite3.Error:
            return True
        finally:
            self._using.release()

    def now(self, work: Callable[[sqlite3.Connection], T], *, writing: bool | None) -> T:
        """The same, blocking: for the time before and after the loops, and for processes without any.

        Args:
            work: As in `read`.
            writing: `write` or `read`; ``None`` leaves transactions to ``work``.
        """
        begin = {True: _BEGIN_WRITING, False: "begin", None: None}[writing]
        return self._perform(_Call(), work, begin, durable=None)

    def close(self) -> None:
        """Close the connection. A call that still runs is interrupted; one that does not heed it keeps it."""
        self._closed = True
        with self._changing:
            if self._running is not None and self._connection is not None:
                self._running.abandoned = True
                self._connection.interrupt()
        if self._using.acquire(timeout=1):
            try:
                self._disconnect()
            finally:
                self._using.release()

    async def _submit(
        self, work: Callable[[sqlite3.Connection], T], begin: str | None, *, durable: bool | None
    ) -> T:
        call = _Call()
        try:
            return await self._run_sync(lambda: self._perform(call, work, begin, durable=durable))
        except trio.Cancelled:
            with self._changing:
                call.abandoned = True
                # Under the lock: it is this call's statement that is interrupted, never its successor's.
                if self._running is call and self._connection is not None:
                    self._connection.interrupt()
            raise

    def _perform(
        self,
        call: _Call,
        work: Callable[[sqlite3.Connection], T],
        begin: str | None,
        *,
        durable: bool | None,
    ) -> T:
        with self._using, translated(self.path):
            if call.abandoned or self._closed:
                raise StoreAway(f"{self.path}: closed")
            connection = self._connect()
            with self._changing:
                if call.abandoned:  # while the connection was made ready
                    raise StoreAway(f"{self.path}: closed")
                self._running = call
            try:
                if durable is not None and durable is not self._durable:
                    connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
                    self._durable = durable
                if begin is not None:
                    connection.execute(begin)
                result = work(connection)
                if connection.in_transaction:
                    connection.execute(call.ending())
            except BaseException as error:
                self._undo(connection, error)
                raise
            finally:
                with self._changing:
                    self._running = None
            return result

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_s,
                isolation_level=None,
                check_same_thread=False,  # one call at a time, but not always from the same thread
                cached_statements=256,
            )
            connection.text_factory = _as_text
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            # An interruption between two statements reaches neither of them: the second is stopped by this.
            connection.set_progress_handler(self._is_abandoned, _LOOK_EVERY_STEPS)
            self._connection = connection
        return self._connection

    def _is_abandoned(self) -> bool:
        """Whether nobody waits any more for the call that runs; asked by SQLite amid its statements."""
        running = self._running
        return running is not None and running.abandoned

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Leave a connection that the next call may use, or none."""
        try:
            if connection.in_transaction:
                connection.execute("rollback")
        except sqlite3.Error:
            self._disconnect()
            return
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        if isinstance(error, sqlite3.Error) and code not in _CONNECTION_IS_WELL:
            self._disconnect()

    def _disconnect(self) -> None:
        with self._changing:
            connection, self._connection = self._connection, None
            self._durable = None
        if connection is not None:
            connection.close()


def _as_text(data: bytes) -> str:
    """What stands in a column as text, whatever it is: SQLite does not look.

    (It costs some 80 ns a value more than Python's own way, which raises.)
    """
    return data.decode("utf-8", "replace")


#: Steps of SQLite's virtual machine: some 20 ms. Each look needs the GIL, which may be busy.
_LOOK_EVERY_STEPS = 1_000_000

#: After these the connection serves on; after anything else a new one is made.
_CONNECTION_IS_WELL = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
}
