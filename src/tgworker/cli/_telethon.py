"""What commands that talk to Telegram have in common."""

from collections.abc import Generator
from contextlib import contextmanager

from tgworker.cli._errors import Usage
from tgworker.telegram import TelethonMoved


@contextmanager
def known_telethon() -> Generator[None]:
    """End the command in one line if the installed Telethon is not one that the adapter knows."""
    try:
        yield
    except TelethonMoved as error:
        raise Usage(str(error)) from None
