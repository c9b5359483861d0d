"""The functions of the database that a running worker calls, kept by the embedded store."""

import inspect
import itertools
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import trio

from tgworker.embedded import EmbeddedStore
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
from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginState
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT, FileFacts, FileKind
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    AccountId,
    AccountState,
    Attempt,
    ChatMessage,
    ConversationId,
    Copy,
    HistoryJob,
    JobId,
    MessageId,
    MessageJob,
    Peer,
    Position,
)
from tgworker.messaging.outcomes import (
    Deferred,
    Outcome,
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
from tgworker.messaging.update_batches import Gap, UpdateBatch

Json = dict[str, Any]

FENCE = 1
"""Of every lease: nobody else ever wants an account."""


class ScriptedFunctions:
    """One method for each function, named and with arguments as the database has them: no others are taken.

    Args:
        store: What keeps it all.
    """

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._claims: dict[int, Attempt] = {}
        self._tokens = itertools.count(1)
        self._histories: dict[JobId, HistoryJob] = {}
        self._rang = trio.Event()

    def ring(self) -> None:
        """The application has written something."""
        self._rang.set()
        self._rang = trio.Event()

    async def call(self, function: str, arguments: Mapping[str, Any]) -> object:
        """What a function answers; `AttributeError` or `TypeError` where none takes these arguments."""
        answer: object = await getattr(self, function)(**arguments)
        return answer

    @classmethod
    def names(cls) -> set[str]:
        """Which functions there are."""
        return {name for name, _ in inspect.getmembers(cls) if name.startswith("tgworker_")}

    # Processes and accounts

    async def tgworker_heartbeat(self, **_row: object) -> object:
        return {"written": True}

    async def tgworker_active_accounts(self) -> object:
        return [msgspec.to_builtins(account) for account in await self._store.active_accounts()]

    async def tgworker_acquire_leases(self, *, p_accounts: list[str], **_holder: object) -> object:
        leases = [{"account": account, "fence": FENCE} for account in p_accounts]
        return {"leases": leases, "elsewhere": [], "not_ours": []}

    async def tgworker_renew_leases(self, *, p_leases: list[Json], **_holder: object) -> object:
        return {"leases": p_leases, "lost": []}

    async def tgworker_release_leases(self, *, p_leases: list[Json], **_holder: object) -> object:
        return {"released": [lease["account"] for lease in p_leases]}

    async def tgworker_sweep(self, *, p_days: int, p_failed_days: int) -> object:
        return {"more": await self._store.sweep(Retention(days=p_days, failed_days=p_failed_days))}

    async def tgworker_record_account(
        self,
        *,
        p_account: AccountId,
        p_fence: int | None,
        p_state: str,
        p_last_error: str | None,
        p_user_id: int | None,
    ) -> None:
        assert p_fence in (FENCE, None)
        await self._store.record_account(
            p_account, AccountState(p_state), last_error=p_last_error, user_id=p_user_id
        )

    async def tgworker_record_synced(self, *, p_accounts: list[Json]) -> object:
        await self._store.record_synced([each["account"] for each in p_accounts])
        return {"lost": []}

    async def tgworker_wait(
        self, *, p_accounts: list[str], p_timeout_s: float, p_jobs_of: list[str]
    ) -> object:
        del p_accounts, p_jobs_of  # who rings, rings for all
        with trio.move_on_after(p_timeout_s) as waited:
            await self._rang.wait()
        rung = not waited.cancelled_caught
        return {"work": rung, "jobs": rung}

    # What is sent

    async def tgworker_tick(
        self,
        *,
        p_holder: str,
        p_settled: Sequence[Json] = (),
        p_slots: Sequence[Json] | None = None,
        p_known: Sequence[MessageId] = (),
        p_text_limit: int = DEFAULT_TEXT_LIMIT,
        p_caption_limit: int = DEFAULT_CAPTION_LIMIT,
        p_attachments_wait_s: float = 3,
    ) -> object:
        assert p_holder
        assert p_attachments_wait_s > 0
        settled = [
            Settled(replace(self._claims[item["claim"]], parts=item["parts"]), _outcome(item))
            for item in p_settled
        ]
        slots = {AccountId(slot["account"]): int(slot["free"]) for slot in p_slots or ()}
        turn = await self._store.turn(
            settled, slots, known=p_known, text_limit=p_text_limit, caption_limit=p_caption_limit
        )
        attempts = [
            {**msgspec.to_builtins(attempt), "account": attempt.account_id, "claim": self._claimed(attempt)}
            for attempt in turn.attempts
        ]
        claim = {"attempts": attempts, "withdrawn": list(turn.withdrawn), "lost": [], "more": False}
        return {"claim": None if p_slots is None else claim, "error": None}

    async def tgworker_record_progress(
        self, *, p_message: MessageId, p_claim: int, p_done: int, p_total: int
    ) -> None:
        assert self._claims[p_claim].message_id == p_message
        await self._store.record_progress(self._claims[p_claim], p_done, p_total)

    async def tgworker_owned(
        self, *, p_account: AccountId, p_message: MessageId, p_chat: int, p_telegram_ids: list[int]
    ) -> object:
        attempt = self._attempt(p_account, p_message)
        owned = await self._store.owned(attempt, p_chat, p_telegram_ids)
        return {"ids": sorted(owned.ids), "rivals": owned.rivals}

    async def tgworker_unnamed(self, *, p_account: AccountId, p_fence: int) -> object:
        assert p_fence == FENCE
        return [
            {
                **msgspec.to_builtins(attempt),
                "claim": self._claimed(attempt),
                "top_id": attempt.doubt and attempt.doubt.top_id,
            }
            for attempt in await self._store.unnamed(p_account)
        ]

    async def tgworker_name(
        self,
        *,
        p_account: AccountId,
        p_fence: int,
        p_message: MessageId,
        p_chat: int,
        p_telegram_id: int,
        p_sent_at: str,
    ) -> None:
        assert p_fence == FENCE
        copy = Copy(p_telegram_id, datetime.fromisoformat(p_sent_at))
        await self._store.name(self._attempt(p_account, p_message), p_chat, copy)

    def _claimed(self, attempt: Attempt) -> int:
        token = next(self._tokens)
        self._claims[token] = attempt
        return token

    def _attempt(self, account_id: AccountId, message_id: MessageId) -> Attempt:
        return next(
            attempt
            for attempt in reversed(self._claims.values())
            if (attempt.account_id, attempt.message_id) == (account_id, message_id)
        )

    # Whom it is sent to, and when

    async def tgworker_recipients(self, *, p_account: AccountId, p_limit: int) -> object:
        return msgspec.to_builtins(await self._store.recipients(p_account, limit=p_limit))

    async def tgworker_record_introduced(self, *, p_account: AccountId, p_fence: int) -> None:
        assert p_fence == FENCE
        await self._store.record_introduced(p_account)

    async def tgworker_record_recipients(
        self, *, p_account: AccountId, p_fence: int, p_found: list[Json]
    ) -> object:
        assert p_fence == FENCE
        found = {item["to"]: _found(item) for item in p_found}
        return {"left": list(await self._store.record_recipients(p_account, found))}

    async def tgworker_waits_of(self, *, p_account: AccountId) -> object:
        return [
            {"kind": wait.scope.kind, "key": wait.scope.key, "left_s": wait.left_s, "reason": wait.reason}
            for wait in await self._store.waits(p_account)
        ]

    async def tgworker_save_waits(self, *, p_account: AccountId, p_fence: int, p_waits: list[Json]) -> None:
        assert p_fence == FENCE
        waits = [
            StoredWait(Scope(ScopeKind(sent["kind"]), sent["key"]), sent["left_s"], sent["reason"])
            for sent in p_waits
        ]
        await self._store.save_waits(p_account, waits)

    async def tgworker_is_acquainted(self, *, p_account: AccountId, p_conversation: ConversationId) -> object:
        return await self._store.is_acquainted(p_account, p_conversation)

    # What arrives

    async def tgworker_position(self, *, p_account: AccountId) -> object:
        position = await self._store.position(p_account)
        return None if position is None else msgspec.to_builtins(position, str_keys=True)

    async def tgworker_peers_of(self, *, p_account: AccountId, p_after: int | None, p_limit: int) -> object:
        peers = sorted(await self._store.peers(p_account), key=lambda peer: peer.chat_id)
        after = [peer for peer in peers if p_after is None or peer.chat_id > p_after]
        return msgspec.to_builtins(after[:p_limit])

    async def tgworker_save_peers(self, *, p_account: AccountId, p_fence: int, p_peers: list[Json]) -> None:
        assert p_fence == FENCE
        await self._store.save_peers(p_account, msgspec.convert(p_peers, list[Peer]))

    async def tgworker_forget_user(self, *, p_account: AccountId, p_fence: int, p_user_id: int) -> object:
        assert p_fence == FENCE
        await self._store.forget_user(p_account, p_user_id)
        return {"more": False}

    async def tgworker_find_messages(
        self, *, p_account: AccountId, p_ids: list[int], p_chat: int | None
    ) -> object:
        found = await self._store.find_messages(p_account, p_ids, chat_id=p_chat)
        return [
            {"chat_id": chat_id, "telegram_id": telegram_id, "message_id": message_id}
            for (chat_id, telegram_id), message_id in found.items()
        ]

    async def tgworker_ingest(
        self, *, p_account: AccountId, p_fence: int, p_number: int, p_batch: Json
    ) -> object:
        assert p_fence == FENCE
        assert p_number > 0
        batch = msgspec.convert(p_batch, _Batch, str_keys=True)
        gaps = tuple(Gap(chat_id, top_id) for chat_id, top_id in batch.gaps)
        stored = UpdateBatch(batch.messages, batch.peers, batch.sent_ids, batch.position, gaps)
        return {"new": await self._store.ingest(p_account, stored)}

    async def tgworker_wanted_files(self, *, p_account: AccountId, p_limit: int) -> object:
        return msgspec.to_builtins(list(await self._store.wanted_files(p_account, limit=p_limit)))

    async def tgworker_finish_file(
        self, *, p_account: AccountId, p_fence: int, p_message: MessageId, p_outcome: Json
    ) -> None:
        assert p_fence == FENCE
        outcome = _fetched(p_outcome)
        file = IncomingFile(p_message, "", 0, 0, FileFacts(FileKind.DOCUMENT, 0), _tries(p_outcome))
        await self._store.finish_file(p_account, file, outcome)

    async def tgworker_wanted_avatars(self, *, p_account: AccountId, p_limit: int) -> object:
        return msgspec.to_builtins(list(await self._store.wanted_avatars(p_account, limit=p_limit)))

    async def tgworker_finish_avatar(
        self, *, p_account: AccountId, p_fence: int, p_chat: int, p_photo: int, p_outcome: Json
    ) -> None:
        assert p_fence == FENCE
        owner = next(each.owner_id for each in await self._store.active_accounts() if each.id == p_account)
        avatar = WantedAvatar(p_chat, p_photo, owner, _tries(p_outcome))
        outcome = _fetched(
            {"bucket": "", "path": "", "file_name": "", "mime_type": "", "byte_size": 0, **p_outcome}
        )
        await self._store.finish_avatar(p_account, avatar, outcome, url=p_outcome.get("url"))

    # Jobs

    async def tgworker_count_pending(self) -> object:
        return {
            "history": await self._store.count_history(),
            "jobs": await self._store.count_jobs(),
            "unsure": await self._store.count_unsure(),
            "logins": await self._store.count_logins(),
        }

    async def tgworker_claim_history(
        self, *, p_holder: str, p_accounts: list[Json], p_known: list[JobId], p_limit: int
    ) -> object:
        assert p_holder
        accounts = [each["account"] for each in p_accounts]
        jobs = await self._store.claim_history(accounts, known=p_known, limit=p_limit)
        self._histories.update((job.id, job) for job in jobs)
        return {"jobs": [_job(job) for job in jobs]}

    async def tgworker_claim_jobs(
        self, *, p_holder: str, p_accounts: list[Json], p_known: list[JobId], p_limit: int
    ) -> object:
        assert p_holder
        accounts = [each["account"] for each in p_accounts]
        turn = await self._store.claim_jobs(accounts, known=p_known, limit=p_limit)
        return {"jobs": [_job(job) for job in turn.jobs], "waiting": turn.waiting}

    async def tgworker_save_history(
        self,
        *,
        p_account: AccountId,
        p_fence: int,
        p_job: JobId,
        p_messages: list[Json],
        p_peers: list[Json],
        p_below: int,
        p_seen: int,
        p_total: int | None,
    ) -> object:
        job = self._histories[p_job]
        assert (p_account, p_fence) == (job.account_id, FENCE)
        messages = msgspec.convert(p_messages, list[ChatMessage])
        peers = msgspec.convert(p_peers, list[Peer])
        new = await self._store.save_history(job, messages, peers, below=p_below, seen=p_seen, total=p_total)
        return {"new": new}

    async def tgworker_file_chats(
        self,
        *,
        p_account: AccountId,
        p_fence: int,
        p_job: JobId,
        p_chats: list[int],
        p_peers: list[Json],
        p_cursor: str | None,
    ) -> object:
        job = self._histories[p_job]
        assert (p_account, p_fence) == (job.account_id, FENCE)
        await self._store.file_chats(job, p_chats, msgspec.convert(p_peers, list[Peer]), cursor=p_cursor)
        return {"filed": len(p_chats)}

    async def tgworker_keep_takeout(
        self, *, p_account: AccountId, p_fence: int, p_job: JobId, p_takeout: str | None
    ) -> None:
        job = self._histories[p_job]
        assert (p_account, p_fence) == (job.account_id, FENCE)
        await self._store.keep_takeout(job, p_takeout)

    async def tgworker_put_history_off(
        self, *, p_account: AccountId, p_fence: int, p_job: JobId, p_seconds: float, p_note: str
    ) -> None:
        job = self._histories[p_job]
        assert (p_account, p_fence) == (job.account_id, FENCE)
        await self._store.put_history_off(job, seconds=p_seconds, note=p_note)

    async def tgworker_finish_jobs(self, *, p_items: list[Json]) -> object:
        for item in p_items:
            await self._store.finish_history(item["job_id"], error=item["error"])
        return {"finished": [item["job_id"] for item in p_items], "stale": []}

    async def tgworker_presence(self, *, p_accounts: list[Json]) -> object:
        assert all(told["fence"] == FENCE for told in p_accounts)
        # What "online" is good for is the board's own: it stays in the worker.
        await self._store.record_presence(
            {told["account"]: msgspec.convert(told["items"], list[Presence]) for told in p_accounts}
        )
        return {"written": sum(len(told["items"]) for told in p_accounts), "lost": []}

    async def tgworker_shown_presence(self, *, p_accounts: list[AccountId]) -> object:
        shown = await self._store.shown(p_accounts)
        return [
            {
                "account": account,
                "chat_id": item.chat_id,
                "is_online": item.is_online,
                "is_typing": item.is_typing,
                "last_seen_at": item.last_seen_at,
            }
            for account, some in shown.items()
            for item in some
        ]

    async def tgworker_claim_logins(self, *, p_ticket: str, p_known: list[LoginId], p_limit: int) -> object:
        claimed = await self._store.claim_logins(p_ticket, known=p_known, limit=p_limit)
        return {
            "logins": [
                {
                    "id": row.id,
                    "method": row.method,
                    "phone": row.phone,
                    "name": row.name,
                    "config": row.config,
                }
                for row in claimed
            ]
        }

    async def tgworker_tell_login(self, *, p_ticket: str, p_login: LoginId, p_news: Json) -> object:
        return await _ours(self._store.tell_login(p_ticket, p_login, msgspec.convert(p_news, LoginNews)))

    async def tgworker_login_answer(self, *, p_ticket: str, p_login: LoginId) -> object:
        # (The real one leaves it in the row until it has arrived.)
        try:
            answer = await self._store.take_answer(p_ticket, p_login)
        except LoginGone:
            return {"ours": False, "answer": None}
        return {"ours": True, "answer": None if answer is None else answer.value}

    async def tgworker_empty_answer(self, *, p_ticket: str, p_login: LoginId, p_answer: str) -> object:
        del p_ticket, p_login, p_answer
        return {"ours": True}

    async def tgworker_end_login(
        self, *, p_ticket: str, p_login: LoginId, p_state: str, p_error: str
    ) -> object:
        await self._store.end_login(p_ticket, p_login, LoginState(p_state), p_error)
        return None

    async def tgworker_store_login(
        self,
        *,
        p_ticket: str,
        p_login: LoginId,
        p_id: AccountId,
        p_secrets: str,
        p_user_id: int,
        p_phone: str | None,
    ) -> object:
        del p_id
        store = self._store.store_login
        try:
            return {"id": await store(p_ticket, p_login, p_secrets, user_id=p_user_id, phone=p_phone)}
        except LoginGone:
            return {"id": None}

    async def tgworker_settle_jobs(self, *, p_items: list[Json]) -> object:
        assert all(item.pop("fence") == FENCE for item in p_items)
        await self._store.settle_jobs(msgspec.convert(p_items, list[JobVerdict]))
        return {"settled": [item["job_id"] for item in p_items], "stale": []}


async def _ours(call: Awaitable[None]) -> Json:
    try:
        await call
    except LoginGone:
        return {"ours": False}
    return {"ours": True}


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    messages: tuple[ChatMessage, ...]
    peers: tuple[Peer, ...]
    sent_ids: tuple[tuple[int, int], ...]
    position: Position | None
    gaps: tuple[tuple[int, int | None], ...]


def _job(job: HistoryJob | MessageJob) -> Json:
    return {**msgspec.to_builtins(job), "job_id": job.id, "account": job.account_id, "fence": FENCE}


def _found(item: Json) -> Peer | Refused | Deferred:
    match item["outcome"]:
        case "found":
            return msgspec.convert(item["peer"], Peer)
        case "refused":
            return Refused(item["reason"])
        case "deferred":
            return Deferred(item["retry_after_s"], item["reason"])
        case other:
            raise LookupError(other)


def _tries(item: Json) -> int:
    """How many attempts failed before one that counts, or none that does."""
    return int(item.get("tries", 0))


def _fetched(item: Json) -> FetchOutcome:
    match item["outcome"]:
        case "fetched":
            names = ("bucket", "path", "file_name", "mime_type", "byte_size")
            return Fetched(**{name: item[name] for name in names})
        case "later":
            # (They are counted by who asks.)
            return FetchLater(item["retry_after_s"], item["reason"], counts=False)
        case "unwanted" | "failed":
            return NotFetched(item["reason"], unwanted=item["outcome"] == "unwanted")
        case other:
            raise LookupError(other)


def _outcome(item: Json) -> Outcome:
    match item["outcome"]:
        case "sent":
            sent_at = item["sent_at"]
            when = None if sent_at is None else datetime.fromisoformat(sent_at)
            return Sent(item["telegram_id"], when, tuple((each[0], each[1]) for each in item.get("more", ())))
        case "deferred":
            return Deferred(item["retry_after_s"], item["reason"])
        case "refused":
            return Refused(item["reason"])
        case "unknown":
            return Unknown(item["reason"])
        case "unsure":
            return Unsure(item["reason"])
        case "released":
            return Released(item["reason"])
        case "unresolved":
            return Unresolved(item["reason"])
        case other:
            raise LookupError(other)
