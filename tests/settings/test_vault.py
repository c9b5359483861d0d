"""The vault: sessions under several keys, shown to nobody."""

import pytest
from cryptography.fernet import Fernet

from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import Secret
from tgworker.vault import FernetVault, new_key


def test_what_was_encrypted_is_decrypted() -> None:
    vault = FernetVault([new_key()])
    token = vault.encrypt("1AgAOMTQ5")
    assert "1AgAOMTQ5" not in token
    assert vault.decrypt(token) == Secret("1AgAOMTQ5")
    assert vault.decrypt(vault.encrypt(Secret("1AgAOMTQ5"))) == Secret("1AgAOMTQ5")


def test_blanks_around_a_stored_token_do_no_harm() -> None:
    vault = FernetVault([new_key()])
    assert vault.decrypt(f" {vault.encrypt('session')}\n") == Secret("session")


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = new_key(), new_key()
    stored = FernetVault([old]).encrypt("session")
    rotated = FernetVault([new, old])
    assert rotated.decrypt(stored) == Secret("session")
    assert FernetVault([new]).decrypt(rotated.encrypt("session")) == Secret("session")


@pytest.mark.parametrize(
    "token",
    [
        FernetVault([new_key()]).encrypt("hunter2"),
        "",
        "hunter2",
        "hunter2é",
        "gAAAAA",
    ],
    ids=["another key", "empty", "no token", "no ASCII", "cut off"],
)
def test_what_does_not_open_is_one_clear_line(token: str) -> None:
    with pytest.raises(SessionUnreadable) as caught:
        FernetVault([new_key()]).decrypt(token)
    assert str(caught.value) == (
        "the stored session opens under no key of ENCRYPTION_KEY: "
        "add the key it was stored under, or log the account in again"
    )
    assert caught.value.__context__ is None


def test_bytes_that_are_no_text_are_not_carried_in_the_error() -> None:
    key = new_key()
    token = Fernet(key.value).encrypt(b"hunter2\xff").decode()
    with pytest.raises(SessionUnreadable) as caught:
        FernetVault([key]).decrypt(token)
    assert caught.value.__context__ is None


def test_a_vault_needs_a_key() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FernetVault([])


def test_nothing_is_shown() -> None:
    key = new_key()
    vault = FernetVault([key])
    assert key.value not in repr(vault) + repr(key) + str(key)
    assert "hunter2" not in repr(vault.decrypt(vault.encrypt("hunter2")))
