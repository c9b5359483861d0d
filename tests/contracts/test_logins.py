"""Login requests: rows that the application files, and who answers them. Nothing secret stays in a row."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, StoreKit
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.errors import StoreFault
from tgworker.messaging.login_ports import LoginGone, LoginId, LoginNews, LoginState, LoginStore
from tgworker.messaging.models import CONFIG_UNREADABLE, Secret

ONE = "70000000-0000-4000-8000-000000000001"
TWO = "70000000-0000-4000-8000-000000000002"
PHONE = "+44 20 7946 0018"

CODE_SENT = LoginNews(LoginState.CODE_SENT, hint="in the Telegram app")
PASSWORD_NEEDED = LoginNews(LoginState.PASSWORD_NEEDED, hint="what opens?")
QR_SHOWN = LoginNews(LoginState.QR_SHOWN, qr_url="tg://login?token=secret", qr_lives_s=30)


@pytest.fixture
def logins(kit: StoreKit) -> LoginStore:
    return kit.store


def ask(kit: StoreKit, **columns: Any) -> LoginId:
    """File a request as the application does."""
    wanted = {"owner_id": OWNER, "phone": PHONE, "created_at": kit.calendar.today.isoformat(), **columns}
    return LoginId(kit.app.insert("tgworker_login_requests", **wanted))


def row(kit: StoreKit, login: LoginId) -> Mapping[str, Any]:
    found = kit.app.row("tgworker_login_requests", login)
    assert found is not None
    return found


def answer(kit: StoreKit, login: LoginId, **columns: Any) -> None:
    kit.app.update("tgworker_login_requests", login, **columns)


async def claimed(kit: StoreKit, logins: LoginStore, **columns: Any) -> LoginId:
    """A request that ONE has."""
    login = ask(kit, **columns)
    (request,) = await logins.claim_logins(ONE, known=(), limit=4)
    assert request.id == login
    return login


async def count(kit: StoreKit) -> int:
    """As somebody sees it who has not asked before: a store may answer as it did half a minute ago."""
    store = kit.store if isinstance(kit.store, EmbeddedStore) else kit.take_over()
    return await store.count_logins()


def secrets_of(kit: StoreKit, login: LoginId) -> list[object]:
    found = row(kit, login)
    return [found[name] for name in ("code", "password", "hint", "qr_url") if found[name] is not None]


async def test_requests_are_taken_once_and_the_oldest_first(kit: StoreKit, logins: LoginStore) -> None:
    assert await count(kit) == 0
    assert await logins.claim_logins(ONE, known=(), limit=4) == []
    first = ask(kit, name="ada", config='{"device_model": "Desk"}')
    kit.calendar.advance(1)
    second = ask(kit, method="qr", phone=None)
    assert await count(kit) == 2
    assert await logins.claim_logins(ONE, known=(), limit=0) == []
    (taken,) = await logins.claim_logins(ONE, known=(), limit=1)
    assert (taken.id, taken.method, taken.phone, taken.name) == (first, "phone", PHONE, "ada")
    assert taken.config == {"device_model": "Desk"}
    assert PHONE not in repr(taken)
    (taken,) = await logins.claim_logins(ONE, known=[first], limit=4)
    assert (taken.id, taken.method, taken.phone, taken.name) == (second, "qr", None, None)
    assert await logins.claim_logins(ONE, known=[first, second], limit=4) == []
    assert await count(kit) == 2


async def test_a_claim_whose_answer_was_lost_is_repeated(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    assert await logins.claim_logins(ONE, known=[login], limit=4) == []
    (again,) = await logins.claim_logins(ONE, known=(), limit=4)
    assert again.id == login


async def test_a_code_and_a_password_are_asked_for_and_taken_out_of_the_row(
    kit: StoreKit, logins: LoginStore
) -> None:
    login = await claimed(kit, logins)
    await logins.tell_login(ONE, login, CODE_SENT)
    found = row(kit, login)
    assert (found["state"], found["hint"]) == ("code_sent", "in the Telegram app")
    assert await logins.take_answer(ONE, login) is None
    answer(kit, login, code="11111")
    assert await logins.take_answer(ONE, login) == Secret("11111")
    assert await logins.take_answer(ONE, login) is None
    assert row(kit, login)["code"] is None
    await logins.tell_login(ONE, login, LoginNews(LoginState.CODE_SENT, "wrong", 2, "in the Telegram app"))
    found = row(kit, login)
    assert (found["error"], found["tries_left"]) == ("wrong", 2)
    answer(kit, login, code="12345")
    await logins.tell_login(ONE, login, PASSWORD_NEEDED)
    found = row(kit, login)
    assert (found["code"], found["error"], found["tries_left"]) == (None, None, None)
    answer(kit, login, password="open sesame")
    assert await logins.take_answer(ONE, login) == Secret("open sesame")
    assert secrets_of(kit, login) == ["what opens?"]


async def test_an_answer_to_what_is_not_asked_is_emptied(kit: StoreKit, logins: LoginStore) -> None:
    login = ask(kit, code="12345", password="open sesame", state="code_sent", ticket=TWO)
    assert secrets_of(kit, login) == []
    assert (row(kit, login)["state"], row(kit, login)["ticket"]) == ("new", None)
    answer(kit, login, code="12345", password="open sesame")
    assert secrets_of(kit, login) == []
    await logins.claim_logins(ONE, known=(), limit=4)
    await logins.tell_login(ONE, login, QR_SHOWN)
    assert secrets_of(kit, login) == [QR_SHOWN.qr_url]
    assert row(kit, login)["qr_expires_at"] is not None
    answer(kit, login, code="12345", password="open sesame")
    assert secrets_of(kit, login) == [QR_SHOWN.qr_url]
    await logins.tell_login(ONE, login, PASSWORD_NEEDED)
    answer(kit, login, code="12345")
    assert secrets_of(kit, login) == ["what opens?"]
    assert row(kit, login)["qr_expires_at"] is None


@pytest.mark.parametrize("news", [CODE_SENT, PASSWORD_NEEDED, QR_SHOWN])
@pytest.mark.parametrize("state", ["cancelled", "failed", "done", "new", "whatever"])
async def test_the_application_takes_its_request_back(
    kit: StoreKit, logins: LoginStore, news: LoginNews, state: str
) -> None:
    login = await claimed(kit, logins)
    await logins.tell_login(ONE, login, news)
    answer(kit, login, code="12345", password="open sesame")
    answer(kit, login, state=state)
    assert secrets_of(kit, login) == []
    assert row(kit, login)["state"] == "cancelled"
    ended_at = row(kit, login)["ended_at"]
    assert ended_at is not None
    for call in (logins.take_answer(ONE, login), logins.tell_login(ONE, login, news)):
        with pytest.raises(LoginGone):
            await call
    with pytest.raises(LoginGone):
        await logins.store_login(ONE, login, "token", user_id=7, phone=None)
    await logins.end_login(ONE, login, LoginState.EXPIRED, "too long")
    answer(kit, login, state="new", code="12345")  # what is ended stays ended
    assert (row(kit, login)["state"], row(kit, login)["ended_at"]) == ("cancelled", ended_at)
    assert secrets_of(kit, login) == []
    assert await count(kit) == 0
    assert kit.app.rows("integration_accounts") == []


async def test_a_password_is_never_taken_for_a_code(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    await logins.tell_login(ONE, login, CODE_SENT)
    answer(kit, login, state="password_needed", password="open sesame")
    assert secrets_of(kit, login) == []
    with pytest.raises(LoginGone):
        await logins.take_answer(ONE, login)


@pytest.mark.parametrize("config", ['"{}"', "[1]", "5"])
async def test_a_config_that_is_no_object_is_not_taken_for_none(
    kit: StoreKit, logins: LoginStore, config: str
) -> None:
    ask(kit, config=config)
    (request,) = await logins.claim_logins(ONE, known=(), limit=1)
    assert request.config == {CONFIG_UNREADABLE: True}


async def test_a_request_that_was_removed_is_gone(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    kit.app.delete("tgworker_login_requests", login)
    with pytest.raises(LoginGone):
        await logins.take_answer(ONE, login)
    with pytest.raises(LoginGone):
        await logins.store_login(ONE, login, "token", user_id=7, phone=None)


async def test_a_login_becomes_an_account_at_once_and_once(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins, name="ada", config='{"device_model": "Desk"}')
    await logins.tell_login(ONE, login, CODE_SENT)
    account = await logins.store_login(ONE, login, "token", user_id=7, phone="442079460018")
    assert await logins.store_login(ONE, login, "token", user_id=7, phone="442079460018") == account
    found = row(kit, login)
    assert (found["state"], found["integration_account_id"], found["error"]) == ("done", account, None)
    assert secrets_of(kit, login) == []
    (active,) = await kit.store.active_accounts()
    assert (active.id, active.owner_id, active.name) == (account, OWNER, "ada")
    assert active.config["device_model"] == "Desk"
    assert await count(kit) == 0


async def test_a_second_login_of_the_same_person_renews_his_session(
    kit: StoreKit, logins: LoginStore, inbox: Inbox
) -> None:
    login = await claimed(kit, logins)
    assert await logins.store_login(ONE, login, "fresh", user_id=1, phone=None) == inbox.account
    (active,) = await kit.store.active_accounts()
    assert (active.secrets_encrypted, active.name) == ("fresh", "ada")


async def test_a_name_that_is_taken_is_refused_and_the_request_goes_on(
    kit: StoreKit, logins: LoginStore, inbox: Inbox
) -> None:
    login = await claimed(kit, logins, name="ada", owner_id=OTHER_OWNER)
    with pytest.raises(StoreFault, match="choose another name"):
        await logins.store_login(ONE, login, "token", user_id=2, phone=None)
    assert row(kit, login)["ended_at"] is None
    await logins.end_login(ONE, login, LoginState.FAILED, "another account is called that")
    found = row(kit, login)
    assert (found["state"], found["error"]) == ("failed", "another account is called that")
    assert [each.id for each in await kit.store.active_accounts()] == [inbox.account]


async def test_what_nobody_answered_expires(kit: StoreKit, logins: LoginStore) -> None:
    login = ask(kit)
    kit.calendar.advance(301)
    assert await logins.claim_logins(ONE, known=(), limit=4) == []
    found = row(kit, login)
    assert found["state"] == "expired"
    assert "no worker answered within 5 minutes" in found["error"]


async def test_a_request_without_an_owner_fails_with_its_reason(kit: StoreKit, logins: LoginStore) -> None:
    login = ask(kit, owner_id=None)
    assert await logins.claim_logins(ONE, known=(), limit=4) == []
    found = row(kit, login)
    assert found["state"] == "failed"
    assert found["error"].startswith("owner_id: ")


async def test_ended_requests_are_removed_after_a_week(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    await logins.end_login(ONE, login, LoginState.FAILED, "no")
    kit.calendar.today = _ended(kit, login)
    kit.calendar.advance(7 * 86_400 - 1)
    assert await count(kit) == 0
    kit.calendar.advance(2)
    assert await count(kit) == 1
    await logins.claim_logins(ONE, known=(), limit=0)
    assert kit.app.rows("tgworker_login_requests") == []
    assert await count(kit) == 0


def _ended(kit: StoreKit, login: LoginId) -> datetime:
    at = row(kit, login)["ended_at"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(at)


async def test_another_worker_ends_what_a_dead_one_began(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    await logins.tell_login(ONE, login, CODE_SENT)
    answer(kit, login, code="12345")
    successor = kit.take_over()
    kit.calendar.advance(91)  # where several workers share a store, it must be silent for so long
    assert await successor.claim_logins(TWO, known=(), limit=4) == []
    found = row(kit, login)
    assert (found["state"], found["error"]) == ("failed", "the worker was restarted: ask again")
    assert secrets_of(kit, login) == []
    with pytest.raises(LoginGone):
        await successor.take_answer(ONE, login)


async def test_another_ticket_has_no_part_in_a_request(kit: StoreKit, logins: LoginStore) -> None:
    login = await claimed(kit, logins)
    await logins.tell_login(ONE, login, CODE_SENT)
    answer(kit, login, code="12345")
    with pytest.raises(LoginGone):
        await logins.take_answer(TWO, login)
    with pytest.raises(LoginGone):
        await logins.tell_login(TWO, login, PASSWORD_NEEDED)
    await logins.end_login(TWO, login, LoginState.FAILED, "not theirs")
    assert await logins.take_answer(ONE, login) == Secret("12345")
