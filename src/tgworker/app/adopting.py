"""Reading the sessions of accounts that are adopted, and encrypting them anew where that is needed."""

from collections.abc import Callable
from contextlib import suppress

from tgworker.foreign_sessions import Form, form_called, opened
from tgworker.messaging.books import StoredSession
from tgworker.messaging.errors import AccountRefused, SessionUnreadable
from tgworker.messaging.models import Secret
from tgworker.settings import Settings
from tgworker.vault import FernetVault


class SessionReader:
    """Knows the keys of ours and, perhaps, how the application encrypts.

    Args:
        vault: Ours.
        form: The application's way; ``None``: as we do.
        key: The application's key.
        check: Says whether a text is a session; raises `AccountRefused` if it is none.
    """

    def __init__(
        self, vault: FernetVault, form: Form | None, key: Secret, check: Callable[[Secret], None]
    ) -> None:
        self._vault = vault
        self._form = form
        self._key = key
        self._check = check

    def sealed(self, session: StoredSession) -> str | None:
        """A Fernet token of ours to be kept beside the application's session; ``None`` where none is needed.

        Raises:
            SessionUnreadable: There is no session, or it does not open, or what comes out is none.
        """
        if not session.application.strip():
            raise SessionUnreadable("the application stored no session for it: log it in there")
        for token in (session.ours, session.application):
            own = self._decrypted(token)
            if own is not None:
                self._checked(own)
                return None
        if self._form is None:
            raise SessionUnreadable(
                "its session opens under no key of ENCRYPTION_KEY: add the key it was stored under, "
                "or say with TGWORKER_ADOPT_FORMAT and TGWORKER_ADOPT_KEY how the application encrypts"
            )
        return self._vault.encrypt(self._checked(opened(session.application, self._form, self._key)))

    def _decrypted(self, token: str | None) -> Secret | None:
        with suppress(SessionUnreadable):
            return None if token is None else self._vault.decrypt(token)
        return None

    def _checked(self, session: Secret) -> Secret:
        try:
            self._check(session)
        except AccountRefused:
            pass
        else:
            return session
        raise SessionUnreadable("what its session opens to is no Telethon StringSession: log it in anew")


def session_reader(settings: Settings) -> SessionReader:
    """The reader that the environment describes.

    Raises:
        NoSuchForm: ``TGWORKER_ADOPT_FORMAT`` names a function that there is not.
    """
    # Imported only where it is used: Telethon costs a third of a second.
    from tgworker.telegram import check_session

    adoption = settings.adoption
    return SessionReader(
        FernetVault(settings.encryption_keys),
        None if adoption is None else form_called(adoption.form),
        Secret("") if adoption is None else adoption.key,
        check_session,
    )
