"""Rows that wait until somebody knows whom their recipient names: state ``resolving``."""

import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime

from tgworker.embedded import settling
from tgworker.embedded.inbound import owner_of
from tgworker.embedded.peers import find_peer, save_peers, wake
from tgworker.embedded.settling import Verdict
from tgworker.embedded.values import iso, seconds, storable
from tgworker.messaging.models import AccountId, Peer, Recipients, Sought
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.records import OutboxState

_SOUGHT = """
select recipient, max(not_before) from tgworker_outbox
where integration_account_id = ? and state = 'resolving' and recipient is not null
group by recipient order by min(seq) limit ?
"""

_WAITING = """
select seq, doubt_since from tgworker_outbox
where integration_account_id = ? and state = 'resolving' and recipient = ?
"""

_LATER = """
update tgworker_outbox set not_before = ?, error = ?
where integration_account_id = ? and state = 'resolving' and recipient = ?
"""


def recipients(
    connection: sqlite3.Connection, account_id: AccountId, limit: int, now: datetime
) -> Recipients:
    """Whom rows of an account wait for, and whether it was introduced."""
    row = connection.execute(
        "select introduced_at is not null from tgworker_accounts where integration_account_id = ?",
        (account_id,),
    ).fetchone()
    sought = tuple(
        Sought(name, 0 if not_before is None else max(0, not_before - seconds(now)))
        for name, not_before in connection.execute(_SOUGHT, (account_id, limit))
    )
    return Recipients(row is not None and bool(row[0]), sought)


def record_introduced(connection: sqlite3.Connection, account_id: AccountId, now: datetime) -> None:
    """Remember that an account's contacts and chats were read."""
    connection.execute(
        "update tgworker_accounts set introduced_at = ? where integration_account_id = ?",
        (iso(now), account_id),
    )


def record_recipients(
    connection: sqlite3.Connection,
    account_id: AccountId,
    found: Mapping[str, Peer | Refused | Deferred],
    now: datetime,
) -> Collection[str]:
    """Store whom names mean; see `tgworker.messaging.store_ports.RecipientStore`. Nothing is ever left."""
    owner_id, _ = owner_of(connection, account_id)
    known = {name: answer for name, answer in found.items() if isinstance(answer, Peer)}
    save_peers(connection, account_id, owner_id, tuple(known.values()))
    for name, peer in known.items():
        stored = find_peer(connection, account_id, name)
        if stored is None or stored.chat_id != peer.chat_id:
            connection.execute(
                "insert or replace into tgworker_names (integration_account_id, name, chat_id)"
                " values (?, ?, ?)",
                (account_id, name, peer.chat_id),
            )
    wake(connection, account_id, known)
    verdicts: list[Verdict] = []
    for name, answer in found.items():
        match answer:
            case Refused():
                verdicts += [
                    _ended(seq, doubt_since, answer)
                    for seq, doubt_since in connection.execute(_WAITING, (account_id, name))
                ]
            case Deferred():
                until_s = seconds(now) + answer.retry_after_s
                connection.execute(_LATER, (until_s, storable(answer.reason), account_id, name))
            case Peer():
                pass
    settling.conclude(connection, verdicts, now)
    return ()


def _ended(seq: int, doubt_since: float | None, refusal: Refused) -> Verdict:
    if doubt_since is None:
        return Verdict(seq, OutboxState.DEAD, refusal.reason)
    reason = f"nobody knows whether Telegram has it, and its recipient is found no more ({refusal.reason})"
    return Verdict(seq, OutboxState.UNSURE, reason)
