"""What an account is at Telegram, a person's or a bot, and what a bot cannot do: the one table of it.

A bot's line runs the same loops as a person's. Whatever Telegram does not let bots do is answered from here,
without asking Telegram; anything that is missing here comes back from there as ``BOT_METHOD_INVALID``.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Final


class AccountKind(StrEnum):
    """``integration_accounts.type``."""

    USER = "telegram_user"
    BOT = "telegram_bot"


class Ability(Enum):
    """What not every kind of account can do."""

    READ_HISTORY = auto()
    """``messages.getHistory``, ``account.initTakeoutSession``: history jobs, looking for what is in doubt."""
    LIST_CHATS = auto()
    """``messages.getDialogs`` and ``contacts.getContacts``: meeting those whom it met on other devices."""
    FIND_BY_PHONE = auto()
    """``contacts.resolvePhone``."""
    MARK_READ = auto()
    """``messages.readHistory`` and ``channels.readHistory``."""
    PIN_FOR_ITSELF = auto()
    """``messages.updatePinnedMessage`` with ``pm_oneside``."""
    SEE_PRESENCE = auto()
    """``contacts.getStatuses``, and being told who is online, types or has read something."""
    READ_APP_CONFIG = auto()
    """``help.getAppConfig``: how long a caption may be."""


_OF_BOTS: Final[Mapping[Ability, str]] = {
    Ability.READ_HISTORY: (
        "a bot cannot read a history: Telegram tells it only what happens while it is there; use a user"
        " account for what was before"
    ),
    Ability.LIST_CHATS: (
        "a bot knows only who has written to it, and finds others by @username: let this person write to it"
        " first"
    ),
    Ability.FIND_BY_PHONE: (
        "a bot finds nobody by phone number: let this person write to it first, or give a @username"
    ),
    Ability.MARK_READ: "a bot cannot mark a chat as read: Telegram has no such thing for bots",
    Ability.PIN_FOR_ITSELF: "a bot pins in a private chat for both sides or not at all: leave out for_both",
    Ability.SEE_PRESENCE: "a bot is not told who is online",
    Ability.READ_APP_CONFIG: "Telegram does not show its app config to bots",
}

LACKS: Final[Mapping[AccountKind, Mapping[Ability, str]]] = MappingProxyType(
    {AccountKind.USER: MappingProxyType({}), AccountKind.BOT: MappingProxyType(_OF_BOTS)}
)
"""What an account of a kind cannot do, and why, in one line for people.

Source: "Bots can use this method" on each method's page, https://core.telegram.org/methods.
"""


def lack(kind: AccountKind, ability: Ability) -> str | None:
    """Why an account of a kind cannot do something; ``None``: it can."""
    return LACKS[kind].get(ability)


def kind_of(row_type: object) -> AccountKind:
    """What ``integration_accounts.type`` says; the stores ask for rows of these types only.

    Raises:
        ValueError: It is another type.
    """
    return AccountKind(str(row_type))


def mismatch(row: AccountKind, session: AccountKind) -> str | None:
    """Why a row and its session do not belong together, with the remedy; ``None``: they do."""
    if row is session:
        return None
    a_bot, a_user = "a bot's", "a person's"
    said, found = (a_bot, a_user) if row is AccountKind.BOT else (a_user, a_bot)
    command = "tgworker login --bot" if row is AccountKind.BOT else "tgworker login"
    return (
        f"the account's type is {row.value}, and its session is {found}: correct the type to {session.value}"
        f" in integration_accounts, or log in with {said} ({command} --account)"
    )
