"""``python -m tgworker``, but SIGUSR2 makes the process hold its interpreter: ``holding_run.py run``.

Workers inherit the handler from their guard, which nobody sends the signal to.
"""

import re
import signal
import sys

from tgworker.cli import main


def hold(*_: object) -> None:
    """A regular expression that backtracks for ever: no other thread runs meanwhile."""
    re.fullmatch("(a|aa)+b", "a" * 80)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, hold)
    sys.exit(main(sys.argv[1:]))
