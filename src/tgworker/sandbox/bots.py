"""Bots: users whom a program logs in as, with a token and no phone.

Sources: https://core.telegram.org/api/bots, https://core.telegram.org/method/auth.importBotAuthorization
"""

from dataclasses import dataclass, field
from random import Random

BOT_INFO_VERSION = 1
"""What a user object of a bot carries; the sandbox's bots never change what they say of themselves."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SECRET_LENGTH = 35


@dataclass(eq=False, slots=True)
class BotCard:
    """What makes an account a bot.

    Attributes:
        token: What logs in as it: its id, a colon, a secret.
        expired: The tokens before that one.
    """

    token: str = field(repr=False)
    expired: set[str] = field(default_factory=set[str], repr=False)

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
