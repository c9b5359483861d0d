"""Claiming: which messages are sent next. See ``migrations/0002_queue.sql`` for lanes and states."""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from tgworker.embedded import carried, settling
from tgworker.embedded.carried import Missing, Wait
from tgworker.embedded.peers import find_peer, peer_from
from tgworker.embedded.pinned import Pinned, committed
from tgworker.embedded.settling import Verdict
from tgworker.embedded.unassigned import assign_accounts
from tgworker.embedded.values import is_key, random_id, seconds, to_json
from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import AccountId, Attempt, ConversationId, Doubt, MessageId
from tgworker.messaging.records import OutboxState

SWEEP = 200
"""At most so many rows are woken, expired or dead-lettered in one claim, so that its cost stays flat."""

ROUNDS = 20
"""So often one claim looks again when rows ended that stood before others."""

_SURVEY = """
select
    (select min(not_before) from tgworker_outbox where state = 'deferred'),
    (select min(files_until) from tgworker_outbox where files_until is not null and state = 'waiting'),
    (select min(expires_at) from tgworker_outbox
        where expires_at is not null and state in ('waiting', 'resolving', 'deferred') and part = 0
        and doubt_since is null),
    exists (select 1 from tgworker_lanes
        where integration_account_id is null and wake_at is null and fence is null)
"""

_WAKE = """
update tgworker_outbox set state = 'waiting', not_before = null
where seq in (select seq from tgworker_outbox where state = 'deferred' and not_before <= ?
    order by not_before limit ?)
"""

# Rows that have waited long enough for their attachments.
_ENOUGH = """
update tgworker_outbox set files_until = null
where seq in (select seq from tgworker_outbox where files_until is not null and state = 'waiting'
    and files_until <= ? order by files_until limit ?)
"""

# (One that is in doubt is looked for before anything is said about it.)
_EXPIRED = """
select seq from tgworker_outbox
where expires_at is not null and state in ('waiting', 'resolving', 'deferred') and part = 0
    and doubt_since is null
    and expires_at <= ?
order by expires_at limit ?
"""

FEW_ACCOUNTS = 8
"""With more accounts online, a claim first finds out which of them have anything to send."""

# Jumps from account to account through the two indexes, however many lanes each has.
_ACCOUNTS = """
with recursive
ready (id) as (
    select min(integration_account_id) from tgworker_lanes where wake_at is null and fence is null
    union all
    select (select min(integration_account_id) from tgworker_lanes
        where wake_at is null and fence is null and integration_account_id > ready.id)
    from ready where ready.id is not null),
claimed (id) as (
    select min(integration_account_id) from tgworker_lanes where fence is not null
    union all
    select (select min(integration_account_id) from tgworker_lanes
        where fence is not null and integration_account_id > claimed.id)
    from claimed where claimed.id is not null)
select id from ready where id is not null union select id from claimed where id is not null
"""

_LANES = """
select l.head_seq, l.fence, o.message_id
from tgworker_lanes l join tgworker_outbox o on o.seq = l.head_seq
where l.integration_account_id = :account and l.fence is not null
union all
select * from (
    select head_seq, null, null from tgworker_lanes
    where integration_account_id = :account and wake_at is null and fence is null
    order by head_seq limit :free)
"""

_ROWS = """
select r.*, p.chat_id, p.kind, p.access_hash, p.first_name, p.last_name, p.title, p.username, p.phone,
    p.is_self, p.is_contact, p.photo_id
from (
    select o.seq, o.message_id, o.integration_account_id as account_id, o.conversation_id, o.attempts,
        o.state,
        o.claimed_at, o.doubt_since, o.chat_top_id, o.expires_at, m.text, m.external_message_id,
        case when json_valid(m.raw_payload) then json_extract(m.raw_payload, '$.telegram.parse_mode') end
            as asked_mode,
        o.part, o.parts, o.text_limit, o.parse_mode, o.long_text, o.caption_limit, o.files,
        m.message_type,
        case when json_valid(m.raw_payload) then
            case json_type(m.raw_payload, '$.telegram.attachments') when 'integer'
                then json_extract(m.raw_payload, '$.telegram.attachments') end end as asked_files,
        (select count(*) from attachments a where a.message_id = m.id and a.owner_id = m.owner_id) as linked,
        o.filed_at, o.late_file,
        (select k.telegram_id from tgworker_outbox_parts k where k.message_id = o.message_id
            and k.part = o.part) as known_id,
        coalesce(own.value, named.value, (
            select i.value from contact_identities i
            where i.contact_id = c.contact_id and i.type = 'telegram_user' and i.owner_id = c.owner_id limit 1
        )) as recipient,
        case when a.owner_id is not m.owner_id and a.id is not null then 'account'
            when c.owner_id is not m.owner_id and c.id is not null then 'conversation' end as foreign_to
    from json_each(?) j cross join tgworker_outbox o on o.seq = j.value
    left join messages m on m.id = o.message_id
    left join integration_accounts a on a.id = o.integration_account_id
    left join conversations c on c.id = o.conversation_id
    left join contact_identities own on own.id = c.primary_identity_id and own.type = 'telegram_user'
    left join contact_identities named on named.id = m.identity_id and named.type = 'telegram_user'
) r
left join tgworker_peers p on p.integration_account_id = r.account_id
    and p.chat_id = cast(r.recipient as integer)
    and r.recipient not glob '*[^0-9-]*'
order by r.seq
"""

