"""What the commands ask of a store, beside a running worker or without one.

As with the ports of the loops, every method may raise `tgworker.messaging.errors.StoreAway` and may be
repeated.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId, JobId, MessageId
from tgworker.messaging.records import (
    AccountRecord,
    CancelAnswer,
    HeartbeatRecord,
    HistoryRecord,
    OutboxRecord,
    OutboxState,
    Replacement,
)


class AccountBook(Protocol):
    """Accounts as the commands handle them."""

    async def add_account(
        self,
        name: str | None,
        owner_id: str,
        secrets_encrypted: str,
        *,
        user_id: int,
        phone: str | None = None,
        kind: AccountKind = AccountKind.USER,
        config: Mapping[str, Any] | None = None,
    ) -> AccountId:
        """Add an account, active; for a Telegram user that is there already, replace its session.

        Args:
            name: What people call it; unique.
            owner_id: The person in the application.
            secrets_encrypted: A Fernet token of the session string.
            user_id: The account's own Telegram id: what makes the call idempotent.
            phone: Digits, with or without ``+``.
            kind: Whether it is a person's or a bot: the row's type from now on.
            config: What it runs with from now on; ``None``: that stays as it is.
        """
        ...

    async def find_account(self, text: str) -> AccountRecord | None:
        """The account that ``text`` names: its uuid, its phone, or its name."""
        ...

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """Every Telegram account, in a stable order."""
        ...

    async def switch_account(self, account_id: AccountId, *, active: bool) -> bool:
        """Turn the owner's switch; returns whether it stood otherwise before.

        A worker follows at its next account sync.

        Raises:
            AccountGone: There is no such account.
            StoreFault: The application's old worker has it.
        """
        ...

    async def held_s(self, account_id: AccountId) -> float:
        """How long some worker may still be connected with an account, seconds; 0: none is.

        A store that only one worker can have open does not know: it says 0, and who asks looks at that
        worker.
        """
        ...

    async def replace_session(self, account_id: AccountId, read: str, sealed: str) -> Replacement:
        """Store the same session under another key, unless it was replaced meanwhile.

        Args:
            account_id: The account.
            read: The token, as it was read.
            sealed: A Fernet token of the session that ``read`` holds.
        """
        ...

    async def remove_account(self, account_id: AccountId) -> bool:
        """Remove an account and what is only ours of it; returns whether it was there.

        Messages and conversations stay; what was still to be sent is dead-lettered.

        Raises:
            StoreFault: The application's old worker has it.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredSession:
    """An account's session, as it lies in a database that another worker used before.

    Attributes:
        application: As the application encrypted it; empty where there is none.
        ours: Encrypted anew, by us, from just that; or one that a login here made since. ``None``: there is
            none.
    """

    application: str = field(repr=False)
    ours: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandoverStep:
    """How far an account is on its way to another worker.

    Attributes:
        wait_s: Ask again after so many seconds; ``None``: it is there.
        messages: How many messages were left for a person to look at on the way.
        renewed: Whether the account has a session that was made here, and goes back with the one it had.
    """

    wait_s: float | None
    messages: int
    renewed: bool = False


class AdoptionBook(Protocol):
    """Moving accounts between an old worker and this one, step by step: call until it is done."""

    async def session(self, account_id: AccountId) -> StoredSession:
        """The account's session, for who is about to adopt it."""
        ...

    async def adopt(
        self, account_id: AccountId, *, read: str | None = None, sealed: str | None = None
    ) -> HandoverStep:
        """Take an account over; it is ours once the old worker has certainly let it go.

        Args:
            account_id: The account.
            read: The application's session as it was read. If it is another one by now, nothing is done, and
                ``wait_s`` is 0: read it again.
            sealed: A Fernet token of the same session, to be kept beside the application's, which stays as it
                is. ``None``: the application's serves.
        """
        ...

    async def release(self, account_id: AccountId) -> HandoverStep:
        """Give an account back; it is the old worker's once ours has certainly let it go."""
        ...

    async def finish(self) -> Sequence[AccountId]:
        """Make ``is_active`` the owner's switch again, once the old worker is gone; returns where."""
        ...


MOST_FILES: Final = 100
"""So many files one message may carry."""


def one_caption(texts: Sequence[str], files: Sequence[OutgoingFile]) -> str:
    """What stands under files.

    Raises:
        ValueError: There is more than one text, or there are too many files.
    """
    if len(texts) > 1:
        raise ValueError(f"files go with one text at most, not {len(texts)}")
    if len(files) > MOST_FILES:
        raise ValueError(f"a message carries {MOST_FILES} files at most, not {len(files)}")
    return texts[0] if texts else ""


class OutboxBook(Protocol):
    """The outbox as the commands handle it."""

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
    ) -> Sequence[MessageId]:
        """Do what the application does when a person sends messages to one chat, in their order.

        Args:
            account_id: Who sends them.
            to: A Telegram id (marked), ``@username``, ``+`` and a phone number, or a conversation's uuid.
            texts: The messages; with files there is one message, and at most one text: what stands under
                them.
            files: Rows of ``attachments`` to be made, at most `MOST_FILES`; they lie in the file store.
            kind: What the message with files calls itself.

        Raises:
            ValueError: There are more texts with files than one, or too many files.
        """
        ...

    async def outcomes(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
        """Where these rows stand; rows that the outbox does not know (any more) are missing."""
        ...

    async def list_outbox(
        self, states: Collection[OutboxState] | None = None, *, limit: int = 100
    ) -> Sequence[OutboxRecord]:
        """Rows in these states, oldest first.

        Without states, everything that is not sent, and what went without an attachment that was linked too
        late.
        """
        ...

    async def cancel(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, CancelAnswer]:
        """Take messages back of which nothing has left; rows that the outbox does not know are missing.

        A dead-lettered one is closed: it is not sent, and nobody needs to look at it any more.
        """
        ...

    async def retry(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxState]:
        """Send messages again, or after all, that are held, unsure, dead, cancelled or expired.

        With the same ``random_id``: what Telegram has already, and still remembers, is not doubled. Parts
        that were sent are not sent again.

        Returns:
            What each is now: ``waiting``, or what it is instead. One whose message was deleted stays what it
            was; rows that the outbox does not know are missing.
        """
        ...


class HistoryBook(Protocol):
    """History jobs as the commands handle them."""

    async def request_history(self, account_id: AccountId, to: str, *, limit: int) -> JobId:
        """Do what the application does when somebody wants to see what a chat held before.

        Args:
            account_id: Who reads.
            to: As in `OutboxBook.enqueue`, or `tgworker.messaging.models.WHOLE_ACCOUNT`.
            limit: So many messages at most; of a whole account, in each chat.

        Raises:
            RecipientUnknown: ``to`` is malformed, or no conversation of the account's owner.
            AccountGone: There is no such account.
        """
        ...

    async def histories(
        self, job_ids: Collection[JobId] | None = None, *, limit: int = 100
    ) -> Sequence[HistoryRecord]:
        """These jobs, as far as there are any; without ids those that have not ended.

        The oldest first; those that a job for a whole account has filed stand behind all others.
        """
        ...


class HeartbeatReader(Protocol):
    """Where heartbeats are read."""

    async def read(self, worker_id: str) -> HeartbeatRecord | None:
        """A worker's row, if it ever wrote one."""
        ...
