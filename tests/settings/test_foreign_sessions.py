"""Sessions that an application encrypted in its own way: what opens, and that nothing else is said."""

import base64
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tgworker.foreign_sessions import NoSuchForm, aes_256_gcm, fernet, form_called, opened
from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import Secret

SESSION = "1AgAOMTQ5LjE1NC4xNjcuNTE"
AES_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
# What WebCrypto's AES-GCM (Node 20) makes of it under that key with the nonce 100…111, as base64 of both.
OF_WEBCRYPTO = "ZGVmZ2hpamtsbW5veVq5JzakAs8LLjWt6yspyTqMbGn+Iqc3c0B/sN47i34mLPpELftTmg=="
# https://github.com/fernet/spec/blob/master/verify.json
FERNET_KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
OF_FERNET = (
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
)


def sealed(session: bytes, *, key: str = AES_KEY, nonce: bytes = bytes(12)) -> str:
    return base64.b64encode(
        nonce + AESGCM(base64.urlsafe_b64decode(key)).encrypt(nonce, session, None)
    ).decode()


def test_the_named_forms_open_what_others_made() -> None:
    assert form_called("aes-256-gcm") is aes_256_gcm
    assert form_called("fernet") is fernet
    assert aes_256_gcm(OF_WEBCRYPTO, AES_KEY) == SESSION
    assert fernet(OF_FERNET, FERNET_KEY) == "hello"
    assert fernet(f" {OF_FERNET}\n", f"{Fernet.generate_key().decode()}, {FERNET_KEY}") == "hello"


@pytest.mark.parametrize(
    "written",
    [
        OF_WEBCRYPTO.rstrip("="),
        OF_WEBCRYPTO.replace("+", "-").replace("/", "_"),
        f" {OF_WEBCRYPTO[:40]}\n{OF_WEBCRYPTO[40:]}\n",
    ],
    ids=["no padding", "URL-safe", "wrapped"],
)
def test_base64_is_read_however_it_is_written(written: str) -> None:
    assert aes_256_gcm(written, AES_KEY) == SESSION


def broken(text: str) -> str:
    """The same, with one bit of it flipped."""
    data = bytearray(base64.b64decode(text))
    data[20] ^= 1
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("stored", "key"),
    [
        (OF_WEBCRYPTO, base64.urlsafe_b64encode(bytes(32)).decode()),
        (broken(OF_WEBCRYPTO), AES_KEY),
        (OF_WEBCRYPTO[:24], AES_KEY),
        ("", AES_KEY),
        ("hunter2!", AES_KEY),
        ("é", AES_KEY),
        (sealed(b""), AES_KEY),
        (sealed(b" \n"), AES_KEY),
        (sealed(b"hunter2\xff"), AES_KEY),
    ],
    ids=[
        "another key",
        "damaged",
        "cut off",
        "nothing",
        "no base64",
        "no ASCII",
        "empty",
        "blank",
        "no text",
    ],
)
def test_what_does_not_open_is_one_clear_line_that_holds_nothing_of_it(stored: str, key: str) -> None:
    with pytest.raises(SessionUnreadable) as caught:
        opened(stored, aes_256_gcm, Secret(key))
    line = str(caught.value)
    assert line.startswith("its session does not open as TGWORKER_ADOPT_FORMAT and TGWORKER_ADOPT_KEY say: ")
    assert key not in line
    assert stored == "" or stored not in line
    assert caught.value.__context__ is None


def test_any_function_can_be_named_and_gets_the_key_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox_crypto.py").write_text(
        "def reverse(stored, key):\n    assert key == 'my key'\n    return stored[::-1]\n"
        "def nothing(stored, key):\n    return None\n"
        "number = 7\n"
    )
    (tmp_path / "inbox_broken.py").write_text("raise SystemError('hunter2')\n")
    monkeypatch.syspath_prepend(tmp_path)
    reverse = form_called("inbox_crypto:reverse")
    assert opened("cba", reverse, Secret("my key")) == Secret("abc")
    for name, key in (("reverse", "another key"), ("nothing", "my key")):
        with pytest.raises(SessionUnreadable):
            opened("cba", form_called(f"inbox_crypto:{name}"), Secret(key))
    for name in ("inbox_crypto:number", "inbox_crypto:missing"):
        with pytest.raises(NoSuchForm, match="names a function that its module does not have"):
            form_called(name)
    for name, why in (("inbox_missing:open", "ModuleNotFoundError"), ("inbox_broken:open", "SystemError")):
        with pytest.raises(NoSuchForm) as caught:
            form_called(name)
        assert str(caught.value) == f"names a module that cannot be imported ({why})"