_CLAIM = """
update tgworker_outbox as o
set state = 'sending', attempts = o.attempts + 1, fence = :fence, claimed_at = :now, not_before = null,
    chat_id = coalesce(json_extract(j.value, '$[1]'), o.chat_id),
    parts = json_extract(j.value, '$[2]'), text_limit = json_extract(j.value, '$[3]'),
    parse_mode = json_extract(j.value, '$[4]'), long_text = json_extract(j.value, '$[5]'),
    doubt_since = case o.state when 'sending' then coalesce(o.doubt_since, o.claimed_at)
        else o.doubt_since end,
    worker = :worker,
    chat_top_id = case when o.doubt_since is null and o.state <> 'sending' then coalesce(
            (select max(k.telegram_id) from tgworker_message_keys k
            where k.scope = o.integration_account_id
                and k.chat_id = coalesce(json_extract(j.value, '$[1]'), o.chat_id)), 0)
        else o.chat_top_id end
from json_each(:rows) j where o.seq = json_extract(j.value, '$[0]')
"""

_PARTS = """
insert into tgworker_outbox_parts (message_id, part, random_id)
select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') from json_each(?)
where true
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class _Quiet:
    """The state in which a claim found nothing; while it lasts there is nothing to find."""

    connection: sqlite3.Connection
    data_version: int
    own_changes: int
    accounts: frozenset[AccountId]
    known: frozenset[MessageId]
    until: float


class Claims:
    """Claims under one fence.

    Args:
        fence: The fencing token of this opening of the store.
        worker: Who claims, for people.
        attachments_wait_s: So long a row waits for attachments of which it does not say how many come.
    """

    def __init__(self, fence: int, worker: str, attachments_wait_s: float = carried.DEFAULT_WAIT_S) -> None:
        self._attachments_wait_s = attachments_wait_s
        self._fence = fence
        self._worker = worker
        self._quiet: _Quiet | None = None

    def nothing_new(
        self,
        connection: sqlite3.Connection,
        slots: Mapping[AccountId, int],
        known: Collection[MessageId],
        now: datetime,
    ) -> bool:
        """Whether the last claim found nothing and nothing changed since: an idle poll is nearly free."""
        quiet = self._quiet
        return (
            quiet is not None
            and seconds(now) < quiet.until
            and quiet.connection is connection
            and quiet.own_changes == connection.total_changes
            and quiet.accounts == frozenset(slots)
            and quiet.known == frozenset(known)
            and quiet.data_version == _data_version(connection)
        )

    def may_find(self, connection: sqlite3.Connection, now: datetime) -> bool:
        """Whether a claim may find something that the outbound loop does not know of.

        It did so the last time, another process has written, or some row's time has come.
        """
        quiet = self._quiet
        return (
            quiet is None
            or seconds(now) >= quiet.until
            or quiet.connection is not connection
            or quiet.data_version != _data_version(connection)
        )

    def claim(
        self,
        connection: sqlite3.Connection,
        slots: Mapping[AccountId, int],
        known: Collection[MessageId],
        now: datetime,
        *,
        text_limit: int,
        caption_limit: int,
    ) -> list[Attempt]:
        """Claim what is due; see `tgworker.messaging.store_ports.OutboxStore.turn`."""
        known = frozenset(known)
        data_version, changes = _data_version(connection), connection.total_changes
        wake_at, enough_at, expire_at, unassigned = connection.execute(_SURVEY).fetchone()
        now_s = seconds(now)
        if wake_at is not None and wake_at <= now_s:
            connection.execute(_WAKE, (now_s, SWEEP))
        if enough_at is not None and enough_at <= now_s:
            connection.execute(_ENOUGH, (now_s, SWEEP))
        if expire_at is not None and expire_at <= now_s:
            expired = [_expired(seq) for (seq,) in connection.execute(_EXPIRED, (now_s, SWEEP))]
            settling.conclude(connection, expired, now)
        if unassigned:
            settling.conclude(connection, assign_accounts(connection, SWEEP), now)
        attempts: list[Attempt] = []
        free = dict(slots)
        for _ in range(ROUNDS):
            picked = self._pick(connection, free, known)
            if not picked:
                break
            taken, waits, verdicts = self._take(connection, picked, now_s, text_limit, caption_limit)
            attempts += taken
            if not (waits or verdicts):
                break
            # What waits has taken no slot; what ended has made room for the next of its conversation.
            settling.conclude(connection, verdicts, now)
            known |= {attempt.message_id for attempt in taken}
            for attempt in taken:
                free[attempt.account_id] -= 1
        self._quiet = None
        if connection.total_changes == changes:
            times = (wake_at, enough_at, expire_at)
            until = min((due for due in times if due is not None), default=float("inf"))
            self._quiet = _Quiet(connection, data_version, changes, frozenset(slots), known, until)
        return attempts

    def _pick(
        self, connection: sqlite3.Connection, slots: Mapping[AccountId, int], known: frozenset[MessageId]
    ) -> list[int]:
        """Lane heads to send: first those whose claim was lost, then those that are ready, oldest first."""
        accounts = [account for account, free in slots.items() if free > 0]
        if len(accounts) > FEW_ACCOUNTS:
            accounts = [account for (account,) in connection.execute(_ACCOUNTS) if slots.get(account, 0) > 0]
        picked: list[int] = []
        for account in accounts:
            lost: list[int] = []
            ready: list[int] = []
            for seq, fence, message_id in connection.execute(
                _LANES, {"account": account, "free": slots[account]}
            ):
                if fence is None:
                    ready.append(seq)
                elif fence != self._fence or message_id not in known:
                    lost.append(seq)
            picked += (lost + ready)[: slots[account]]
        return picked

    def _take(
        self,
        connection: sqlite3.Connection,
        picked: list[int],
        now_s: float,
        text_limit: int,
        caption_limit: int,
    ) -> tuple[list[Attempt], list[Wait], list[Verdict]]:
        """Store the attempts at these rows.

        Returns:
            Them; those that wait for their attachments, which is stored, too; and the end of those that are
            not sent.
        """
        attempts: list[Attempt] = []
        waits: list[Wait] = []
        verdicts: list[Verdict] = []
        claimed: list[tuple[object, ...]] = []
        carrying: list[tuple[object, ...]] = []
        for row in connection.execute(_ROWS, (to_json(picked),)).fetchall():
            match self._judge(connection, row, now_s, text_limit, caption_limit):
                case Verdict() as verdict:
                    verdicts.append(verdict)
                case Wait() as wait:
                    waits.append(wait)
                case Attempt() as attempt:
                    attempts.append(attempt)
                    claimed.append(committed(row[0], attempt))
                    if attempt.files or row[19] is not None or row[24]:
                        carrying.append(carried.committed(row[0], attempt))
        if waits:
            carried.record_waits(connection, waits)
        if claimed:
            connection.execute(
                _CLAIM,
                {"fence": self._fence, "worker": self._worker, "now": now_s, "rows": to_json(claimed)},
            )
            carried.commit(connection, carrying)
            parts = [
                (attempt.message_id, attempt.part + number, each)
                for attempt in attempts
                for number, each in enumerate((attempt.random_id, *attempt.more_random_ids))
            ]
            connection.execute(_PARTS, (to_json(parts),))
        return attempts, waits, verdicts

    def _judge(
        self,
        connection: sqlite3.Connection,
        row: tuple[object, ...],
        now_s: float,
        text_limit: int,
        caption_limit: int,
    ) -> Attempt | Wait | Verdict:
        """Whether a picked row is sent now, and if not, what becomes of it."""
        seq, message_id, account_id, conversation_id, number, state = row[:6]
        claimed_at, doubt_since, top_id, expires_at, text, external_id = row[6:12]
        pinned, carries = Pinned.of(row[12:20]), row[21:24]
        message_type = None if row[20] is None else str(row[20])  # (SQLite keeps anything in any column)
        known_id, to, foreign, peer_row = row[25], row[26], row[27], row[28:]
        assert isinstance(seq, int)
        assert isinstance(number, int)
        assert known_id is None or isinstance(known_id, int)
        doubt = doubt_since if doubt_since is not None or state != "sending" else claimed_at
        if known_id is not None:
            doubt = None  # Telegram has this part; whether it is the last one the worker will say
        assert doubt is None or isinstance(doubt, float)
        assert top_id is None or isinstance(top_id, int)
        if external_id is None or not str(external_id).lower().startswith("local-"):
            # The message went away, or is somebody else's now, while it was in flight.
            return Verdict(seq, OutboxState.CANCELLED, "withdrawn by the application")
        has_begun = pinned.part > 0 or known_id is not None
        expired = isinstance(expires_at, float) and expires_at <= now_s and not has_begun
        if expired and doubt is None:
            return _expired(seq)
        if foreign is not None or to is None or not is_key(message_id):
            wrong = "its conversation has no Telegram identity"
            if not is_key(message_id):
                wrong = "its id is not text"
            elif foreign is not None:
                wrong = f"its {foreign} belongs to another owner"
            if doubt is not None:
                reason = f"nobody knows whether Telegram has it, and {wrong} now"
                return Verdict(seq, OutboxState.UNSURE, reason)
            return Verdict(seq, OutboxState.DEAD, wrong)
        row_id = MessageId(str(message_id))
        if doubt is None and not has_begun:
            files: tuple[OutgoingFile, ...] = ()
            if carries[0] is not None or carries[1] or carried.is_file_type(message_type):
                found = self._files(connection, seq, row_id, message_type, carries, claimed_at, now_s)
                if isinstance(found, Wait):
                    return found
                if isinstance(found, Missing):
                    return Verdict(seq, OutboxState.DEAD, found.reason)
                files = found
            pinned = pinned.anew(
                "" if text is None else str(text), files, text_limit=text_limit, caption_limit=caption_limit
            )
        account = AccountId(str(account_id))
        recipient = str(to)
        peer = peer_from(peer_row) if peer_row[0] is not None else None
        if peer is None and recipient[:1] in ("@", "+"):
            peer = find_peer(connection, account, recipient)
        return Attempt(
            message_id=row_id,
            account_id=account,
            conversation_id=ConversationId(str(conversation_id)),
            to=recipient,
            peer=peer,
            text=pinned.long_text if pinned.long_text is not None else "" if text is None else str(text),
            part=pinned.part,
            random_id=random_id(row_id, pinned.part),
            number=number + 1,
            fence=self._fence,
            parse_mode=pinned.parse_mode,
            text_limit=pinned.text_limit or text_limit,
            parts=pinned.parts,
            known_id=known_id,
            doubt=None if doubt is None else Doubt(now_s - doubt, top_id or 0, expired),
            expires_in_s=expires_at - now_s if isinstance(expires_at, float) and not has_begun else None,
            message_type=message_type,
            files=pinned.files,
            caption_limit=pinned.caption_limit or caption_limit,
            more_random_ids=tuple(
                random_id(row_id, part) for part in range(pinned.part + 1, len(pinned.files))
            )
            if pinned.files
            else (),
        )

    def _files(
        self,
        connection: sqlite3.Connection,
        seq: int,
        message_id: MessageId,
        message_type: str | None,
        columns: tuple[object, ...],
        claimed_at: object,
        now_s: float,
    ) -> tuple[OutgoingFile, ...] | Wait | Missing:
        """What a row carries of which nothing has left, and that may carry files."""
        asked, linked, filed_at = columns
        if isinstance(claimed_at, float) and isinstance(filed_at, float):
            filed_at = min(filed_at, claimed_at)  # whatever the clocks say
        assert isinstance(linked, int)
        assert isinstance(filed_at, float)
        wanted = asked if isinstance(asked, int) and 1 <= asked <= carried.MOST_ASKED else None
        row = carried.Claimed(seq, message_type, wanted, linked, filed_at)
        judged = carried.judge(row, now_s, self._attachments_wait_s)
        return carried.linked_files(connection, message_id) if judged is None else judged


def _expired(seq: int) -> Verdict:
    return Verdict(seq, OutboxState.EXPIRED, "it was not sent in time")


def _data_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma data_version").fetchone()[0]
    return version
