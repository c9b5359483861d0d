"""The command line: ``python -m tgworker``.

Each command is a module of its own name. Exit codes: 0 done; 1 the answer is no; 2 usage, configuration, or
a data folder in use; 3 the store has another schema version or cannot be reached; 70 and 75 belong to the
worker and its guard.
"""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
    """
    if sys.platform == "win32":
        print("tgworker: Windows is not supported: run it on Linux, or in WSL", file=sys.stderr)
        return 2
    try:
        from tgworker.cli._app import dispatch
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tgworker"):
            raise
        # `pip install tgworker` brings the supervision library alone.
        print(f"tgworker: {error.name} is not installed: pip install 'tgworker[worker]'", file=sys.stderr)
        return 2
    return dispatch(list(sys.argv[1:] if argv is None else argv))
