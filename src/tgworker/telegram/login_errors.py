"""Telegram's errors to who logs in, as outcomes with their remedies: the one table.

Names: https://core.telegram.org/method/auth.sendCode, …signIn, …checkPassword, …exportLoginToken,
…importBotAuthorization.
"""

import re

from telethon.errors import RPCError

from tgworker.messaging.logging_in import LoginRefused, WrongAnswer
from tgworker.telegram.rpc_errors import account_refusal, error_name, is_passing, wait_of

WRONG_ANSWERS = {
    "PHONE_CODE_INVALID": "this is not the code",
    "PHONE_CODE_EMPTY": "this is not the code",
    "PASSWORD_HASH_INVALID": "this is not the password",
}
"""What may be answered once more."""

SIGN_UP = (
    "there is no Telegram account with this number, and this program registers nobody: "
    "register with an official Telegram app first, or correct the number"
)

NO_EMAIL = (
    "Telegram wants an e-mail address for this account first: log in once with an official Telegram app, "
    "set one there, and begin again"
)

REFUSALS = {
    "PHONE_NUMBER_INVALID": "this is no phone number: give it with its country code, such as +49 170 1234567",
    "PHONE_NUMBER_BANNED": "Telegram has banned this number: ask https://telegram.org/support",
    "PHONE_NUMBER_FLOOD": "codes were asked for this number too often: try again in a day",
    "PHONE_PASSWORD_FLOOD": "there were too many logins with this number: try again in a day",
    "PHONE_NUMBER_UNOCCUPIED": SIGN_UP,
    "PHONE_NUMBER_APP_SIGNUP_FORBIDDEN": SIGN_UP,
    "PHONE_CODE_EXPIRED": "the code is too old, or another was asked for since: begin again",
    "PHONE_CODE_HASH_EMPTY": "the code is too old, or another was asked for since: begin again",
    "SEND_CODE_UNAVAILABLE": "Telegram sends no more codes to this number for now: try again in a day",
    "AUTH_RESTART": "Telegram wants the login to begin again: do so",
    "SRP_PASSWORD_CHANGED": "the two-step password was changed meanwhile: begin again",
    "SRP_ID_INVALID": "Telegram has forgotten what it asked: begin again",
    "API_ID_INVALID": "TELEGRAM_API_ID and TELEGRAM_API_HASH do not belong together: "
    "copy both from https://my.telegram.org",
    "API_ID_PUBLISHED_FLOOD": "this TELEGRAM_API_ID was published somewhere, and Telegram lets nobody log in "
    "with it: get one of your own at https://my.telegram.org",
    "UPDATE_APP_TO_LOGIN": "Telegram wants a newer program: upgrade tgworker",
    "ACCESS_TOKEN_INVALID": "Telegram knows no bot with this token: copy it whole from @BotFather",
    "ACCESS_TOKEN_EXPIRED": "this token was revoked: take the one that @BotFather shows now",
    "AUTH_TOKEN_EXPIRED": "the QR code is too old: begin again",
    "AUTH_TOKEN_INVALID": "the QR code is not known any more: begin again",
    "AUTH_TOKEN_ALREADY_ACCEPTED": "the QR code was used already: begin again",
}
"""What ends a login, in words."""

_MOVED = re.compile(r"(?:PHONE|NETWORK|USER)_MIGRATE_(\d+)")


def moved_to(error: RPCError) -> int | None:
    """The data centre that Telegram sends the client to (https://core.telegram.org/api/datacenter)."""
    found = _MOVED.fullmatch(error_name(error))
    return int(found[1]) if found else None


def login_outcome(error: RPCError) -> WrongAnswer | LoginRefused:
    """What an error means to who logs in."""
    name = error_name(error)
    if name in WRONG_ANSWERS:
        return WrongAnswer(f"{WRONG_ANSWERS[name]} ({name})")
    wait_s = wait_of(error)
    if wait_s is not None:
        return LoginRefused(f"Telegram lets nobody try before {_in_words(wait_s)} have passed ({name})")
    if name in REFUSALS:
        return LoginRefused(f"{REFUSALS[name]} ({name})")
    refusal = account_refusal(error)
    if refusal is not None:
        return LoginRefused(refusal.reason)
    if is_passing(error):
        return LoginRefused(f"Telegram has trouble of its own ({name}): try again in a few minutes")
    return LoginRefused(f"Telegram refused the login: {name}")


def _in_words(seconds: float) -> str:
    """A wait for people, rounded up: ``2 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(-(-seconds // 60))
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
