"""Measures the lines of one module in an interpreter of its own.

So a line gives the same alone and among others: what one module imports (trio_asyncio slows asyncio down),
leaves on the heap, or uses up stays with it.

``python -m benchmarks.alone MODULE EFFORT`` prints what it found as one JSON object on its last line.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from benchmarks.line import Effort, Json, Measure, Measured, NotMeasured

ROOT = Path(__file__).parents[1]
GIVE_UP_AFTER_S = 3_600.0  # a measurement that hangs must not hang the others


def measure_alone(
    module: str, effort: Effort, *, give_up_after_s: float = GIVE_UP_AFTER_S
) -> Mapping[str, Measured] | NotMeasured:
    """Measure the lines of ``module`` in a new process; what that says on standard error passes through.

    Args:
        module: Its full name; it has a function ``measure``, see `Measure`.
        effort: How much time may be spent.
        give_up_after_s: The process is killed after so many seconds.

    Returns:
        What was measured, by ID; or why nothing was.
    """
    command = [sys.executable, "-m", "benchmarks.alone", module, effort.value]
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter and module)
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=give_up_after_s,
        )
    except subprocess.TimeoutExpired:
        return NotMeasured(f"not done after {give_up_after_s:g} s")
    if done.returncode != 0:
        return NotMeasured(f"its process ended with {done.returncode}; see standard error")
    found = cast("dict[str, tuple[float, dict[str, Json]]]", json.loads(done.stdout.splitlines()[-1]))
    return {line_id: Measured(value, detail) for line_id, (value, detail) in found.items()}


def main(module: str, effort: str) -> None:
    """Run in the new process."""
    measure = cast("Measure", importlib.import_module(module).measure)
    found = measure(Effort(effort))
    answer = {line_id: (measured.value, measured.detail) for line_id, measured in found.items()}
    print(json.dumps(answer, allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
