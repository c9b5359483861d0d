"""The command line of `scripts/bench`.

Exit status: 0 when everything asked for was measured, whether or not goals were met (a busy machine is no
fault of the code); 1 when something could not be measured; 2 for a wrong command line.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from time import monotonic
from typing import NoReturn

from benchmarks.alone import measure_alone
from benchmarks.line import Effort, Line, Measured, NotMeasured
from benchmarks.lines import LINES
from benchmarks.report import as_json, as_table, verdict


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line that names the thing, instead of the usage.
        self.exit(2, f"bench: {message}\n")


def main(words: Sequence[str]) -> int:
    """Measure what is asked for; returns the exit status."""
    parser = _Parser(prog="scripts/bench", description="Measures what docs/reference/benchmarks.md lists.")
    parser.add_argument("--only", metavar="ID,…", help="measure these lines and no others")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, as last line"
    )
    parser.add_argument(
        "--short", action="store_true", help="show in seconds that every line works; the values mean little"
    )
    options = parser.parse_args(words)
    lines = LINES if options.only is None else _chosen(options.only, parser)
    effort = Effort.SHORT if options.short else Effort.FULL

    _say(_machine())
    results: dict[str, Measured | NotMeasured] = {}
    for module in dict.fromkeys(line.module for line in lines):
        results |= _measure(module, [line for line in lines if line.module == module], effort)
    print(as_json(lines, results) if options.json else as_table(lines, results))
    return 1 if any(isinstance(result, NotMeasured) for result in results.values()) else 0


def _chosen(only: str, parser: _Parser) -> tuple[Line, ...]:
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    known = {line.id: line for line in LINES}
    unknown = [word for word in wanted if word not in known]
    if unknown or not wanted:
        what = f"--only: unknown {', '.join(unknown)}" if unknown else "--only names no line"
        parser.error(f"{what}; known: {', '.join(known)}")
    return tuple(line for line in LINES if line.id in wanted)


def _measure(module: str, lines: Sequence[Line], effort: Effort) -> dict[str, Measured | NotMeasured]:
    _say(f"measuring {', '.join(line.id for line in lines)} …")
    began_s = monotonic()
    found = measure_alone(module, effort)
    results: dict[str, Measured | NotMeasured] = {}
    for line in lines:
        nothing = NotMeasured(f"{module} did not measure it")
        result = found if isinstance(found, NotMeasured) else found.get(line.id, nothing)
        results[line.id] = result
        said = result.reason if isinstance(result, NotMeasured) else f"{result.value:g} {line.unit}"
        _say(f"  {line.id}: {said} ({line.goal}: {verdict(line, result)}), {monotonic() - began_s:.1f} s")
    return results


def _machine() -> str:
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    return (
        f"{platform.python_implementation()} {platform.python_version()}, trio {version('trio')},"
        f" {os.cpu_count()} cores, load {load}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
