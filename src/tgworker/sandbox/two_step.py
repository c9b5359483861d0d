"""Two-step passwords as the server knows them: SRP, so that neither they nor what they are worth travel.

Source: https://core.telegram.org/api/srp
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import pbkdf2_hmac, sha256
from random import Random
from typing import Any

from telethon.tl import types

from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.handshake import DH_G, DH_PRIME

NUMBER_BYTES = 256
ROUNDS = 100_000
PRIME_BYTES = DH_PRIME.to_bytes(NUMBER_BYTES, "big")
QUESTIONS_KEPT = 8
"""So many questions of an account are open at a time; to answer an older one is ``SRP_ID_INVALID``."""


@dataclass(eq=False)
class TwoStep:
    """An account's two-step password.

    Attributes:
        password: What a person types.
        hint: What Telegram shows who has forgotten it.
        salt1: Hashed with it.
        salt2: Hashed with it, too.
    """

    password: str = field(repr=False)
    hint: str
    salt1: bytes = field(repr=False)
    salt2: bytes = field(repr=False)
    _open: dict[int, int] = field(default_factory=dict[int, int], repr=False)

    @property
    def algorithm(self) -> Any:
        """How a client makes a number of the password."""
        return types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            self.salt1, self.salt2, DH_G, PRIME_BYTES
        )

    @cached_property
    def _verifier(self) -> int:
        """``v = g^x``: made when it is first needed, because that takes 0.1 s."""
        inner = _salted(self.salt2, _salted(self.salt1, self.password.encode()))
        x = _salted(self.salt2, pbkdf2_hmac("sha512", inner, self.salt1, ROUNDS))
        return pow(DH_G, int.from_bytes(x, "big"), DH_PRIME)

    def ask(self, rng: Random) -> Any:
        """A question to the client, as ``account.password``."""
        b, srp_id = rng.getrandbits(8 * NUMBER_BYTES), rng.getrandbits(63)
        self._open[srp_id] = b
        if len(self._open) > QUESTIONS_KEPT:
            del self._open[next(iter(self._open))]
        return types.account.Password(
            **_for_new_ones(rng),
            has_password=True,
            current_algo=self.algorithm,
            srp_B=_number(self._b(b)),
            srp_id=srp_id,
            hint=self.hint or None,
        )

    def check(self, answer: Any) -> None:
        """Check ``inputCheckPasswordSRP``. A question is answered once.

        Raises:
            RequestRefused: It answers no question that is open, or with another password.
        """
        if not isinstance(answer, types.InputCheckPasswordSRP):
            raise RequestRefused(400, "PASSWORD_HASH_INVALID")
        b = self._open.pop(answer.srp_id, None)
        if b is None:
            raise RequestRefused(400, "SRP_ID_INVALID")
        a = int.from_bytes(answer.A, "big")
        if not 1 < a < DH_PRIME - 1:
            raise RequestRefused(400, "SRP_A_INVALID")
        u = int.from_bytes(_sha(_number(a), _number(self._b(b))), "big")
        secret = pow(a * pow(self._verifier, u, DH_PRIME), b, DH_PRIME)
        mixed = bytes(x ^ y for x, y in zip(_sha(PRIME_BYTES), _sha(_number(DH_G)), strict=True))
        expected = _sha(
            mixed,
            _sha(self.salt1),
            _sha(self.salt2),
            _number(a),
            _number(self._b(b)),
            _sha(_number(secret)),
        )
        if expected != answer.M1:
            raise RequestRefused(400, "PASSWORD_HASH_INVALID")

    def _b(self, b: int) -> int:
        k = int.from_bytes(_sha(PRIME_BYTES, _number(DH_G)), "big")
        return (k * self._verifier + pow(DH_G, b, DH_PRIME)) % DH_PRIME


def new_two_step(rng: Random, password: str, hint: str) -> TwoStep:
    """A password, with salts of its own."""
    return TwoStep(password, hint, rng.randbytes(8) + rng.randbytes(32), rng.randbytes(16))


def no_password(rng: Random) -> Any:
    """What ``account.getPassword`` says of an account that has none."""
    return types.account.Password(**_for_new_ones(rng))


def _for_new_ones(rng: Random) -> dict[str, Any]:
    algorithm = types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
        rng.randbytes(8), rng.randbytes(16), DH_G, PRIME_BYTES
    )
    secure = types.SecurePasswordKdfAlgoPBKDF2HMACSHA512iter100000(rng.randbytes(8))
    return {"new_algo": algorithm, "new_secure_algo": secure, "secure_random": rng.randbytes(256)}


def _sha(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def _salted(salt: bytes, data: bytes) -> bytes:
    return _sha(salt, data, salt)


def _number(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")
