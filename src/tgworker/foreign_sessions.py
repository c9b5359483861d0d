"""Sessions that an application encrypted in a way of its own, opened so that they can be encrypted anew.

A form is one function of what is stored and a key. Two are known by name; any other one is named by where it
is, as ``module:function``, and gets the key as it stands in the environment.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final, cast

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import Secret

Form = Callable[[str, str], str]
"""``(stored, key) -> session``: the session string; raises anything where it does not open."""

NONCE_BYTES: Final = 12
"""As WebCrypto and NIST SP 800-38D recommend, and everybody does."""


class NoSuchForm(Exception):
    """A form's name leads to no function. The message is one phrase; the remedy is the name's."""


def fernet(stored: str, key: str) -> str:
    """A Fernet token, under one of the keys (comma-separated)."""
    keys = [Fernet(each.strip()) for each in key.split(",")]
    return MultiFernet(keys).decrypt(stored.strip().encode()).decode()


def aes_256_gcm(stored: str, key: str) -> str:
    """Base64 of nonce, ciphertext and tag, as WebCrypto leaves them; the key in URL-safe base64.

    Either alphabet of base64 will do, and its padding may be missing.
    """
    text = "".join(stored.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    sealed = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    return (
        AESGCM(base64.urlsafe_b64decode(key))
        .decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        .decode()
    )


def form_called(name: str) -> Form:
    """The form of that name: ``fernet``, ``aes-256-gcm``, or ``module:function``.

    Raises:
        NoSuchForm: There is none.
    """
    match name:
        case "fernet":
            return fernet
        case "aes-256-gcm":
            return aes_256_gcm
        case _:
            return _imported(name)


def opened(stored: str, form: Form, key: Secret) -> Secret:
    """The session string in what an application stored.

    Raises:
        SessionUnreadable: It does not open: another key, another form, or it is damaged.
    """
    session: object = None
    # Whatever a form raises may carry the session or the key, and all of it means the same.
    with suppress(Exception):
        session = form(stored, key.value)
    if isinstance(session, str) and session.strip():
        return Secret(session.strip())
    raise SessionUnreadable(
        "its session does not open as TGWORKER_ADOPT_FORMAT and TGWORKER_ADOPT_KEY say: "
        "the key or the form is another one, or it is damaged"
    )


def _imported(name: str) -> Form:
    module, _, function = name.partition(":")
    try:
        found: object = getattr(import_module(module), function, None)
    except Exception as error:  # noqa: BLE001 # a module may fail in any way while it is imported
        raise NoSuchForm(f"names a module that cannot be imported ({type(error).__name__})") from None
    if not callable(found):
        raise NoSuchForm("names a function that its module does not have")
    return cast("Form", found)
