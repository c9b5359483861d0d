"""Keys as a Supabase project has them: JWTs for the roles, and the newer opaque keys.

They are the same for every stack: whoever can reach a stack's port on this machine may use it, and a ``.env``
file holds from one start to the next. They are worth nothing elsewhere.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["anon", "authenticated", "service_role"]

JWT_SECRET = "tgworker-dev-stack: this secret is no secret, it signs nothing that matters"  # noqa: S105
"""What the stack's JWTs are signed with (HS256)."""

FAR_FUTURE = 4_102_444_800
"""2100-01-01, as Unix time: a constant, so that the keys are."""


def sign(role: str, *, secret: str = JWT_SECRET, expires_at: int = FAR_FUTURE, **claims: str) -> str:
    """A JWT for a role.

    Args:
        role: The database role that PostgREST takes on.
        secret: What it is signed with; with another one PostgREST refuses it.
        expires_at: Unix time in seconds.
        claims: Further claims: ``sub`` for example, the user's id.

    Source: RFC 7519, RFC 7515 (compact serialization).
    """
    payload = {"iss": "tgworker-dev-stack", "role": role, "exp": expires_at, **claims}
    words = [_base64({"alg": "HS256", "typ": "JWT"}), _base64(payload)]
    signature = hmac.new(secret.encode(), ".".join(words).encode(), hashlib.sha256).digest()
    return ".".join([*words, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])


def claims_of(token: str, *, now: float, secret: str = JWT_SECRET) -> Mapping[str, Any] | None:
    """What a JWT claims; ``None`` where it is none of ours, or is over.

    Args:
        token: The JWT.
        now: Unix time in seconds.
        secret: What it must be signed with.
    """
    signed, _, signature = token.rpartition(".")
    wanted = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    try:
        if not hmac.compare_digest(_bytes(signature), wanted):
            return None
        claims = json.loads(_bytes(signed.partition(".")[2]))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) and claims.get("exp", FAR_FUTURE) > now else None


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _base64(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a project.

    Attributes:
        anon: JWT of the role ``anon``, for browsers.
        service_role: JWT of the role ``service_role``, which row security does not bind.
        publishable: The newer key for ``anon``; no JWT, the gateway changes it into one.
        secret: The newer key for ``service_role``.
    """

    anon: str
    service_role: str
    publishable: str = "sb_publishable_tgworker_dev_stack_0000"
    secret: str = "sb_secret_tgworker_dev_stack_0000"  # noqa: S105 - of no use elsewhere

    def jwt_for(self, key: str) -> str | None:
        """The JWT that a key stands for; ``None``: the project has no such key."""
        return {
            self.anon: self.anon,
            self.service_role: self.service_role,
            self.publishable: self.anon,
            self.secret: self.service_role,
        }.get(key)


def project_keys() -> Keys:
    """The keys of every stack."""
    return Keys(anon=sign("anon"), service_role=sign("service_role"))
