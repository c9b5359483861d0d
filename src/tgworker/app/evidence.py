"""What a hung child was doing: trio's side of it, and asyncio's."""

from collections.abc import Callable

import trio

from tgworker.messaging.models import AccountId
from tgworker.supervision import Dump, task_stacks


def account_of(path: str) -> AccountId | None:
    """The account that a child's path belongs to: ``root.account.<id>``; ``None`` for the other children."""
    match path.split("."):
        case [_, "account", account_id, *_]:
            return AccountId(account_id)
        case _:
            return None


def evidence_of(line_stacks: Callable[[AccountId], str | None]) -> Dump:
    """A dump that goes on where trio's stacks end: at the bridge to an account's asyncio loop.

    Args:
        line_stacks: The stacks of an account's asyncio tasks; ``None`` where the account has no line.
    """

    def dump(path: str, task: trio.lowlevel.Task, /) -> str:
        account_id = account_of(path)
        asyncio_side = None if account_id is None else line_stacks(account_id)
        trio_side = task_stacks(path, task)
        return trio_side if asyncio_side is None else f"{trio_side}\n{asyncio_side}"

    return dump
