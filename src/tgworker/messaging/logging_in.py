"""A login as a conversation: what is asked, what is answered, how often one may be wrong.

The same for a terminal and for a row of the database: both only fill `Asker`.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.models import Peer, Secret

TRIES: Final = 3
"""So often a code, and a password, may be given. (Telegram lets nobody try for long.)"""

LOGIN_S: Final = 300.0
"""So long a login may take from beginning to end, seconds. Telegram's codes live about as long."""


NOT_OF_A_BOT: Final = (
    "this is no bot token: give it whole, as @BotFather shows it (digits, a colon, letters and digits)"
)


@dataclass(frozen=True, slots=True)
class CodeSent:
    """Telegram has sent a code.

    Attributes:
        where: Where it is to be found, for people: ``in the Telegram app``.
        digits: How long it is, if that is known.
    """

    where: str
    digits: int | None


@dataclass(frozen=True, slots=True)
class PasswordNeeded:
    """The account has a two-step password.

    Attributes:
        hint: What its owner wrote to remember it by.
    """

    hint: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class QrCode:
    """What another device of the person's is to scan.

    Attributes:
        url: What the picture says. Whoever scans it gives his account away.
        lives_s: How long it can be scanned, seconds from now.
    """

    url: str = field(repr=False)
    lives_s: float


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody is logged in.

    Attributes:
        session: What proves it from now on.
        me: The account's own user.
        kind: Whether that is a person's or a bot.
    """

    session: Secret
    me: Peer
    kind: AccountKind = AccountKind.USER


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """The code, or the password, is wrong; another may be given.

    Attributes:
        reason: For people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """It came to nothing.

    Attributes:
        reason: One line that says why, and what to do about it. No secret, no phone number.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is asked once more.

    Attributes:
        reason: What was wrong.
        left: How many more answers are taken, the next one included.
    """

    reason: str
    left: int


class LoginLine(Protocol):
    """A line to Telegram under a key of its own, with which nobody is logged in yet.

    Every method may raise `tgworker.messaging.errors.TelegramAway`: then the conversation is over. Each takes
    half a minute at most. Leaving the line's context discards the key: a login that was not `keep`-t is ended
    at Telegram, a half one too.
    """

    async def send_code(self, phone: str) -> CodeSent | LoggedIn | LoginRefused:
        """Let Telegram send a code to a phone number."""
        ...

    async def sign_in(self, code: Secret) -> LoggedIn | PasswordNeeded | WrongAnswer | LoginRefused:
        """Give the code that was sent last."""
        ...

    async def check_password(self, password: Secret) -> LoggedIn | WrongAnswer | LoginRefused:
        """Give the two-step password. It never leaves the machine: what is sent proves that it is known."""
        ...

    async def import_token(self, token: Secret) -> LoggedIn | LoginRefused:
        """Log in as a bot, with the token that @BotFather gives out."""
        ...

    async def show_qr(self) -> QrCode | LoggedIn | PasswordNeeded | LoginRefused:
        """What is to be scanned now; and, once it was, what came of that."""
        ...

    async def wait_scanned(self) -> None:
        """Wait until it is worth calling `show_qr` again: it was scanned, or its time is over."""
        ...

    def keep(self, *, stays: bool = True) -> None:
        """The session is stored: from now on it stays; or, if that was wrong, not."""
        ...


class Asker(Protocol):
    """Who knows the answers. Methods may wait as long as they like: the whole has a deadline."""

    async def code(self, sent: CodeSent, problem: Problem | None) -> Secret:
        """The code that Telegram has sent."""
        ...

    async def password(self, needed: PasswordNeeded, problem: Problem | None) -> Secret:
        """The account's two-step password."""
        ...

    async def show(self, qr: QrCode) -> None:
        """Show a QR code in place of the one before."""
        ...


def is_token(text: str) -> bool:
    """Whether a text looks like a bot's token: digits, a colon, and a secret without blanks."""
    return re.fullmatch(r"\d{1,20}:[\w-]{10,200}", text, re.ASCII) is not None


async def log_in_bot(line: LoginLine, token: Secret) -> LoggedIn | LoginRefused:
    """Log in as a bot.

    Args:
        line: The line.
        token: What @BotFather gave out.

    Raises:
        TelegramAway: The line broke, or Telegram did not answer.

    Cancellation: what was begun is undone when the line's context is left.
    """
    if not is_token(token.value):
        return LoginRefused(NOT_OF_A_BOT)
    return await line.import_token(token)


T = TypeVar("T")


async def log_in(line: LoginLine, asker: Asker, *, phone: str | None) -> LoggedIn | LoginRefused:
    """Hold a whole conversation.

    Args:
        line: The line.
        asker: Who is asked.
        phone: The number; ``None``: by QR code.

    Raises:
        TelegramAway: The line broke, or Telegram did not answer.

    Cancellation: what was begun is undone when the line's context is left.
    """
    step = await (_scanned(line, asker) if phone is None else _coded(line, asker, phone))
    if isinstance(step, PasswordNeeded):
        return await _insist(partial(asker.password, step), line.check_password, _GIVE_UP_PASSWORD)
    return step


_GIVE_UP_CODE = (
    f"{TRIES} wrong codes: begin again to get a new one, and type the newest code that Telegram has sent"
)
_GIVE_UP_PASSWORD = (
    f"{TRIES} wrong passwords: what is asked for is the two-step verification password; who has forgotten it"
    " can reset it in the Telegram app (Settings, Privacy and Security, Two-Step Verification)"
)


async def _coded(line: LoginLine, asker: Asker, phone: str) -> LoggedIn | PasswordNeeded | LoginRefused:
    sent = await line.send_code(phone)
    if not isinstance(sent, CodeSent):
        return sent
    return await _insist(partial(asker.code, sent), line.sign_in, _GIVE_UP_CODE)


async def _scanned(line: LoginLine, asker: Asker) -> LoggedIn | PasswordNeeded | LoginRefused:
    while True:
        shown = await line.show_qr()
        if not isinstance(shown, QrCode):
            return shown
        await asker.show(shown)
        await line.wait_scanned()


async def _insist(
    ask: Callable[[Problem | None], Awaitable[Secret]],
    check: Callable[[Secret], Awaitable[T | WrongAnswer]],
    give_up: str,
) -> T | LoginRefused:
    """Ask until the answer is not wrong, or was wrong too often."""
    problem: Problem | None = None
    for left in range(TRIES - 1, -1, -1):
        step = await check(await ask(problem))
        if not isinstance(step, WrongAnswer):
            return step
        problem = Problem(step.reason, left)
    return LoginRefused(give_up)


def bare_code(said: Secret) -> Secret:
    """A code as somebody gives it: blanks and dashes in it do not count."""
    bare = "".join(said.value.replace("-", "").split())
    return Secret(bare) if bare.isdecimal() else said
