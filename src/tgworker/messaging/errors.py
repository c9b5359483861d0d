"""The error tree of the messaging core.

::

    Away                    an outage: waited for with capped backoff, never counted as a failure
     ├ StoreAway            the database does not answer
     │  ├ StoreRefused      it answers, and says no: a person must act, and nothing need be restarted then
     │  └ LeaseLost         the account is another worker's now: whoever holds its line here is about to end
     └ TelegramAway         Telegram, or the line to it, does not answer
        └ TelegramFloods    it takes no connections from this address for now
    AccountRefused          Telegram's final no to an account: a person must act
    SessionUnreadable       a stored session cannot be decrypted: a person must act
    StoreMismatch           the store has another schema version: the worker must not run (exit code 3)
    StoreFault              a person must act before anything can go on; adapters know more of these
     ├ AccountNameTaken     another account has that name
     └ RecipientUnknown     nobody can be meant by that recipient
    AccountGone             the account's row was removed

Every message is one line that names the thing and the remedy, and holds no secret and no message text.
"""

from tgworker.messaging.models import AccountState


class Away(Exception):
    """Something outside is not there. Wait and ask again: an outage is an outcome, not a failure."""


class StoreAway(Away):
    """The store did not answer, or answered that it cannot now. Everything about it may be repeated."""


class StoreRefused(StoreAway):
    """The store is there and will not have what it is told: a wrong key, a missing table.

    Remedy: in the message. It counts as an outage, so that the worker goes on, asks again, and is well by
    itself once a person has acted.
    """


class LeaseLost(StoreAway):
    """The account belongs to a newer worker, and nothing that this one writes about it counts any more.

    It counts as an outage for who only wanted to write: the lease's keeper hears of it at the same time, and
    ends whatever holds the account here.
    """


class TelegramAway(Away):
    """The line to Telegram broke or was never made. The connection is of no more use: make a new one."""


class TelegramFloods(TelegramAway):
    """Telegram takes no connections from this address for now: transport error -429.

    It is waited out in minutes: whoever knocks again at once is refused for longer (Telethon#4706, #3854;
    https://core.telegram.org/mtproto/mtproto-transports#transport-errors).
    """


class AccountRefused(Exception):
    """Telegram will not have this account. Nothing is retried until a person has acted.

    Args:
        state: What the account now is (``needs_login``, ``banned``, …).
        reason: Telegram's error name, with the remedy.
    """

    def __init__(self, state: AccountState, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class SessionUnreadable(Exception):
    """A stored session opens under none of the keys. Remedy: the right ``ENCRYPTION_KEY``, or login."""


class StoreMismatch(Exception):
    """The store's schema has another version than this program. Remedy: ``tgworker migrate``, or upgrade."""


class StoreFault(Exception):
    """Something about the store that a person must put right. The message is one line with the remedy."""


class AccountNameTaken(StoreFault):
    """Another account has that name already. Remedy: another name."""


class RecipientUnknown(StoreFault):
    """A recipient that nobody can be: malformed, or no conversation. Remedy: in the text."""


class AccountGone(Exception):
    """The account's row was removed while it was being used. Remedy: none; the account stops by itself."""
