"""What commands that talk to Telegram have in common."""

from collections.abc import Generator
from contextlib import contextmanager

from tgworker.cli._errors import Usage
from tgworker.telegram import HostMoved, TelethonMoved


@contextmanager
def known_telethon() -> Generator[None]:
    """End the command in one line if a library under the adapter is not one that it knows."""
    try:
        yield
    except (TelethonMoved, HostMoved) as error:
        raise Usage(str(error)) from None
