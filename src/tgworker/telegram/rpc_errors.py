"""Telegram's errors as outcomes: the one table at this edge.

Names and codes: https://core.telegram.org/api/errors. Telethon turns each into an exception class; here they
become names again, because the names are what Telegram documents and what operators search for.
"""

import re
from typing import Any

from telethon import errors
from telethon.errors.rpcerrorlist import rpc_errors_dict, rpc_errors_re

from tgworker.messaging.errors import AccountRefused
from tgworker.messaging.models import AccountState
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Released, Unknown
from tgworker.messaging.pacing import STRANGERS_S

RANDOM_ID_DUPLICATE = "RANDOM_ID_DUPLICATE"
"""A 500 that is a success: Telegram has had this ``random_id`` before."""

_LOGIN = "log in again (tgworker login)"

_BOT_LOGIN = (
    "its token may have been revoked: take the token that @BotFather shows now, and log in with it"
    " (tgworker login --bot)"
)

ACCOUNT_REFUSALS: dict[str, tuple[AccountState, str]] = {
    "AUTH_KEY_UNREGISTERED": (AccountState.NEEDS_LOGIN, f"nobody is logged in with this session: {_LOGIN}"),
    "AUTH_KEY_INVALID": (AccountState.NEEDS_LOGIN, f"Telegram no longer accepts this session: {_LOGIN}"),
    "AUTH_KEY_DUPLICATED": (
        AccountState.NEEDS_LOGIN,
        f"the session was used in two places at once and is dead for ever: find the other one, then {_LOGIN}",
    ),
    "SESSION_REVOKED": (AccountState.NEEDS_LOGIN, f"the session was ended from another device: {_LOGIN}"),
    "SESSION_EXPIRED": (AccountState.NEEDS_LOGIN, f"the session has expired: {_LOGIN}"),
    "SESSION_PASSWORD_NEEDED": (
        AccountState.NEEDS_LOGIN,
        f"the login was never finished, its two-step password is missing: {_LOGIN}",
    ),
    "USER_DEACTIVATED": (AccountState.BANNED, "the Telegram account was deleted"),
    "USER_DEACTIVATED_BAN": (
        AccountState.BANNED,
        "Telegram has banned the account: ask https://telegram.org/support",
    ),
    "PHONE_NUMBER_BANNED": (
        AccountState.BANNED,
        "Telegram has banned the phone number: ask https://telegram.org/support",
    ),
}
"""What is final for an account, whatever it answers: the account's state, and what a person can do."""

KEY_NOT_FOUND = f"Telegram does not know this session's key (-404, twice): {_LOGIN}"
"""The words for a transport error -404 that was confirmed."""

_NAMES: dict[type[Any], str] = {error: name.upper() for name, error in rpc_errors_dict.items()}
_PATTERNS: dict[type[Any], str] = {error: pattern for pattern, error in rpc_errors_re}


def error_name(error: errors.RPCError) -> str:
    """Telegram's name of an error, with its number where it has one: ``FLOOD_WAIT_33``."""
    kind = type(error)
    if kind in _NAMES:
        return _NAMES[kind]
    if kind in _PATTERNS:
        number = next((str(v) for k, v in vars(error).items() if k not in {"request", "code"}), "X")
        return re.sub(r"\(.*\)", number, _PATTERNS[kind])
    return str(error.message or kind.__name__)  # unknown to this release of Telethon: the name as it came


def account_refusal(error: errors.RPCError) -> AccountRefused | None:
    """The final no to the account that an error means, or ``None`` if it says nothing about the account."""
    name = error_name(error)
    if name in ACCOUNT_REFUSALS:
        state, words = ACCOUNT_REFUSALS[name]
        return AccountRefused(state, f"{name}: {words}")
    if name.startswith("USER_MIGRATE_"):
        words = f"{name}: Telegram moved the account to another data centre, the session is no longer valid: "
        return AccountRefused(AccountState.NEEDS_LOGIN, words + _LOGIN)
    return None


