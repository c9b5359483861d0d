"""Ending in order: SIGTERM and Ctrl-C cancel what runs, and nothing else."""

import signal
from collections.abc import Awaitable, Callable

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
