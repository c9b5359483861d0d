"""Claiming: which messages are sent next. See ``migrations/0002_queue.sql`` for lanes and states."""

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from tgworker.embedded import settling
from tgworker.embedded.peers import find_peer, peer_from
from tgworker.embedded.settling import Verdict
from tgworker.embedded.unassigned import assign_accounts
from tgworker.embedded.values import random_id, seconds, to_json
from tgworker.messaging.models import AccountId, Attempt, ConversationId, MessageId
from tgworker.messaging.records import OutboxState

SWEEP = 200
"""At most so many rows are woken, expired or dead-lettered in one claim, so that its cost stays flat."""

REPEAT_WINDOW_S = 3600.0
"""For so long after a doubtful attempt the same ``random_id`` is sent again. Telegram's own window is
undocumented (repeats were seen recognised after 70 minutes); beyond ours the row is ``unsure``, for a
person."""

_DUE = """
select
    (select min(not_before) from tgworker_outbox where state = 'deferred'),
    (select min(expires_at) from tgworker_outbox
        where expires_at is not null and state in ('waiting', 'resolving', 'deferred'))
"""

_WAKE = """
update tgworker_outbox set state = 'waiting', not_before = null
where seq in (select seq from tgworker_outbox where state = 'deferred' and not_before <= ?
    order by not_before limit ?)
"""

_EXPIRED = """
select seq, doubt_since from tgworker_outbox
where expires_at is not null and state in ('waiting', 'resolving', 'deferred') and expires_at <= ?
order by expires_at limit ?
"""

# Jumps from account to account through the index, however many lanes each has.
_ACCOUNTS = """
with recursive account (id) as (
    select min(integration_account_id) from tgworker_lanes where {which}
    union all
    select (select min(integration_account_id) from tgworker_lanes
        where {which} and integration_account_id > account.id)
    from account where account.id is not null)
select id from account where id is not null
"""
_ACCOUNTS_READY = _ACCOUNTS.format(which="wake_at is null and fence is null")
_ACCOUNTS_CLAIMED = _ACCOUNTS.format(which="fence is not null")

_READY = """
select head_seq from tgworker_lanes
where integration_account_id = ? and wake_at is null and fence is null order by head_seq limit ?
"""

_CLAIMED = """
select l.head_seq, o.message_id, o.fence from tgworker_lanes l join tgworker_outbox o on o.seq = l.head_seq
where l.integration_account_id = ? and l.fence is not null order by l.head_seq
"""

