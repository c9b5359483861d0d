"""Requests of the application to log somebody in: rows of ``tgworker_login_requests``, and who keeps them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, Protocol

from tgworker.messaging.models import AccountId, Secret

LoginId = NewType("LoginId", str)
"""A row of ``tgworker_login_requests``."""


class LoginState(StrEnum):
    """Where a request stands, as its row says it."""

    NEW = "new"
    CODE_SENT = "code_sent"
    PASSWORD_NEEDED = "password_needed"  # noqa: S105
    QR_SHOWN = "qr_shown"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """Somebody is to be logged in.

    Attributes:
        id: The row.
        method: ``phone`` or ``qr``; anything else is refused.
        phone: As the application wrote it.
        name: What to call the account.
        config: What it is to run with.
    """

    id: LoginId
    method: str
    phone: str | None = field(repr=False)
    name: str | None
    config: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginNews:
    """What the application is told, and shows to whoever logs in.

    Attributes:
        state: What is asked for now.
        error: What was wrong with the last answer.
        left: How many answers are taken.
        hint: Where the code is, or what the person wrote to remember his password by.
        qr_url: What to scan.
        qr_lives_s: How long.
    """

    state: LoginState
    error: str | None = None
    left: int | None = None
    hint: str | None = field(default=None, repr=False)
    qr_url: str | None = field(default=None, repr=False)
    qr_lives_s: float | None = None


class LoginGone(Exception):
    """The application has taken its request back, or another worker has given it up meanwhile."""


class LoginStore(Protocol):
    """Where requests are kept. As with all stores, every method may raise `StoreAway` and may be repeated.

    A ``ticket`` is a uuid that whoever answers requests makes when he begins: a request belongs to the ticket
    that claimed it, for as long as its owner is heard of. What is secret in a row is emptied in the same
    transaction that reads it, and with every change of the state that it does not belong to.
    """

    async def count_logins(self) -> int:
        """How many requests there is something to do about: open ones, and those that are to be removed.

        A store may answer as it did half a minute ago.
        """
        ...

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> Sequence[LoginRequest]:
        """Take requests that nobody has, oldest first; end those whose worker is no more, or that are old.

        Args:
            ticket: Whose they are from now on.
            known: What it holds: another one that is its own was claimed by a call whose answer was lost.
            limit: So many are taken; 0: none.
        """
        ...

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        """Say what is asked for. Raises `LoginGone`."""
        ...

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        """Take the answer to what was asked, if it is there; it is in the row no more. Raises `LoginGone`."""
        ...

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        """It came to nothing. One that is ended, or not ours any more, stays as it is."""
        ...

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        """Add the account (or replace its session), and end the request as ``done``, at once.

        To repeat it returns the same account.

        Raises:
            LoginGone: The request is not ours any more.
            StoreFault: The account cannot be added; the text says what to do.
        """
        ...
