"""A trio-asyncio loop that runs asyncio's own machinery, while trio waits for its files and timers."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import perf_counter
from typing import Any, TypeVar

import outcome
import trio
import trio_asyncio
from sniffio import thread_local as current_library
from trio_asyncio._handles import AsyncHandle

# C's own variable. trio-asyncio puts a function of its own over it, which asks trio instead.
from trio_asyncio._loop import _orig_run_get as running_loop_of_thread

from tgworker.telegram.host.selector import GlanceSelector

T = TypeVar("T")

TURN_S = 0.001
"""How long a loop with much to do runs before the other trio tasks get a turn, seconds of real time."""

DRAIN_TURNS = 1000
"""How many turns a loop that is left gets for callbacks that each ask for another: about a second."""

Native: Any = asyncio.SelectorEventLoop  # its private names are in no stub
Stock: Any = trio_asyncio.TrioEventLoop


class HostLoop(Stock):  # type: ignore[misc] # Any
    """A `trio_asyncio.TrioEventLoop` in whose place asyncio's own works: ready queue, timer heap, transports.

    trio-asyncio sends each callback through a memory channel, a cancel scope and a turn of trio's scheduler,
    watches each file with a trio task, and keeps a cancelled timer until it would have been due. Here two
    trio tasks run ``BaseEventLoop._run_once``, which never waits. One, the *main* task (trio-asyncio's),
    sleeps until a timer is due or a trio task has called ``call_soon``; the other, the *watcher*, until a
    file is ready. Whichever wakes runs callbacks until none is left, or until trio tasks should go on.

    All that is public stays trio-asyncio's: opening and leaving, cancellation, adapters, exception handlers,
    the executor, child processes.

    Not to be made by hand: see `open_hosted_loop`.

    Args:
        queue_len: trio-asyncio's; not enforced.
    """

    # asyncio's own, where trio-asyncio has put something else.
    call_later = Native.call_later
    _call_soon = Native._call_soon
    _timer_handle_cancelled = Native._timer_handle_cancelled
    _add_callback = Native._add_callback
    _add_reader = Native._add_reader
    _add_writer = Native._add_writer

    def __init__(self, queue_len: int | None = None) -> None:
        super().__init__(queue_len)
        self._selector.close()
        self._selector: GlanceSelector = GlanceSelector()
        self._q_send.close()
        self._q_recv.close()
        self._ready = deque[asyncio.Handle]()
        self._scheduled: list[asyncio.TimerHandle] = []
        self._sleeping: trio.lowlevel.Task | None = None  # the main task, unless it runs or is about to run
        self._nap = trio.CancelScope()  # its deadline is the alarm clock of the main task
        self._watching = trio.CancelScope()  # around the watcher: nobody may watch a selector that is closed
        self._returns = 0  # how many have come back over the bridge: each ends the turn
        self._drained = 0

    # ------------------------------------------------ into the ready queue

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback as soon as possible. See `asyncio.loop.call_soon`."""
        if self._debug or self._closed:
            handle: asyncio.Handle = Native.call_soon(self, callback, *args, context=context)
        else:
            handle = asyncio.Handle(callback, args, self, context)
            self._ready.append(handle)
        if self._sleeping is not None:  # called by a trio task, not by a callback
            self._wake()
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time of trio's clock. See `asyncio.loop.call_at`."""
        handle: asyncio.TimerHandle = Native.call_at(self, when, callback, *args, context=context)
        if self._sleeping is not None:
            self._set_alarm()
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback as soon as possible; from any thread. See `asyncio.loop.call_soon_threadsafe`."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = asyncio.Handle(callback, args, self, context)
        self._post(handle)
        return handle

    def _handle_sig(self, sig: int, _frame: object) -> None:
        self._post(self._signal_handlers[sig])

    def _post(self, handle: asyncio.Handle) -> None:
        token = self._token
        if token is None:
            raise RuntimeError("Event loop is not running")
        token.run_sync_soon(self._receive, handle)

    def _receive(self, handle: asyncio.Handle) -> None:
        # Raising here would crash trio. What comes after the end is dropped, as asyncio does.
        if not self._closed:
            self._queue_handle(handle)

    def _queue_handle(self, handle: asyncio.Handle) -> asyncio.Handle:
        self._check_closed()
        if isinstance(handle, AsyncHandle):
            self._ready.append(asyncio.Handle(self._start_trio_task, (handle,), self))
        else:
            self._ready.append(handle)
        if self._sleeping is not None:
            self._wake()
        return handle

    def _start_trio_task(self, handle: Any) -> None:
        try:
            handle._context.run(self._nursery.start_soon, handle._run, name=handle._callback)
        except RuntimeError as closed:  # the loop is being left, and starts no trio tasks any more
            future = handle._fut
            if future is None or future.done():
                raise
            future.set_exception(closed)

    # ------------------------------------------------ turning and sleeping

    def _turn(self) -> None:
        """Run what is ready. A plain function: no trio task runs before it returns."""
        outer_library, current_library.name = current_library.name, "asyncio"
        outer_loop = running_loop_of_thread()  # in guest mode it is the host's
        asyncio._set_running_loop(self)
        returned, ends_at = self._returns, perf_counter() + TURN_S
        try:
            self._run_once()
            while self._ready and self._returns == returned and perf_counter() < ends_at:
                self._run_once()
        except BaseException:  # what stops a loop; a callback's errors are told to the exception handler
            self._stopped.set()
            self._watching.cancel("the loop has stopped")
            raise
        finally:
            asyncio._set_running_loop(outer_loop)
            current_library.name = outer_library

    def _wake(self) -> None:
        main, self._sleeping = self._sleeping, None
        if main is not None:
            trio.lowlevel.reschedule(main)

    def _set_alarm(self) -> None:
        # An alarm for a timer that was cancelled meanwhile is left: a false one costs less than another.
        if self._scheduled and self._scheduled[0].when() < self._nap.deadline:
            self._nap.deadline = self._scheduled[0].when()

    async def _main_loop_one(self, no_wait: bool = False) -> None:
        if no_wait:
            self._drain()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            # Caught here and raised outside, because trio-asyncio wants it without a group around it.
            ended = await outcome.acapture(self._turn_and_sleep)
        ended.unwrap()

    async def _turn_and_sleep(self) -> None:
        """The main task, until a callback raises what stops a loop."""
        while True:
            with trio.CancelScope() as self._nap:  # one serves until an alarm rings
                while True:
                    self._turn()
                    if self._ready:
                        await trio.lowlevel.cancel_shielded_checkpoint()
                        continue
                    self._set_alarm()
                    self._sleeping = trio.lowlevel.current_task()
                    await trio.lowlevel.wait_task_rescheduled(self._alarm)

    def _alarm(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._sleeping = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def _watch(self) -> None:
        """The watcher: turns the loop while the main task sleeps on."""
        with self._watching:
            while not self._stopped.is_set():
                await trio.lowlevel.wait_readable(self._selector.fileno())
                main, self._sleeping = self._sleeping, None
                if main is None:
                    continue  # it is about to turn, and will see the file itself
                ended = outcome.capture(self._turn)
                if self._ready or isinstance(ended, outcome.Error):
                    trio.lowlevel.reschedule(main, ended)
                else:
                    self._sleeping = main
                    self._set_alarm()

    # ------------------------------------------------ over the bridge

    async def run_aio_coroutine(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine as an asyncio task, and wait for it. See trio-asyncio.

        Its caller goes on as soon as it ends: not after other callbacks that are ready as well.
        """
        try:
            self._check_closed()
            future = asyncio.ensure_future(coro, loop=self)  # a future will do as well
        except BaseException:
            coro.close()
            raise
        future.add_done_callback(self._end_turn)
        result: T = await self.run_aio_future(future)
        return result

    def _end_turn(self, _task: object) -> None:
        self._returns += 1

    # ------------------------------------------------ the ends

    async def _main_loop_init(self, nursery: trio.Nursery) -> None:
        await super()._main_loop_init(nursery)
        self.time = trio.lowlevel.current_clock().current_time  # the same clock with one call less

    async def _main_loop_exit(self) -> None:
        await super()._main_loop_exit()
        self.__dict__.pop("time", None)

    def _drain(self) -> None:
        """One turn for what is left in a loop that has stopped.

        Raises:
            WouldBlock: Nothing is left; or callbacks go on asking for others, and would for ever.
        """
        timer_is_due = bool(self._scheduled) and self._scheduled[0].when() <= self.time()
        if not (self._ready or timer_is_due) or self._drained >= DRAIN_TURNS:
            raise trio.WouldBlock
        self._drained += 1
        self._selector.looks = False
        self._turn()

    def _cancel_fds(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fd in self._close_files:
                os.close(key.fd)

    def _cancel_timers(self) -> None:
        for handle in list(self._scheduled):
            handle.cancel()
        self._scheduled.clear()

    # Whatever wakes the loop comes through trio: no pipe of its own is needed, which is two files less.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        pass
