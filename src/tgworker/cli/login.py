"""``tgworker login``: add an account to the worker."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, assert_never
from uuid import UUID

import trio

from tgworker.app.books import Books, open_books
from tgworker.app.telegram import make_telegram
from tgworker.cli._account_config import read_config
from tgworker.cli._accounts import named_account
from tgworker.cli._answers import Answers
from tgworker.cli._conversation import AtTerminal
from tgworker.cli._errors import Failed, Usage
from tgworker.cli._input import standard_input
from tgworker.cli._letting_go import ask_to_look
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output
from tgworker.cli._telethon import known_telethon
from tgworker.embedded import DataFolder
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import SessionUnreadable, StoreAway, TelegramAway
from tgworker.messaging.logging_in import (
    LOGIN_S,
    LoggedIn,
    LoginLine,
    LoginRefused,
    log_in,
    log_in_bot,
)
from tgworker.messaging.models import Secret
from tgworker.messaging.ports import Vault
from tgworker.settings import Settings, TelegramServer
from tgworker.telegram import NotASession, TelethonTelegram
from tgworker.vault import FernetVault

CONNECT_WITHIN_S = 30.0
LONGEST_NAME = 64
_Way = Literal["phone", "qr", "bot"]
"""How a login goes."""

NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Whose account it is to be.

    Attributes:
        name: What to call it.
        owner_id: Its owner in the application.
        config: What it runs with.
        phone: Its number, if it was there before.
        kind: What it is, if it was there before.
        user_id: Its Telegram user, if it was there before.
        account: What ``--account`` named.
    """

    name: str | None
    owner_id: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    phone: str | None = field(default=None, repr=False)
    kind: AccountKind | None = None
    user_id: int | None = None
    account: str | None = None


def login(
    *,
    qr: bool = False,
    bot: bool = False,
    session: Text | None = None,
    account: str | None = None,
    name: str | None = None,
    owner: str | None = None,
    config: str | None = None,
    json: Json = False,
) -> int:
    """Add an account, or replace the session of one that is there already.

    Asks for the phone number, the code that Telegram sends, and the two-step password, if there is one: at
    the terminal, or one for each line of standard input. Nothing of it stands in an argument, where the
    shell's history and other users would see it. The session is stored encrypted with the first key of
    ENCRYPTION_KEY.

    Args:
        qr: Draw a QR code instead, to be scanned with the Telegram app of the account.
        bot: Log in as a bot: asks for the token that @BotFather gave out, in place of a phone number.
        session: Instead, a dash: read a Telethon StringSession from standard input. It is tried at Telegram
            first.
        account: Log this account in again: its uuid, phone or name.
        name: What to call the account.
        owner: The uuid of the person in the application whose account it is.
        config: A file with a JSON object, the account's config: its proxy and its device. The login goes
            that way, too.
        json: Print one JSON object.
    """
    if session is not None and session != "-":
        raise Usage("--session takes only '-': pass the session string on standard input")
    if session is not None and (qr or bot or account is not None):
        raise Usage("--session goes with none of --qr, --bot and --account: give one of them")
    if qr and bot:
        raise Usage("--qr and --bot do not go together: a bot logs in with its token")
    if account is not None and owner is not None:
        raise Usage("--owner and --account do not go together: the account has its owner")
    if account is not None and config is not None:
        raise Usage("--config and --account do not go together: the account has its config")
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise Usage(f"--name is not a printable name of 1 to {LONGEST_NAME} characters: give another")
    owner_id = _uuid(NOBODY if owner is None else owner)
    runs_with = {} if config is None else read_config(Path(config))
    settings = settings_for("telegram", "encryption")
    wanted = settings.telegram
    assert wanted is not None  # required
    with known_telethon():
        telegram = make_telegram(wanted)
    converse = partial(_by_conversation, way=_way(qr=qr, bot=bot), account=account)
    run = partial(
        _by_session if session is not None else converse,
        settings,
        telegram,
        FernetVault(settings.encryption_keys),
        _Wanted(name, owner_id, runs_with),
        Output(json=json),
    )
    try:
        trio.run(run)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing is stored") from None
    return 0


async def _by_session(
    settings: Settings, telegram: TelethonTelegram, vault: FernetVault, wanted: _Wanted, output: Output
) -> None:
    secret = _read_session()
    async with open_books(settings) as books:
        await _refuse_if_in_use(books, settings, vault, secret)
        done = await _whose(telegram, secret, wanted.config, _server(settings))
        await _store(books, vault, wanted, done, output)
    await ask_to_look(settings)


async def _by_conversation(
    settings: Settings,
    telegram: TelethonTelegram,
    vault: FernetVault,
    wanted: _Wanted,
    output: Output,
    *,
    way: _Way,
    account: str | None,
) -> None:
    answers = Answers()
    async with open_books(settings) as books:
        if account is not None:
            known = await named_account(books, account)
            of = known.account
            wanted = _Wanted(
                wanted.name, of.owner_id, of.config, known.phone, of.kind, known.user_id, of.name or of.id
            )
            _check_way(wanted, way)
        try:
            with trio.move_on_after(LOGIN_S):
                await _converse(telegram, answers, books, vault, wanted, output, way=way)
                await ask_to_look(settings)
                return
        except TelegramAway as away:
            raise Failed(f"{_server(settings)} cannot be reached ({away}): try again") from None
    raise Failed(f"the login took longer than {LOGIN_S / 60:g} minutes: begin again")


