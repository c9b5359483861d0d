"""Do these releases of trio-asyncio and Python still have the private names that the host leans on?"""

import asyncio
import inspect
import sys
from typing import Any

import trio_asyncio

from tgworker.telegram.host.opening import LOOP

NEEDED = (
    "_check_callback _check_closed _close_files _closed _debug _handle_sig _nursery _process_events "
    "_q_recv _q_send _ready _run_once _scheduled _selector _signal_handlers _stopped _token run_aio_future"
)
"""Names of a loop that are read or replaced; a test compares them with what the room's sources use."""

SIGNATURES = {
    "_cancel_fds": (),
    "_cancel_timers": (),
    "_close_self_pipe": (),
    "_handle_sig": ("sig", "_"),
    "_main_loop_exit": (),
    "_main_loop_init": ("nursery",),
    "_main_loop_one": ("no_wait",),
    "_make_self_pipe": (),
    "_queue_handle": ("handle",),
    "call_at": ("when", "callback", "args", "context"),
    "call_soon": ("callback", "args", "context"),
    "call_soon_threadsafe": ("callback", "args", "context"),
    "run_aio_coroutine": ("coro",),
}
"""Methods that are overridden, with the parameters of what they replace."""

RESTORED = (
    "_add_callback _add_reader _add_writer _call_soon _process_events _run_once _timer_handle_cancelled "
    "call_at call_later call_soon"
)
"""Methods of asyncio's that are put back, or that nothing may have replaced."""


class HostMoved(Exception):
    """The installed trio-asyncio, or Python, is not one that the host was written for.

    Remedy: the pinned release, or trio-asyncio's own loop (``TGWORKER_TELEGRAM_LOOP=trio-asyncio``).
    """


def check_host() -> None:
    """Fail at start, in one line, if a release of trio-asyncio or Python moved what the host leans on.

    Raises:
        HostMoved: With the first name that is missing or has other parameters.
    """
    open_loop: Any = trio_asyncio.open_loop
    if LOOP not in open_loop.__wrapped__.__code__.co_names:
        raise HostMoved(_complaint(f"open_loop no longer makes a {LOOP} by that name"))
    loop = trio_asyncio.TrioEventLoop()
    try:
        for name in (*NEEDED.split(), *SIGNATURES):
            if not hasattr(loop, name):
                raise HostMoved(_complaint(f"{LOOP}.{name} is gone"))
        for name, parameters in SIGNATURES.items():
            found = tuple(inspect.signature(getattr(loop, name)).parameters)
            if found != parameters:
                raise HostMoved(
                    _complaint(f"{LOOP}.{name} takes ({', '.join(found)}), not ({', '.join(parameters)})")
                )
    finally:
        loop.close()
    for name in RESTORED.split():
        if not hasattr(asyncio.SelectorEventLoop, name):
            raise HostMoved(_complaint(f"asyncio's {name} is gone"))


def _complaint(what: str) -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    return (
        f"trio-asyncio {trio_asyncio.__version__} on Python {python} does not fit: {what}. "
        "Install trio-asyncio>=0.16.0,<0.17, or set TGWORKER_TELEGRAM_LOOP=trio-asyncio"
    )
