"""What the commands do about a worker that runs while they change accounts."""

from collections.abc import Collection
from typing import Final

import trio

from tgworker.app.books import Books
from tgworker.embedded import DataFolder
from tgworker.messaging.models import AccountId
from tgworker.operations.status_socket import StatusUnavailable, ask
from tgworker.settings import Settings

ANSWER_WITHIN_S: Final = 2.0
LOOK_EVERY_S: Final = 0.5

LET_GO_WITHIN_S: Final = 120.0
"""Longer than an account sync of 60 s, and a lease of 30 s after it."""


async def ask_to_look(settings: Settings) -> Collection[AccountId] | None:
    """Have the worker of this data folder follow what the table of accounts says now.

    Returns:
        The accounts that it holds from now on; ``None`` where no worker has answered. One elsewhere, or one
        that is too busy to answer, follows at its next account sync.
    """
    try:
        answer = await ask(settings.data_dir, "sync", within_s=ANSWER_WITHIN_S)
    except StatusUnavailable:
        return None
    return None if answer is None else answer.get("accounts", [])


async def when_followed(settings: Settings) -> str:
    """Have a worker follow, and say for people when one does."""
    if await ask_to_look(settings) is not None:
        return "the worker follows it"
    if settings.supabase is None and DataFolder(settings.data_dir).holder() is None:
        return "no worker runs here"
    return "a running worker follows it within 60 s"


async def let_go(books: Books, settings: Settings, account_id: AccountId) -> bool:
    """Wait until no worker is connected with an account that was switched off; whether that came in time.

    Its session is nobody's then: the switch keeps every worker from taking the account again.
    """
    with trio.move_on_after(LET_GO_WITHIN_S):
        while await _is_held(books, settings, account_id):  # noqa: ASYNC110 - in another process
            await trio.sleep(LOOK_EVERY_S)
        return True
    return False


async def _is_held(books: Books, settings: Settings, account_id: AccountId) -> bool:
    held = await ask_to_look(settings)
    if settings.supabase is not None:
        # Whatever that worker is, the lease is the truth: it may run on another machine.
        return await books.accounts.held_s(account_id) > 0
    if held is not None:
        return account_id in held
    return DataFolder(settings.data_dir).holder() is not None
