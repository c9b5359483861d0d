"""A worker's process with another inside: ``python process_program.py WAY STOP_WITHIN_S``."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import trio

from tgworker.app import run
from tgworker.settings import load_settings


async def idle() -> None:
    await trio.sleep_forever()


async def deaf() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def frozen() -> None:
    time.sleep(60)  # noqa: ASYNC251 - what the program is about


WAYS = {"idle": idle, "deaf": deaf, "frozen": frozen}


async def inside() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await WAYS[sys.argv[1]]()


if __name__ == "__main__":
    run.STOP_WITHIN_S, run.LAST_RESORT_S = float(sys.argv[2]), 0.2
    setattr(run._Process, "run", lambda _self: inside())  # noqa: B010 - past both type checkers
    load = partial(load_settings, os.environ, Path(".env"), require=())
    sys.exit(run.run_worker(load(), load=load))
