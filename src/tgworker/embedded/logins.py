"""Rows of ``tgworker_login_requests``. Triggers empty what is secret with each change of state."""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tgworker.embedded import accounts
from tgworker.embedded.errors import AccountNameTaken
from tgworker.embedded.values import config_of, is_key, iso, json_object_or_none, storable, to_json
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import StoreFault
from tgworker.messaging.logging_in import LOGIN_S
from tgworker.messaging.login_ports import (
    LoginGone,
    LoginId,
    LoginNews,
    LoginRequest,
    LoginState,
)
from tgworker.messaging.models import AccountId, Secret

T = TypeVar("T")

KEPT = timedelta(days=7)
"""How long a request that has ended can be looked at."""

RESTARTED = "the worker was restarted: ask again"
UNHEARD = f"no worker answered within {LOGIN_S / 60:g} minutes: see whether one runs, and ask again"
NO_ID = "id: it is not text"
NO_OWNER = "owner_id: it names nobody: write the id of the person whose account it is to be"


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of storing a login.

    Attributes:
        account_id: The account, if it was stored.
        refusal: Why it was not.
    """

    account_id: AccountId | None
    refusal: StoreFault | LoginGone | None


def secretly(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do what empties secrets, so that their bytes are overwritten in the file, not only let go."""
    connection.execute("pragma secure_delete = on").fetchall()
    try:
        return work(connection)
    finally:
        connection.execute("pragma secure_delete = off").fetchall()


def wipe_log(connection: sqlite3.Connection) -> None:
    """Empty the write-ahead log, where earlier versions of rows stand; not while somebody reads.

    What cannot be emptied now is with the next call: no answer is given up for that.
    """
    busy_ms: int = connection.execute("pragma busy_timeout").fetchone()[0]
    connection.execute("pragma busy_timeout = 0").fetchall()
    try:
        with suppress(sqlite3.OperationalError):
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    finally:
        connection.execute(f"pragma busy_timeout = {busy_ms}").fetchall()


def count(connection: sqlite3.Connection, now: datetime) -> int:
    """How many requests there is something to do about."""
    query = (
        "select (select count(*) from tgworker_login_requests where ended_at is null)"
        " + (select count(*) from tgworker_login_requests where ended_at is not null and ended_at < ?)"
    )
    found: int = connection.execute(query, (iso(now - KEPT),)).fetchone()[0]
    return found


def claim(
    connection: sqlite3.Connection, ticket: str, known: Collection[LoginId], limit: int, now: datetime
) -> list[LoginRequest]:
    """End what nobody answers any more, and take what is new."""
    _end(
        connection,
        LoginState.FAILED,
        RESTARTED,
        "ticket is not null and ticket <> ?",  # the folder has one worker: another ticket is no more
        (ticket,),
    )
    _end(
        connection,
        LoginState.EXPIRED,
        UNHEARD,
        "ticket is null and coalesce(created_at, '') < ?",
        (iso(now - timedelta(seconds=LOGIN_S)),),
    )
    ids = connection.execute("select rowid, id from tgworker_login_requests where ended_at is null")
    if nameless := [row for row, login_id in ids if not is_key(login_id)]:
        which = (to_json(nameless),)
        _end(connection, LoginState.FAILED, NO_ID, "rowid in (select value from json_each(?))", which)
    _end(connection, LoginState.FAILED, NO_OWNER, "coalesce(trim(owner_id), '') = ''", ())
    connection.execute(
        "delete from tgworker_login_requests where ended_at is not null and ended_at < ?", (iso(now - KEPT),)
    )
    rows = connection.execute(
        "select id, method, phone, name, config from tgworker_login_requests"
        " where ended_at is null and (ticket is null"
        " or ticket = ? and id not in (select value from json_each(?))) order by created_at, rowid limit ?",
        (ticket, to_json(sorted(known)), max(limit, 0)),
    ).fetchall()
    connection.executemany(
        "update tgworker_login_requests set ticket = ?, heard_at = ? where id = ?",
        [(ticket, iso(now), row[0]) for row in rows],
    )
    return [
        LoginRequest(
            id=LoginId(str(login_id)),
            method=str(method),
            phone=None if phone is None else str(phone),
            name=None if name is None else str(name),
            config=config_of(config),
        )
        for login_id, method, phone, name, config in rows
    ]


