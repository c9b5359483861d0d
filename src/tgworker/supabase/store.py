"""The Supabase store: the ports of the messaging core, filled by functions of the database over REST."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.incoming_files import FetchOutcome, IncomingFile, WantedAvatar
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.login_ports import LoginId, LoginNews, LoginRequest, LoginState
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT, FileKind, OutgoingFile
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    Account,
    AccountId,
    AccountState,
    Attempt,
    ChatMessage,
    ConversationId,
    Copy,
    HistoryJob,
    JobId,
    MessageId,
    Owned,
    Peer,
    Position,
    Recipients,
    Secret,
)
from tgworker.messaging.outcomes import Deferred, Refused, Settled
from tgworker.messaging.pacing import StoredWait
from tgworker.messaging.presence import Presence
from tgworker.messaging.records import (
    AccountRecord,
    CancelAnswer,
    HistoryRecord,
    OutboxRecord,
    OutboxState,
    Replacement,
)
from tgworker.messaging.store_ports import JobTurn, Turn
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.supabase.accounts import Accounts
from tgworker.supabase.adoption import Adoption
from tgworker.supabase.books import Outbox
from tgworker.supabase.histories import Histories
from tgworker.supabase.ingest import Inbox
from tgworker.supabase.jobs import Jobs
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.logins import Logins
from tgworker.supabase.media import IncomingMedia, OutgoingMedia
from tgworker.supabase.owning import Doubts
from tgworker.supabase.presence import AccountPresence
from tgworker.supabase.recipients import AccountRecipients
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row
from tgworker.supabase.turns import turn
from tgworker.supabase.waits import AccountWaits

DEFAULT_WAIT_S: Final = 3.0


class _Swept(Row):
    more: bool


class SupabaseStore:
    """One project's store.

    Fills `AccountStore`, `OutboxStore`, `OutgoingMediaStore`, `InboundStore`, `MediaStore`, `DoubtStore`,
    `PresenceStore`, `WaitStore`, `HistoryStore`, `JobStore`, `LoginStore`, `Sweeper`, `AccountBook` and
    `OutboxBook`.

    Every method is one transaction, or one for each page, and may be repeated. It raises `StoreAway` for an
    outage (`StoreRefused`: a person must act; `LeaseLost`: the account is another worker's) and
    `RequestBroken` for a bug.

    Cancellation: nothing is half-done; a call that was cancelled may still be carried out.

    Args:
        rest: The project's REST API.
        leases: This process's; whoever writes for an account must hold it.
        attachments_wait_s: So long a row waits for attachments of which it does not say how many come.
    """

    def __init__(
        self, rest: Rest, leases: SupabaseLeases, *, attachments_wait_s: float = DEFAULT_WAIT_S
    ) -> None:
        self._rest = rest
        self._leases = leases
        self._attachments_wait_s = attachments_wait_s
        self._outgoing_media = OutgoingMedia(rest)
        self._incoming_media = IncomingMedia(rest, leases)
        self._accounts = Accounts(rest, leases)
        self._inbox = Inbox(rest, leases)
        self._doubts = Doubts(rest, leases)
        self._recipients = AccountRecipients(rest, leases)
        self._presence = AccountPresence(rest, leases)
        self._waits = AccountWaits(rest, leases)
        self._jobs = Jobs(rest, leases)
        self._logins = Logins(rest)
        self._outbox = Outbox(rest)
        self._histories = Histories(rest)
        self.adoption = Adoption(rest)
        """Moves accounts between an application's old worker and this one: `AdoptionBook`."""

    # AccountStore

    async def active_accounts(self) -> Sequence[Account]:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        return await self._accounts.active_accounts()

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        await self._accounts.record_account(account_id, state, last_error=last_error, user_id=user_id)

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        await self._accounts.record_synced(account_ids)

    # OutboxStore

    async def turn(
        self,
        settled: Sequence[Settled],
        slots: Mapping[AccountId, int],
        *,
        known: Collection[MessageId],
        text_limit: int = DEFAULT_TEXT_LIMIT,
        caption_limit: int = DEFAULT_CAPTION_LIMIT,
    ) -> Turn:
        """See `tgworker.messaging.store_ports.OutboxStore`."""
        return await turn(
            self._rest,
            self._leases,
            settled,
            slots,
            known,
            text_limit,
            caption_limit,
            self._attachments_wait_s,
        )

    # OutgoingMediaStore

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        """See `tgworker.messaging.media_ports.OutgoingMediaStore`."""
        await self._outgoing_media.record_progress(attempt, done, total)

    # InboundStore

    async def position(self, account_id: AccountId) -> Position | None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._inbox.position(account_id)

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._inbox.peers(account_id)

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        await self._inbox.save_peers(account_id, peers)

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        await self._inbox.forget_user(account_id, user_id)

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._inbox.find_messages(account_id, telegram_ids, chat_id=chat_id)

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._inbox.ingest(account_id, batch)

    # MediaStore

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        return await self._incoming_media.wanted_files(account_id, limit=limit)

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        await self._incoming_media.finish_file(account_id, file, outcome)

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        return await self._incoming_media.wanted_avatars(account_id, limit=limit)

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        await self._incoming_media.finish_avatar(account_id, avatar, outcome, url=url)

    # RecipientStore

    async def recipients(self, account_id: AccountId, *, limit: int = 1000) -> Recipients:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        return await self._recipients.recipients(account_id, limit=limit)

    async def record_introduced(self, account_id: AccountId) -> None:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        await self._recipients.record_introduced(account_id)

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        return await self._recipients.record_recipients(account_id, found)

    # PresenceStore

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        """See `tgworker.messaging.store_ports.PresenceStore`."""
        await self._presence.record_presence(items)

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        """See `tgworker.messaging.store_ports.PresenceStore`."""
        return await self._presence.shown(account_ids)

    # WaitStore

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        return await self._waits.waits(account_id)

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        await self._waits.save_waits(account_id, waits)

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        return await self._waits.is_acquainted(account_id, conversation_id)

    # DoubtStore

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        return await self._doubts.owned(attempt, chat_id, telegram_ids)

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        return await self._doubts.unnamed(account_id)

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        await self._doubts.name(attempt, chat_id, copy)

    # HistoryStore

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        return await self._jobs.claim_history(account_ids, known=known, limit=limit)

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
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        return await self._inbox.save_history(job, messages, peers, below=below, seen=seen, total=total)

    async def finish_history(self, job_id: JobId, *, error: str | None = None) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._jobs.finish(job_id, error=error)

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._jobs.file_chats(job, chat_ids, peers, cursor=cursor)

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._jobs.keep_takeout(job, takeout)

    async def put_history_off(self, job: HistoryJob, *, seconds: float, note: str) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._jobs.put_off(job, seconds, note)

    async def count_history(self) -> int:
        """See `tgworker.messaging.store_ports.HistoryQueue`."""
        return await self._jobs.count_history()

    # JobStore

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        """See `tgworker.messaging.store_ports.JobStore`."""
        return await self._jobs.claim_jobs(account_ids, known=known, limit=limit)

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        """See `tgworker.messaging.store_ports.JobStore`."""
        await self._jobs.settle_jobs(verdicts)

    async def count_jobs(self) -> int:
        """See `tgworker.messaging.store_ports.JobStore`."""
        return await self._jobs.count_jobs()

    # LoginStore

    async def count_logins(self) -> int:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        return await self._jobs.count_logins()

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> Sequence[LoginRequest]:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        return await self._logins.claim_logins(ticket, known=known, limit=limit)

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        await self._logins.tell_login(ticket, login_id, news)

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        return await self._logins.take_answer(ticket, login_id)

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        await self._logins.end_login(ticket, login_id, state, error)

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        return await self._logins.store_login(
            ticket, login_id, secrets_encrypted, user_id=user_id, phone=phone
        )

    # Sweeper

    async def sweep(self, retention: Retention) -> bool:
        """See `tgworker.messaging.store_ports.Sweeper`; one worker at a time does it."""
        days = {"p_days": retention.days, "p_failed_days": retention.failed_days}
        return (await self._rest.call("tgworker_sweep", days, _Swept)).more

    async def count_unsure(self) -> int:
        """See `tgworker.messaging.store_ports.Sweeper`."""
        return await self._jobs.count_unsure()

    # AccountBook

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
        """See `tgworker.messaging.books.AccountBook`.

        Raises:
            AccountNameTaken: Another account has the name.
        """
        return await self._accounts.add_account(
            name, owner_id, secrets_encrypted, user_id=user_id, phone=phone, kind=kind, config=config
        )

    async def find_account(self, text: str) -> AccountRecord | None:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._accounts.find_account(text)

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._accounts.list_accounts()

    async def switch_account(self, account_id: AccountId, *, active: bool) -> bool:
        """See `tgworker.messaging.books.AccountBook`.

        Raises:
            AccountGone: There is no such account.
            StoreFault: The application's old worker has it.
        """
        return await self._accounts.switch_account(account_id, active=active)

    async def held_s(self, account_id: AccountId) -> float:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._accounts.held_s(account_id)

    async def replace_session(self, account_id: AccountId, read: str, sealed: str) -> Replacement:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._accounts.replace_session(account_id, read, sealed)

    async def remove_account(self, account_id: AccountId) -> bool:
        """See `tgworker.messaging.books.AccountBook`.

        Raises:
            StoreFault: The application's old worker has it.
        """
        return await self._accounts.remove_account(account_id)

    # OutboxBook

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
        ids: Sequence[MessageId] | None = None,
    ) -> Sequence[MessageId]:
        """See `tgworker.messaging.books.OutboxBook`; with ``ids`` of the caller's a call may be repeated.

        Raises:
            RecipientUnknown: ``to`` is malformed, or no conversation of this owner.
            AccountGone: There is no such account.

        Cancellation: what was inserted before stays.
        """
        return await self._outbox.enqueue(account_id, to, texts, files=files, kind=kind, ids=ids)

    async def outcomes(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._outbox.outcomes(message_ids)

    async def list_outbox(
        self, states: Collection[OutboxState] | None = None, *, limit: int = 100
    ) -> Sequence[OutboxRecord]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._outbox.list_outbox(states, limit=limit)

    async def request_history(self, account_id: AccountId, to: str, *, limit: int) -> JobId:
        """See `tgworker.messaging.books.HistoryBook`."""
        return await self._histories.request(account_id, to, limit)

    async def histories(
        self, job_ids: Collection[JobId] | None = None, *, limit: int = 100
    ) -> Sequence[HistoryRecord]:
        """See `tgworker.messaging.books.HistoryBook`."""
        return await self._histories.list(job_ids, limit)

    async def cancel(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, CancelAnswer]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._outbox.cancel(message_ids)

    async def retry(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxState]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._outbox.retry(message_ids)

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of what Telegram and the store agree on; reads everything."""
        return await self._outbox.transcript(account_id, direction=direction)
