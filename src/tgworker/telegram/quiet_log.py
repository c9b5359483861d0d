"""The logger that Telethon gets: it prints nothing and quotes nothing."""

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any


class QuietLogger(logging.Logger):
    """Passes on what Telethon finds worth a warning, without the arguments of the message.

    Telethon quotes requests, answers and raw packets in its log ("Request caused struct.error: %s: %s"), so
    nothing but the format string and the type of an exception leaves here. The logger has no handlers and no
    parent, so that no configuration of `logging` can make it print.

    Args:
        report: Gets the level's name, the format string, and the type of the exception logged with it.
    """

    def __init__(self, report: Callable[[str, str, str | None], None]) -> None:
        super().__init__("telethon", logging.WARNING)
        self.propagate = False
        self._report = report

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 # logging's name
        """Answer without the cache and the manager of `logging`, which other code configures."""
        return level >= logging.WARNING

    def getChild(self, suffix: str) -> "QuietLogger":  # noqa: N802, ARG002 # logging's name
        """Be the logger of every module of Telethon."""
        return self

    def _log(
        self,
        level: int,
        msg: object,
        args: tuple[object, ...] | Mapping[str, object],  # noqa: ARG002 # dropped on purpose
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,  # noqa: ARG002
        stack_info: bool = False,  # noqa: ARG002
        stacklevel: int = 1,  # noqa: ARG002
    ) -> None:
        template = msg if isinstance(msg, str) else type(msg).__name__
        self._report(logging.getLevelName(level), template, _type_name(exc_info))


def _type_name(
    exc_info: BaseException | tuple[type, BaseException, TracebackType] | bool | None,
) -> str | None:
    if isinstance(exc_info, tuple):
        return exc_info[0].__name__
    if isinstance(exc_info, BaseException):
        return type(exc_info).__name__
    if exc_info:
        import sys

        current = sys.exc_info()[0]
        return current.__name__ if current else None
    return None
