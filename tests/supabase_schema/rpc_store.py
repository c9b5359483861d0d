"""The worker's ports over the migrations' functions, without HTTP: for the contract tests."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, LiteralString, TypeVar, assert_never, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.books import one_caption
from tgworker.messaging.changes import (
    Change,
    Deleted,
    Edited,
    Pinned,
    Reacted,
    ReadByThem,
    ReadByUs,
)
from tgworker.messaging.errors import AccountGone, RecipientUnknown, StoreFault
from tgworker.messaging.incoming_files import (
    Fetched,
    FetchLater,
    FetchOutcome,
    IncomingFile,
    NotFetched,
    WantedAvatar,
)
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginRequest, LoginState
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT, FileFacts, FileKind, OutgoingFile
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    Account,
    AccountHistory,
    AccountId,
    AccountState,
    Attempt,
    ChatMessage,
    ConversationId,
    Copy,
    Doubt,
    HistoryJob,
    JobId,
    JobMessage,
    MessageId,
    MessageJob,
    Owned,
    Peer,
    PeerKind,
    Position,
    Recipients,
    Secret,
    Sought,
)
from tgworker.messaging.outcomes import (
    Deferred,
    Refused,
    Released,
    Sent,
    Settled,
    Unknown,
    Unresolved,
    Unsure,
)
from tgworker.messaging.pacing import Scope, ScopeKind, StoredWait
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

LEASE_S = 300
LINES_AT_ONCE = 500

T = TypeVar("T")


class SupersededError(Exception):
    """Another process holds the account."""


class RpcError(Exception):
    """What a function raised, in one line."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(error.diag.message_primary or str(error))
        self.code = error.sqlstate
        self.case = error.diag.message_detail


