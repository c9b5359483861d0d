"""``tgworker accounts``: what there is, and what becomes of it."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from cyclopts import App

from tgworker.app.adopting import SessionReader, session_reader
from tgworker.app.books import Books, open_books
from tgworker.cli._accounts import named_account
from tgworker.cli._errors import Usage
from tgworker.cli._letting_go import when_followed
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output
from tgworker.cli._rekeying import rekey_accounts
from tgworker.cli._removing import remove_account
from tgworker.foreign_sessions import NoSuchForm
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.books import AdoptionBook, HandoverStep
from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import AccountId
from tgworker.settings import Settings

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
                    "kind": "bot" if record.account.kind is AccountKind.BOT else "user",
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
            columns=("id", "name", "kind", "active", "state", "user_id", "last_sync_at", "last_error"),
            empty="no accounts yet: add one with 'tgworker login'",
        )

    trio.run(run)
    return 0


@accounts.command
def enable(*, account: str, json: Json = False) -> int:
    """Switch an account on: a worker holds it online.

    A worker of this data folder follows at once, one elsewhere within 60 s.

    Args:
        account: Its uuid, phone or name.
        json: One line of JSON says what was done.
    """
    return _switch(account, Output(json=json), active=True)


@accounts.command
def disable(*, account: str, json: Json = False) -> int:
    """Switch an account off: its worker disconnects, and what is to be sent waits.

    A worker of this data folder follows at once, one elsewhere within 60 s.

    Args:
        account: Its uuid, phone or name.
        json: One line of JSON says what was done.
    """
    return _switch(account, Output(json=json), active=False)


@accounts.command
def remove(*, account: str, logout: bool = False, yes: bool = False, json: Json = False) -> int:
    """Remove an account and what the worker knows of it; its messages and conversations stay.

    Args:
        account: Its uuid, phone or name.
        logout: End its session at Telegram first. The account is switched off for that, and waited for until
            no worker is connected with it.
        yes: Do not ask.
        json: One line of JSON says what was done.
    """
    settings = settings_for("telegram", "encryption") if logout else settings_for()
    trio.run(partial(remove_account, settings, account, Output(json=json), logout=logout, sure=yes))
    return 0


@accounts.command
def rekey(*, json: Json = False) -> int:
    """Encrypt every session anew with the first key of ENCRYPTION_KEY. No account reconnects for that.

    Args:
        json: One line of JSON says how many there were. The exit code is 1 if there are sessions that open
            under none of the keys.
    """
    return trio.run(rekey_accounts, settings_for("encryption"), Output(json=json))


@accounts.command
def adopt(*, account: str | None = None, finish: bool = False, json: Json = False) -> int:
    """Take an account over from the application's old worker; returns once it has certainly let it go.

    The old worker disconnects at its next sync, and is then waited for: 150 s in which it says nothing of the
    account. One session in two places would be dead for ever. It may be interrupted and called again.

    A session that the application encrypted in a way of its own is read as TGWORKER_ADOPT_FORMAT and
    TGWORKER_ADOPT_KEY say, and kept beside the application's, encrypted with the first key of ENCRYPTION_KEY;
    the application's stays as it is. One that cannot be read changes nothing.

    Args:
        account: Its uuid, phone or name.
        finish: Instead, once the old worker is gone for good: the owner's switch is the table's again.
        json: One line of JSON says what was done.
    """
    if finish == (account is not None):
        raise Usage("give either --account, or --finish once the old worker is gone")
    output = Output(json=json)
    if account is None:
        trio.run(_finish, settings_for(), output)
    else:
        settings = settings_for("encryption")
        trio.run(_adopt, settings, _reader(settings), account, output)
    return 0


@accounts.command
def release(*, account: str, json: Json = False) -> int:
    """Give an account back to the application's old worker; returns once no worker of ours holds it.

    Args:
        account: Its uuid, phone or name.
        json: One line of JSON says what was done.
    """
    settings = settings_for()

    output = Output(json=json)

    async def run() -> None:
        async with open_books(settings) as books:
            account_id = (await named_account(books, account)).account.id
            done = await _hand_over(account_id, partial(_adoption(books).release, account_id), output)
            went_back = ", with the session it had: the newer one stays here" if done.renewed else ""
            output.result(
                {"account_id": account_id, "messages": done.messages, "newer_session_stays": done.renewed},
                f"account {account_id} is the old worker's again{went_back}{_left(done)}",
            )

    trio.run(run)
    return 0


def _switch(text: str, output: Output, *, active: bool) -> int:
    settings = settings_for()

    async def run() -> None:
        async with open_books(settings) as books:
            record = await named_account(books, text)
            changed = await books.accounts.switch_account(record.account.id, active=active)
            followed = await when_followed(settings)
            output.result(
                {"account_id": record.account.id, "active": active, "changed": changed},
                f"account {record.account.name or record.account.id} is {'on' if active else 'off'}"
                f"{'' if changed else ' already'}; {followed}",
            )

    trio.run(run)
    return 0


async def _finish(settings: Settings, output: Output) -> None:
    async with open_books(settings) as books:
        finished = await _adoption(books).finish()
        output.result({"finished": list(finished)}, f"{len(finished)} accounts have their switch again")


async def _adopt(settings: Settings, reader: SessionReader, text: str, output: Output) -> None:
    anew = False
    async with open_books(settings) as books:
        book = _adoption(books)
        record = await named_account(books, text)
        account_id = record.account.id

        async def step() -> HandoverStep:
            """Read the session each time: the old worker may have stored another one meanwhile."""
            nonlocal anew
            stored = await book.session(account_id)
            try:
                sealed = reader.sealed(stored)
            except SessionUnreadable as error:
                raise Usage(f"account {record.account.name or account_id} is not adopted: {error}") from None
            taken = await book.adopt(account_id, read=stored.application, sealed=sealed)
            anew = anew or sealed is not None
            return taken

        done = await _hand_over(account_id, step, output)
    encrypted = "; its session was encrypted anew" if anew else ""
    output.result(
        {"account_id": account_id, "messages": done.messages, "encrypted_anew": anew},
        f"account {account_id} is ours{encrypted}{_left(done)}",
    )


def _reader(settings: Settings) -> SessionReader:
    try:
        return session_reader(settings)
    except NoSuchForm as error:
        raise Usage(f"TGWORKER_ADOPT_FORMAT {error}: give fernet, aes-256-gcm or module:function") from None


def _adoption(books: Books) -> AdoptionBook:
    if books.adoption is None:
        raise Usage("there is no old worker beside the embedded store: set SUPABASE_URL")
    return books.adoption


async def _hand_over(
    account_id: AccountId, step: Callable[[], Awaitable[HandoverStep]], output: Output
) -> HandoverStep:
    """Call one step after the other until the account is there."""
    told = False
    while (taken := await step()).wait_s is not None:
        if not told and taken.wait_s > 0:
            output.line(f"account {account_id} is being let go: {taken.wait_s:.0f} s at least")
            told = True
        await trio.sleep(min(taken.wait_s, LOOK_EVERY_S))
    return taken


def _left(done: HandoverStep) -> str:
    return f"; {done.messages} messages wait for a person: see 'outbox list'" if done.messages else ""
