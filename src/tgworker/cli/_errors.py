"""What can end a command, as one clear line and an exit code (the codes are part of the contract)."""

from collections.abc import Callable

from cyclopts import CycloptsError

from tgworker.cli._output import complain
from tgworker.embedded.errors import StoreFault
from tgworker.messaging.errors import AccountRefused, StoreAway, StoreMismatch, TelegramAway
from tgworker.operations.status_socket import StatusUnavailable
from tgworker.settings import SettingsError

EXIT_NO = 1
"""It ran, and the answer is no."""
EXIT_USAGE = 2
"""Usage, configuration, or a data folder in use."""
EXIT_STORE = 3
"""The store has another schema version; one-shot commands also: it cannot be reached."""


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
    except (Usage, CycloptsError, StoreFault, StatusUnavailable) as error:
        complain(" ".join(str(error).split()))
        return EXIT_USAGE
    except (StoreAway, StoreMismatch) as error:
        complain(str(error))
        return EXIT_STORE
    except (AccountRefused, TelegramAway, Failed) as error:
        complain(str(error))
        return EXIT_NO
    return code if isinstance(code, int) else 0