class Rpc:
    """Calls functions by name, as PostgREST does: named arguments, as the role ``service_role``.

    Args:
        connection: In autocommit mode.
        now: What the calendar says; ``None`` for the server's own clock.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], now: Callable[[], datetime] | None = None
    ) -> None:
        self._connection = connection
        self._now = now
        connection.execute("set role service_role")

    def __call__(self, function: LiteralString, **arguments: Any) -> Any:
        if self._now is not None:
            set_calendar(self._connection, self._now())
        query = sql.SQL("select {}({})").format(
            sql.Identifier(function),
            sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in arguments),
        )
        values = [json.dumps(v) if isinstance(v, (dict, Json)) else v for v in arguments.values()]
        try:
            row = self._connection.execute(query, values).fetchone()
        except psycopg.Error as error:
            raise RpcError(error) from error
        assert row is not None
        return row[0]


class Json(list[Any]):
    """A list that goes over as JSON, not as an array."""


def set_calendar(connection: psycopg.Connection[Any], today: datetime) -> None:
    """What ``tgworker_now()`` says on this connection (in databases that tests made)."""
    connection.execute("select set_config('test.now', %s, false)", (today.isoformat(),))


class RpcStore:
    """One process of a worker. Every account that it is asked about it takes a lease of.

    Args:
        rpc: Calls functions.
        holder: Who would restart this process.
        incarnation: Which process of the holder this is.
        new_id: Makes ids of rows, each greater than the one before.
    """

    def __init__(self, rpc: Rpc, *, holder: UUID, incarnation: int, new_id: Callable[[], str]) -> None:
        self.rpc = rpc
        self._holder = str(holder)
        self._incarnation = incarnation
        self._new_id = new_id
        self._fences: dict[AccountId, int] = {}
        self._jobs: dict[JobId, int] = {}
        self._batches = 0

    def hold(self, accounts: Collection[AccountId]) -> None:
        """Take leases of accounts that this process does not have yet.

        Raises:
            SupersededError: Another process has one.
        """
        missing = [account for account in accounts if account not in self._fences]
        if not missing:
            return
        answer = self.rpc(
            "tgworker_acquire_leases",
            p_holder=self._holder,
            p_incarnation=self._incarnation,
            p_worker="test",
            p_accounts=missing,
            p_ttl_s=LEASE_S,
        )
        if answer["elsewhere"]:
            raise SupersededError("it belongs to a newer worker")
        self._fences |= {AccountId(lease["account"]): lease["fence"] for lease in answer["leases"]}

    def _fence(self, account: AccountId) -> int | None:
        self.hold([account])
        return self._fences.get(account)

    def _leases(self, accounts: Collection[AccountId]) -> Json:
        self.hold(accounts)
        held = [account for account in accounts if account in self._fences]
        return Json({"account": account, "fence": self._fences[account]} for account in held)

    # AccountStore

    async def active_accounts(self) -> Sequence[Account]:
        return [_account(row) for row in self.rpc("tgworker_active_accounts")]

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        self.rpc(
            "tgworker_record_account",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_state=state.value,
            p_last_error=last_error,
            p_user_id=user_id,
        )

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        self.rpc("tgworker_record_synced", p_accounts=self._leases(account_ids))

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
        leases = self._leases(slots)
        parts: dict[str, Any] = {}
        if settled:
            parts["p_settled"] = Json(_settled(item) for item in settled)
        if slots or known:
            parts["p_leases"] = leases
            parts["p_slots"] = Json({**lease, "free": slots[AccountId(lease["account"])]} for lease in leases)
        answer = self.rpc(
            "tgworker_tick",
            p_holder=self._holder,
            p_ttl_s=LEASE_S,
            p_known=list(known),
            p_text_limit=text_limit,
            p_caption_limit=caption_limit,
            **parts,
        )
        if answer["error"] is not None:
            raise AssertionError(answer["error"])
        if answer["claim"] is None:
            return Turn(())
        if answer["claim"]["lost"]:
            raise SupersededError("it belongs to a newer worker")
        attempts = [_attempt(row) for row in answer["claim"]["attempts"]]
        return Turn(attempts, answer["claim"]["withdrawn"])

    # OutgoingMediaStore

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        self.rpc(
            "tgworker_record_progress",
            p_message=attempt.message_id,
            p_claim=attempt.fence,
            p_done=done,
            p_total=total,
        )

    # InboundStore

    async def position(self, account_id: AccountId) -> Position | None:
        row = self.rpc("tgworker_position", p_account=account_id)
        if row is None:
            return None
        channels = {int(channel): pts for channel, pts in row.pop("channels").items()}
        return Position(**row, channels=channels)

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        return [_peer(row) for row in self.rpc("tgworker_peers_of", p_account=account_id)]

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        self.rpc(
            "tgworker_save_peers",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_peers=Json(asdict(peer) for peer in peers),
        )

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        fence = self._fence(account_id)
        while self.rpc("tgworker_forget_user", p_account=account_id, p_fence=fence, p_user_id=user_id)[
            "more"
        ]:
            pass

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        found = self.rpc(
            "tgworker_find_messages", p_account=account_id, p_ids=sorted(telegram_ids), p_chat=chat_id
        )
        return {(row["chat_id"], row["telegram_id"]): MessageId(row["message_id"]) for row in found}

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        self._batches += 1
        answer = self.rpc(
            "tgworker_ingest",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_batch={
                "messages": [_message(message) for message in batch.messages],
                "peers": [asdict(peer) for peer in batch.peers],
                "sent_ids": batch.sent_ids,
                "gaps": [[gap.chat_id, gap.top_id] for gap in batch.gaps],
                "changes": [_change(change) for change in batch.changes],
                "position": None if batch.position is None else asdict(batch.position),
            },
            p_number=self._batches,
        )
        assert answer["new"] == len(answer["messages"])
        return int(answer["new"])

    # MediaStore

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        rows = self.rpc("tgworker_wanted_files", p_account=account_id, p_limit=limit)
        return [_file(row) for row in rows]

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        self.rpc(
            "tgworker_finish_file",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_message=file.message_id,
            p_outcome=_fetched(outcome, file.tries),
        )

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        rows = self.rpc("tgworker_wanted_avatars", p_account=account_id, p_limit=limit)
        return [WantedAvatar(**row) for row in rows]

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        self.rpc(
            "tgworker_finish_avatar",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_chat=avatar.chat_id,
            p_photo=avatar.photo_id,
            p_outcome={**_fetched(outcome, avatar.tries), "url": url},
        )

    # RecipientStore

    async def recipients(self, account_id: AccountId, *, limit: int = 1000) -> Recipients:
        answer = self.rpc("tgworker_recipients", p_account=account_id, p_limit=limit)
        return Recipients(answer["introduced"], tuple(Sought(**each) for each in answer["sought"]))

    async def record_introduced(self, account_id: AccountId) -> None:
        self.rpc("tgworker_record_introduced", p_account=account_id, p_fence=self._fence(account_id))

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        items: list[dict[str, Any]] = []
        for to, answer in found.items():
            match answer:
                case Peer():
                    items.append({"to": to, "outcome": "found", "peer": asdict(answer)})
                case Refused(reason):
                    items.append({"to": to, "outcome": "refused", "reason": reason})
                case Deferred(left_s, reason):
                    items.append({"to": to, "outcome": "deferred", "retry_after_s": left_s, "reason": reason})
        answers = self.rpc(
            "tgworker_record_recipients",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_found=Json(items),
        )
        return list(answers["left"])

    # PresenceStore

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        leases = self._leases(items)
        self.rpc(
            "tgworker_presence",
            p_accounts=Json(
                {**lease, "items": [_presence(item) for item in items[AccountId(lease["account"])]]}
                for lease in leases
            ),
        )

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        found: dict[AccountId, list[Presence]] = {}
        for row in self.rpc("tgworker_shown_presence", p_accounts=list(account_ids)):
            seen = row["last_seen_at"] and datetime.fromisoformat(row["last_seen_at"])
            item = Presence(row["chat_id"], row["is_online"], seen, is_typing=row["is_typing"])
            found.setdefault(AccountId(row["account"]), []).append(item)
        return found

    # WaitStore

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        rows = self.rpc("tgworker_waits_of", p_account=account_id)
        return [
            StoredWait(Scope(ScopeKind(row["kind"]), row["key"]), row["left_s"], row["reason"])
            for row in rows
        ]

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        self.rpc(
            "tgworker_save_waits",
            p_account=account_id,
            p_fence=self._fence(account_id),
            p_waits=Json(
                {"kind": wait.scope.kind, "key": wait.scope.key, "left_s": wait.left_s, "reason": wait.reason}
                for wait in waits
            ),
        )

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        return bool(self.rpc("tgworker_is_acquainted", p_account=account_id, p_conversation=conversation_id))

    # DoubtStore

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        answer = self.rpc(
            "tgworker_owned",
            p_account=attempt.account_id,
            p_message=attempt.message_id,
            p_chat=chat_id,
            p_telegram_ids=list(telegram_ids),
        )
        return Owned(frozenset(answer["ids"]), answer["rivals"])

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        rows = self.rpc("tgworker_unnamed", p_account=account_id, p_fence=self._fence(account_id))
        more = {"account": account_id, "part": 0, "parts": 1, "known_id": None, "expires_in_s": None}
        return [
            _attempt(
                {
                    **row,
                    **more,
                    "to": str(row["peer"]["chat_id"]),
                    "doubt": {"age_s": 0, "top_id": row["top_id"], "expired": False},
                }
            )
            for row in rows
        ]

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        self.rpc(
            "tgworker_name",
            p_account=attempt.account_id,
            p_fence=self._fence(attempt.account_id),
            p_message=attempt.message_id,
            p_chat=chat_id,
            p_telegram_id=copy.telegram_id,
            p_sent_at=copy.sent_at,
        )

    # HistoryQueue, HistoryStore, JobStore

    async def count_history(self) -> int:
        return int(self.rpc("tgworker_count_pending")["history"])

    async def claim_history(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 1
    ) -> Sequence[HistoryJob]:
        jobs = self.rpc(
            "tgworker_claim_history",
            p_holder=self._holder,
            p_accounts=self._leases(account_ids),
            p_known=list(known),
            p_limit=limit,
        )["jobs"]
        self._jobs |= {job["job_id"]: job["fence"] for job in jobs}
        return [
            HistoryJob(
                id=job["job_id"],
                account_id=job["account"],
                to=job["to"],
                peer=_peer_or_none(job["peer"]),
                is_group=job["is_group"],
                limit_messages=job["limit_messages"],
                messages_synced=job["messages_synced"],
                fills_gap=job["fills_gap"],
                known_top=job["known_top"],
                below=job["below"],
                seen=job["seen"],
                tries=job["tries"],
                whole=None if job["whole"] is None else AccountHistory(**job["whole"]),
                part_of=job["part_of"],
                takeout=job["takeout"],
            )
            for job in jobs
        ]

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        self.rpc(
            "tgworker_file_chats",
            p_account=job.account_id,
            p_fence=self._fence(job.account_id),
            p_job=job.id,
            p_chats=list(chat_ids),
            p_peers=Json(asdict(peer) for peer in peers),
            p_cursor=cursor,
        )

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        self.rpc(
            "tgworker_keep_takeout",
            p_account=job.account_id,
            p_fence=self._fence(job.account_id),
            p_job=job.id,
            p_takeout=takeout,
        )

    async def put_history_off(self, job: HistoryJob, *, seconds: float, note: str) -> None:
        self.rpc(
            "tgworker_put_history_off",
            p_account=job.account_id,
            p_fence=self._fence(job.account_id),
            p_job=job.id,
            p_seconds=seconds,
            p_note=note,
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
        answer = self.rpc(
            "tgworker_save_history",
            p_account=job.account_id,
            p_fence=self._fence(job.account_id),
            p_job=job.id,
            p_messages=Json(_message(message) for message in messages),
            p_peers=Json(asdict(peer) for peer in peers),
            p_below=below,
            p_seen=seen,
            p_total=total,
        )
        return int(answer["new"])

    async def finish_history(self, job_id: JobId, *, error: str | None = None) -> None:
        item = {"job_id": job_id, "fence": self._jobs[job_id], "error": error}
        self.rpc("tgworker_finish_jobs", p_items=Json([item]))

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        answer = self.rpc(
            "tgworker_claim_jobs",
            p_holder=self._holder,
            p_accounts=self._leases(account_ids),
            p_known=list(known),
            p_limit=limit,
        )
        jobs = answer["jobs"]
        self._jobs |= {job["job_id"]: job["fence"] for job in jobs}
        found = [
            MessageJob(
                id=job["job_id"],
                account_id=job["account"],
                action=job["action"],
                payload=job["payload"],
                to=job["to"],
                peer=_peer_or_none(job["peer"]),
                telegram_ids=tuple(job["telegram_ids"]),
                attempt=job["attempt"],
                message=None if job["message"] is None else JobMessage(**job["message"]),
                target=job["target"],
            )
            for job in jobs
        ]
        return JobTurn(tuple(found), answer["waiting"])

    async def count_jobs(self) -> int:
        return int(self.rpc("tgworker_count_pending")["jobs"])

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        items = [{**asdict(each), "fence": self._jobs[each.job_id]} for each in verdicts]
        self.rpc("tgworker_settle_jobs", p_items=Json(items))

    # LoginStore

    async def count_logins(self) -> int:
        return int(self.rpc("tgworker_count_pending")["logins"])

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> Sequence[LoginRequest]:
        claimed = self.rpc("tgworker_claim_logins", p_ticket=ticket, p_known=list(known), p_limit=limit)
        return [LoginRequest(**row) for row in claimed["logins"]]

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        told = Jsonb({**asdict(news), "state": news.state.value})
        self._ours("tgworker_tell_login", ticket, login_id, p_news=told)

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        answer = self._ours("tgworker_login_answer", ticket, login_id)["answer"]
        if answer is None:
            return None
        self._ours("tgworker_empty_answer", ticket, login_id, p_answer=answer)
        return Secret(answer)

    def _ours(self, function: LiteralString, ticket: str, login_id: LoginId, **arguments: Any) -> Any:
        answer = self.rpc(function, p_ticket=ticket, p_login=login_id, **arguments)
        if not answer["ours"]:
            raise LoginGone(login_id)
        return answer

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        self.rpc("tgworker_end_login", p_ticket=ticket, p_login=login_id, p_state=state.value, p_error=error)

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        try:
            answer = self.rpc(
                "tgworker_store_login",
                p_ticket=ticket,
                p_login=login_id,
                p_id=self._new_id(),
                p_secrets=secrets_encrypted,
                p_user_id=user_id,
                p_phone=phone,
            )
        except RpcError as error:
            raise StoreFault(str(error)) from error
        if answer["id"] is None:
            raise LoginGone(login_id)
        return AccountId(answer["id"])

    # Sweeper

    async def sweep(self, retention: Retention) -> bool:
        days = {"p_days": retention.days, "p_failed_days": retention.failed_days}
        return bool(self.rpc("tgworker_sweep", **days)["more"])

    async def count_unsure(self) -> int:
        return int(self.rpc("tgworker_count_pending")["unsure"])

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
        answer = self.rpc(
            "tgworker_add_account",
            p_id=self._new_id(),
            p_name=name,
            p_owner=owner_id,
            p_secrets=secrets_encrypted,
            p_user_id=user_id,
            p_phone=phone,
            p_kind=kind.value,
            p_config=None if config is None else Jsonb(config),
        )
        return AccountId(answer["id"])

    async def find_account(self, text: str) -> AccountRecord | None:
        row = self.rpc("tgworker_find_account", p_text=storable(text))
        return None if row is None else _account_record(row)

    async def list_accounts(self) -> Sequence[AccountRecord]:
        return [_account_record(row) for row in self.rpc("tgworker_list_accounts")]

    async def switch_account(self, account_id: AccountId, *, active: bool) -> bool:
        try:
            answer = self.rpc("tgworker_switch_account", p_account=account_id, p_active=active)
        except RpcError as error:
            if error.case == "account_gone":
                raise AccountGone(str(error)) from error
            raise
        return bool(answer["switched"])

    async def held_s(self, account_id: AccountId) -> float:
        return float(self.rpc("tgworker_held", p_account=account_id)["for_s"])

    async def replace_session(self, account_id: AccountId, read: str, sealed: str) -> Replacement:
        answer = self.rpc("tgworker_replace_session", p_account=account_id, p_read=read, p_sealed=sealed)
        return Replacement(answer["answer"])

    async def remove_account(self, account_id: AccountId) -> bool:
        return bool(self.rpc("tgworker_remove_account", p_account=account_id)["removed"])

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
        more: dict[str, Any] = {}
        if files:
            texts = [one_caption(texts, files)]
            more = {"message_type": kind.value, "files": [asdict(file) for file in files]}
        rows = [{"id": self._new_id(), "text": storable(text), **more} for text in texts]
        for start in range(0, len(rows), LINES_AT_ONCE):
            self.rpc(
                "tgworker_enqueue",
                p_account=account_id,
                p_to=storable(to),
                p_messages=Json(rows[start : start + LINES_AT_ONCE]),
            )
        return [MessageId(row["id"]) for row in rows]

    async def outcomes(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
        rows = self.rpc("tgworker_outcomes", p_ids=list(message_ids))
        return {record.message_id: record for record in map(_outbox_record, rows)}

    async def list_outbox(
        self, states: Collection[OutboxState] | None = None, *, limit: int = 100
    ) -> Sequence[OutboxRecord]:
        names = None if states is None else [state.value for state in states]
        rows = self.rpc("tgworker_list_outbox", p_states=names, p_limit=limit)
        return [_outbox_record(row) for row in rows]

    async def request_history(self, account_id: AccountId, to: str, *, limit: int) -> JobId:
        try:
            asked = self.rpc(
                "tgworker_request_history",
                p_account=account_id,
                p_job=self._new_id(),
                p_to=storable(to),
                p_limit=limit,
            )
        except RpcError as error:
            if error.case == "account_gone":
                raise AccountGone(str(error)) from error
            if error.case == "recipient_unknown":
                raise RecipientUnknown(str(error)) from error
            raise
        return JobId(asked["job_id"])

    async def histories(
        self, job_ids: Collection[JobId] | None = None, *, limit: int = 100
    ) -> Sequence[HistoryRecord]:
        ids = None if job_ids is None else list(job_ids)
        rows = self.rpc("tgworker_histories", p_ids=ids, p_limit=limit)
        return [HistoryRecord(account_id=row.pop("account"), **row) for row in rows]

    async def cancel(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, CancelAnswer]:
        rows = self.rpc("tgworker_cancel", p_ids=list(message_ids))
        return {row["message_id"]: CancelAnswer(row["answer"]) for row in rows}

    async def retry(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxState]:
        rows = self.rpc("tgworker_retry", p_ids=list(message_ids))
        return {row["message_id"]: OutboxState(row["state"]) for row in rows}


def storable(text: str) -> str:
    """A text without what PostgreSQL does not keep."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _presence(item: Presence) -> dict[str, Any]:
    seen = item.last_seen_at
    return {**asdict(item), "last_seen_at": None if seen is None else seen.isoformat()}


