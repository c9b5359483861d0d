"""Whether a file that this process relies on is still the one that it found at its start."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from tgworker.supervision import Pulse

EVERY_S: Final = 5.0
"""Between two looks."""


def identity_of(path: Path) -> tuple[int, int] | None:
    """What makes a file this one and no other of its name; ``None`` if there is none, or nobody may look."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def watch_identity(
    pulse: Pulse,
    path: Path,
    *,
    gone: Callable[[], object],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Look every `EVERY_S` seconds whether a file was removed or replaced by another; a child, returns never.

    Args:
        pulse: The child's sign of life.
        path: The file, which exists.
        gone: Called at each look that finds it gone.
        task_status: Started at once.
    """
    first = identity_of(path)
    task_status.started()
    while True:
        pulse.beat()
        pulse.expect(EVERY_S)
        await trio.sleep(EVERY_S)
        if identity_of(path) != first:
            gone()
