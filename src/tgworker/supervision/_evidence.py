"""Evidence of what a child is doing, and words for what it raised."""

import sys
import traceback
from collections.abc import Iterator
from typing import Protocol

import trio

_CAUSE_LENGTH = 300  # characters: a line in a log or a table, not a page
_STACK_FRAMES = 30  # of each exception: the innermost
_STACK_LENGTH = 20_000  # characters: the end of them


class Dump(Protocol):
    """Describes what a child is doing. Called before a child is cancelled, so it must return at once."""

    def __call__(self, path: str, task: trio.lowlevel.Task, /) -> str:
        """Describe the child at ``path``, whose incarnation runs in ``task`` and the tasks under it."""
        ...


def task_stacks(path: str, task: trio.lowlevel.Task, /) -> str:
    """Where a child's tasks wait: files, lines and functions, no values. The default `Dump`.

    It ends where trio does: what runs on another event loop is not shown.
    """
    lines: list[str] = [f"child {path}"]
    for depth, current in _task_tree(task, 0):
        indent = "  " * depth
        lines.append(f"{indent}task {current.name}")
        summary = traceback.StackSummary.extract(current.iter_await_frames())
        lines.extend(
            indent + "  " + line for text in summary.format() for line in text.rstrip("\n").splitlines()
        )
    return "\n".join(lines)


def _task_tree(task: trio.lowlevel.Task, depth: int) -> Iterator[tuple[int, trio.lowlevel.Task]]:
    yield depth, task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _task_tree(child, depth + 1)


def one_line(error: BaseException) -> str:
    """What was raised, in one line: type and message; for a group, of each exception in it."""
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join(one_line(inner) for inner in error.exceptions)
    else:
        message = " ".join(_message_of(error).split())
        text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= _CAUSE_LENGTH else text[: _CAUSE_LENGTH - 1] + "…"


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (a broken __str__ of somebody's exception must not break the supervisor)
        return "(its message cannot be shown)"


def stack_of(error: BaseException) -> str:
    """The traceback of ``error`` as text, without values of variables, and never longer than a few pages.

    (One exception object that is raised again and again grows by some frames each time.)
    """
    summary = traceback.TracebackException.from_exception(error, limit=-_STACK_FRAMES)
    _leave_out_carets(summary)
    text = "".join(summary.format())
    return text if len(text) <= _STACK_LENGTH else "…" + text[1 - _STACK_LENGTH :]


def _leave_out_carets(summary: traceback.TracebackException) -> None:
    # Working out which part of a line to underline takes most of the time of formatting, and a crash to a
    # ready replacement should take less than a millisecond.
    left = [summary]
    while left:
        current = left.pop()
        frames = [(frame.filename, frame.lineno or 0, frame.name, frame.line) for frame in current.stack]
        current.stack = traceback.StackSummary.from_list(frames)
        inner = (current.__cause__, current.__context__, *(current.exceptions or ()))
        left.extend(one for one in inner if one is not None)


def is_fatal(error: BaseException) -> bool:
    """Whether ``error`` concerns the process and not only the child that raised it.

    Everything that is no `Exception` does (`KeyboardInterrupt`, `SystemExit`, a stray `trio.Cancelled`),
    alone or anywhere in a group; but asyncio's ``CancelledError`` does not, which a child that hosts an
    asyncio loop may raise when nobody cancelled it.
    """
    asyncio_errors = sys.modules.get(
        "asyncio.exceptions"
    )  # not imported here: it can only be raised if it was
    ours: tuple[type[BaseException], ...] = (Exception,)
    if asyncio_errors is not None:
        ours = (Exception, asyncio_errors.CancelledError)
    if isinstance(error, BaseExceptionGroup):
        return any(is_fatal(inner) for inner in error.exceptions)
    return not isinstance(error, ours)
