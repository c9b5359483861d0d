"""A program that forks processes to be killed: everything is imported already, and no loop runs.

Each line of its standard input is an order (see `crashes.victims`), each line of its standard output the wait
status of the process that carried it out. It ends with its input.
"""

import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import trio

from crashes.steps import Steps, watching

PATIENCE_S = 25
"""A process that has not ended by then shows its stacks and is killed."""


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


def _live(order: dict[str, Any]) -> None:
    """Carry out one order; never returns."""
    try:
        signal.alarm(PATIENCE_S + 1)
        faulthandler.dump_traceback_later(PATIENCE_S)
        steps = Steps(Path(order["report"]), order["die_before"])
        module, _, name = order["scenario"].partition(":")
        scenario = getattr(importlib.import_module(module), name)
        with watching(steps):
            trio.run(partial(scenario, steps, **order["arguments"]))
    except BaseException:  # noqa: BLE001 # whatever it is, the parent's test shows it
        traceback.print_exc()
    finally:
        os._exit(1)  # a scenario that does what it should ends by itself (`Steps.end`)


if __name__ == "__main__":
    main()
