"""Tokens of a login by QR code: given out to a client without an account, accepted by one that has one.

Source: https://core.telegram.org/api/qr-login
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from random import Random

from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.errors import RequestRefused

TOKENS_KEPT = 1000


@dataclass(eq=False, slots=True)
class LoginToken:
    """One token.

    Attributes:
        token: What the QR code says.
        record: The key of the client that shows it.
        dc_id: The data centre that gave it out.
        expires_at_s: When nobody can accept it any more, in Unix time.
        excepted: Users who may not: the client has their accounts already.
        user_id: Who accepted it.
    """

    token: bytes = field(repr=False)
    record: KeyRecord = field(repr=False)
    dc_id: int
    expires_at_s: float
    excepted: Collection[int] = ()
    user_id: int | None = None


class LoginTokens:
    """All tokens of a sandbox.

    Args:
        rng: Where they come from.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._tokens: OrderedDict[bytes, LoginToken] = OrderedDict()

    def __iter__(self) -> Iterator[LoginToken]:
        return iter(self._tokens.values())

    def of(self, record: KeyRecord) -> LoginToken | None:
        """The token that a client shows."""
        return next((each for each in self._tokens.values() if each.record is record), None)

    def give(
        self, record: KeyRecord, dc_id: int, expires_at_s: float, excepted: Collection[int]
    ) -> LoginToken:
        """A new token for a client; the one that it had is forgotten."""
        old = self.of(record)
        if old is not None:
            self.forget(old)
        token = LoginToken(self._rng.randbytes(32), record, dc_id, expires_at_s, frozenset(excepted))
        self._tokens[token.token] = token
        if len(self._tokens) > TOKENS_KEPT:
            self._tokens.popitem(last=False)
        return token

    def get(self, token: bytes, now_s: float) -> LoginToken:
        """The token with these bytes.

        Raises:
            RequestRefused: There is none, or it has expired before somebody accepted it.
        """
        found = self._tokens.get(token)
        if found is None:
            raise RequestRefused(400, "AUTH_TOKEN_INVALID")
        if found.user_id is None and found.expires_at_s <= now_s:
            raise RequestRefused(400, "AUTH_TOKEN_EXPIRED")
        return found

    def forget(self, token: LoginToken) -> None:
        """It has done its work."""
        self._tokens.pop(token.token, None)
