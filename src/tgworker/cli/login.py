"""``tgworker login``: add an account to the worker."""

import sys
from contextlib import suppress
from typing import Any
from uuid import UUID

import trio

from tgworker.app.books import Books, open_books
from tgworker.app.telegram import make_telegram
from tgworker.cli._errors import Failed, Usage
from tgworker.cli._input import standard_input
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output
from tgworker.cli._telethon import known_telethon
from tgworker.embedded import DataFolder
from tgworker.messaging.errors import SessionUnreadable, TelegramAway
from tgworker.messaging.models import Peer, Secret
from tgworker.messaging.ports import Vault
from tgworker.settings import Settings, TelegramServer
from tgworker.telegram import NotASession, TelethonTelegram
from tgworker.vault import FernetVault

CONNECT_WITHIN_S = 30.0
LONGEST_NAME = 64


def login(
    *,
    session: Text,
    name: str | None = None,
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
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise Usage(f"--name is not a printable name of 1 to {LONGEST_NAME} characters: give another")
    owner_id = _uuid(owner)
    settings = settings_for("telegram", "encryption")
    wanted = settings.telegram
    assert wanted is not None  # required
    with known_telethon():
        telegram = make_telegram(wanted)
    secret = _read_session()
    vault = FernetVault(settings.encryption_keys)

    async def run() -> None:
        async with open_books(settings) as books:
            await _refuse_if_in_use(books, settings, vault, secret)
            me = await _whose(telegram, secret, _called(wanted.server))
            account_id = await books.accounts.add_account(
                name, owner_id, vault.encrypt(secret), user_id=me.chat_id, phone=me.phone
            )
            result: dict[str, Any] = {"account_id": account_id, "user_id": me.chat_id, "name": name}
            Output(json=json).result(result, f"account {account_id} added: Telegram user {me.chat_id}")

    trio.run(run)
    return 0


def _uuid(owner: str) -> str:
    try:
        return str(UUID(owner))
    except ValueError:
        raise Usage("--owner is not a uuid: give the id of the person in the application") from None


def _read_session() -> Secret:
    stream = standard_input()
    if stream.isatty():
        print("paste the session string, then press Enter:", file=sys.stderr)
    secret = Secret(stream.readline().strip())
    if not secret.value:
        raise Usage("standard input was empty: pass a Telethon StringSession there")
    return secret


async def _refuse_if_in_use(books: Books, settings: Settings, vault: Vault, secret: Secret) -> None:
    """Do not try a session that the running worker is connected with: Telegram would end it for ever."""
    holder = DataFolder(settings.data_dir).holder()
    if holder is None:
        return
    for record in await books.accounts.list_accounts():
        with suppress(SessionUnreadable):
            if vault.decrypt(record.account.secrets_encrypted) == secret:
                called = record.account.name or record.account.id
                raise Usage(
                    f"account {called} has this session already, and the worker (process {holder})"
                    " is connected with it: stop the worker first"
                )


def _called(server: TelegramServer | None) -> str:
    return "Telegram" if server is None else f"the test server {server.host}:{server.port}"


async def _whose(telegram: TelethonTelegram, secret: Secret, server: str) -> Peer:
    """Ask Telegram whose session it is."""
    try:
        with trio.move_on_after(CONNECT_WITHIN_S):
            return await telegram.describe_session(secret)
    except NotASession:
        raise Usage(
            "standard input holds no Telethon StringSession: export the session again, and pass it whole"
        ) from None
    except TelegramAway as away:
        raise Failed(f"{server} cannot be reached ({away}): see whether it is there, and try again") from None
    raise Failed(f"{server} did not answer within {CONNECT_WITHIN_S:g} s: try again later")