async def _converse(
    telegram: TelethonTelegram,
    answers: Answers,
    books: Books,
    vault: FernetVault,
    wanted: _Wanted,
    output: Output,
    *,
    way: _Way,
) -> None:
    failure: BaseException | None = None
    async with telegram.open_login(wanted.config) as line, trio.open_nursery() as nursery:
        person = AtTerminal(answers, nursery)
        try:
            done = await _answered(line, person, way, wanted.phone)
            person.done()
            match done:
                case LoginRefused(reason=reason):
                    raise Failed(reason)
                case LoggedIn(me=me) if wanted.user_id not in (None, me.chat_id):
                    raise Failed(
                        f"this is Telegram user {me.chat_id}, and account {wanted.account} is user"
                        f" {wanted.user_id}: log in as that one, or add an account without --account"
                    )
                case LoggedIn():
                    try:
                        await _store(books, vault, wanted, done, output)
                    except BaseException:
                        if await _is_stored(books, vault, done.session):
                            line.keep()
                        raise
                    line.keep()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            failure = error  # raised below: the nursery would wrap it into a group
        nursery.cancel_scope.cancel(reason="the login is over")
    if failure is not None:
        raise failure


async def _answered(
    line: LoginLine, person: AtTerminal, way: _Way, known_phone: str | None
) -> LoggedIn | LoginRefused:
    match way:
        case "phone":
            return await log_in(line, person, phone=await person.phone(known_phone))
        case "qr":
            return await log_in(line, person, phone=None)
        case "bot":
            return await log_in_bot(line, await person.token())
        case _:
            assert_never(way)


async def _store(books: Books, vault: FernetVault, wanted: _Wanted, done: LoggedIn, output: Output) -> None:
    account_id = await books.accounts.add_account(
        wanted.name,
        wanted.owner_id,
        vault.encrypt(done.session),
        user_id=done.me.chat_id,
        phone=done.me.phone,
        kind=done.kind,
        config=wanted.config or None,
    )
    kind = "bot" if done.kind is AccountKind.BOT else "user"
    result: dict[str, Any] = {
        "account_id": account_id,
        "user_id": done.me.chat_id,
        "name": wanted.name,
        "kind": kind,
    }
    output.result(result, f"account {account_id} added: Telegram {kind} {done.me.chat_id}")


async def _is_stored(books: Books, vault: Vault, session: Secret) -> bool:
    """Whether a session is in the store after all, or may be: it was interrupted, or did not answer."""
    with trio.move_on_after(CONNECT_WITHIN_S, shield=True):
        try:
            return await _account_with(books, vault, session) is not None
        except StoreAway:
            return True
    return True


def _way(*, qr: bool, bot: bool) -> _Way:
    return "bot" if bot else "qr" if qr else "phone"


def _check_way(wanted: _Wanted, way: _Way) -> None:
    """Do not ask a bot for its phone number, nor a person for a token."""
    if wanted.kind is AccountKind.BOT and way != "bot":
        raise Usage(f"account {wanted.account} is a bot: give --bot, and its token")
    if wanted.kind is AccountKind.USER and way == "bot":
        raise Usage(
            f"account {wanted.account} is a person's: leave out --bot, or add the bot without --account"
        )


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
    called = await _account_with(books, vault, secret)
    if called is not None:
        raise Usage(
            f"account {called} has this session already, and the worker (process {holder})"
            " is connected with it: stop the worker first"
        )


async def _account_with(books: Books, vault: Vault, session: Secret) -> str | None:
    """What the account is called that has a session."""
    for record in await books.accounts.list_accounts():
        with suppress(SessionUnreadable):
            if vault.decrypt(record.account.secrets_encrypted) == session:
                return record.account.name or record.account.id
    return None


def _server(settings: Settings) -> str:
    server: TelegramServer | None = None if settings.telegram is None else settings.telegram.server
    return "Telegram" if server is None else f"the test server {server.host}:{server.port}"


async def _whose(
    telegram: TelethonTelegram, secret: Secret, config: Mapping[str, Any], server: str
) -> LoggedIn:
    """Ask Telegram whose session it is."""
    try:
        with trio.move_on_after(CONNECT_WITHIN_S):
            return await telegram.describe_session(secret, config)
    except NotASession:
        raise Usage(
            "standard input holds no Telethon StringSession: export the session again, and pass it whole"
        ) from None
    except TelegramAway as away:
        raise Failed(f"{server} cannot be reached ({away}): see whether it is there, and try again") from None
    raise Failed(f"{server} did not answer within {CONNECT_WITHIN_S:g} s: try again later")
