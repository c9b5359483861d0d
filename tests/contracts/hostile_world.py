"""Two owners, what each has, hostile rows beside it, and a worker that asks its store whatever it asks."""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from contracts.hostile_rows import OWNERS, Ref, Row, is_refusal, write_sqlite
from contracts.store_kit import START, StoreKit, batch, inbound, outgoing, user
from embedded.embedded_kit import EmbeddedKit
from supabase_schema.rpc_kit import RpcKit
from supabase_schema.rpc_store import set_calendar
from tgworker.messaging.changes import Deleted, Edited, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.errors import RecipientUnknown
from tgworker.messaging.incoming_files import Fetched, FetchLater
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.login_ports import LoginGone, LoginNews, LoginState
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.models import (
    AccountId,
    AccountState,
    Attempt,
    ConversationId,
    MessageJob,
    Peer,
)
from tgworker.messaging.outcomes import Refused, Sent, Settled, Unresolved
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import Gap

if TYPE_CHECKING:
    from tgworker.messaging.media_ports import MediaStore

ROUNDS = 2
"""So often the worker goes through everything, with a quarter of an hour in between."""

DRAINING = 10
"""So often it looks for what has waited for its time, after that."""

TURNS = 40
"""So often it claims in one round: rows that are handed out more often are handed out for ever."""

HASHES = {"ada": 7, "eve": 11}
"""What an account's access hashes are multiples of: a peer that is handed out shows whose it is."""

TICKET = "0e000000-0000-4000-8000-000000000001"
BUSY, QUIET = 500, 600
"""With whom owners' chats are: hostile rows of the same owner may stand in one, of none in the other."""

PHOTO = FileFacts(FileKind.PHOTO, 10)


# What is still open at the end, and waits for nothing: its account is on, its time has come, what it is about
# is not open itself, and nothing that waits stands before it.
_OPEN = {
    "tgworker_outbox": """
        select o.* from tgworker_outbox o
        left join integration_accounts a on a.id = o.integration_account_id
            and a.type in ('telegram_user', 'telegram_bot')
        where o.settled_at is null and o.state <> 'held' and coalesce(a.is_active, true)
            and not (o.state = 'deferred' and o.attempts = 0)
            and o.seq = (select min(w.seq) from tgworker_outbox w
                where w.conversation_id = o.conversation_id and w.settled_at is null and w.state <> 'held'
                    and not (w.state = 'deferred' and w.attempts = 0))""",
    "sync_history_jobs": """
        select j.* from sync_history_jobs j
        left join integration_accounts a on a.id = j.integration_account_id
        where j.status in ('pending', 'processing')
            and (a.id is null or (a.is_active and a.type in ('telegram_user', 'telegram_bot')))""",
    "message_jobs": """
        select j.* from message_jobs j
        left join messages m on m.id = j.message_id
        left join tgworker_outbox o on o.message_id = j.message_id
        left join integration_accounts a
            on a.id = coalesce(j.integration_account_id, m.integration_account_id, o.integration_account_id)
        where j.status in ('pending', 'processing')
            and (a.id is null or (a.is_active and a.type in ('telegram_user', 'telegram_bot')))
            and (m.channel = 'telegram' or m.id is null or j.integration_account_id is not null)
            and (o.settled_at is not null or o.message_id is null)""",
    "tgworker_login_requests": "select * from tgworker_login_requests where ended_at is null",
}


class Possessions:
    """What one owner has: by `Ref.what`, and the same again that no hostile row of theirs touches."""

    def __init__(self, account: AccountId, busy: Mapping[str, str], quiet: Mapping[str, str]) -> None:
        self.account = account
        self.busy = busy
        self.quiet = quiet


