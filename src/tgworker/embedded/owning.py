"""Whose the messages are that a look into a chat's history has shown."""

import sqlite3
from collections.abc import Collection
from datetime import datetime

from tgworker.embedded import carried, settling
from tgworker.embedded.peers import peer_from
from tgworker.embedded.values import iso, to_json
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    AccountId,
    Attempt,
    ConversationId,
    Copy,
    Doubt,
    MessageId,
    Owned,
)

AT_ONCE = 20
"""How many messages without an id are handed out at a time."""

# (What only a history job has brought may be ours: the log, which names our messages, did not tell of it.)
_OWNED = """
select k.telegram_id from json_each(:ids) j
cross join tgworker_message_keys k on k.scope = :account and k.telegram_id = j.value and k.chat_id = :chat
where k.message_id <> :message
    and (k.from_log = 1 or exists (select 1 from tgworker_outbox o where o.message_id = k.message_id))
"""

# (In characters; Telegram counts two of some.)
_IS_LONG = (
    "({0}.long_text is not null and ({0}.files is null or length({0}.long_text) * 2 > {0}.caption_limit))"
)

# Rows that were sent under an id that nobody knows, that are in doubt, and that are on their way just now.
# (What takes several messages has more texts than one, unless it is files with a caption. Of two that carry
# files nobody knows which is which.)
_RIVALS = f"""
select exists (
    select 1 from (
        select o.message_id from tgworker_outbox o
        where o.integration_account_id = :account and o.awaiting_id = 1 and o.chat_id = :chat
        union all
        select o.message_id from tgworker_outbox o
        where o.integration_account_id = :account and o.chat_id = :chat and o.doubt_since is not null
        union all
        select o.message_id from tgworker_lanes l join tgworker_outbox o on o.seq = l.head_seq
        where l.integration_account_id = :account and l.fence is not null and o.chat_id = :chat
    ) r
    join tgworker_outbox theirs on theirs.message_id = r.message_id
    join messages other on other.id = r.message_id
    join messages own on own.id = :message
    join tgworker_outbox mine on mine.message_id = :message
    where r.message_id <> :message
        and (own.text = other.text or (mine.files is not null and theirs.files is not null)
            or {_IS_LONG.format("mine")} or {_IS_LONG.format("theirs")}))
"""  # noqa: S608 - constants


def owned(
    connection: sqlite3.Connection, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]
) -> Owned:
    """See `tgworker.messaging.store_ports.DoubtStore`."""
    asked = {
        "account": attempt.account_id,
        "chat": chat_id,
        "message": attempt.message_id,
        "ids": to_json(list(telegram_ids)),
    }
    ids = frozenset(int(telegram_id) for (telegram_id,) in connection.execute(_OWNED, asked))
    return Owned(ids, bool(connection.execute(_RIVALS, asked).fetchone()[0]))


_LOOKED = """
update tgworker_outbox set looks = looks + 1
where seq in (select seq from tgworker_outbox
    where integration_account_id = ? and awaiting_id = 1 and looks < 3 and parts = 1 and chat_id is not null
    order by seq limit ?)
returning seq
"""

_UNNAMED = """
select o.message_id, o.conversation_id, cast(o.chat_id as text), coalesce(o.long_text, m.text, ''),
    k.random_id, o.attempts, o.fence, o.parse_mode, o.text_limit, o.caption_limit, o.files, m.message_type,
    o.chat_top_id,
    p.chat_id, p.kind, p.access_hash, p.first_name, p.last_name, p.title, p.username, p.phone, p.is_self,
    p.is_contact, p.photo_id
from json_each(?) j cross join tgworker_outbox o on o.seq = j.value
join messages m on m.id = o.message_id
join tgworker_outbox_parts k on k.message_id = o.message_id and k.part = 0
join tgworker_peers p on p.integration_account_id = o.integration_account_id and p.chat_id = o.chat_id
order by o.seq
"""

_NAME = """
insert into temp.settling (seq, message_id, part, state, telegram_id, chat_id, sent_at)
select o.seq, o.message_id, 0, 'sent', :telegram_id, :chat, :sent_at from tgworker_outbox o
where o.message_id = :message and o.awaiting_id = 1
"""


def unnamed(connection: sqlite3.Connection, account_id: AccountId) -> list[Attempt]:
    """See `tgworker.messaging.store_ports.DoubtStore`."""
    seqs = [seq for (seq,) in connection.execute(_LOOKED, (account_id, AT_ONCE)).fetchall()]
    if not seqs:
        return []
    return [
        Attempt(
            message_id=MessageId(message_id),
            account_id=account_id,
            conversation_id=ConversationId(conversation_id),
            to=to,
            peer=peer_from(tuple(peer)),
            text=text,
            part=0,
            random_id=random_id,
            number=number,
            fence=fence,
            parse_mode=parse_mode,
            text_limit=text_limit or DEFAULT_TEXT_LIMIT,
            parts=1,
            doubt=Doubt(0, top_id or 0),
            message_type=message_type,
            files=carried.unpack(files),
            caption_limit=caption_limit or DEFAULT_CAPTION_LIMIT,
        )
        for (
            message_id,
            conversation_id,
            to,
            text,
            random_id,
            number,
            fence,
            parse_mode,
            text_limit,
            caption_limit,
            files,
            message_type,
            top_id,
            *peer,
        ) in connection.execute(_UNNAMED, (to_json(seqs),))
    ]


def name(connection: sqlite3.Connection, attempt: Attempt, chat_id: int, copy: Copy, now: datetime) -> None:
    """See `tgworker.messaging.store_ports.DoubtStore`."""
    settling.begin(connection)
    connection.execute(
        _NAME,
        {
            "message": attempt.message_id,
            "telegram_id": copy.telegram_id,
            "chat": chat_id,
            "sent_at": iso(copy.sent_at),
        },
    )
    settling.apply(connection, now)
