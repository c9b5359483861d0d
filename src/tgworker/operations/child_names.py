"""Children whose log lines say whose they are."""

from collections.abc import Callable
from dataclasses import replace

import trio

from tgworker.operations.logs import in_child
from tgworker.supervision import ChildSpec, Pulse


def named_in_logs(spec: ChildSpec, *, account_of: Callable[[str], str | None]) -> ChildSpec:
    """The same child, but every line that its tasks write names it and its account.

    Args:
        spec: The child.
        account_of: The account that a child belongs to, by the child's path; ``None`` for none.
    """

    async def start(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        with in_child(pulse.path, account=account_of(pulse.path)):
            await spec.start(pulse, task_status=task_status)

    return replace(spec, start=start)