class HostileWorld:
    """The store, its owners, and what was handed out for whom."""

    def __init__(self, kit: StoreKit) -> None:
        self.kit = kit
        self.store = kit.store
        self.media = cast("MediaStore", kit.store)
        self.has: dict[str, Possessions] = {}
        self.sent: set[str] = set()
        self.done: set[str] = set()
        self.read: set[str] = set()
        self.fetched: set[tuple[str, int]] = set()
        self.asked: dict[str, set[str]] = {}
        self._telegram_id = 10_000

    async def prepare(self) -> None:
        """Give both owners an account, two chats, and something to do in the quiet one."""
        app = self.kit.app
        for number, (name, owner) in enumerate(OWNERS.items()):
            account = await self.store.add_account(name, owner, "token", user_id=number + 1)
            peers = [self._peer(name, chat) for chat in (BUSY, QUIET)]
            await self.store.save_peers(account, peers)
            some: list[dict[str, str]] = []
            for chat in (BUSY, QUIET):
                contact = app.insert(
                    "contact_identities", owner_id=owner, type="telegram_user", value=str(chat)
                )
                conversation = app.insert("conversations", owner_id=owner, primary_identity_id=contact)
                message = app.insert(
                    "messages",
                    owner_id=owner,
                    conversation_id=conversation,
                    integration_account_id=account,
                    channel="telegram",
                    direction="outbound",
                    text="hello",
                    external_message_id=f"local-{chat}",
                )
                login = app.insert("tgworker_login_requests", owner_id=owner, phone="+44 20 7946 0000")
                what = {
                    "login": login,
                    "owner": owner,
                    "account": account,
                    "contact": contact,
                    "chat": conversation,
                }
                some.append({**what, "message": message})
            self.has[name] = Possessions(account, *some)

    def ask(self) -> None:
        """Owners ask for what is to come through, beside what is hostile."""
        for owner, has in self.has.items():
            chat = json.dumps({"conversation_id": has.quiet["chat"]})
            asked = {"owner_id": OWNERS[owner], "integration_account_id": has.account}
            self.asked[owner] = {
                self.kit.app.insert("message_jobs", **asked, action="mark_read", payload=chat),
                self.kit.app.insert("sync_history_jobs", **asked, conversation_id=has.quiet["chat"]),
            }

    def write(self, row: Row) -> bool:
        """Write a hostile row as a careless application does; returns whether the database takes it."""
        said = row.columns.get("owner_id")
        by = row.of.owner if row.of else said.owner if isinstance(said, Ref) and said.what == "owner" else ""
        columns = {
            name: self._meant(value, by, is_change=row.of is not None) for name, value in row.columns.items()
        }
        try:
            if isinstance(self.kit, EmbeddedKit):
                row_id = None if row.of is None else self._meant(row.of, by, is_change=True)
                write_sqlite(self.kit.folder.database, row, columns, row_id)
            else:
                assert isinstance(self.kit, RpcKit)
                self._write_postgres(self.kit, row, columns)
        except (sqlite3.Error, psycopg.Error) as error:
            if not is_refusal(error):
                raise
            return False
        return True

    async def work(self) -> None:
        """Go through everything that the worker's loops ask the store for, until nothing is left to do."""
        accounts: list[AccountId] = []
        for _ in range(ROUNDS):
            accounts = [account.id for account in await self.store.active_accounts()]
            assert {has.account for has in self.has.values()} <= set(accounts)
            await self._keep_books(accounts)
            await self._send(accounts)
            await self._do_jobs(accounts)
            for account in accounts:
                await self._live(account)
            await self._read_histories(accounts)
            await self._log_in()
            self.kit.calendar.advance(900)
        for _ in range(DRAINING):
            await self._send(accounts)
            await self._do_jobs(accounts)
            self.kit.calendar.advance(900)

    def check(self) -> None:
        """Everybody's own things are done, and what is not done says why."""
        for owner, has in self.has.items():
            assert has.quiet["message"] in self.sent, f"{owner}'s message was not handed out"
            assert self.asked[owner] <= self.done | self.read, f"{owner}'s jobs were not handed out"
            assert (owner, 77) in self.fetched, f"{owner}'s file was not handed out"
        for table, open_ones in _OPEN.items():
            left = self.rows(open_ones)
            assert left == [], f"{table} keeps what nobody will do: {left}"
        for table in ("sync_history_jobs", "message_jobs"):
            failed = self.rows(f"select error_message from {table} where status = 'failed'")
            assert all(row["error_message"] for row in failed)

    # What the worker asks

    async def _send(self, accounts: Sequence[AccountId]) -> None:
        for _ in range(TURNS):
            turn = await self.store.turn((), dict.fromkeys(accounts, 5), known=())
            if not turn.attempts:
                break
            settled: list[Settled] = []
            for attempt in turn.attempts:
                self._is_ours(attempt)
                self._telegram_id += 1
                if attempt.peer is None:
                    settled.append(Settled(attempt, Unresolved("nobody knows yet who it is for")))
                    continue
                self.sent.add(attempt.message_id)
                await self.store.owned(attempt, attempt.peer.chat_id, [1, 2])
                parts = attempt.parts or 1
                settled.append(Settled(replace(attempt, parts=parts), Sent(self._telegram_id, START)))
            await self.store.turn(settled, {}, known=())
            for account in accounts:
                wanted = await self.store.recipients(account)
                found = {each.to: Refused("nobody is called so") for each in wanted.sought}
                await self.store.record_recipients(account, found)
        else:
            raise AssertionError("messages are handed out again and again")

    async def _do_jobs(self, accounts: Sequence[AccountId]) -> None:
        await self.store.count_jobs()
        for _ in range(TURNS):
            turn = await self.store.claim_jobs(accounts, known=())
            if not turn.jobs:
                return
            for job in turn.jobs:
                self._is_ours(job)
                self.done.add(job.id)
            await self.store.settle_jobs([JobVerdict(job.id, ended=True) for job in turn.jobs])
        raise AssertionError("jobs are handed out again and again")

    async def _read_histories(self, accounts: Sequence[AccountId]) -> None:
        await self.store.count_history()
        for _ in range(TURNS):
            jobs = await self.store.claim_history(accounts, known=(), limit=5)
            if not jobs:
                return
            for job in jobs:
                self._check_owner("sync_history_jobs", job.id, job.account_id)
                self._check_peer(job.account_id, job.peer)
                self.read.add(job.id)
                page = [inbound(BUSY, 5), inbound(QUIET, 5, file=PHOTO)]
                await self.store.save_history(job, page, (), below=5, seen=2, total=9)
                await self.store.finish_history(job.id)
        raise AssertionError("histories are handed out again and again")

    async def _log_in(self) -> None:
        logins = self.store
        await logins.count_logins()
        for _ in range(TURNS):
            requests = await logins.claim_logins(TICKET, known=(), limit=5)
            if not requests:
                return
            for request in requests:
                with suppress(LoginGone):
                    await logins.tell_login(TICKET, request.id, LoginNews(LoginState.CODE_SENT))
                    await logins.take_answer(TICKET, request.id)
                await logins.end_login(TICKET, request.id, LoginState.FAILED, "there is no such number")
        raise AssertionError("logins are handed out again and again")

    async def _live(self, account: AccountId) -> None:
        """What an account's child asks while its line lives."""
        store = self.store
        owner = next((name for name, has in self.has.items() if has.account == account), None)
        await store.position(account)
        await store.peers(account)
        await store.waits(account)
        await store.unnamed(account)
        await store.save_peers(account, [self._peer(owner or "eve", chat) for chat in (BUSY, QUIET)])
        later = START + timedelta(hours=1)
        messages = [
            inbound(BUSY, 7),
            inbound(QUIET, 77, file=PHOTO),
            outgoing(BUSY, 8),
            inbound(-100, 9, sender_id=BUSY),
            inbound(502, 3),
        ]
        edited = replace(messages[0], text="edited")
        changes = (
            Edited(edited, later),
            Reacted(BUSY, 7, {"+": 1}),
            Pinned(BUSY, (7,), is_pinned=True),
            ReadByThem(BUSY, 8),
            ReadByUs(BUSY, 7, 0),
            Deleted(None, (7, 10_001)),
        )
        fresh = [self._peer(owner or "eve", chat, username="ada") for chat in (BUSY, QUIET, 502)]
        await store.ingest(
            account, batch(*messages, peers=fresh, sent_ids=[(5, 11)], gaps=[Gap(BUSY, 3)], changes=changes)
        )
        await store.record_presence({account: [Presence(BUSY, is_online=True, is_typing=True)]})
        await store.find_messages(account, [7, 8], chat_id=None)
        await store.record_account(account, AccountState.ONLINE, last_error=None)
        for file in await self.media.wanted_files(account):
            if owner is not None:
                assert file.owner_id == OWNERS[owner]
                self.fetched.add((owner, file.telegram_id))
            await self.media.finish_file(account, file, Fetched("b", "p", "n", "image/png", 1))
        for avatar in await self.media.wanted_avatars(account):
            assert owner is None or avatar.owner_id == OWNERS[owner]
            await self.media.finish_avatar(account, avatar, FetchLater(1, "later"))
        for has in self.has.values():
            await store.is_acquainted(account, ConversationId(has.busy["chat"]))

    async def _keep_books(self, accounts: Sequence[AccountId]) -> None:
        """What the sweeper and the commands ask."""
        store = self.store
        await store.record_synced(accounts)
        for _ in range(5):
            await store.sweep(Retention())
        await store.count_unsure()
        await store.list_accounts()
        rows = await store.list_outbox(limit=1000)
        await store.outcomes([row.message_id for row in rows])
        await store.histories(limit=1000)
        for text in ("ada", "'", "\x00", ""):
            await store.find_account(text)
        for account in accounts:
            with suppress(RecipientUnknown):
                await store.request_history(account, "@ada", limit=5)
                await store.enqueue(account, "@ada", ["hello"])

    # What is checked

    def _is_ours(self, what: Attempt | MessageJob) -> None:
        table, row = ("messages", what.message_id) if isinstance(what, Attempt) else ("message_jobs", what.id)
        self._check_owner(table, row, what.account_id)
        self._check_peer(what.account_id, what.peer)

    def _check_owner(self, table: str, row_id: str, account: AccountId) -> None:
        ((owner,), (reached,)) = (
            [row["owner_id"] for row in self.rows(f"select owner_id from {name} where id = :id", id=each)]
            for name, each in ((table, row_id), ("integration_accounts", account))
        )
        assert owner == reached, f"a row of {table} of one owner reaches another's account"

    def _check_peer(self, account: AccountId, peer: Peer | None) -> None:
        for name, has in self.has.items():
            if account == has.account and peer is not None and peer.access_hash is not None:
                assert peer.access_hash == peer.chat_id * HASHES[name]

    # Rows

    def _peer(self, owner: str, chat: int, **more: Any) -> Peer:
        return replace(user(chat, **more), access_hash=chat * HASHES[owner])

    def _meant(self, value: object, by: str, *, is_change: bool) -> Any:
        if not isinstance(value, Ref):
            return value
        has = self.has[value.owner]
        return (has.busy if is_change or value.owner == by else has.quiet)[value.what]

    def _write_postgres(self, kit: RpcKit, row: Row, columns: Mapping[str, Any]) -> None:
        said = [sql.Identifier(name) for name in columns]
        table, values = sql.Identifier(row.table), list(columns.values())
        with psycopg.connect(kit.url) as connection:
            set_calendar(connection, kit.calendar())
            if row.of is None:
                marks = sql.SQL(", ").join([sql.Placeholder()] * len(said))
                names = sql.SQL(", ").join(said)
                connection.execute(
                    sql.SQL("insert into {} ({}) values ({})").format(table, names, marks), values
                )
            elif columns:
                sets = sql.SQL(", ").join(sql.SQL("{} = %s").format(name) for name in said)
                values.append(self._meant(row.of, "", is_change=True))
                connection.execute(sql.SQL("update {} set {} where id = %s").format(table, sets), values)

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Rows as they stand there, over a connection that minds nothing."""
        if isinstance(self.kit, EmbeddedKit):
            with closing(sqlite3.connect(self.kit.folder.database)) as connection:
                connection.row_factory = sqlite3.Row
                connection.text_factory = lambda data: data.decode(errors="replace")
                return [dict(row) for row in connection.execute(query, values)]
        assert isinstance(self.kit, RpcKit)
        asked = re.sub(r":(\w+)", r"%(\1)s", query)
        with psycopg.Connection[dict[str, Any]].connect(self.kit.url, row_factory=dict_row) as connection:
            connection.adapters.register_loader("uuid", TextLoader)
            return connection.execute(asked.encode(), values).fetchall()
