"""What the loops ask of a store, as small Protocols. Stores fill them without knowing each other.

Every method may raise `StoreAway` (an outage) and may be repeated after any doubt: a call that was cancelled
or timed out may still commit, so each is idempotent. Cancellation: nothing is left half-done inside the store
(each call is one transaction).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT
from tgworker.messaging.media_ports import MediaStore, OutgoingMediaStore
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    Account,
    AccountId,
    AccountState,
    Attempt,
    ChatMessage,
    ConversationId,
    Copy,
    Heartbeat,
    HistoryJob,
    JobId,
    MessageId,
    MessageJob,
    Owned,
    Peer,
    Position,
    Recipients,
)
from tgworker.messaging.outcomes import Deferred, Refused, Settled
from tgworker.messaging.pacing import StoredWait
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import UpdateBatch


class AccountStore(Protocol):
    """Which accounts should be ours."""

    async def active_accounts(self) -> Sequence[Account]:
        """All accounts that this worker should hold, in a stable order."""
        ...

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        """Store what an account is; sets ``last_sync_at`` (the store's clock) and ``last_error``.

        ``user_id`` is the account's own Telegram id, once it is known.
        """
        ...

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        """Set ``last_sync_at`` of accounts that are online to the store's clock, in one call."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn of the outbound loop brings.

    Attributes:
        attempts: What was claimed.
        withdrawn: Messages that the caller has in hand and that somebody has cancelled since. Those of which
            nothing has left are to be settled as `Released`: the store then ends them.
    """

    attempts: Sequence[Attempt]
    withdrawn: Collection[MessageId] = ()


class OutboxStore(Protocol):
    """The queue of what should be sent."""

    async def turn(
        self,
        settled: Sequence[Settled],
        slots: Mapping[AccountId, int],
        *,
        known: Collection[MessageId],
        text_limit: int = DEFAULT_TEXT_LIMIT,
        caption_limit: int = DEFAULT_CAPTION_LIMIT,
    ) -> Turn:
        """Store what became of attempts, then claim lane heads that are due: the stored attempts, committed.

        Attempts of an older claim change nothing when they are settled: after any doubt the same is settled
        again, and what the first call claimed is handed over again.

        Claimed are at most ``slots[account]`` for each account, at most one for a conversation, oldest first;
        without slots, none. Rows that are claimed under the current fence but not in ``known`` (their answer
        was lost, or the worker crashed), and rows claimed under an older fence, are handed over again with
        the same ``random_id`` and the next attempt number. Rows that cannot be sent at all (no account) are
        dead-lettered on the way.

        Args:
            settled: All of it is stored before anything is claimed, even if the claim then fails.
            slots: How many attempts each account takes.
            known: The messages that the caller has in hand; not those that it settles.
            text_limit: How long one message may be, in UTF-16 code units. A longer text is sent in parts,
                each claimed and settled by itself; the row stays the head of its conversation until the last.
            caption_limit: The same of what stands under a file; what is too long for it follows the files.

        Rows wait for their attachments, and hold their conversation up meanwhile: as many as
        ``raw_payload.telegram.attachments`` says, for ten minutes at most; else, where their type or an
        attachment says that they carry files, for a few seconds after they were written. A row whose
        attachments did not come is dead-lettered with that reason.
        """
        ...


class InboundStore(Protocol):
    """Where what arrives is kept."""

    async def position(self, account_id: AccountId) -> Position | None:
        """How far this account's update log was committed; ``None`` for an account never seen."""
        ...

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        """Every peer with an access hash that this account has met."""
        ...

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        """Remember peers that were resolved, not received."""
        ...

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        """The account's session is this Telegram user's now, not the one's whom the position names.

        What was known of that one goes: the position, peers, waits, and which rows Telegram's ids mean. The
        rows themselves stay.
        """
        ...

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        """The rows that Telegram means by ids of messages, by ``(chat_id, telegram_id)``: the known ones.

        ``chat_id`` is ``None`` where Telegram does not say it: a delete in a private chat or a basic group.
        Their messages are numbered together, for the account; a channel's are not, and are never meant.
        """
        ...

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        """Commit a batch and its position in one transaction; returns how many messages were new.

        Idempotent on ``(account, chat, message id)``. A message that this worker sent is not stored again,
        whichever comes first, the answer to the send or the update. For each gap a history job is filed,
        unless one waits for that chat already.
        """
        ...


class DoubtStore(Protocol):
    """Whose the messages are that a look into a chat's history has shown."""

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        """Which of these messages cannot be what ``attempt`` made, since another row is known to be them."""
        ...

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        """Attempts by which Telegram has a message whose id nobody knows: a few, the oldest first.

        Each is handed out three times at most, whoever asks.
        """
        ...

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        """Store which message it is that an `unnamed` attempt made; nothing, if that is known meanwhile."""
        ...


class RecipientStore(Protocol):
    """Whom rows wait for in state ``resolving``, and what became of it."""

    async def recipients(self, account_id: AccountId, *, limit: int = 1000) -> Recipients:
        """Whom rows of an account wait for, at most ``limit`` names, and whether it was introduced."""
        ...

    async def record_introduced(self, account_id: AccountId) -> None:
        """Remember that the account's contacts and chats were read to the end."""
        ...

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        """Store whom names mean; rows that wait for them go on.

        A peer is kept as by `InboundStore.save_peers`, and its rows may be claimed; after `Refused` they are
        dead-lettered (``unsure`` where nobody knows whether Telegram has them); after `Deferred` they show
        until when they wait.

        Rows also go on when `InboundStore` is told of a peer that they wait for.

        Returns:
            Names of which a row could not be written, because somebody held it: record them again.
        """
        ...


class PresenceStore(Protocol):
    """Who of an owner's contacts is online, and who types (``presence_status``)."""

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        """Store what accounts were told, in one call for all of them; of each contact the last word counts.

        People who are no contacts of an account's owner are left out. Accounts that are gone, or another
        worker's, are passed over: they do not fail the others. Typing counts until
        ``typing_expires_at``: nothing is written when that has passed.
        """
        ...

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        """Whom the rows show online or typing, of those whom each account knows.

        ``last_seen_at`` of who is online is when his row was written: then, at the latest, he had come.
        """
        ...


class WaitStore(Protocol):
    """What Telegram asked an account to wait for, so that the next process waits, too."""

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        """The waits that are not over, by the store's clock."""
        ...

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        """Remember waits; of two for the same thing the one that ends later counts."""
        ...

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        """Whether this account ever got a message in a conversation, or Telegram has one of it there."""
        ...


class IntroductionStore(InboundStore, RecipientStore, Protocol):
    """What an introduction needs of a store."""


class Sweeper(Protocol):
    """Keeps a store small and right: retention, repairs."""

    async def sweep(self, retention: Retention) -> bool:
        """Do a bounded piece of what there is to do; returns whether there is more.

        Settled rows of the outbox are removed with their parts once they are old enough, claims of jobs that
        are done or gone at once, and heartbeats of workers that have long been silent. The messages stay, and
        so do their keys: what was sent is not taken for new when Telegram tells of it again.
        """
        ...

    async def count_unsure(self) -> int:
        """How many messages are left to a person, since nobody knows whether Telegram has them."""
        ...


class HistoryStore(Protocol):
    """Where it is kept what a chat held before we saw it."""

    async def save_history(
        self,
        job: HistoryJob,
        messages: Sequence[ChatMessage],
        peers: Sequence[Peer],
        *,
        below: int = 0,
        seen: int = 0,
        total: int | None = None,
    ) -> int:
        """Store messages that the job found and add the new ones to ``messages_synced``; returns how many.

        How far the job has come, ``below`` and ``seen`` of `HistoryJob`, is stored with them, and
        ``total`` of `HistoryPage` for who watches.

        Idempotent as `InboundStore.ingest`; moves no position. Nothing is counted as unread but what fills a
        gap: messages of others that are newer than ``known_top``.
        """
        ...

    async def finish_history(self, job_id: JobId, *, error: str | None = None) -> None:
        """End a job: ``completed``, or ``failed`` with its reason.

        One for a whole account that is completed says how many of its chats' jobs have failed, if any has.
        """
        ...

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        """File a job for each chat in a page of an account's list, as `AccountHistory` says.

        A chat that has one by the same job gets no other. With the last page (no ``cursor``) the job for the
        account is let go: `HistoryQueue.claim_history` hands it over again once those of its chats have
        ended, to be finished.
        """
        ...

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        """Remember the takeout session (encrypted) of a job for a whole account, or that there is none.

        ``job`` may also be one of its chats'.
        """
        ...

    async def put_history_off(self, job: HistoryJob, *, seconds: float, note: str) -> None:
        """Let a job for a whole account go: it is ``pending`` again, and not claimed before its time.

        Args:
            job: The job.
            seconds: So long.
            note: What it waits for: ``error_message`` until it goes on.
        """
        ...


class HistoryQueue(Protocol):
    """Requests for what a chat held before we saw it (``sync_history_jobs``)."""

    async def count_history(self) -> int:
        """How many are pending or being processed, or have left a takeout session behind."""
        ...

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        """Claim up to ``limit`` pending jobs of these accounts, oldest first.

        Jobs in ``processing`` that were claimed under an older fence, or under this one but are not in
        ``known``, are handed over again first: a crash leaves nothing in ``processing``. Each account gets
        one before any gets a second; those that a job for a whole account has filed come last.

        Beyond the limit comes what is left of jobs for whole accounts that the application has ended, or
        removed: their takeout sessions (``is_ended``), until `HistoryStore.keep_takeout` says that they are
        over.
        """
        ...


class AccountChildStore(
    AccountStore,
    InboundStore,
    DoubtStore,
    RecipientStore,
    WaitStore,
    HistoryStore,
    OutgoingMediaStore,
    MediaStore,
    Protocol,
):
    """What one account's child needs of a store."""


@dataclass(frozen=True, slots=True)
class JobTurn:
    """What a claim of message jobs brought.

    Attributes:
        jobs: Those that may be done now.
        waiting: How many others are pending: for their message, for their time, or behind others.
    """

    jobs: tuple[MessageJob, ...]
    waiting: int = 0


class JobStore(Protocol):
    """Things to be done about messages (``message_jobs``)."""

    async def count_jobs(self) -> int:
        """How many are pending or being processed."""
        ...

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        """Claim up to ``limit`` jobs of these accounts that may be done now; they are ``processing`` then.

        One of each conversation at a time, oldest first; ``typing`` by itself. One whose message waits to be
        sent, or whose id Telegram has not told yet, waits with it and holds nobody else up. Handed over again
        first: jobs that were claimed under an older fence, or under this one but are not in ``known``.

        Whatever accounts are given: a ``delete`` of a message of which nothing has left cancels it, and what
        nobody can do (another owner's, no account, too late) fails.
        """
        ...

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        """Write what became of claimed jobs; nothing of those that another has claimed since then."""
        ...


class HeartbeatWriter(Protocol):
    """Where heartbeats go."""

    @property
    def name(self) -> str:
        """Which writer this is, for logs: ``embedded``, ``supabase``."""
        ...

    async def write(self, heartbeat: Heartbeat) -> None:
        """Commit one heartbeat; an older ``(incarnation, seq)`` never overwrites a newer one."""
        ...
