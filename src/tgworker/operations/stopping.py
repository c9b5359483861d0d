"""Ending a process in order: asked for by a signal or from within, within a budget, or at once.

The first request counts. SIGTERM and Ctrl-C are requests with exit code 0, also while the process already
ends for another reason: whoever says stop does not want a restart. A second signal ends the process at once.
"""

import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final, final

import trio

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
SIGNALLED: Final = 128
"""What shells add to a signal's number for a process that it ended before it was done."""


@final
@dataclass(frozen=True, slots=True)
class StopRequest:
    """Why a process is to end.

    Attributes:
        reason: In a few words, for the log: ``SIGTERM``.
        exit_code: The process's, once what runs has ended in order.
        cut_code: The process's, if what runs does not end within its budget.
    """

    reason: str
    exit_code: int
    cut_code: int


@final
class StopSwitch:
    """Ends in order what `run_until_stopped` runs; whoever holds it may ask for that.

    It may be made before the event loop runs, and used from signal handlers and other threads.

    Args:
        on_throw: Called once, by who asks first, there and then; it must be fit for a signal handler.
    """

    def __init__(self, *, on_throw: Callable[[], object] = lambda: None) -> None:
        self._on_throw = on_throw
        self._requested: StopRequest | None = None
        self._signals = 0
        self._token: trio.lowlevel.TrioToken | None = None
        self._thrown = trio.Event()

    @property
    def requested(self) -> StopRequest | None:
        """Why the process is to end; ``None`` while it is not."""
        return self._requested

    def request(self, reason: str, *, exit_code: int) -> None:
        """Ask for the end; nothing happens if it was asked for before.

        Args:
            reason: In a few words, for the log.
            exit_code: The process's.
        """
        if self._requested is None:
            self._throw(StopRequest(reason, exit_code, exit_code))

    def signalled(self, number: int) -> bool:
        """A signal to stop came; returns whether it is the second one, on which nobody waits any longer."""
        self._signals += 1
        if self._signals == 1:
            self._throw(StopRequest(signal.Signals(number).name, 0, SIGNALLED + number))
        return self._signals > 1

    async def wait(self) -> StopRequest:
        """Wait until somebody asks for the end."""
        self._token = trio.lowlevel.current_trio_token()
        if self._requested is None:  # who asks after this line finds the token
            await self._thrown.wait()
        assert self._requested is not None
        return self._requested

    def _throw(self, request: StopRequest) -> None:
        first = self._requested is None
        self._requested = request
        if first:
            self._on_throw()
        if self._token is None:
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._thrown.set)


@contextmanager
def stop_signals(switch: StopSwitch, *, end_at_once: Callable[[int], object]) -> Generator[None]:
    """While open, SIGTERM and SIGINT throw the switch; the second of them ends the process.

    The second is served by the signal handler itself, so that a loop that does not turn does not keep the
    process alive.

    Args:
        switch: Is thrown.
        end_at_once: Ends the process with the exit code that it is given: 130 or 143.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if switch.signalled(number):
            end_at_once(SIGNALLED + number)

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def run_until_stopped(
    serve: Callable[[], Awaitable[object]],
    switch: StopSwitch,
    *,
    within_s: float,
    on_stop: Callable[[StopRequest], object],
    on_overdue: Callable[[StopRequest], object],
    beside: Sequence[Callable[[], Awaitable[object]]] = (),
) -> int:
    """Run ``serve`` until it ends, or until the switch is thrown and cancels it; returns the exit code.

    Args:
        serve: What to run. It is cancelled once; what it does on its way out is its own affair.
        switch: As it may have been thrown before.
        within_s: What ``serve`` may take to end once it is cancelled, seconds.
        on_stop: Told the request before the cancellation.
        on_overdue: Called when ``serve`` has not ended in time: it ends the process.
        beside: What runs along until ``serve`` has ended, also while it ends. It must not raise.

    Raises:
        Exception: What ``serve`` raised, as it is and not in a group.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        serving = trio.CancelScope()

        async def end() -> None:
            request = await switch.wait()
            on_stop(request)
            serving.cancel(reason=f"the process is to end: {request.reason}")
            await trio.sleep(within_s)
            on_overdue(switch.requested or request)  # a signal may have come since

        nursery.start_soon(end)
        for function in beside:
            nursery.start_soon(function)
        try:
            with serving:
                await serve()
        except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery's group
            failure = error
        nursery.cancel_scope.cancel(reason="what was run has ended")
    if failure is not None:
        raise failure
    return switch.requested.exit_code if switch.requested is not None else 0
