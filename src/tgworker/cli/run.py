"""``tgworker run``: the worker."""

import sys
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from tgworker.app.run import run_worker
from tgworker.cli._options import settings_for
from tgworker.cli._telethon import known_telethon


def run(*, no_guard: Annotated[bool, Parameter(negative="")] = False) -> int:  # noqa: ARG001 - see below
    """Hold the accounts online until SIGTERM or Ctrl-C; a second one ends it at once.

    Args:
        no_guard: Without the parent process that restarts a frozen worker. Accepted, and without effect until
            that parent exists: the worker runs alone.
    """
    load = partial(settings_for, "telegram", "encryption")
    settings = load()
    with known_telethon():
        return run_worker(settings, load=load, stderr=sys.stderr)