def tell(
    connection: sqlite3.Connection, ticket: str, login_id: LoginId, news: LoginNews, now: datetime
) -> bool:
    """Say what is asked for; returns whether the request is still ours."""
    until = None if news.qr_lives_s is None else iso(now + timedelta(seconds=news.qr_lives_s))
    done = connection.execute(
        "update tgworker_login_requests set state = ?, told = told + 1, error = ?, tries_left = ?, hint = ?,"
        " qr_url = ?, qr_expires_at = ?, code = null, password = null, heard_at = ?"
        " where id = ? and ticket = ? and ended_at is null",
        (
            news.state.value,
            None if news.error is None else storable(news.error),
            news.left,
            None if news.hint is None else storable(news.hint),
            news.qr_url,
            until,
            iso(now),
            login_id,
            ticket,
        ),
    )
    return bool(done.rowcount)


def is_unanswered(connection: sqlite3.Connection, ticket: str, login_id: LoginId) -> bool:
    """Whether the request is still ours, and nobody has answered yet."""
    query = (
        "select 1 from tgworker_login_requests where id = ? and ticket = ? and ended_at is null"
        " and code is null and password is null"
    )
    return connection.execute(query, (login_id, ticket)).fetchone() is not None


def take(
    connection: sqlite3.Connection, ticket: str, login_id: LoginId, now: datetime
) -> tuple[bool, Secret | None]:
    """Take the answer out of the row; returns whether the request is still ours, and the answer."""
    row = connection.execute(
        "select coalesce(code, password) from tgworker_login_requests"
        " where id = ? and ticket = ? and ended_at is null",
        (login_id, ticket),
    ).fetchone()
    if row is None:
        return False, None
    connection.execute(
        "update tgworker_login_requests set code = null, password = null, heard_at = ? where id = ?",
        (iso(now), login_id),
    )
    return True, None if row[0] is None else Secret(str(row[0]))


def end(
    connection: sqlite3.Connection, ticket: str, login_id: LoginId, state: LoginState, error: str
) -> None:
    """End a request that came to nothing."""
    _end(connection, state, error, "id = ? and ticket = ?", (login_id, ticket))


def keep(
    connection: sqlite3.Connection,
    ticket: str,
    login_id: LoginId,
    new_id: AccountId,
    secrets_encrypted: str,
    user_id: int,
    phone: str | None,
    now: datetime,
) -> Kept:
    """Add the account and end the request, at once."""
    row = connection.execute(
        "select owner_id, workspace_id, name, config, integration_account_id, ended_at"
        " from tgworker_login_requests where id = ? and ticket = ?",
        (login_id, ticket),
    ).fetchone()
    if row is None or (row[5] is not None and row[4] is None):
        return Kept(None, LoginGone(login_id))
    owner_id, workspace_id, name, config, account_id, _ = row
    if account_id is not None:  # the answer of an earlier call was lost
        return Kept(AccountId(str(account_id)), None)
    try:
        added = accounts.add_account(
            connection,
            new_id,
            None if name is None else storable(str(name)),
            str(owner_id),
            secrets_encrypted,
            user_id,
            phone,
            AccountKind.USER,  # nobody gives a bot's token this way
            json_object_or_none(config) or None,
            now,
        )
    except AccountNameTaken as taken:
        return Kept(None, taken)
    connection.execute(
        "update integration_accounts set workspace_id = coalesce(?, workspace_id) where id = ?",
        (workspace_id, added),
    )
    connection.execute(
        "update tgworker_login_requests set state = 'done', told = told + 1, error = null,"
        " integration_account_id = ? where id = ?",
        (added, login_id),
    )
    return Kept(added, None)


def _end(
    connection: sqlite3.Connection,
    state: LoginState,
    error: str,
    condition: str,
    values: tuple[object, ...],
) -> None:
    query = (
        "update tgworker_login_requests set state = ?, told = told + 1, error = ? where ended_at is null and "
    )
    connection.execute(query + condition, (state.value, storable(error), *values))
