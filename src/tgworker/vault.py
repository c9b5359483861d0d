"""Session strings under Fernet keys: the first key encrypts, all of them decrypt."""

from collections.abc import Sequence
from contextlib import suppress

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import Secret


class FernetVault:
    """Encrypts and decrypts session strings; fills `tgworker.messaging.ports.Vault`.

    Args:
        keys: Fernet keys, at least one; put a new one in front to rotate.

    Raises:
        ValueError: If there is no key, or one of them is no Fernet key.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._fernet = MultiFernet([Fernet(key.value) for key in keys])
        self._first = Fernet(keys[0].value)

    def encrypt(self, session: str | Secret) -> str:
        """A Fernet token of the session string, as ``secrets_encrypted`` holds it."""
        plain = session.value if isinstance(session, Secret) else session
        return self._fernet.encrypt(plain.encode()).decode("ascii")

    def rekeyed(self, token: str) -> str | None:
        """The same session under the first key; ``None`` where it is under that one already.

        Raises:
            SessionUnreadable: As `decrypt`.
        """
        session = self.decrypt(token)
        with suppress(InvalidToken):
            self._first.decrypt(token.strip().encode())
            return None
        return self.encrypt(session)

    def decrypt(self, token: str) -> Secret:
        """The session string in ``token``.

        Raises:
            SessionUnreadable: If it opens under none of the keys, or is no Fernet token of a text.
        """
        # Raised outside the except block: a UnicodeDecodeError in its context would carry the session.
        with suppress(InvalidToken, UnicodeDecodeError):
            return Secret(self._fernet.decrypt(token.strip().encode()).decode())
        raise SessionUnreadable(
            "the stored session opens under no key of ENCRYPTION_KEY: "
            "add the key it was stored under, or log the account in again"
        )


def new_key() -> Secret:
    """A new Fernet key, from the system's random numbers."""
    return Secret(Fernet.generate_key().decode("ascii"))
