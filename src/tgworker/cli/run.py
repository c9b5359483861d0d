"""``tgworker run``: the worker, under its guard."""

import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from tgworker.app.guard import run_guarded
from tgworker.app.run import run_worker
from tgworker.app.systemd import systemd_of
from tgworker.cli._errors import Usage, exit_code_of
from tgworker.cli._options import settings_for
from tgworker.cli._telethon import known_telethon
from tgworker.settings import Settings


def run(*, no_guard: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Hold the accounts online until SIGTERM or Ctrl-C; a second one ends it at once.

    Args:
        no_guard: Without the parent process that replaces a worker which is frozen or dead: for where
            something else restarts it.
    """
    settings = _settings()
    try:
        systemd = systemd_of(os.environ)
    except ValueError as error:
        raise Usage(f"{error}: systemd sets it; unset it where there is no systemd") from None
    if no_guard:
        with known_telethon():
            gc.freeze()  # what was imported stays: without it the collector walks through it, again and again
            return run_worker(settings, load=_settings, systemd=systemd, stderr=sys.stderr)
    return run_guarded(settings, load=_settings, ending=_ending, systemd=systemd, stderr=sys.stderr)


def _settings() -> Settings:
    return settings_for("telegram", "encryption")


def _ending(work: Callable[[], object]) -> int:
    """What ends a worker, as this command's exit code."""

    def known() -> object:
        with known_telethon():
            return work()

    return exit_code_of(known)
