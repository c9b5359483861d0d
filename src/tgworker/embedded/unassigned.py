"""Rows of the outbox without an account: whose they are."""

import sqlite3

from tgworker.embedded.settling import Verdict
from tgworker.messaging.records import OutboxState

_UNASSIGNED = """
select l.head_seq, m.owner_id, m.integration_account_id, l.conversation_id, a.id is not null,
    case when a.owner_id is not m.owner_id and a.id is not null then 'account'
        when c.owner_id is not m.owner_id and c.id is not null then 'conversation' end
from tgworker_lanes l
join tgworker_outbox o on o.seq = l.head_seq
left join messages m on m.id = o.message_id
left join integration_accounts a
    on a.id = m.integration_account_id and a.type in ('telegram_user', 'telegram_bot')
left join conversations c on c.id = l.conversation_id
where l.integration_account_id is null and l.wake_at is null and l.fence is null
order by l.head_seq limit ?
"""

_LAST_OF_CONVERSATION = """
select m.integration_account_id from messages m
join integration_accounts a on a.id = m.integration_account_id
    and a.type in ('telegram_user', 'telegram_bot') and a.owner_id = m.owner_id
where m.conversation_id = ? and m.owner_id = ? order by m.sent_at desc limit 1
"""

_ACTIVE_OF_OWNER = """
select id from integration_accounts where owner_id = ? and type = 'telegram_user' and is_active limit 2
"""

_ASSIGN = "update tgworker_outbox set integration_account_id = ? where seq = ?"

_TELL = """
update messages set integration_account_id = ?
where id = (select message_id from tgworker_outbox where seq = ?) and integration_account_id is null
"""


def assign_accounts(connection: sqlite3.Connection, limit: int) -> list[Verdict]:
    """Give up to ``limit`` lane heads without an account one; returns the end of those that get none.

    A row takes its conversation's last account, else its owner's only active one
    that is no bot (a bot never writes first), else it is dead-lettered.
    One that names an account which does not exist is dead-lettered: it was not meant for another. So is one
    whose account or conversation is another owner's.
    """
    verdicts: list[Verdict] = []
    for row in connection.execute(_UNASSIGNED, (limit,)).fetchall():
        seq, owner_id, named, conversation_id, exists, foreign = row
        if owner_id is None:
            verdicts.append(Verdict(seq, OutboxState.CANCELLED, "deleted by the application"))
            continue
        if named is not None and not exists:
            verdicts.append(Verdict(seq, OutboxState.DEAD, f"there is no Telegram account {named}"))
            continue
        if foreign is not None:
            verdicts.append(Verdict(seq, OutboxState.DEAD, f"its {foreign} belongs to another owner"))
            continue
        account = named or _account_for(connection, owner_id, conversation_id)
        if account is None:
            verdicts.append(
                Verdict(
                    seq,
                    OutboxState.DEAD,
                    "no account: the conversation had none, and its owner has not just one",
                )
            )
            continue
        connection.execute(_ASSIGN, (account, seq))
        connection.execute(_TELL, (account, seq))
    return verdicts


def _account_for(connection: sqlite3.Connection, owner_id: str, conversation_id: str) -> str | None:
    last = connection.execute(_LAST_OF_CONVERSATION, (conversation_id, owner_id)).fetchone()
    if last is not None:
        return str(last[0])
    active = connection.execute(_ACTIVE_OF_OWNER, (owner_id,)).fetchall()
    return str(active[0][0]) if len(active) == 1 else None
