"""Log lines: readable on a terminal, JSON for machines, one line for each event, never a secret in them.

The logger is a value that the composition root makes and hands on; there is no global configuration. Only the
standard library's logging, through which foreign libraries speak, is global by nature: `foreign_logs` listens
to it for as long as it is open.

Every line has ``timestamp``, ``level`` and ``event``, and ``account``, ``child``, ``operation`` and
``duration_s`` where they apply.
"""

import logging
import select
import sys
import traceback
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from tgworker.operations.redaction import redact

Logger = FilteringBoundLogger
"""What lines are given to: ``log.info("event in a few words", account=…, duration_s=…)``."""

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# The order in which people read a line.
_FIRST: Final = ("timestamp", "level", "event", "account", "child", "operation", "duration_s")

# Libraries whose messages and exceptions may hold what people write (Telethon shows the bytes that it
# could not parse) or where requests go: only errors, only the unformatted message, only the exception's name.
_TALKATIVE: Final = ("telethon", "httpx", "httpcore")


class Threshold:
    """The least important level that is written; it may be changed while the logger is in use.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    __slots__ = ("number",)

    def __init__(self, level: str) -> None:
        self.number = LEVELS[level]

    def move(self, level: str) -> None:
        """From now on another level counts."""
        self.number = LEVELS[level]


def make_logger(
    stream: TextIO,
    *,
    json: bool,
    level: str | Threshold,
    now: Callable[[], datetime],
    colors: bool | None = None,
) -> Logger:
    """A logger that writes whole lines to ``stream``.

    A line that cannot be written (a closed pipe, or a full one that nobody empties) is dropped: a log must
    not end, or stop, what it tells about.

    Args:
        stream: Standard error, normally.
        json: One JSON object on each line; else columns for people.
        level: The least important level that is written: ``debug``, ``info``, ``warning`` or ``error``.
            A `Threshold` can be moved later.
        now: The calendar time, aware.
        colors: Whether people see colours; by default only on a terminal.
    """
    renderer: Processor
    if json:
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        colored = stream.isatty() if colors is None else colors
        renderer = structlog.dev.ConsoleRenderer(colors=colored, sort_keys=False, pad_event_to=28)
    lines = _Lines(stream)
    processors: list[Processor] = [
        lines.count_dropped,
        merge_contextvars,
        structlog.processors.add_log_level,
        _Stamp(now),
        _exception_as_text,
        _in_reading_order,
        redact,
        renderer,
    ]
    return cast(
        "Logger",
        structlog.wrap_logger(
            lines,
            processors=processors,
            wrapper_class=_filtering(level if isinstance(level, Threshold) else Threshold(level)),
            cache_logger_on_first_use=True,
        ).bind(),
    )


def in_child(child: str, *, account: str | None = None) -> AbstractContextManager[None]:
    """Every line of this task, and of tasks that it starts inside the block, names the child and account."""
    fields = {"child": child} if account is None else {"child": child, "account": account}
    return cast("AbstractContextManager[None]", bound_contextvars(**fields))


@contextmanager
def foreign_logs(log: Logger) -> Generator[None]:
    """While open, what other libraries log or warn of at WARNING or above becomes a line of ``log``."""
    root = logging.getLogger()
    handler = _ForeignHandler(log)
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
    show, root_level = warnings.showwarning, root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.showwarning = lambda message, category, *_: log.warning(
        "warning of a library", reason=str(message), category=category.__name__
    )
    try:
        yield
    finally:
        warnings.showwarning = show
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        root.setLevel(root_level)
        root.removeHandler(handler)


def _filtering(threshold: Threshold) -> type[FilteringBoundLogger]:
    """A logger's class that asks the threshold for each line; structlog's own know one level for ever."""
    everything = structlog.make_filtering_bound_logger(logging.DEBUG)

    def gated(name: str, level: int) -> Callable[..., object]:
        write = getattr(everything, name)

        def method(self: FilteringBoundLogger, event: str, *args: object, **fields: object) -> object:
            return write(self, event, *args, **fields) if level >= threshold.number else None

        return method

    methods: dict[str, object] = {name: gated(name, level) for name, level in LEVELS.items()}
    methods["is_enabled_for"] = lambda _self, level: level >= threshold.number
    methods["get_effective_level"] = lambda _self: threshold.number
    return cast("type[FilteringBoundLogger]", type("ThresholdLogger", (everything,), methods))


class _ForeignHandler(logging.Handler):
    def __init__(self, log: Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        if record.name.partition(".")[0] in _TALKATIVE:
            error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
            write(str(record.msg), logger=record.name, error=error)
        else:
            write(record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


class _Lines:
    """What structlog writes to: one method for each level, all the same."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = 0
        self._poll = select.poll()
        # Without a file (a stream in memory, a closed one) there is nothing that could fill up.
        self._may_fill = True
        try:
            self._poll.register(stream.fileno(), select.POLLOUT)
        except (OSError, ValueError):
            self._may_fill = False

    def msg(self, line: str) -> None:
        # A pipe that nobody empties would stop the event loop, and the guard with it: a line that would have
        # to wait is dropped, and counted.
        if self._may_fill and not self._poll.poll(0):
            self._dropped += 1
            return
        self._dropped = 0
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a closed file
            pass

    def count_dropped(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        """A processor: the first line that is written again says how many before it were not."""
        if self._dropped:
            event_dict["lines_dropped_before"] = self._dropped
        return event_dict

    debug = info = warning = error = critical = msg


class _Stamp:
    """Calendar time in UTC, to the millisecond."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        event_dict["timestamp"] = at.replace("+00:00", "Z")
        return event_dict


def _exception_as_text(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Tracebacks without local variables: those would show sessions and texts."""
    exc_info = event_dict.pop("exc_info", None)
    error = sys.exception() if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event_dict["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return event_dict


def _in_reading_order(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """What people look for first comes first; an event stays on its line; what is not there is left out."""
    event_dict["event"] = str(event_dict["event"]).replace("\n", "\\n")
    first = {name: event_dict.pop(name) for name in _FIRST if name in event_dict}
    return {name: value for name, value in {**first, **event_dict}.items() if value is not None}
