"""The second line of defence against secrets in logs. The first is that nobody passes one.

A field is hidden because of its name, because it is a `Secret`, or because it looks like a secret of the
kinds that this program handles. What is hidden stays visible as a field, so that a line that had to be
redacted can be found and its author asked.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from structlog.typing import EventDict, WrappedLogger

from tgworker.messaging.models import Secret

HIDDEN = "(hidden)"

# Words of a field's name, between underscores, that say what it holds.
_HIDDEN_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "caption",
        "password",
        "phone",
        "preview",
        "secret",
        "secrets",
        "session",
        "text",
        "token",
    }
)
# Names that hide only as a whole: `exit_code` and `primary_key` are harmless.
_HIDDEN_NAMES = frozenset({"api_hash", "code", "key", "encryption_key", "service_role_key"})

_SECRETS = re.compile(
    r"""
      \b1[A-Za-z0-9_-]{200,}={0,2}                    # a StringSession: version 1, 260 or 352 characters
    | \bgAAAA[A-Za-z0-9_-]{60,}={0,2}                 # a Fernet token: version 0x80, a timestamp before 2106
    | \beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*   # a JWT
    | \bsb_secret_[A-Za-z0-9_-]+                      # a Supabase secret key
    | (?<![\d+])\+\d{7,15}\b                          # a phone number (E.164)
    """,
    re.VERBOSE,
)


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A structlog processor that hides what must not be read, at any depth of mappings and sequences."""
    return {name: _clean(name, value) for name, value in event_dict.items()}


def hide_secrets(text: str) -> str:
    """The text without what looks like a session, a token, a key or a phone number."""
    return _SECRETS.sub(HIDDEN, text)


def is_hidden_name(name: str) -> bool:
    """Whether a field of this name is hidden whatever it holds."""
    lower = name.lower()
    return lower in _HIDDEN_NAMES or not _HIDDEN_WORDS.isdisjoint(lower.split("_"))


def _clean(name: str, value: object) -> Any:
    if isinstance(value, Secret) or (is_hidden_name(name) and value is not None):
        return HIDDEN
    match value:
        case str():
            return hide_secrets(value)
        case Mapping():
            fields = cast("Mapping[object, object]", value)
            return {str(key): _clean(str(key), item) for key, item in fields.items()}
        case list() | tuple() | set() | frozenset():
            items = cast("list[object]", value)
            return [_clean(name, item) for item in items]
        case bool() | int() | float() | None:
            return value
        case _:
            return hide_secrets(str(value))