def of_a_bot(refusal: AccountRefused) -> AccountRefused:
    """The same no to a bot: there the remedy is a token, which @BotFather gives out."""
    return AccountRefused(refusal.state, refusal.reason.replace(_LOGIN, _BOT_LOGIN))


def wait_of(error: errors.RPCError) -> float | None:
    """Seconds that Telegram asks to wait, if the error is of that kind; at least 1.

    ``FLOOD_WAIT_0`` was seen on Telegram's test servers; to repeat at once would only be answered by another.
    """
    match error:
        case (
            errors.FloodWaitError()
            | errors.FloodPremiumWaitError()
            | errors.SlowModeWaitError()
            | errors.FloodTestPhoneWaitError()
        ):
            return float(max(1, error.seconds))
        case _:
            pass
    announced = re.search(r"_WAIT_(\d+)$", error_name(error))  # of the same family, unknown to Telethon
    return float(max(1, int(announced[1]))) if announced else None


PEER_FLOOD = "PEER_FLOOD"
"""A 400 that is no matter of this message: Telegram takes the account for one that writes to strangers."""


def held_up_by(error: errors.RPCError) -> HoldsUp:
    """What else has to wait after a wait that Telegram announced for one message."""
    match error:
        case errors.SlowModeWaitError():
            return HoldsUp.CHAT
        case errors.FloodPremiumWaitError():
            return HoldsUp.SUBSCRIPTION
        case errors.FloodWaitError():
            return HoldsUp.METHOD
        case _:
            return (
                HoldsUp.ROW
            )  # of the same family, unknown to Telethon: it says nothing about other messages


def is_passing(error: errors.RPCError) -> bool:
    """Whether it is Telegram that has trouble, so that the same request may succeed in a moment."""
    if isinstance(error, errors.ServerError | errors.TimedOutError):
        return True
    return abs(int(error.code or 0)) >= 500  # "-503 Timeout" and kin, whatever their class


RETRY_AFTER_TROUBLE_S = 5.0
"""Telegram has trouble of its own (a 500): ask again after this."""


def question_outcome(error: errors.RPCError) -> Deferred | Refused:
    """What an error says about a question, which may be asked again without harm.

    Raises:
        errors.RPCError: The same one, where it is a final no to the account.
    """
    if account_refusal(error) is not None:
        raise error
    name = error_name(error)
    seconds = wait_of(error)
    if seconds is not None:
        return Deferred(seconds, name, held_up_by(error))
    return Deferred(RETRY_AFTER_TROUBLE_S, name) if is_passing(error) else Refused(name)


def file_outcome(error: errors.RPCError) -> Deferred | Refused:
    """The same of a part of a file: a wait for it holds up nothing else.

    Raises:
        errors.RPCError: The same one, where it is a final no to the account.
    """
    said = question_outcome(error)
    return Deferred(said.retry_after_s, said.reason) if isinstance(said, Deferred) else said


def send_outcome(error: errors.RPCError) -> Deferred | Refused | Released | Unknown:
    """What became of a message that Telegram answered with an error (other than ``RANDOM_ID_DUPLICATE``).

    Returns:
        `Deferred` for a wait that Telegram announced, and for ``PEER_FLOOD``; `Released` where the account
        itself was refused: no message was taken, and the same row can go out once a person has logged in;
        `Unknown` where Telegram had trouble, for it may have taken the message before; `Refused` for every
        other error, which is a final no to this message.
    """
    name = error_name(error)
    seconds = wait_of(error)
    if seconds is not None:
        return Deferred(seconds, name, held_up_by(error))
    if name == PEER_FLOOD:
        return Deferred(STRANGERS_S, name, HoldsUp.STRANGERS)
    if account_refusal(error) is not None:
        return Released(name)
    if is_passing(error):
        return Unknown(name)
    return Refused(name)
