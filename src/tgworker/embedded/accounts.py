"""Accounts: the application's rows, and what the worker says of them."""

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from tgworker.embedded.errors import AccountNameTaken
from tgworker.embedded.values import config_of, from_iso, is_key, iso, storable, to_json
from tgworker.messaging.account_kinds import AccountKind, kind_of
from tgworker.messaging.errors import AccountGone
from tgworker.messaging.models import Account, AccountId, AccountState
from tgworker.messaging.records import AccountRecord, Replacement
from tgworker.messaging.values import phone_digits

NAMELESS = "its id is none: write a uuid"
_NAMES = re.compile(r"[\w-]{1,100}", re.ASCII)
"""Ids that children, logs and calls may name."""

_COLUMNS = """
select a.id, a.owner_id, a.workspace_id, a.secrets_encrypted, a.config, a.is_active, a.last_sync_at,
    a.last_error,
    t.name, t.phone, t.user_id, t.state, a.type
from integration_accounts a
left join tgworker_accounts t on t.integration_account_id = a.id
where a.type in ('telegram_user', 'telegram_bot')
"""

_RECORD = """
insert into tgworker_accounts (integration_account_id, state, user_id, last_error, changed_at)
select :account, :state, :user, :error, :now
where exists (select 1 from integration_accounts where id = :account)
on conflict (integration_account_id) do update set
    state = excluded.state, user_id = coalesce(excluded.user_id, user_id), last_error = excluded.last_error,
    changed_at = excluded.changed_at
"""


def active_accounts(connection: sqlite3.Connection) -> tuple[list[Account], list[int]]:
    """The accounts whose owners want them online, in the order of their creation.

    Returns:
        Them; and the rows whose id names nothing, and which do not say so yet: see `refuse_nameless`.
    """
    found = [_record(row) for row in connection.execute(_COLUMNS + " and a.is_active order by a.rowid")]
    named = [each.account for each in found if _NAMES.fullmatch(each.account.id)]
    if len(named) == len(found):
        return named, []
    ids = connection.execute(
        "select rowid, id from integration_accounts where is_active and last_error is not ?"
        " and type in ('telegram_user', 'telegram_bot')",
        (NAMELESS,),
    )
    return named, [row for row, row_id in ids if not (is_key(row_id) and _NAMES.fullmatch(row_id))]


