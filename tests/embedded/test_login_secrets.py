"""What is taken out of a login request is in no file any more: not in a page, and not in the log."""

import sqlite3

import pytest

from contracts.store_kit import OWNER
from embedded.embedded_kit import EmbeddedKit
from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginState
from tgworker.messaging.models import Secret

TICKET = "70000000-0000-4000-8000-000000000001"
PASSWORD = "open sesame, says nobody else"
HINT = "what opens the cave of the forty"


def on_disk(kit: EmbeddedKit) -> bytes:
    database = kit.folder.database
    files = database.parent.glob(f"{database.name}*")
    return b"".join(file.read_bytes() for file in files if not file.name.endswith("-shm"))


async def asked(kit: EmbeddedKit) -> LoginId:
    login = LoginId(kit.app.insert("tgworker_login_requests", owner_id=OWNER, phone="+442079460018"))
    kit.calendar.today = kit.calendar.today.replace(year=2026)
    await kit.store.claim_logins(TICKET, known=(), limit=1)
    await kit.store.tell_login(TICKET, login, LoginNews(LoginState.PASSWORD_NEEDED, hint=HINT))
    kit.app.update("tgworker_login_requests", login, password=PASSWORD)
    assert PASSWORD.encode() in on_disk(kit)
    return login


async def test_a_password_that_was_taken(kit: EmbeddedKit) -> None:
    login = await asked(kit)
    assert await kit.store.take_answer(TICKET, login) == Secret(PASSWORD)
    assert PASSWORD.encode() not in on_disk(kit)
    await kit.store.store_login(TICKET, login, "token", user_id=7, phone=None)
    assert HINT.encode() not in on_disk(kit)


async def test_a_password_that_nobody_took(kit: EmbeddedKit) -> None:
    login = await asked(kit)
    await kit.store.end_login(TICKET, login, LoginState.EXPIRED, "too long")
    assert PASSWORD.encode() not in on_disk(kit)


async def test_somebody_who_reads_keeps_the_log_until_the_next_call_and_not_the_answer(
    kit: EmbeddedKit,
) -> None:
    login = await asked(kit)
    reader = sqlite3.connect(kit.folder.database, isolation_level=None)
    try:
        reader.execute("begin")
        reader.execute("select count(*) from tgworker_login_requests").fetchone()
        assert await kit.store.take_answer(TICKET, login) == Secret(PASSWORD)
    finally:
        reader.close()
    await kit.store.end_login(TICKET, login, LoginState.FAILED, "no")
    assert PASSWORD.encode() not in on_disk(kit)


async def test_the_log_is_wiped_with_the_databases_own_patience_kept(kit: EmbeddedKit) -> None:
    def patience(connection: sqlite3.Connection) -> int:
        return int(connection.execute("pragma busy_timeout").fetchone()[0])

    database = kit.store._database
    before = await database.read(patience)
    assert before > 0
    with pytest.raises(LoginGone):
        await kit.store.take_answer(TICKET, LoginId("nobody's"))
    assert await database.read(patience) == before
