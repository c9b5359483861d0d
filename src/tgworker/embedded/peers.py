"""Peers: whom an account may address, and how the names that people use lead to them."""

import sqlite3
from collections.abc import Iterable, Sequence

from tgworker.embedded.values import to_json
from tgworker.messaging.models import AccountId, Peer, PeerKind

_COLUMNS = (
    "chat_id, kind, access_hash, first_name, last_name, title, username, phone, is_self, is_contact, photo_id"
)

# A peer that comes without any name does not take away the names that we know.
_UPSERT = """
insert into tgworker_peers (integration_account_id, chat_id, kind, access_hash,
    first_name, last_name, title, username, phone, is_self, is_contact, photo_id)
select :account, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
    json_extract(value, '$[9]'), json_extract(value, '$[10]')
from json_each(:peers)
where true
on conflict (integration_account_id, chat_id) do update set
    kind = excluded.kind,
    access_hash = coalesce(excluded.access_hash, access_hash),
    first_name = case when {named} then excluded.first_name else first_name end,
    last_name = case when {named} then excluded.last_name else last_name end,
    title = case when {named} then excluded.title else title end,
    username = case when {named} then excluded.username else username end,
    phone = coalesce(excluded.phone, phone),
    is_self = excluded.is_self,
    is_contact = excluded.is_contact,
    photo_id = coalesce(excluded.photo_id, photo_id),
    avatar_tries = case when {pictured} then 0 else avatar_tries end,
    avatar_not_before = case when {pictured} then null else avatar_not_before end
where (excluded.access_hash is not null and excluded.access_hash is not access_hash)
    or excluded.kind is not kind
    or excluded.is_self is not is_self
    or excluded.is_contact is not is_contact
    or {pictured}
    or (excluded.phone is not null and excluded.phone is not phone)
    or ({named} and (excluded.first_name is not first_name or excluded.last_name is not last_name
        or excluded.title is not title or excluded.username is not username))
returning chat_id
""".format(
    named="coalesce(excluded.first_name, excluded.last_name, excluded.title, excluded.username) is not null",
    pictured="(excluded.photo_id is not null and excluded.photo_id is not photo_id)",
)

# What the application shows of a contact. As a merge patch (RFC 7396) a null takes the key away.
_NAMES = """json_object(
    'first_name', p.first_name, 'last_name', p.last_name, 'username', p.username, 'title', p.title,
    'is_group', json(case when p.kind = 'user' then 'false' else 'true' end))"""

METADATA = f"json_patch('{{}}', {_NAMES})"
"""SQL for a new contact's metadata from a peer ``p``."""

_RENAMED = f"""
select json_patch(i.metadata, {_NAMES}) as renamed, i.id
from json_each(:chats) j
cross join tgworker_peers p on p.integration_account_id = :account and p.chat_id = j.value
cross join contact_identities i on i.owner_id = :owner and i.type = 'telegram_user'
    and i.value = cast(j.value as text)
where json_valid(i.metadata) and renamed <> i.metadata
    and (coalesce(p.first_name, p.last_name, p.title, p.username) is not null
        or p.chat_id in (select value from json_each(:taken)))
"""  # noqa: S608 - put together from constants

# A username is one peer's: who had it before has it no more.
_TAKEN = """
update tgworker_peers as k set username = null
from json_each(:chats) j
cross join tgworker_peers p on p.integration_account_id = :account and p.chat_id = j.value
where p.username is not null and k.integration_account_id = :account and k.username is not null
    and lower(k.username) = lower(p.username) and k.chat_id not in (select value from json_each(:chats))
returning chat_id
"""

_NAMES_TAKEN = """
delete from tgworker_names as n where n.integration_account_id = :account and exists (
    select 1 from json_each(:chats) j
    cross join tgworker_peers p on p.integration_account_id = :account and p.chat_id = j.value
    where n.name = '@' || lower(p.username) and n.chat_id <> p.chat_id)
"""

# Of somebody of whom Telegram told only how he is called: for a contact that has no name yet.
_STRANGERS = """
select json_patch(i.metadata, json_object('first_name', json_extract(j.value, '$[1]'),
    'last_name', json_extract(j.value, '$[2]'), 'title', json_extract(j.value, '$[3]'),
    'username', json_extract(j.value, '$[4]'))), i.id
from json_each(:peers) j
cross join contact_identities i on i.owner_id = :owner and i.type = 'telegram_user'
    and i.value = cast(json_extract(j.value, '$[0]') as text)
where json_valid(i.metadata) and json_type(i.metadata) = 'object' and coalesce(
    json_type(i.metadata, '$.first_name'), json_type(i.metadata, '$.last_name'),
    json_type(i.metadata, '$.username'), json_type(i.metadata, '$.title')) is null
"""

# Somebody wrote to "@name" or "+phone" before the id was known: it is the same person.
_RECOGNISED = """
select cast(p.chat_id as text), i.id
from json_each(:chats) j
cross join tgworker_peers p on p.integration_account_id = :account and p.chat_id = j.value
cross join contact_identities i on i.owner_id = :owner and i.type = 'telegram_user'
    and i.value in ('@' || p.username, '@' || lower(p.username), '+' || p.phone)
where not exists (select 1 from contact_identities known
    where known.owner_id = :owner and known.type = 'telegram_user' and known.value = cast(p.chat_id as text))
group by p.chat_id
"""

