"""``tgworker accounts``: what there is."""

from collections.abc import Awaitable, Callable

import trio
from cyclopts import App

from tgworker.app.books import Books, open_books
from tgworker.cli._accounts import named_account
from tgworker.cli._errors import Usage
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output
from tgworker.messaging.books import AdoptionBook, HandoverStep
from tgworker.messaging.models import AccountId

LOOK_EVERY_S = 5.0
"""How often it is asked whether an account has been let go."""

accounts = App(name="accounts", help="The Telegram accounts that this worker holds.")


@accounts.command(name="list")
def list_accounts(*, json: Json = False) -> int:
    """List the accounts and what they are doing."""
    settings = settings_for()

    async def run() -> None:
        async with open_books(settings) as books:
            rows = [
                {
                    "id": record.account.id,
                    "name": record.account.name,
                    "active": record.is_active,
                    "state": record.state.value,
                    "user_id": record.user_id,
                    "last_sync_at": record.last_sync_at,
                    "last_error": record.last_error,
                }
                for record in await books.accounts.list_accounts()
            ]
        Output(json=json).listing(
            rows,
            columns=("id", "name", "active", "state", "user_id", "last_sync_at", "last_error"),
            empty="no accounts yet: add one with 'tgworker login --session -'",
        )

    trio.run(run)
    return 0


@accounts.command
def adopt(*, account: str | None = None, finish: bool = False, json: Json = False) -> int:
    """Take an account over from the application's old worker; returns once it has certainly let it go.

    The old worker disconnects at its next sync, and is then waited for: 150 s in which it says nothing of the
    account. One session in two places would be dead for ever. It may be interrupted and called again.

    Args:
        account: Its uuid, phone or name.
        finish: Instead, once the old worker is gone for good: the owner's switch is the table's again.
        json: One line of JSON says what was done.
    """
    if finish == (account is not None):
        raise Usage("give either --account, or --finish once the old worker is gone")
    settings = settings_for()
    output = Output(json=json)

    async def run() -> None:
        async with open_books(settings) as books:
            book = _adoption(books)
            if account is None:
                finished = await book.finish()
                output.result(
                    {"finished": list(finished)}, f"{len(finished)} accounts have their switch again"
                )
            else:
                await _hand_over(books, account, book.adopt, output, "is ours")

    trio.run(run)
    return 0


@accounts.command
def release(*, account: str, json: Json = False) -> int:
    """Give an account back to the application's old worker; returns once no worker of ours holds it.

    Args:
        account: Its uuid, phone or name.
        json: One line of JSON says what was done.
    """
    settings = settings_for()

    async def run() -> None:
        async with open_books(settings) as books:
            output = Output(json=json)
            await _hand_over(books, account, _adoption(books).release, output, "is the old worker's again")

    trio.run(run)
    return 0


def _adoption(books: Books) -> AdoptionBook:
    if books.adoption is None:
        raise Usage("there is no old worker beside the embedded store: set SUPABASE_URL")
    return books.adoption


async def _hand_over(
    books: Books,
    text: str,
    step: Callable[[AccountId], Awaitable[HandoverStep]],
    output: Output,
    done: str,
) -> None:
    account_id = (await named_account(books, text)).account.id
    told = False
    while (taken := await step(account_id)).wait_s is not None:
        if not told:
            output.line(f"account {account_id} is being let go: {taken.wait_s:.0f} s at least")
            told = True
        await trio.sleep(min(taken.wait_s, LOOK_EVERY_S))
    left = f"; {taken.messages} messages wait for a person: see 'outbox list'" if taken.messages else ""
    output.result(
        {"account_id": account_id, "messages": taken.messages}, f"account {account_id} {done}{left}"
    )
