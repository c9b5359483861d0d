"""``scripts/soak``: everything breaks for a while; then both ledgers are compared."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from soak.plan import Plan
from soak.run import soak
from tgworker.devstack import DevStackError


def main(words: Sequence[str]) -> int:
    """Soak; returns the exit status: 0 if both ledgers are equal, 1 if not, 2 for wrong words."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="A guarded worker under kill -9 and every other fault: is anything lost or doubled?",
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long things break (default: 10)")
    parser.add_argument("--accounts", type=int, default=4, help="how many accounts the worker has (4)")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (1)")
    parser.add_argument(
        "--supabase", action="store_true", help="on a local stack, whose parts are killed, too"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, as last line"
    )
    options = parser.parse_args(words)
    if not 0 < options.minutes <= 60 * 24 * 365:
        parser.error(f"--minutes {options.minutes:g}: above 0, and at most a year")
    if not 1 <= options.accounts <= 100:
        parser.error(f"--accounts {options.accounts}: 1 to 100")
    plan = Plan(
        seconds=options.minutes * 60, accounts=options.accounts, seed=options.seed, supabase=options.supabase
    )
    folder = Path(tempfile.mkdtemp(prefix="tgworker-soak-"))
    try:
        found = trio.run(lambda: soak(plan, folder, say=_say))
    except DevStackError as error:
        print(f"scripts/soak: {error}", file=sys.stderr)
        return 2
    result = found.as_object()
    if not found.ok:
        _say(f"the worker's log: {folder / 'worker.log'}")
    print(json.dumps(result) if options.json else _as_text(result))
    return 0 if found.ok else 1


def _as_text(result: dict[str, object]) -> str:
    return "\n".join(f"{name.replace('_', ' '):>20}  {value}" for name, value in result.items())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
