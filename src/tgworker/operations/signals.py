"""Signals: those that end a command in order, and those that ask a worker for something."""

import signal
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import final

import trio


async def run_until_signalled(
    serve: Callable[[], Awaitable[object]], *, on_signal: Callable[[str], object] = lambda _name: None
) -> None:
    """Run ``serve`` until it ends, or until SIGTERM or SIGINT cancels it.

    Signals are listened for before ``serve`` begins: one that comes while it starts is not lost.

    Args:
        serve: What to run. It is cancelled once; what it does on its way out is its own affair, and further
            signals change nothing.
        on_signal: Told the first signal's name before the cancellation.

    Raises:
        Exception: What ``serve`` raised, as it is and not in a group.
    """
    failure: Exception | None = None
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            serving = trio.CancelScope()

            async def watch() -> None:
                # For as long as it takes to end: what is left in the receiver when it is closed, trio raises
                # again, and a second SIGTERM would then kill the process before it is done.
                async for number in signals:
                    if not serving.cancel_called:
                        name = signal.Signals(number).name
                        on_signal(name)
                        serving.cancel(reason=f"the process got {name}")

            nursery.start_soon(watch)
            try:
                with serving:
                    await serve()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the nursery's group
                failure = error
            nursery.cancel_scope.cancel(reason="what was run has ended")
    if failure is not None:
        raise failure


@final
class Bell:
    """Rung by a signal, heard by a task. It rings once for what came before somebody heard it."""

    def __init__(self) -> None:
        self._rung = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._heard = trio.Event()

    def ring(self) -> None:
        """Wake who waits; fit for a signal handler, also before the event loop runs."""
        self._rung = True
        if self._token is None:
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._heard.set)

    async def wait(self) -> None:
        """Wait until it rings, or has since the last time."""
        self._token = trio.lowlevel.current_trio_token()
        while not self._rung:
            await self._heard.wait()
            self._heard = trio.Event()
        self._rung = False


@contextmanager
def signal_bells(*numbers: signal.Signals) -> Generator[Mapping[signal.Signals, Bell]]:
    """While open, the signals ring bells instead of ending the process.

    Their handlers stand from before the event loop runs until after it: a signal that nobody waits for yet,
    or any more, does no harm. Signals that are blocked are unblocked meanwhile: those that came before ring.
    """
    bells = {number: Bell() for number in numbers}

    def handle(number: int, _frame: FrameType | None) -> None:
        bells[signal.Signals(number)].ring()

    before = {number: signal.signal(number, handle) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield bells
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
