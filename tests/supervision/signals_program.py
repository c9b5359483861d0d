"""A supervised program that tells what happens to it, one line of JSON for each thing. Run by tests.

``python signals_program.py WAY LINGER``: how it listens for signals, and how many seconds its children take
to stop; ``deaf`` for one that never does.
"""

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace

import trio

from tgworker.supervision import (
    ChildEnded,
    ChildSpec,
    Event,
    Subtree,
    SupervisorSpec,
    SupervisorStopped,
    SupervisorStopping,
    Wedged,
    open_supervisor,
)
from tgworker.supervision.testing import Lingers, RefusesToDie, ScriptedChild


def say(**values: object) -> None:
    sys.stdout.write(json.dumps({**values, "at_s": time.monotonic()}) + "\n")
    sys.stdout.flush()


def observe(event: Event) -> None:
    match event:
        case SupervisorStopping():
            say(what="stopping", path=event.path)
        case ChildEnded():
            say(what="ended", path=event.path, verdict=event.ending.verdict)
        case SupervisorStopped():
            say(what="stopped", path=event.path, orphans=event.orphans)
        case _:
            pass


def give_up(failure: Wedged) -> None:
    say(what="wedged", path=failure.path)
    os._exit(75)


def lingering(name: str, seconds: float) -> ChildSpec:
    return ChildSpec(name, start=ScriptedChild(Lingers(seconds)))


async def serve(linger: str) -> None:
    if linger == "deaf":
        inner = replace(
            lingering("inner", 0), start=ScriptedChild(RefusesToDie(trio.Event())), stop_within_s=0.5
        )
        seconds = 0.1
    else:
        seconds = float(linger)
        inner = lingering("inner", seconds)
    branch = ChildSpec("branch", start=Subtree(SupervisorSpec(children=(inner,))))
    spec = SupervisorSpec(children=(lingering("first", seconds), branch, lingering("last", seconds)))
    async with open_supervisor(
        spec, rng=random.Random(1), observers=(observe,), on_wedged=give_up
    ) as supervisor:
        await supervisor.wait_ready()
        say(what="ready")
        await trio.sleep_forever()


async def ctrl_c(linger: str) -> None:
    """Nothing special: Ctrl-C is a KeyboardInterrupt."""
    await serve(linger)


async def sigterm(linger: str) -> None:
    """A signal cancels what runs. More of them are heard, and change nothing.

    The watching must outlive what it cancels: trio raises signals again that nobody has taken out of the
    receiver when it is closed, and then they kill.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            serving = trio.CancelScope()

            async def watch() -> None:
                async for number in signals:
                    say(what="signal", name=signal.Signals(number).name)
                    serving.cancel(reason=f"the process got {signal.Signals(number).name}")

            nursery.start_soon(watch)
            with serving:
                await serve(linger)
            nursery.cancel_scope.cancel()


def main() -> None:
    way = {"ctrl-c": ctrl_c, "sigterm": sigterm}[sys.argv[1]]
    try:
        trio.run(way, sys.argv[2])
    except BaseExceptionGroup as group:
        interrupts, rest = group.split(KeyboardInterrupt)
        say(what="raised", interrupts=interrupts is not None, rest=repr(rest))
        sys.exit(130)
    except KeyboardInterrupt:
        say(what="raised", interrupts=True, rest="None")
        sys.exit(130)
    say(what="returned")


if __name__ == "__main__":
    main()
