"""The embedded store: the ports of the messaging core, filled by one SQLite file."""

import sqlite3
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

import trio

from tgworker.embedded import (
    account_histories,
    accounts,
    avatars,
    carried,
    changing,
    deciding,
    fetching,
    forgetting,
    histories,
    inbound,
    jobs,
    keys,
    listing,
    logins,
    message_jobs,
    owning,
    peers,
    presence,
    recipients,
    recognising,
    settling,
    waiting,
)
from tgworker.embedded.carried import DEFAULT_WAIT_S
from tgworker.embedded.connection import prepare_store
from tgworker.embedded.database import Database, RunSync, in_threads
from tgworker.embedded.enqueue import enqueue, enqueue_files
from tgworker.embedded.errors import StoreSuperseded
from tgworker.embedded.folder import DataFolder
from tgworker.embedded.outbox import Claims
from tgworker.embedded.schema import ensure_schema
from tgworker.embedded.values import new_id
from tgworker.embedded.watch import FileWatch
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.books import one_caption
from tgworker.messaging.incoming_files import FetchOutcome, IncomingFile, WantedAvatar
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginRequest, LoginState
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
from tgworker.messaging.outcomes import Deferred, Refused, Sent, Settled
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
from tgworker.messaging.values import utc_now

T = TypeVar("T")

LINES_AT_ONCE = 500
"""How many messages one transaction of `EmbeddedStore.enqueue` inserts."""

_NEXT_FENCE = "update tgworker_meta set value = value + 1 where key = 'fence' returning value"
_FENCE = "select value from tgworker_meta where key = 'fence'"


@contextmanager
def open_store(
    folder: DataFolder,
    *,
    as_worker: bool,
    worker: str = "",
    run_sync: RunSync | None = None,
    now: Callable[[], datetime] = utc_now,
    attachments_wait_s: float = DEFAULT_WAIT_S,
) -> Generator["EmbeddedStore"]:
    """Open the store in a data folder; makes what is missing.

    Blocking, a few milliseconds; call it where no loop suffers from that.

    Args:
        folder: The data folder.
        as_worker: Whether this is the folder's only worker, which holds its lock (`DataFolder.hold`): an
            older schema is upgraded, and the fence grows, so that claims of the worker before are handed
            over again.
        worker: Its name, which each attempt keeps, for people.
        run_sync: How blocking calls are run; in threads if nothing else is said.
        now: The calendar's time, aware: what "due" and "later" mean in the queue.
        attachments_wait_s: So long a message waits for attachments of which it does not say how many come.

    Raises:
        DataFolderUnusable: The folder cannot be used.
        StoreMismatch: The file has another schema version.
        StoreDamaged: The file is damaged or no database.
        StoreAway: The file is locked for long, or the disk is full or broken.
    """
    folder.prepare()
    database = Database(folder.database, run_sync=run_sync or in_threads(), prepare=prepare_store)
    try:
        upgrade(database, allowed=as_worker)
        sql = _NEXT_FENCE if as_worker else _FENCE
        fence = database.now(lambda connection: int(connection.execute(sql).fetchone()[0]), writing=as_worker)
        yield EmbeddedStore(database, Claims(fence, worker, attachments_wait_s), fence=fence, now=now)
    finally:
        database.close()


def migrate(folder: DataFolder) -> int:
    """Create or upgrade the schema of a data folder that no worker holds; returns how many steps it took.

    Raises: as `open_store`, and `DataFolderInUse`.
    """
    with folder.hold():
        database = Database(folder.database, run_sync=in_threads(), prepare=prepare_store)
        try:
            return upgrade(database, allowed=True)
        finally:
            database.close()


def upgrade(database: Database, *, allowed: bool) -> int:
    """Bring the schema to the newest version, an older one only if that is allowed; returns the steps."""

    def run(connection: sqlite3.Connection) -> int:
        return ensure_schema(connection, database.path, upgrade=allowed)

    return database.now(run, writing=None)


