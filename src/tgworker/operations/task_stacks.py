"""What every task of the process is doing right now: file, line and source of each frame, no values."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import trio

LARGEST_CHARACTERS: Final = 4 * 1024 * 1024
"""Then the dump breaks off: it must not take the memory that a sick process is short of."""


async def every_stack(others: Mapping[str, Callable[[], str | None]]) -> str:
    """The stacks of all tasks, as text.

    It goes through the event loop once for each task, so that nobody waits longer than for one of them: each
    stack is true by itself, but the whole is no picture of one moment.

    Args:
        others: Stacks that trio does not know, by the title under which they are shown; each is made when it
            is its turn, and left out where there is none.
    """
    parts: list[str] = []
    length = 0
    for text in _all_texts(others):
        if text is None:
            continue
        if length + len(text) > LARGEST_CHARACTERS:
            parts.append("… and more")
            break
        parts.append(text)
        length += len(text)
        await trio.lowlevel.checkpoint()
    return "\n".join(parts) + "\n"


def _all_texts(others: Mapping[str, Callable[[], str | None]]) -> Iterator[str | None]:
    root = trio.lowlevel.current_root_task()
    assert root is not None  # who asks is a task below it
    for depth, task in _tree(root, 0):
        yield _text(task, "  " * depth)
    for title, stacks in others.items():
        text = stacks()
        yield None if text is None else f"{title}\n{text}"


def _tree(task: trio.lowlevel.Task, depth: int) -> Iterator[tuple[int, trio.lowlevel.Task]]:
    # Lists: between two steps of this iterator tasks begin and end.
    yield depth, task
    for nursery in list(task.child_nurseries):
        for child in sorted(nursery.child_tasks, key=lambda one: one.name):
            yield from _tree(child, depth + 1)


def _text(task: trio.lowlevel.Task, indent: str) -> str:
    summary = traceback.StackSummary.extract(task.iter_await_frames())
    lines = [f"{indent}task {task.name}"]
    lines += [f"{indent}  {line}" for text in summary.format() for line in text.rstrip("\n").splitlines()]
    return "\n".join(lines)
