"""What a value must look like. No message holds the value: it may be a secret."""

import base64
import binascii
import json
import re
from typing import Any, cast
from urllib.parse import urlsplit

from environs import ValidationError

from tgworker.messaging.media import FileKind
from tgworker.messaging.places import PlaceInvalid, check_bucket

FERNET_KEY_BYTES = 32
"""128 bits to sign, 128 bits to encrypt (https://github.com/fernet/spec)."""
AES_KEY_BYTES = 32


def short_name(value: str) -> None:
    """One printable line, short enough to be the key of a row."""
    if not value.strip().isprintable() or len(value) > 200:
        raise ValidationError("is not a short printable name")


def bucket(value: str) -> None:
    """A name that a bucket of the file store can have."""
    try:
        check_bucket(value.strip())
    except PlaceInvalid:
        raise ValidationError("is no name that a bucket can have") from None


def file_kinds(value: str) -> None:
    """Kinds of files, ``all`` or ``none``."""
    known = {kind.value for kind in FileKind}
    if value.strip() not in ("all", "none") and not set(words(value)) <= known:
        raise ValidationError(f"is neither all nor none, nor kinds of files ({', '.join(sorted(known))})")


def words(value: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in value.split(",")]


def header_word(value: str) -> None:
    """What may stand in an HTTP header as it is: visible ASCII characters, no blanks."""
    if not re.fullmatch(r"[!-~]+", value.strip()):
        raise ValidationError("holds blanks or characters beyond ASCII")


def api_hash(value: str) -> None:
    """Telegram's: 32 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-fA-F]{32}", value.strip()):
        raise ValidationError("is not 32 hexadecimal digits")


def is_fernet_key(value: str) -> bool:
    """Whether the value is 32 bytes in URL-safe base64."""
    try:
        return len(base64.b64decode(value, altchars=b"-_", validate=True)) == FERNET_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def session_form(value: str) -> None:
    """A form that has a name, or where its function is: ``module:function``."""
    name = value.strip()
    function = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"
    if name not in {"fernet", "aes-256-gcm"} and not re.fullmatch(function, name):
        raise ValidationError("is neither a form's name nor module:function")


def aes_key(value: str) -> str | None:
    """A key of 256 bits in URL-safe base64, from either alphabet of base64 or from hexadecimal digits."""
    text = value.strip()
    try:
        if re.fullmatch(r"[0-9a-fA-F]{64}", text):
            key = bytes.fromhex(text)
        else:
            bare = text.translate(str.maketrans("-_", "+/")).rstrip("=")
            key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return base64.urlsafe_b64encode(key).decode() if len(key) == AES_KEY_BYTES else None


def project_url(value: str) -> None:
    """An http(s) URL with a host, and nothing behind its path."""
    try:
        parts = urlsplit(value.strip())
        _ = parts.port  # raises where it is no number
    except ValueError:
        raise ValidationError("is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not value.strip().isprintable():
        raise ValidationError("is not an http:// or https:// URL")
    if parts.username is not None or parts.query or parts.fragment or " " in value.strip():
        raise ValidationError("holds more than scheme, host, port and path")


def database_url(value: str) -> None:
    """Where a PostgreSQL is, as libpq reads it (https://www.postgresql.org/docs/current/libpq-connect.html)."""
    if not re.match(r"postgres(ql)?://[^\s]+$", value.strip()):
        raise ValidationError("is not a postgresql:// URL")


def service_key(value: str) -> None:
    """A key that is allowed to write. PostgREST answers a lesser one with empty lists, not with an error."""
    header_word(value)
    key = value.strip()
    if key.startswith("sb_publishable_"):
        raise ValidationError("is the publishable key")
    role = _jwt_role(key)
    if role is not None and role != "service_role":
        raise ValidationError("is a key of another role than service_role")


def _jwt_role(token: str) -> str | None:
    """The role that a JWT claims; ``None`` for anything that is not a JWT with a role."""
    match token.split("."):
        case [_, payload, _]:
            try:
                padded = payload + "=" * (-len(payload) % 4)
                claims = json.loads(base64.urlsafe_b64decode(padded))
            except (binascii.Error, ValueError):
                return None
            role = cast("dict[str, Any]", claims).get("role") if isinstance(claims, dict) else None
            return role if isinstance(role, str) else None
        case _:
            return None


def host_and_port(value: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """``host:port``; an IPv6 address stands in brackets.

    Raises:
        ValidationError: With what is wrong.
    """
    host, colon, port = value.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValidationError("is not host:port (an IPv6 address stands in [brackets])")
    if not colon or not re.fullmatch(r"[!-~]+", host):
        raise ValidationError("is not host:port")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not lowest_port <= int(port) <= 65535:
        raise ValidationError(f"has a port that is not {lowest_port} to 65535")
    return host, int(port)
