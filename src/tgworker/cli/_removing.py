"""Removing an account, and before that, where it is wanted, ending its session at Telegram."""

import sys

import trio

from tgworker.app.books import Books, open_books
from tgworker.app.telegram import make_telegram
from tgworker.cli._accounts import named_account
from tgworker.cli._errors import Failed, Usage
from tgworker.cli._input import standard_input
from tgworker.cli._letting_go import LET_GO_WITHIN_S, ask_to_look, let_go
from tgworker.cli._output import Output
from tgworker.cli._telethon import known_telethon
from tgworker.messaging.errors import AccountRefused, SessionUnreadable, TelegramAway
from tgworker.messaging.models import AccountState, Secret
from tgworker.messaging.records import AccountRecord
from tgworker.settings import Settings
from tgworker.vault import FernetVault

LOG_OUT_WITHIN_S = 30.0

NO_SESSION = (AccountState.NEEDS_LOGIN, AccountState.BANNED)
"""What Telegram calls an account whose session is of no use any more."""


async def remove_account(settings: Settings, text: str, output: Output, *, logout: bool, sure: bool) -> None:
    """Remove the account that a text names.

    Raises:
        Usage: No account has that name, or nobody was there to ask.
        Failed: The person said no, or the session could not be ended.
    """
    async with open_books(settings) as books:
        record = await named_account(books, text)
        called = record.account.name or record.account.id
        session = _session(settings, record, called) if logout else None
        if not sure:
            _ask(called, logout=logout)
        logged_out = False
        if session is not None:
            logged_out = await _log_out(books, settings, record, session, called, output)
        await books.accounts.remove_account(record.account.id)
        await ask_to_look(settings)
        ended = {
            (True, True): "; its session is ended at Telegram",
            (True, False): "; Telegram had ended its session before",
        }.get((logout, logged_out), "; its session is still good: Telegram lists it under Devices")
        output.result(
            {"account_id": record.account.id, "name": record.account.name, "logged_out": logged_out},
            f"account {called} is removed; its messages and conversations stay{ended}",
        )


def _ask(called: str, *, logout: bool) -> None:
    stream = standard_input()
    if not stream.isatty():
        raise Usage(f"pass --yes to remove account {called} without being asked")
    too = " and end its session at Telegram" if logout else ""
    print(f"remove account {called}{too}? [y/N] ", end="", file=sys.stderr, flush=True)
    if stream.readline().strip().lower() not in {"y", "yes"}:
        raise Failed(f"account {called} is not removed")


def _session(settings: Settings, record: AccountRecord, called: str) -> Secret:
    try:
        return FernetVault(settings.encryption_keys).decrypt(record.account.secrets_encrypted)
    except SessionUnreadable:
        raise Usage(
            f"account {called} cannot be logged out: its session opens under no key of ENCRYPTION_KEY; "
            "add the key it was stored under, or remove it without --logout"
        ) from None


async def _log_out(
    books: Books, settings: Settings, record: AccountRecord, session: Secret, called: str, output: Output
) -> bool:
    """End a session; returns whether it was still good.

    No worker may be connected with it meanwhile. Where it fails the account stays, switched off.
    """
    assert settings.telegram is not None  # required
    with known_telethon():
        telegram = make_telegram(settings.telegram)
    await books.accounts.switch_account(record.account.id, active=False)
    output.line(f"account {called} is switched off; waiting until no worker is connected with it")
    stays = f"account {called} stays, switched off: try again, or remove it without --logout"
    if not await let_go(books, settings, record.account.id):
        raise Failed(
            f"a worker was still connected with account {called} after {LET_GO_WITHIN_S:g} s; {stays}"
        )
    try:
        with trio.fail_after(LOG_OUT_WITHIN_S):
            await telegram.log_out(record.account, session)
    except AccountRefused as refused:
        if refused.state in NO_SESSION:
            return False
        raise Failed(f"its session cannot be ended ({refused}); {stays}") from None
    except TelegramAway as away:
        raise Failed(f"Telegram cannot be reached ({away}); {stays}") from None
    except trio.TooSlowError:
        raise Failed(f"Telegram did not answer within {LOG_OUT_WITHIN_S:g} s; {stays}") from None
    return True