def _message(message: ChatMessage) -> dict[str, Any]:
    row = asdict(message)
    if message.file is not None:
        facts = asdict(message.file)
        row["file"] = {name: storable(it) if isinstance(it, str) else it for name, it in facts.items()}
    return {**row, "text": storable(message.text), "sent_at": message.sent_at.isoformat()}


_CHANGES = {
    Edited: "edited",
    Deleted: "deleted",
    ReadByThem: "read_by_them",
    ReadByUs: "read_by_us",
    Reacted: "reacted",
    Pinned: "pinned",
}


def _change(change: Change) -> dict[str, Any]:
    row = {"change": _CHANGES[type(change)], **asdict(change)}
    if isinstance(change, Edited):
        when = None if change.edited_at is None else change.edited_at.isoformat()
        return {**row, "message": _message(change.message), "edited_at": when}
    if isinstance(change, Reacted):
        return {
            **row,
            "counts": {storable(reaction): count for reaction, count in change.counts.items()},
            "own": None if change.own is None else [storable(reaction) for reaction in change.own],
            "by": [{"from": who, "reaction": storable(reaction)} for who, reaction in change.by],
        }
    return row


def _file(row: Mapping[str, Any]) -> IncomingFile:
    facts: dict[str, Any] = {**row["facts"], "kind": FileKind(row["facts"]["kind"])}
    values: dict[str, Any] = {**row, "facts": FileFacts(**facts)}
    return IncomingFile(**values)