# Rows that waited until somebody knows whom they are for.
_WAKE = """
update tgworker_outbox set state = 'waiting', not_before = null, error = null
where integration_account_id = :account and state = 'resolving'
    and recipient in (select value from json_each(:names))
"""

_NAMES_OF = """
select cast(p.chat_id as text), '@' || lower(p.username), '+' || p.phone
from json_each(:chats) j
cross join tgworker_peers p on p.integration_account_id = :account and p.chat_id = j.value
where exists (select 1 from tgworker_outbox o
    where o.integration_account_id = :account and o.state = 'resolving')
"""


def save_peers(
    connection: sqlite3.Connection, account_id: AccountId, owner_id: str, peers: Sequence[Peer]
) -> None:
    """Remember peers; contacts whose names changed, or whose id became known, are updated.

    What waited for them in the outbox may be claimed.
    """
    rows = [
        (
            peer.chat_id,
            peer.kind.value,
            peer.access_hash,
            peer.first_name,
            peer.last_name,
            peer.title,
            peer.username,
            peer.phone.lstrip("+") if peer.phone else None,
            int(peer.is_self),
            int(peer.is_contact),
            peer.photo_id,
        )
        for peer in peers
        if not peer.is_min
    ]
    if not rows:
        return
    changed = [row[0] for row in connection.execute(_UPSERT, {"account": account_id, "peers": to_json(rows)})]
    if changed:
        arguments = {"account": account_id, "owner": owner_id, "chats": to_json(changed)}
        taken = [row[0] for row in connection.execute(_TAKEN, arguments)]
        connection.execute(_NAMES_TAKEN, arguments)
        recognised = connection.execute(_RECOGNISED, arguments).fetchall()
        connection.executemany("update contact_identities set value = ? where id = ?", recognised)
        both = {**arguments, "chats": to_json(changed + taken), "taken": to_json(taken)}
        renamed = connection.execute(_RENAMED, both).fetchall()
        connection.executemany("update contact_identities set metadata = ? where id = ?", renamed)
        names = [name for row in connection.execute(_NAMES_OF, arguments) for name in row if name is not None]
        wake(connection, account_id, names)


def name_strangers(connection: sqlite3.Connection, owner_id: str, peers: Sequence[Peer]) -> None:
    """Name contacts that have no name yet, by peers that Telegram told in part only."""
    rows = [
        (peer.chat_id, peer.first_name, peer.last_name, peer.title, peer.username)
        for peer in peers
        if peer.is_min
    ]
    if rows:
        named = connection.execute(_STRANGERS, {"owner": owner_id, "peers": to_json(rows)}).fetchall()
        connection.executemany("update contact_identities set metadata = ? where id = ?", named)


def wake(connection: sqlite3.Connection, account_id: AccountId, names: Iterable[str]) -> None:
    """Let rows be claimed that waited until somebody knows whom these names mean."""
    if some := list(names):
        connection.execute(_WAKE, {"account": account_id, "names": to_json(some)})


def list_peers(connection: sqlite3.Connection, account_id: AccountId) -> list[Peer]:
    """Every peer of an account that it may address."""
    rows = connection.execute(
        f"select {_COLUMNS} from tgworker_peers"  # noqa: S608 - a constant
        " where integration_account_id = ? and (access_hash is not null or kind = 'chat') order by chat_id",
        (account_id,),
    )
    return [peer_from(row) for row in rows]


def find_peer(connection: sqlite3.Connection, account_id: AccountId, to: str) -> Peer | None:
    """The peer that ``to`` names: a marked id, ``@username``, or ``+`` and a phone number."""
    condition, value = _named(to)
    row = connection.execute(
        f"select {_COLUMNS} from tgworker_peers"  # noqa: S608 - constants
        f" where integration_account_id = ? and {condition} order by chat_id limit 1",
        (account_id, value),
    ).fetchone()
    if row is None and not is_marked_id(to):
        row = connection.execute(
            f"select {_COLUMNS} from tgworker_names n"  # noqa: S608 - a constant
            " join tgworker_peers p using (integration_account_id, chat_id)"
            " where n.integration_account_id = ? and n.name = ?",
            (account_id, to.lower()),
        ).fetchone()
    return None if row is None else peer_from(row)


def _named(to: str) -> tuple[str, str | int]:
    if to.startswith("@"):
        return "username is not null and lower(username) = lower(?)", to[1:]
    if to.startswith("+"):
        return "phone is not null and phone = ?", to[1:]
    return "chat_id = ?", int(to) if is_marked_id(to) else 0


def is_marked_id(to: str) -> bool:
    """Whether ``to`` is a marked id in decimal, of a size that Telegram has."""
    digits = to.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


def peer_from(row: Iterable[object]) -> Peer:
    """A peer from a row of ``chat_id, kind, access_hash, first_name, …`` in the table's order."""
    chat_id, kind, access_hash, first_name, last_name, title, username, phone, *marks = row
    is_self, is_contact, photo_id = marks
    assert isinstance(chat_id, int)
    assert isinstance(kind, str)
    return Peer(
        chat_id=chat_id,
        kind=PeerKind(kind),
        access_hash=_number(access_hash),
        first_name=_text(first_name),
        last_name=_text(last_name),
        title=_text(title),
        username=_text(username),
        phone=_text(phone),
        is_self=bool(is_self),
        is_contact=bool(is_contact),
        photo_id=_number(photo_id),
    )


def _text(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value


def _number(value: object) -> int | None:
    assert value is None or isinstance(value, int)
    return value
