"""Whether a row of an account that changed asks for another line than the one that runs."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.models import Account, AccountId, Secret
from tgworker.messaging.ports import Vault

Same = Callable[[Account, Account], bool]
"""Of an account as its child was started and as its row is now: whether the child may go on."""


class SameAccount:
    """Tells a new key from a new session: ``accounts rekey`` changes every row, and disturbs no line.

    A token that opens under no key of this process is another session.

    Args:
        vault: Opens both tokens.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        # Tokens that were found to be of one session: nothing is decrypted at each sync for that.
        self._known: dict[AccountId, tuple[str, str]] = {}

    def __call__(self, was: Account, now: Account) -> bool:
        """Whether the child that was started with ``was`` may go on with ``now``."""
        tokens = (was.secrets_encrypted, now.secrets_encrypted)
        if tokens[0] == tokens[1]:
            return was == now
        if replace(was, secrets_encrypted=tokens[1]) != now:
            return False
        if self._known.get(now.id) == tokens:
            return True
        sessions = [self._session(token) for token in tokens]
        if sessions[0] is None or sessions[0] != sessions[1]:
            return False
        self._known[now.id] = tokens
        return True

    def _session(self, token: str) -> Secret | None:
        with suppress(SessionUnreadable):
            return self._vault.decrypt(token)
        return None
