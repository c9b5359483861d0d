"""What can end a command, as one clear line and an exit code (the codes are part of the contract)."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from cyclopts import CycloptsError

from tgworker.cli._output import OutputLost, complain
from tgworker.cli._usage import usage_line
from tgworker.messaging.errors import (
    AccountGone,
    AccountRefused,
    StoreAway,
    StoreFault,
    StoreMismatch,
    StoreRefused,
)
from tgworker.operations.status_socket import StatusUnavailable
from tgworker.settings import SettingsError

EXIT_NO = 1
"""It ran, and the answer is no."""
EXIT_USAGE = 2
"""Usage, configuration, or a data folder in use."""
EXIT_STORE = 3
"""The store has another schema version; one-shot commands also: it cannot be reached."""
EXIT_INTERRUPTED = 130
"""Ctrl-C before a one-shot command was done: as shells call it, 128 + SIGINT."""


class Usage(Exception):
    """The command cannot do what its arguments say. The message names the argument and the remedy."""


class Failed(Exception):
    """The command ran and could not do it. The message says why, and the remedy."""


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command; what ends it becomes one line for each problem, and an exit code.

    Args:
        command: Returns its exit code; anything that is no number counts as 0 (a help page).
    """
    try:
        code = command()
    except SettingsError as error:
        for problem in error.problems:
            complain(problem)
        return EXIT_USAGE
    except CycloptsError as error:
        complain(usage_line(error))
        return EXIT_USAGE
    except (Usage, StoreFault, StatusUnavailable, AccountGone) as error:
        complain(str(error))
        return EXIT_USAGE
    except (StoreRefused, StoreMismatch) as error:
        complain(str(error))
        return EXIT_STORE
    except StoreAway as error:
        complain(f"the store cannot be reached ({error}): try again once that is over")
        return EXIT_STORE
    except (AccountRefused, Failed, OutputLost) as error:
        complain(str(error))
        return EXIT_NO
    except KeyboardInterrupt as interrupt:
        return _interrupted(str(interrupt))
    except BaseExceptionGroup as group:
        # Ctrl-C inside a nursery.
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
        return _interrupted()
    except BrokenPipeError:
        # `outbox list | head`: who reads has seen enough. Python would flush standard output once more.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_NO
    return code if isinstance(code, int) else 0


def is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C and nothing else, inside a nursery or not."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(KeyboardInterrupt)[1] is None
    return isinstance(error, KeyboardInterrupt)


def _interrupted(what_stays: str = "") -> int:
    complain(f"interrupted: {what_stays or 'what was done stays done'}")
    return EXIT_INTERRUPTED
