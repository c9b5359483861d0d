"""Why a history job ended, for the application's people: the reason by Telegram's name, and the remedy."""

from datetime import datetime

_NOT_IN_IT = "the account is not in this chat any more: join it again, then ask again"
_UNKNOWN = "Telegram knows no such chat for this account: write to it once, or give its @username"

REMEDIES: dict[str, str] = {
    "CHANNEL_PRIVATE": _NOT_IN_IT,
    "CHAT_FORBIDDEN": _NOT_IN_IT,
    "USER_BANNED_IN_CHANNEL": _NOT_IN_IT,
    "CHAT_RESTRICTED": "Telegram shows this chat to nobody",
    "CHANNEL_INVALID": _UNKNOWN,
    "CHAT_ID_INVALID": _UNKNOWN,
    "PEER_ID_INVALID": _UNKNOWN,
    "USER_ID_INVALID": _UNKNOWN,
    "INPUT_USER_DEACTIVATED": "that person has deleted the account: its history is not to be had any more",
    "BOT_METHOD_INVALID": "Telegram lets bots read no histories: ask with a user's account",
    "USERNAME_NOT_OCCUPIED": "nobody has that name: give the one in use, or the Telegram id",
    "USERNAME_INVALID": "that can be nobody's name: give the one in use, or the Telegram id",
    "PHONE_NOT_OCCUPIED": "nobody who may be found has that number: give the @username, or the Telegram id",
}
"""What a person can do about a final no (https://core.telegram.org/method/messages.getHistory)."""


def in_words(reason: str) -> str:
    """A refusal with its remedy, where one is known."""
    remedy = REMEDIES.get(reason)
    return reason if remedy is None else f"{reason}: {remedy}"


def allow_it(reason: str, begins_at: datetime) -> str:
    """Telegram lets the export of an account begin later, or as soon as its owner allows it."""
    return (
        f"{reason}: Telegram lets this login export the account from {begins_at:%Y-%m-%d %H:%M} UTC on; allow"
        " it in Telegram's message on another device of the account, and it begins within 5 minutes"
    )


def given_up(tries: int, reason: str) -> str:
    """The job was tried so often, for nothing."""
    return f"given up after {tries} tries: {reason}; ask again later"


def lines_lost(tries: int) -> str:
    """So many lines were lost over the same page."""
    return f"given up: the line, or the worker, was lost {tries} times over the same page; ask again later"


def bug(error: Exception) -> str:
    """It met a bug of ours, which is named by its kind alone: what it says may hold texts."""
    return f"a bug, report it: {type(error).__name__}"
