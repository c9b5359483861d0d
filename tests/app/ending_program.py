"""A worker's process whose inside does not end: ``python ending_program.py WAY``, until it gets signals."""

import sys
import time
from pathlib import Path

import trio

from tgworker.app import run
from tgworker.settings import load_settings


async def deaf() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def frozen() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(60)  # noqa: ASYNC251 - what the program is about


WAYS = {"deaf": deaf, "frozen": frozen}


if __name__ == "__main__":
    way = WAYS[sys.argv[1]]
    run.STOP_WITHIN_S, run.LAST_RESORT_S = float(sys.argv[2]), 0.2
    setattr(run._Process, "run", lambda _self: way())  # noqa: B010 - past both type checkers
    settings = load_settings(
        {"TGWORKER_DATA_DIR": str(Path.cwd()), "TGWORKER_LOG_FORMAT": "json"}, require=()
    )
    sys.exit(run.run_worker(settings))
