"""Bots: users whom a program logs in as, with a token and no phone.

Sources: https://core.telegram.org/api/bots, https://core.telegram.org/method/auth.importBotAuthorization
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

BOT_INFO_VERSION = 1
"""What a user object of a bot carries; the sandbox's bots never change what they say of themselves."""

FIRST_QTS = 1
"""Where the log of a new bot stands. (Clients take 0 for none.)"""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SECRET_LENGTH = 35


@dataclass(eq=False, slots=True)
class BotCard:
    """What makes an account a bot.

    Attributes:
        token: What logs in as it: its id, a colon, a secret.
        expired: The tokens before that one.
        events: What only bots are told, as updates, oldest first: a log of its own, in which ``qts`` says
            how far one has read.
    """

    token: str = field(repr=False)
    expired: set[str] = field(default_factory=set[str], repr=False)
    events: list[Any] = field(default_factory=list[Any], repr=False)

    @property
    def qts(self) -> int:
        """Where that log stands."""
        return FIRST_QTS + len(self.events)

    def since(self, qts: int) -> list[Any]:
        """What was told after a place in it."""
        return self.events[max(0, qts - FIRST_QTS) :]

    def renew(self, rng: Random) -> None:
        """Take another token: the one before is worth nothing any more."""
        self.expired.add(self.token)
        self.token = new_token(rng, int(self.token.partition(":")[0]))


def new_token(rng: Random, bot_id: int) -> str:
    """A token as @BotFather gives them out."""
    return f"{bot_id}:" + "".join(rng.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


def id_in(token: str) -> int | None:
    """Whose token it is; ``None``: it is none."""
    number, colon, secret = token.partition(":")
    return int(number) if colon and secret and number.isascii() and number.isdigit() else None
