"""Who of an owner's contacts is online, and who types: ``presence_status``."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from tgworker.embedded.values import from_iso, iso, to_json
from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import Presence

_OWNERS = "select id, owner_id from integration_accounts where id in (select value from json_each(?))"

# Of each contact: his conversation with the owner, and the one that he types in.
_TOLD = """
select i.owner_id, i.id as identity_id, own.id as own_id,
    json_extract(p.value, '$[2]') as is_online, json_extract(p.value, '$[3]') as last_seen_at,
    json_extract(p.value, '$[4]') as is_typing, json_extract(p.value, '$[5]') as typing_until,
    coalesce((select v.id from contact_identities g cross join conversations v on v.primary_identity_id = g.id
        where g.owner_id = i.owner_id and g.type = 'telegram_user'
            and g.value = cast(json_extract(p.value, '$[6]') as text) and v.owner_id = i.owner_id
        order by v.last_message_at desc limit 1), own.id) as typing_id
from json_each(:items) p
cross join contact_identities i on i.owner_id = json_extract(p.value, '$[0]') and i.type = 'telegram_user'
    and i.value = cast(json_extract(p.value, '$[1]') as text)
left join conversations own on own.id = (select v.id from conversations v
    where v.primary_identity_id = i.id and v.owner_id = i.owner_id order by v.last_message_at desc limit 1)
"""

_NEW = f"""
insert into presence_status (owner_id, contact_identity_id, conversation_id)
select owner_id, identity_id, own_id from ({_TOLD}) where true
on conflict do nothing
"""  # noqa: S608 - put together from constants

# Who types no more is where one writes to him. (Materialized: else SQLite looks at all the owner's rows for
# each contact.)
_PRESENCE = f"""
with told as materialized ({_TOLD})
update presence_status as s
set is_online = coalesce(p.is_online, s.is_online),
    last_seen_at = coalesce(p.last_seen_at, s.last_seen_at),
    is_typing = coalesce(p.is_typing, s.is_typing),
    typing_expires_at = case when p.is_typing is null then s.typing_expires_at else p.typing_until end,
    conversation_id = coalesce(case when p.is_typing is not null then p.typing_id end,
        s.conversation_id, p.own_id),
    updated_at = :now
from told p
where s.owner_id = p.owner_id and s.contact_identity_id = p.identity_id
"""  # noqa: S608 - put together from constants


_SHOWN = """
select a.id, p.chat_id, s.is_online, s.is_typing, s.updated_at, s.last_seen_at
from integration_accounts a
cross join presence_status s on s.owner_id = a.owner_id
cross join contact_identities i on i.id = s.contact_identity_id and i.type = 'telegram_user'
cross join tgworker_peers p on p.integration_account_id = a.id and p.chat_id = cast(i.value as integer)
    and cast(p.chat_id as text) = i.value
where a.id in (select value from json_each(?)) and (s.is_online or s.is_typing)
"""


def record_presence(
    connection: sqlite3.Connection, items: Mapping[AccountId, Sequence[Presence]], now: datetime
) -> None:
    """See `tgworker.messaging.store_ports.PresenceStore.record_presence`."""
    owners: dict[AccountId, str] = dict(connection.execute(_OWNERS, (to_json(list(items)),)).fetchall())
    told: dict[tuple[str, int], Presence] = {}
    for account_id, some in items.items():
        if (owner_id := owners.get(account_id)) is None:
            continue
        for item in some:
            key = (owner_id, item.chat_id)
            told[key] = told[key].followed_by(item) if key in told else item
    if told:
        rows = [_row(owner_id, item, now) for (owner_id, _), item in told.items()]
        arguments = {"items": to_json(rows), "now": iso(now)}
        connection.execute(_NEW, arguments)
        connection.execute(_PRESENCE, arguments)


def shown(
    connection: sqlite3.Connection, account_ids: Collection[AccountId]
) -> dict[AccountId, list[Presence]]:
    """See `tgworker.messaging.store_ports.PresenceStore.shown`."""
    found: dict[AccountId, list[Presence]] = {}
    rows = connection.execute(_SHOWN, (to_json(list(account_ids)),))
    for account_id, chat_id, is_online, is_typing, updated_at, last_seen_at in rows:
        seen = updated_at if is_online else last_seen_at
        item = Presence(
            chat_id,
            is_online=bool(is_online),
            last_seen_at=from_iso(seen) if isinstance(seen, str) else None,
            is_typing=bool(is_typing),
        )
        found.setdefault(account_id, []).append(item)
    return found


def _row(owner_id: str, item: Presence, now: datetime) -> tuple[object, ...]:
    return (
        owner_id,
        item.chat_id,
        item.is_online,
        None if item.last_seen_at is None else iso(item.last_seen_at),
        item.is_typing,
        iso(now + timedelta(seconds=item.typing_for_s)) if item.is_typing else None,
        item.typing_in if item.is_typing else None,
    )
