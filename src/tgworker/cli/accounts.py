"""``tgworker accounts``: what there is."""

import trio
from cyclopts import App

from tgworker.app.books import open_books
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output

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
