"""``tgworker login``: add an account to the worker."""

import sys
from typing import Annotated, Any

import trio
from cyclopts import Parameter

from tgworker.app.books import open_books
from tgworker.app.telegram import make_telegram
from tgworker.cli._errors import Usage
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output
from tgworker.messaging.models import Secret
from tgworker.vault import FernetVault

CONNECT_WITHIN_S = 30.0


def login(
    *,
    session: Text,
    name: Annotated[str | None, Parameter()] = None,
    owner: str = "00000000-0000-0000-0000-000000000000",
    json: Json = False,
) -> int:
    """Add an account, or replace the session of one that is there already.

    The session is tried at Telegram first, then stored encrypted with the first key of ENCRYPTION_KEY.

    Args:
        session: A dash: read a Telethon StringSession from standard input. A session never stands in an
            argument, where the shell's history and other users would see it.
        name: What to call the account.
        owner: The uuid of the person in the application whose account it is.
        json: Print one JSON object.
    """
    if session != "-":
        raise Usage("--session takes only '-': pass the session string on standard input")
    settings = settings_for("telegram", "encryption")
    assert settings.telegram is not None  # required
    telegram = make_telegram(settings.telegram)
    if sys.stdin.isatty():
        print("paste the session string, then press Enter:", file=sys.stderr)
    secret = Secret(sys.stdin.readline().strip())
    if not secret.value:
        raise Usage("standard input was empty: pass a Telethon StringSession there")
    output = Output(json=json)

    async def run() -> None:
        async with open_books(settings) as books:
            me = None
            with trio.move_on_after(CONNECT_WITHIN_S):
                me = await telegram.describe_session(secret)
            if me is None:
                raise Usage(f"Telegram did not answer within {CONNECT_WITHIN_S:g} s: try again later")
            account_id = await books.accounts.add_account(
                name,
                owner,
                FernetVault(settings.encryption_keys).encrypt(secret),
                user_id=me.chat_id,
                phone=me.phone,
            )
            result: dict[str, Any] = {"account_id": account_id, "user_id": me.chat_id, "name": name}
            output.result(result, f"account {account_id} added: Telegram user {me.chat_id}")

    trio.run(run)
    return 0
