"""``tgworker run`` whose accounts do what files tell them: ``python sabotage_program.py run``.

A file ``orders/ACCOUNT`` with a deed in it is done once, by a task of that account, as a handler of its
messages would do it; while there is a file ``orders/start``, no worker gets as far as its event loop: it
exits, or waits if the file says so. What takes minutes in earnest takes less here: see `TUNING`.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tgworker.app import guard
from tgworker.cli import main
from tgworker.guard import GuardLimits
from tgworker.supervision import Backoff, ChildSpec, Intensity, Pulse

ORDERS = Path("orders")
LOOK_EVERY_S = 0.01
EXIT = 9
TUNING: dict[str, Any] = {
    "limits": partial(
        GuardLimits, backoff=Backoff(initial_s=0.05, cap_s=0.5), intensity=Intensity(restarts=3, period_s=300)
    ),
    "start_last_s": 1.0,
    "stop_within_s": 0.2,
}


def sleep() -> None:
    """The event loop stands; other threads could run."""
    time.sleep(3600)


def regex() -> None:
    """The interpreter stands: nothing gives up its lock."""
    re.fullmatch("(a|aa)+b", "a" * 80)


def leave() -> None:
    """As a C library does that calls exit."""
    os._exit(EXIT)


def deaf() -> None:
    """The event loop stands, and SIGABRT does not get through."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    time.sleep(3600)


DEEDS: dict[str, Callable[[], object]] = {"sleep": sleep, "regex": regex, "exit": leave, "deaf": deaf}


async def obey(account: str) -> None:
    """Do what the file says; returns when that is to swallow cancellations."""
    order = ORDERS / account
    while True:
        if order.exists():
            deed = order.read_text()
            if deed:
                order.unlink()
                if deed == "swallow":
                    return
                DEEDS[deed]()
        await trio.sleep(LOOK_EVERY_S)


def obeying(spec: ChildSpec, *, account_of: Callable[[str], str | None]) -> ChildSpec:
    """The same child; an account's obeys besides."""

    async def start(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        account = account_of(pulse.path)
        if account is None:
            await spec.start(pulse, task_status=task_status)
            return
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    await obey(account)
                    scope.cancel(reason="from now on it swallows")

                nursery.start_soon(listen)
                await spec.start(pulse, task_status=task_status)
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            pulse.beat()
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    return replace(spec, start=start, stop_within_s=TUNING["stop_within_s"])


def change(owner: object, name: str, made_of: Callable[[Any], object]) -> None:
    """Put something around what a module or object has by this name."""
    setattr(owner, name, made_of(getattr(owner, name)))


def sabotaged(under_guard: Callable[..., Any]) -> Callable[..., Any]:
    """What makes the way to the guard, so that accounts obey on their way."""

    def make(*arguments: Any, account_of: Callable[[str], str | None], **named: Any) -> Any:
        way = under_guard(*arguments, account_of=account_of, **named)
        change(way, "adjusted", lambda adjusted: lambda spec: adjusted(obeying(spec, account_of=account_of)))
        start_last_s = TUNING["start_last_s"]
        change(way, "holds", lambda holds: lambda **named: holds(**named | {"start_last_s": start_last_s}))
        return way

    return make


def prepare() -> None:
    """Put ourselves around what the composition calls."""
    change(guard, "UnderGuard", sabotaged)
    change(guard, "GuardLimits", lambda _limits: TUNING["limits"])

    def checked(work: Callable[..., int]) -> Callable[..., int]:
        def at_start(*arguments: Any, **named: Any) -> int:
            while (ORDERS / "start").exists():
                if (ORDERS / "start").read_text() != "wait":
                    leave()
                time.sleep(LOOK_EVERY_S)
            return work(*arguments, **named)

        return at_start

    change(guard, "run_worker", checked)


if __name__ == "__main__":
    prepare()
    sys.exit(main(sys.argv[1:]))