class EmbeddedStore:
    """One data folder's store, made by `open_store`.

    Fills `AccountStore`, `OutboxStore`, `OutgoingMediaStore`, `InboundStore`, `DoubtStore`,
    `MediaStore`, `RecipientStore`, `WaitStore`, `HistoryStore`, `JobStore`, `LoginStore`, `Sweeper`,
    `AccountBook` and `OutboxBook`.

    Every method is one transaction (`enqueue`: one for every 500 messages; `turn`: two) and may raise

    * `StoreAway`: an outage; ask again,
    * `StoreDamaged`: the file is damaged,
    * `StoreSuperseded`, those that a worker uses: a newer worker has opened the store.

    Cancellation: nothing is half-done; a call that was cancelled in its last moment may still have
    committed, and each may be repeated.
    """

    def __init__(
        self, database: Database, claims: Claims, *, fence: int, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._fence = fence
        self._now = now
        self._claims = claims
        self._ingest = inbound.Ingest()
        self._job_news = message_jobs.JobNews()
        self._swept = 0

    @property
    def incarnation(self) -> int:
        """The fence of this opening: grows with every worker that opens the store."""
        return self._fence

    # AccountStore

    async def active_accounts(self) -> Sequence[Account]:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        active, nameless = await self._database.read(accounts.active_accounts)
        if nameless:
            await self._write(lambda connection: accounts.refuse_nameless(connection, nameless))
        return active

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        await self._write(
            partial(
                accounts.record_account,
                account_id=account_id,
                state=state,
                last_error=last_error,
                user_id=user_id,
                now=self._now(),
            )
        )

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        """See `tgworker.messaging.store_ports.AccountStore`."""
        await self._write(
            partial(accounts.record_synced, account_ids=account_ids, now=self._now()), durable=False
        )

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
        """See `tgworker.messaging.store_ports.OutboxStore`. Costs next to nothing while nothing changes.

        One transaction: much of what it costs is its commit. What is settled need not survive a power failure
        (it is asked again, under the claim that survived), but a claim has to. A claim that fails is undone
        alone; so a worker that was superseded may still say what became of its attempts.
        """
        if not settled:
            return await self._claim(slots, known, text_limit, caption_limit) if slots or known else Turn(())
        now = self._now()
        failures: list[Exception] = []

        def work(connection: sqlite3.Connection) -> Turn:
            self._settle(connection, settled, now)
            if not (slots or known):
                return Turn(())
            connection.execute("savepoint claim")
            try:
                self._check_fence(connection)
                return self._claimed(connection, slots, known, now, text_limit, caption_limit)
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - raised below, once the rest is committed
                connection.execute("rollback to claim")
                failures.append(error)
                return Turn(())

        turn = await self._database.write(work, durable=bool(slots))
        if failures:
            raise failures[0]
        return turn

    def _settle(self, connection: sqlite3.Connection, settled: Sequence[Settled], now: datetime) -> None:
        settling.begin(connection)
        settling.stage_settled(connection, settled, now)
        settling.apply(connection, now)
        for item in settled:
            if isinstance(item.outcome, Sent) and item.outcome.more:
                recognising.learn(connection, item.attempt.account_id, item.outcome.more, now)

    async def _claim(
        self,
        slots: Mapping[AccountId, int],
        known: Collection[MessageId],
        text_limit: int,
        caption_limit: int,
    ) -> Turn:
        now = self._now()
        claimed = await self._database.write_unless(
            lambda connection: self._claims.nothing_new(connection, slots, known, now),
            self._fenced(
                lambda connection: self._claimed(connection, slots, known, now, text_limit, caption_limit)
            ),
        )
        return claimed or Turn(())

    def _claimed(
        self,
        connection: sqlite3.Connection,
        slots: Mapping[AccountId, int],
        known: Collection[MessageId],
        now: datetime,
        text_limit: int,
        caption_limit: int,
    ) -> Turn:
        attempts = self._claims.claim(
            connection, slots, known, now, text_limit=text_limit, caption_limit=caption_limit
        )
        return Turn(attempts, deciding.withdrawn(connection, known))

    def watch(self, *, every_s: float) -> FileWatch:
        """The early wake-up: sees what other processes write, and rows whose time has come.

        Args:
            every_s: How often it looks, seconds.
        """
        return FileWatch(
            lambda: self._database.peek(lambda connection: self._claims.may_find(connection, self._now())),
            lambda: self._database.peek(self._job_news.look),
            every_s=every_s,
        )

    # OutgoingMediaStore

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        """See `tgworker.messaging.media_ports.OutgoingMediaStore`."""
        await self._write(
            lambda connection: carried.record_progress(connection, attempt, done, total), durable=False
        )

    # DoubtStore

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        return await self._database.read(
            lambda connection: owning.owned(connection, attempt, chat_id, telegram_ids)
        )

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        return await self._write(lambda connection: owning.unnamed(connection, account_id), durable=False)

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        """See `tgworker.messaging.store_ports.DoubtStore`."""
        now = self._now()
        await self._write(
            lambda connection: owning.name(connection, attempt, chat_id, copy, now), durable=False
        )

    # InboundStore

    async def position(self, account_id: AccountId) -> Position | None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._database.read(lambda connection: inbound.load_position(connection, account_id))

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._database.read(lambda connection: peers.list_peers(connection, account_id))

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        await self._write(lambda connection: _save_peers(connection, account_id, peers), durable=False)

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        now = self._now()
        await self._write(lambda connection: changing.forget_user(connection, account_id, user_id, now))
        self._ingest.forget(account_id)

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        return await self._database.read(
            lambda connection: keys.find_messages(connection, account_id, telegram_ids, chat_id)
        )

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        """See `tgworker.messaging.store_ports.InboundStore`."""
        now = self._now()
        new = await self._write(
            # Rows and position go together: what a power failure takes away, Telegram tells again.
            lambda connection: self._ingest.ingest(connection, account_id, batch, now),
            durable=False,
        )
        self._ingest.committed(account_id, batch.position)
        return new

    # MediaStore

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        now = self._now()
        return await self._database.read(
            lambda connection: fetching.wanted_files(connection, account_id, limit, now)
        )

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        now = self._now()
        await self._write(
            lambda connection: fetching.finish_file(connection, account_id, file, outcome, now), durable=False
        )

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        now = self._now()
        return await self._database.read(
            lambda connection: avatars.wanted_avatars(connection, account_id, limit, now)
        )

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        """See `tgworker.messaging.media_ports.MediaStore`."""
        now = self._now()
        await self._write(
            lambda connection: avatars.finish_avatar(connection, account_id, avatar, outcome, url, now),
            durable=False,
        )

    # RecipientStore

    async def recipients(self, account_id: AccountId, *, limit: int = 1000) -> Recipients:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        now = self._now()
        return await self._database.read(
            lambda connection: recipients.recipients(connection, account_id, limit, now)
        )

    async def record_introduced(self, account_id: AccountId) -> None:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        now = self._now()
        await self._write(
            lambda connection: recipients.record_introduced(connection, account_id, now), durable=False
        )

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        """See `tgworker.messaging.store_ports.RecipientStore`."""
        now = self._now()
        return await self._write(
            lambda connection: recipients.record_recipients(connection, account_id, found, now)
        )

    # PresenceStore

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        """See `tgworker.messaging.store_ports.PresenceStore`."""
        now = self._now()
        if any(items.values()):
            await self._write(
                lambda connection: presence.record_presence(connection, items, now), durable=False
            )

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        """See `tgworker.messaging.store_ports.PresenceStore`."""
        return await self._database.read(lambda connection: presence.shown(connection, account_ids))

    # WaitStore

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        now = self._now()
        return await self._database.read(lambda connection: waiting.waits_of(connection, account_id, now))

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        now = self._now()
        await self._write(lambda connection: waiting.save_waits(connection, account_id, waits, now))

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        """See `tgworker.messaging.store_ports.WaitStore`."""
        return await self._database.read(
            lambda connection: waiting.is_acquainted(connection, account_id, conversation_id)
        )

    # HistoryStore

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        return await self._write(
            lambda connection: jobs.claim_history(
                connection, self._fence, account_ids, known, limit, self._now()
            )
        )

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
        now = self._now()

        def work(connection: sqlite3.Connection) -> int:
            new = inbound.store_history(
                connection, job.account_id, messages, peers, now, unread_above=job.known_top
            )
            jobs.add_synced(connection, job.id, new, below=below, seen=seen, total=total)
            return new

        return await self._write(work, durable=False)

    async def finish_history(self, job_id: JobId, *, error: str | None = None) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        now = self._now()
        await self._write(lambda connection: jobs.finish(connection, job_id, error, now))

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._write(
            lambda connection: account_histories.file_chats(connection, job, chat_ids, peers, cursor)
        )

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        await self._write(lambda connection: account_histories.keep_takeout(connection, job, takeout))

    async def put_history_off(self, job: HistoryJob, *, seconds: float, note: str) -> None:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        now = self._now()
        await self._write(
            lambda connection: account_histories.put_off(connection, job.id, seconds, note, now)
        )

    async def count_history(self) -> int:
        """How many history jobs are open."""
        return await self._database.read(lambda connection: jobs.count_pending(connection, jobs.HISTORY))

    # JobStore

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        """See `tgworker.messaging.store_ports.JobStore`."""
        now = self._now()
        if not await self._database.read(message_jobs.has_open):
            return JobTurn(())
        # (A claim that a power failure takes away is made again, and so is what was done: it is harmless.)
        return await self._write(
            lambda connection: message_jobs.claim_jobs(
                connection, self._fence, account_ids, known, limit, now
            ),
            durable=False,
        )

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        """See `tgworker.messaging.store_ports.JobStore`."""
        now = self._now()
        await self._write(
            lambda connection: message_jobs.settle_jobs(connection, self._fence, verdicts, now), durable=False
        )

    async def count_jobs(self) -> int:
        """How many message jobs are open."""
        return await self._database.read(lambda connection: jobs.count_pending(connection, jobs.MESSAGE))

    # LoginStore

    async def count_logins(self) -> int:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        now = self._now()
        return await self._database.read(lambda connection: logins.count(connection, now))

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> Sequence[LoginRequest]:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        now = self._now()
        found = await self._secretly(lambda connection: logins.claim(connection, ticket, known, limit, now))
        await self._wipe_log()
        return found

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        now = self._now()
        ours = await self._secretly(lambda connection: logins.tell(connection, ticket, login_id, news, now))
        if not ours:
            await self._wipe_log()
            raise LoginGone(login_id)

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        now = self._now()
        # It is asked every second: nothing is written, nothing waits for the disk, until there is one.
        if await self._database.read(lambda connection: logins.is_unanswered(connection, ticket, login_id)):
            return None
        ours, answer = await self._secretly(lambda connection: logins.take(connection, ticket, login_id, now))
        if answer is not None or not ours:
            await self._wipe_log()
        if not ours:
            raise LoginGone(login_id)
        return answer

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        await self._secretly(lambda connection: logins.end(connection, ticket, login_id, state, error))
        await self._wipe_log()

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        """See `tgworker.messaging.login_ports.LoginStore`."""
        now, fresh = self._now(), AccountId(new_id())
        kept = await self._secretly(
            lambda connection: logins.keep(
                connection, ticket, login_id, fresh, secrets_encrypted, user_id, phone, now
            )
        )
        await self._wipe_log()
        if kept.account_id is None:
            raise kept.refusal or LoginGone(login_id)
        return kept.account_id

    async def _secretly(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._write(lambda connection: logins.secretly(connection, work))

    async def _wipe_log(self) -> None:
        await self._database.bare(logins.wipe_log)

    # Sweeper

    async def sweep(self, retention: Retention) -> bool:
        """See `tgworker.messaging.store_ports.Sweeper`. Writes only where there is something to remove."""
        now = self._now()
        piece = await self._database.read(
            lambda connection: forgetting.look(connection, self._swept, retention, now)
        )
        if piece:
            await self._write(
                lambda connection: forgetting.remove(connection, piece, retention, now), durable=False
            )
        self._swept = piece.after
        # (A walk that finds nothing to remove is in no hurry.)
        return (bool(piece) and piece.after > 0) or piece.is_full

    async def count_unsure(self) -> int:
        """See `tgworker.messaging.store_ports.Sweeper`."""
        return await self._database.read(listing.count_unsure)

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
        fresh, now = AccountId(new_id()), self._now()
        return await self._database.write(
            lambda connection: accounts.add_account(
                connection, fresh, name, owner_id, secrets_encrypted, user_id, phone, kind, config, now
            )
        )

    async def find_account(self, text: str) -> AccountRecord | None:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._database.read(lambda connection: accounts.find_account(connection, text))

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._database.read(accounts.list_accounts)

    async def switch_account(self, account_id: AccountId, *, active: bool) -> bool:
        """See `tgworker.messaging.books.AccountBook`.

        Raises:
            AccountGone: There is no such account.
        """
        return await self._database.write(
            lambda connection: accounts.switch_account(connection, account_id, active=active)
        )

    async def held_s(self, account_id: AccountId) -> float:  # noqa: ARG002 - the folder's lock tells
        """See `tgworker.messaging.books.AccountBook`."""
        await trio.lowlevel.checkpoint()
        return 0.0

    async def replace_session(self, account_id: AccountId, read: str, sealed: str) -> Replacement:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._database.write(
            lambda connection: accounts.replace_session(connection, account_id, read, sealed)
        )

    async def remove_account(self, account_id: AccountId) -> bool:
        """See `tgworker.messaging.books.AccountBook`."""
        return await self._database.write(lambda connection: accounts.remove_account(connection, account_id))

    # OutboxBook

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
    ) -> Sequence[MessageId]:
        """See `tgworker.messaging.books.OutboxBook`.

        Raises:
            RecipientUnknown: ``to`` is malformed, or no conversation of this owner.
            AccountGone: There is no such account.

        Cancellation: what was inserted before stays.
        """
        now = self._now()
        if files:
            message_id = await self._database.write(
                partial(
                    enqueue_files,
                    account_id=account_id,
                    to=to,
                    caption=one_caption(texts, files),
                    files=files,
                    kind=kind,
                    now=now,
                )
            )
            return [message_id]
        message_ids: list[MessageId] = []
        for start in range(0, len(texts), LINES_AT_ONCE):
            some = texts[start : start + LINES_AT_ONCE]
            message_ids += await self._database.write(
                partial(enqueue, account_id=account_id, to=to, texts=some, now=now)
            )
        return message_ids

    async def outcomes(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._database.read(lambda connection: listing.outcomes(connection, message_ids))

    async def list_outbox(
        self, states: Collection[OutboxState] | None = None, *, limit: int = 100
    ) -> Sequence[OutboxRecord]:
        """See `tgworker.messaging.books.OutboxBook`."""
        return await self._database.read(lambda connection: listing.list_outbox(connection, states, limit))

    async def request_history(self, account_id: AccountId, to: str, *, limit: int) -> JobId:
        """See `tgworker.messaging.books.HistoryBook`."""
        return await self._database.write(
            lambda connection: histories.request_history(connection, account_id, to, limit)
        )

    async def histories(
        self, job_ids: Collection[JobId] | None = None, *, limit: int = 100
    ) -> Sequence[HistoryRecord]:
        """See `tgworker.messaging.books.HistoryBook`."""
        return await self._database.read(
            lambda connection: histories.list_histories(connection, job_ids, limit)
        )

    async def cancel(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, CancelAnswer]:
        """See `tgworker.messaging.books.OutboxBook`."""
        now = self._now()
        return await self._database.write(lambda connection: deciding.cancel(connection, message_ids, now))

    async def retry(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxState]:
        """See `tgworker.messaging.books.OutboxBook`."""
        now = self._now()
        return await self._database.write(lambda connection: deciding.retry(connection, message_ids, now))

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of what Telegram and the store agree on, in the order in which it was stored.

        For the demo and the tests, which count on both sides; it reads everything.
        """
        return await self._database.read(
            lambda connection: listing.transcript(connection, account_id, direction)
        )

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        return await self._database.write(self._fenced(work), durable=durable)

    def _fenced(self, work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        """``work``, if no newer worker has opened the store."""

        def fenced(connection: sqlite3.Connection) -> T:
            self._check_fence(connection)
            return work(connection)

        return fenced

    def _check_fence(self, connection: sqlite3.Connection) -> None:
        current = connection.execute(_FENCE).fetchone()[0]
        if current != self._fence:
            raise StoreSuperseded(
                f"{self._database.path} belongs to a newer worker (fence {current}, not {self._fence})"
            )


def _save_peers(connection: sqlite3.Connection, account_id: AccountId, some: Sequence[Peer]) -> None:
    owner_id, _ = inbound.owner_of(connection, account_id)
    peers.save_peers(connection, account_id, owner_id, some)
