"""Accounts: the owner's switch, the worker's word, and what the commands do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.store_kit import NOBODY, OWNER, START, Inbox, StoreKit, batch, inbound, user
from tgworker.messaging.errors import AccountGone
from tgworker.messaging.models import CONFIG_UNREADABLE, AccountId, AccountState
from tgworker.messaging.records import OutboxState, Replacement


async def test_active_accounts_are_those_the_owner_has_switched_on_in_a_stable_order(kit: StoreKit) -> None:
    ids = [
        await kit.store.add_account(f"n{number}", OWNER, f"token-{number}", user_id=number)
        for number in range(5)
    ]
    kit.app.update("integration_accounts", ids[2], is_active=False)
    accounts = await kit.store.active_accounts()
    assert [account.id for account in accounts] == [ids[0], ids[1], ids[3], ids[4]]
    assert [account.secrets_encrypted for account in accounts] == ["token-0", "token-1", "token-3", "token-4"]
    assert accounts == await kit.store.active_accounts()


async def test_an_account_that_the_application_inserts_is_active_with_its_config(kit: StoreKit) -> None:
    account = kit.app.insert(
        "integration_accounts",
        owner_id=OWNER,
        type="telegram_user",
        secrets_encrypted="token",
        config='{"proxy": "socks5://127.0.0.1:1080"}',
    )
    kit.app.insert("integration_accounts", owner_id=OWNER, type="whatsapp", secrets_encrypted="x")
    (found,) = await kit.store.active_accounts()
    assert (found.id, found.name, found.secrets_encrypted) == (account, None, "token")
    assert found.config == {"proxy": "socks5://127.0.0.1:1080"}


@pytest.mark.parametrize(
    ("config", "read"),
    [
        ("", {}),
        ("null", {}),
        ("{broken", {CONFIG_UNREADABLE: True}),
        ("[1]", {CONFIG_UNREADABLE: True}),
        ('"socks5://127.0.0.1:1080"', {CONFIG_UNREADABLE: True}),
    ],
)
async def test_a_config_that_is_no_object_is_not_taken_for_none(
    kit: StoreKit, config: str, read: Mapping[str, Any]
) -> None:
    """It may be meant to name a proxy: nothing goes past one."""
    kit.app.insert(
        "integration_accounts", owner_id=OWNER, type="telegram_user", secrets_encrypted="t", config=config
    )
    (found,) = await kit.store.active_accounts()
    assert found.config == read


async def test_an_account_is_added_with_its_config_and_keeps_it_at_the_next_login(
    kit: StoreKit, inbox: Inbox
) -> None:
    config = {"proxy": "socks5://127.0.0.1:1080"}
    await kit.store.add_account("bob", OWNER, "token", user_id=2, config=config)
    await kit.store.add_account(None, OWNER, "other", user_id=2)
    (bob,) = [found for found in await kit.store.active_accounts() if found.name == "bob"]
    assert (bob.secrets_encrypted, bob.config) == ("other", config)
    await kit.store.add_account(None, OWNER, "other", user_id=2, config={"device_model": "Desk"})
    assert [found.config for found in await kit.store.active_accounts()] == [{}, {"device_model": "Desk"}]


async def test_what_the_worker_says_of_an_account_is_stored(kit: StoreKit, inbox: Inbox) -> None:
    await kit.store.record_account(inbox.account, AccountState.ONLINE, last_error=None, user_id=77)
    kit.calendar.advance(5)
    await kit.store.record_account(inbox.account, AccountState.NEEDS_LOGIN, last_error="SESSION_REVOKED")
    (record,) = await kit.store.list_accounts()
    assert (record.state, record.user_id, record.last_error) == (
        AccountState.NEEDS_LOGIN,
        77,
        "SESSION_REVOKED",
    )
    assert record.last_sync_at == datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    row = kit.app.row("integration_accounts", inbox.account)
    assert row is not None
    assert row["last_error"] == "SESSION_REVOKED"


async def test_synced_accounts_are_stamped_and_others_not(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    await kit.store.record_synced([inbox.account])
    stamps = {record.account.id: record.last_sync_at for record in await kit.store.list_accounts()}
    assert stamps == {inbox.account: START, other: None}


async def test_recording_an_account_that_was_removed_does_nothing(kit: StoreKit, inbox: Inbox) -> None:
    kit.app.delete("integration_accounts", inbox.account)
    await kit.store.record_account(inbox.account, AccountState.ONLINE, last_error=None, user_id=1)
    assert list(await kit.store.list_accounts()) == []


async def test_logging_in_again_replaces_the_session_and_wakes_the_account(
    kit: StoreKit, inbox: Inbox
) -> None:
    await kit.store.record_account(inbox.account, AccountState.NEEDS_LOGIN, last_error="SESSION_REVOKED")
    kit.app.update("integration_accounts", inbox.account, is_active=False)
    again = await kit.store.add_account(None, OWNER, "token-2", user_id=1)
    assert again == inbox.account
    (record,) = await kit.store.list_accounts()
    assert record.account.secrets_encrypted == "token-2"
    assert (record.account.name, record.phone) == ("ada", "442079460000")
    assert (record.is_active, record.state, record.last_error) == (True, AccountState.WAITING, None)


async def test_an_account_is_found_by_uuid_name_and_phone(kit: StoreKit, inbox: Inbox) -> None:
    await kit.store.add_account("bob", OWNER, "token", user_id=2)
    for text in (inbox.account, inbox.account.upper(), "ada", "+442079460000", "44 20 7946-0000", " ada "):
        record = await kit.store.find_account(text)
        assert record is not None
        assert record.account.id == inbox.account
    for text in ("", "Ada?", inbox.account[:8], "447", "+44", "\udcff", "\0"):
        assert await kit.store.find_account(text) is None


async def test_a_name_belongs_to_one_account(kit: StoreKit, inbox: Inbox) -> None:
    with pytest.raises(Exception, match="'ada'"):
        await kit.store.add_account("ada", OWNER, "token", user_id=2)
    assert len(await kit.store.list_accounts()) == 1


async def test_secrets_and_phones_show_in_no_repr(kit: StoreKit, inbox: Inbox) -> None:
    text = repr(await kit.store.list_accounts())
    assert "token" not in text
    assert "7946" not in text


async def test_the_owners_switch_is_turned_and_tells_whether_it_stood_otherwise(
    kit: StoreKit, inbox: Inbox
) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    assert await kit.store.switch_account(inbox.account, active=True) is False
    assert await kit.store.switch_account(inbox.account, active=False) is True
    assert await kit.store.switch_account(inbox.account, active=False) is False
    assert [account.id for account in await kit.store.active_accounts()] == [other]
    assert {record.account.id: record.is_active for record in await kit.store.list_accounts()} == {
        inbox.account: False,
        other: True,
    }
    assert await kit.store.switch_account(inbox.account, active=True) is True
    assert len(await kit.store.active_accounts()) == 2


async def test_no_switch_is_turned_that_is_not_there(kit: StoreKit) -> None:
    mail = kit.app.insert("integration_accounts", owner_id=OWNER, type="whatsapp", secrets_encrypted="x")
    for account in (NOBODY, mail):
        with pytest.raises(AccountGone):
            await kit.store.switch_account(AccountId(account), active=True)


async def test_a_session_is_replaced_only_by_who_read_it_last(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    assert await kit.store.replace_session(inbox.account, "token", "anew") is Replacement.REPLACED
    assert await kit.store.replace_session(inbox.account, "token", "late") is Replacement.CHANGED
    assert await kit.store.replace_session(AccountId(NOBODY), "token", "x") is Replacement.CHANGED
    sessions = {account.id: account.secrets_encrypted for account in await kit.store.active_accounts()}
    assert sessions == {inbox.account: "anew", other: "token"}


async def test_an_account_goes_with_what_is_only_ours_and_its_messages_stay(
    kit: StoreKit, inbox: Inbox
) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    chat = inbox.chat("500")
    sent, waiting = inbox.write(chat, "sent"), inbox.write(chat, "waiting")
    await inbox.send(await inbox.claim_one(), 7)
    await kit.store.ingest(inbox.account, batch(inbound(600, 1, "hello"), peers=[user(600)]))
    assert await kit.store.remove_account(inbox.account) is True
    assert await kit.store.remove_account(inbox.account) is False
    assert [record.account.id for record in await kit.store.list_accounts()] == [other]
    await kit.store.turn((), {other: 1}, known=())  # (where triggers only note it, the next turn does it)
    rows = {row["text"]: row for row in kit.app.rows("messages")}
    assert set(rows) == {"sent", "waiting", "hello"}
    assert len(kit.app.rows("conversations")) == 2
    outcomes = await kit.store.outcomes([sent, waiting])
    assert outcomes[sent].state is OutboxState.SENT
    assert (outcomes[waiting].state, outcomes[waiting].error) == (OutboxState.DEAD, "its account was removed")


async def test_a_removed_accounts_name_and_telegram_user_are_free_at_once(
    kit: StoreKit, inbox: Inbox
) -> None:
    await kit.store.remove_account(inbox.account)
    again = await kit.store.add_account("ada", OWNER, "token", user_id=1, phone="+44 20 7946 0000")
    assert again != inbox.account
    (record,) = await kit.store.list_accounts()
    assert (record.account.id, record.account.name, record.is_active) == (again, "ada", True)


async def test_nobody_holds_an_account_that_no_worker_asked_for(kit: StoreKit, inbox: Inbox) -> None:
    assert await kit.store.held_s(inbox.account) == 0
    assert await kit.store.held_s(AccountId(NOBODY)) == 0