def _fetched(outcome: FetchOutcome, tries: int) -> dict[str, Any]:
    match outcome:
        case Fetched():
            return {"outcome": "fetched", **asdict(outcome)}
        case NotFetched(reason, unwanted):
            return {"outcome": "unwanted" if unwanted else "failed", "reason": reason}
        case FetchLater(retry_after_s, reason, counts):
            return {
                "outcome": "later",
                "retry_after_s": retry_after_s,
                "reason": reason,
                "tries": tries + counts,
            }
        case _:
            assert_never(outcome)


def _settled(item: Settled) -> dict[str, Any]:
    attempt = item.attempt
    row: dict[str, Any] = {
        "message_id": attempt.message_id,
        "claim": attempt.fence,
        "parts": attempt.parts,
        "part": attempt.part,
        "to": attempt.to,
        "chat_id": None if attempt.peer is None else attempt.peer.chat_id,
    }
    match item.outcome:
        case Sent(telegram_id, sent_at, pairs):
            when = None if sent_at is None else sent_at.isoformat()
            return {**row, "outcome": "sent", "telegram_id": telegram_id, "sent_at": when, "more": pairs}
        case Deferred(retry_after_s, reason):
            return {**row, "outcome": "deferred", "retry_after_s": retry_after_s, "reason": reason}
        case Refused(reason):
            return {**row, "outcome": "refused", "reason": reason}
        case Unknown(reason):
            return {**row, "outcome": "unknown", "reason": reason}
        case Unsure(reason):
            return {**row, "outcome": "unsure", "reason": reason}
        case Released(reason):
            return {**row, "outcome": "released", "reason": reason}
        case Unresolved(reason):
            return {**row, "outcome": "unresolved", "reason": reason}
        case _:
            assert_never(item.outcome)


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        message_id=row["message_id"],
        account_id=row["account"],
        conversation_id=ConversationId(row["conversation_id"]),
        to=row["to"],
        peer=_peer_or_none(row["peer"]),
        text=row["text"],
        part=row["part"],
        random_id=row["random_id"],
        number=row["number"],
        fence=row["claim"],
        parse_mode=row["parse_mode"],
        text_limit=row["text_limit"],
        parts=row["parts"],
        known_id=row["known_id"],
        doubt=None if row["doubt"] is None else Doubt(**row["doubt"]),
        expires_in_s=row.get("expires_in_s"),
        message_type=row["message_type"],
        files=tuple(OutgoingFile(**file) for file in row["files"]),
        caption_limit=row["caption_limit"],
        more_random_ids=tuple(row.get("more_random_ids", ())),
    )