def refuse_nameless(connection: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Say of accounts why they never come online."""
    connection.execute(
        "update integration_accounts set last_error = ? where rowid in (select value from json_each(?))",
        (NAMELESS, to_json(rows)),
    )


def list_accounts(connection: sqlite3.Connection) -> list[AccountRecord]:
    """Every Telegram account, in the order of their creation."""
    return [_record(row) for row in connection.execute(_COLUMNS + " order by a.rowid")]


def find_account(connection: sqlite3.Connection, text: str) -> AccountRecord | None:
    """The account with this uuid, else with this name, else with this phone number."""
    wanted = storable(text.strip())
    conditions = [("a.id = ?", wanted.lower()), ("t.name = ?", wanted)]
    if digits := phone_digits(wanted):
        conditions.append(("t.phone = ?", digits))
    for condition, value in conditions:
        row = connection.execute(f"{_COLUMNS} and {condition} order by a.rowid limit 1", (value,)).fetchone()
        if row is not None:
            return _record(row)
    return None


def record_account(
    connection: sqlite3.Connection,
    account_id: AccountId,
    state: AccountState,
    last_error: str | None,
    user_id: int | None,
    now: datetime,
) -> None:
    """Store what an account is; one that was removed meanwhile is left alone."""
    connection.execute(
        _RECORD,
        {
            "account": account_id,
            "state": state.value,
            "user": user_id,
            "error": last_error,
            "now": iso(now),
        },
    )
    connection.execute(
        "update integration_accounts set last_sync_at = ?, last_error = ? where id = ?",
        (iso(now), last_error, account_id),
    )


def record_synced(connection: sqlite3.Connection, account_ids: Collection[AccountId], now: datetime) -> None:
    """Say of accounts that they are online now."""
    connection.execute(
        "update integration_accounts set last_sync_at = ? where id in (select value from json_each(?))",
        (iso(now), to_json(sorted(account_ids))),
    )


def add_account(
    connection: sqlite3.Connection,
    new_id: AccountId,
    name: str | None,
    owner_id: str,
    secrets_encrypted: str,
    user_id: int,
    phone: str | None,
    kind: AccountKind,
    config: Mapping[str, Any] | None,
    now: datetime,
) -> AccountId:
    """Add an account, or give the one of the same owner and Telegram user its new session.

    Raises:
        AccountNameTaken: Another account has the name.
    """
    known = connection.execute(
        "select a.id from tgworker_accounts t join integration_accounts a on a.id = t.integration_account_id"
        " where t.user_id = ? and a.owner_id = ? order by a.rowid limit 1",
        (user_id, owner_id),
    ).fetchone()
    account_id = AccountId(known[0]) if known is not None else new_id
    taken = connection.execute(
        "select 1 from tgworker_accounts where name = ? and integration_account_id <> ?", (name, account_id)
    ).fetchone()
    if taken is not None:
        raise AccountNameTaken(f"another account is called {name!r}: choose another name")
    if known is None:
        connection.execute(
            "insert into integration_accounts (id, owner_id, type, is_active, secrets_encrypted)"
            " values (?, ?, ?, 1, ?)",
            (account_id, owner_id, kind.value, secrets_encrypted),
        )
    else:
        connection.execute(
            "update integration_accounts"
            " set secrets_encrypted = ?, type = ?, is_active = 1, last_error = null where id = ?",
            (secrets_encrypted, kind.value, account_id),
        )
    if config is not None:
        connection.execute(
            "update integration_accounts set config = ? where id = ?", (to_json(config), account_id)
        )
    connection.execute(
        "insert into tgworker_accounts (integration_account_id, name, phone, user_id, state, changed_at)"
        " values (:account, :name, :phone, :user, :state, :now)"
        " on conflict (integration_account_id) do update set"
        " name = coalesce(excluded.name, name), phone = coalesce(excluded.phone, phone),"
        " state = excluded.state, last_error = null, changed_at = excluded.changed_at",
        {
            "account": account_id,
            "name": name,
            "phone": phone_digits(phone) if phone else None,
            "user": user_id,
            "state": AccountState.WAITING.value,
            "now": iso(now),
        },
    )
    return account_id


def switch_account(connection: sqlite3.Connection, account_id: AccountId, *, active: bool) -> bool:
    """Turn the owner's switch; returns whether it stood otherwise.

    Raises:
        AccountGone: There is no such account.
    """
    found = connection.execute(
        "select is_active from integration_accounts"
        " where id = ? and type in ('telegram_user', 'telegram_bot')",
        (account_id,),
    ).fetchone()
    if found is None:
        raise AccountGone(f"there is no Telegram account {account_id}")
    connection.execute("update integration_accounts set is_active = ? where id = ?", (active, account_id))
    return bool(found[0]) != active


def replace_session(
    connection: sqlite3.Connection, account_id: AccountId, read: str, sealed: str
) -> Replacement:
    """Store the same session under another key, unless it was replaced meanwhile."""
    done = connection.execute(
        "update integration_accounts set secrets_encrypted = ?"
        " where id = ? and type in ('telegram_user', 'telegram_bot') and coalesce(secrets_encrypted, '') = ?",
        (sealed, account_id, read),
    )
    return Replacement.REPLACED if done.rowcount else Replacement.CHANGED


def remove_account(connection: sqlite3.Connection, account_id: AccountId) -> bool:
    """Remove an account and what is only ours of it; returns whether it was there."""
    done = connection.execute(
        "delete from integration_accounts where id = ? and type in ('telegram_user', 'telegram_bot')",
        (account_id,),
    )
    if done.rowcount:
        # (All else goes with the row; a scope is no reference.)
        connection.execute("delete from tgworker_message_keys where scope = ?", (account_id,))
    return bool(done.rowcount)


def _record(row: tuple[object, ...]) -> AccountRecord:
    (account_id, owner_id, workspace_id, secrets, config, is_active, last_sync_at, last_error) = row[:8]
    name, phone, user_id, state, kind = row[8:]
    assert user_id is None or isinstance(user_id, int)
    account = Account(
        id=AccountId(str(account_id)),
        owner_id=str(owner_id),
        workspace_id=_optional(workspace_id),
        name=_optional(name),
        secrets_encrypted=_optional(secrets) or "",
        config=config_of(config),
        kind=kind_of(kind),
    )
    return AccountRecord(
        account=account,
        is_active=bool(is_active),
        state=_state(state),
        user_id=user_id,
        phone=_optional(phone),
        last_sync_at=from_iso(_optional(last_sync_at)),
        last_error=_optional(last_error),
    )


def _state(value: object) -> AccountState:
    """What an account was doing; of one that nobody has spoken of yet, that it waits."""
    try:
        return AccountState(str(value))
    except ValueError:
        return AccountState.WAITING


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