_ROWS = """
select r.*, p.chat_id, p.kind, p.access_hash, p.first_name, p.last_name, p.title, p.username, p.phone,
    p.is_self
from (
    select o.seq, o.message_id, o.integration_account_id as account_id, o.conversation_id, o.attempts,
        o.state,
        o.claimed_at, o.doubt_since, m.text, m.external_message_id,
        coalesce(own.value, named.value, (
            select i.value from contact_identities i
            where i.contact_id = c.contact_id and i.type = 'telegram_user' and i.owner_id = c.owner_id limit 1
        )) as recipient
    from json_each(?) j cross join tgworker_outbox o on o.seq = j.value
    left join messages m on m.id = o.message_id
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
    doubt_since = case o.state when 'sending' then coalesce(o.doubt_since, o.claimed_at)
        else o.doubt_since end
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
    """

    def __init__(self, fence: int) -> None:
        self._fence = fence
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

    def claim(
        self,
        connection: sqlite3.Connection,
        slots: Mapping[AccountId, int],
        known: Collection[MessageId],
        now: datetime,
    ) -> list[Attempt]:
        """Claim what is due; see `tgworker.messaging.ports.OutboxStore.claim`."""
        known = frozenset(known)
        data_version, changes = _data_version(connection), connection.total_changes
        settling.begin(connection)
        _sweep(connection, now)
        assign_accounts(connection, SWEEP)
        picked = self._pick(connection, slots, known)
        attempts = self._take(connection, picked, now) if picked else []
        settling.apply(connection, now)
        self._quiet = None
        if not picked and connection.total_changes == changes:
            until = min(
                (due for due in connection.execute(_DUE).fetchone() if due is not None), default=float("inf")
            )
            self._quiet = _Quiet(connection, data_version, changes, frozenset(slots), known, until)
        return attempts

    def _pick(
        self, connection: sqlite3.Connection, slots: Mapping[AccountId, int], known: frozenset[MessageId]
    ) -> list[int]:
        picked: list[int] = []
        free = dict(slots)
        for (account,) in connection.execute(_ACCOUNTS_CLAIMED).fetchall():
            if free.get(account, 0) < 1:
                continue
            lost = [
                seq
                for seq, message_id, fence in connection.execute(_CLAIMED, (account,))
                if fence != self._fence or message_id not in known
            ][: free[account]]
            free[account] -= len(lost)
            picked += lost
        for (account,) in connection.execute(_ACCOUNTS_READY).fetchall():
            if free.get(account, 0) > 0:
                picked += [seq for (seq,) in connection.execute(_READY, (account, free[account]))]
        return picked

    def _take(self, connection: sqlite3.Connection, picked: list[int], now: datetime) -> list[Attempt]:
        attempts: list[Attempt] = []
        claimed: list[tuple[int, int | None]] = []
        verdicts: list[Verdict] = []
        for row in connection.execute(_ROWS, (to_json(picked),)).fetchall():
            judged = self._judge(connection, row, now)
            if isinstance(judged, Verdict):
                verdicts.append(judged)
            else:
                attempts.append(judged)
                claimed.append((row[0], judged.peer.chat_id if judged.peer is not None else None))
        if claimed:
            connection.execute(_CLAIM, {"fence": self._fence, "now": seconds(now), "rows": to_json(claimed)})
            parts = [(attempt.message_id, attempt.part, attempt.random_id) for attempt in attempts]
            connection.execute(_PARTS, (to_json(parts),))
        settling.stage_verdicts(connection, verdicts)
        return attempts

    def _judge(
        self, connection: sqlite3.Connection, row: tuple[object, ...], now: datetime
    ) -> Attempt | Verdict:
        """Whether a picked row is sent now, and if not, what becomes of it."""
        seq, message_id, account_id, conversation_id, number, state = row[:6]
        claimed_at, doubt_since, text, external_id, to = row[6:11]
        peer_row = row[11:]
        assert isinstance(seq, int)
        assert isinstance(number, int)
        doubt = doubt_since if doubt_since is not None or state != "sending" else claimed_at
        assert doubt is None or isinstance(doubt, float)
        if external_id is None or not str(external_id).lower().startswith("local-"):
            # The message went away, or is somebody else's now, while it was in flight.
            return Verdict(seq, OutboxState.CANCELLED, "withdrawn by the application")
        if doubt is not None and seconds(now) - doubt > REPEAT_WINDOW_S:
            return Verdict(
                seq, OutboxState.UNSURE, "nobody knows whether Telegram has it, and it is too late to ask"
            )
        if to is None:
            return Verdict(seq, OutboxState.DEAD, "its conversation has no Telegram identity")
        row_id = MessageId(str(message_id))
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
            text="" if text is None else str(text),
            part=0,
            random_id=random_id(row_id, 0),
            number=number + 1,
            fence=self._fence,
        )


def _sweep(connection: sqlite3.Connection, now: datetime) -> None:
    """Wake what has waited long enough, and end what is of no more use."""
    wake_at, expire_at = connection.execute(_DUE).fetchone()
    now_s = seconds(now)
    if expire_at is not None and expire_at <= now_s:
        settling.stage_verdicts(
            connection,
            [
                Verdict(seq, OutboxState.EXPIRED, "it was not sent in time")
                if doubt_since is None
                else Verdict(
                    seq, OutboxState.UNSURE, "its time ran out while nobody knew whether Telegram has it"
                )
                for seq, doubt_since in connection.execute(_EXPIRED, (now_s, SWEEP))
            ],
        )
        settling.apply(connection, now)
        settling.begin(connection)
    if wake_at is not None and wake_at <= now_s:
        connection.execute(_WAKE, (now_s, SWEEP))


def _data_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma data_version").fetchone()[0]
    return version