def _peer(row: Mapping[str, Any]) -> Peer:
    values: dict[str, Any] = {**row, "kind": PeerKind(row["kind"])}
    return Peer(**values)


def _peer_or_none(row: Mapping[str, Any] | None) -> Peer | None:
    return None if row is None else _peer(row)


def _account(row: Mapping[str, Any]) -> Account:
    names = ("id", "owner_id", "workspace_id", "name", "secrets_encrypted", "config")
    return Account(**{name: row[name] for name in names}, kind=AccountKind(row["kind"]))


def _account_record(row: Mapping[str, Any]) -> AccountRecord:
    return AccountRecord(
        account=_account(row),
        is_active=row["is_active"],
        state=AccountState(row["state"]),
        user_id=row["user_id"],
        phone=row["phone"],
        last_sync_at=_time(row["last_sync_at"]),
        last_error=row["last_error"],
        is_ours=row["stage"] in {"ours", "releasing"},
    )


def _outbox_record(row: Mapping[str, Any]) -> OutboxRecord:
    return OutboxRecord(
        message_id=row["message_id"],
        conversation_id=row["conversation_id"],
        account_id=row["account"],
        seq=row["seq"],
        state=OutboxState(row["state"]),
        attempts=row["attempts"],
        created_at=cast("datetime", _time(row["created_at"])),
        not_before=_time(row["not_before"]),
        expires_at=_time(row["expires_at"]),
        telegram_id=row["telegram_id"],
        error=row["error"],
        part=row["part"],
        parts=row["parts"],
        cancel_asked_at=_time(row["cancel_asked_at"]),
        files=row["files"],
        bytes_done=row["bytes_done"],
        bytes_total=row["bytes_total"],
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
