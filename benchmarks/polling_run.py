"""``python -m tgworker``, but the Supabase store has no early wake-up: polling alone."""

import sys

import tgworker.app.supabase as adapter
from tgworker.cli import main


def no_wakeup(_rest: object) -> None:
    """In place of the long poll."""


if __name__ == "__main__":
    setattr(adapter, "LongPoll", no_wakeup)  # noqa: B010 - a class is replaced, which type checkers refuse
    sys.exit(main(sys.argv[1:]))
