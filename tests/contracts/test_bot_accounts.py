"""Bots in the store: rows of type ``telegram_bot`` are accounts like others, and are never chosen unasked."""

from contracts.store_kit import OWNER, Inbox, StoreKit
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.records import OutboxState, Replacement


async def test_a_bot_is_added_listed_found_switched_and_removed(kit: StoreKit) -> None:
    bot = await kit.store.add_account("helper", OWNER, "token", user_id=7, kind=AccountKind.BOT)
    row = kit.app.row("integration_accounts", bot)
    assert row is not None
    assert row["type"] == "telegram_bot"
    (active,) = await kit.store.active_accounts()
    (listed,) = await kit.store.list_accounts()
    assert (active.id, active.kind, listed.account.kind) == (bot, AccountKind.BOT, AccountKind.BOT)
    found = await kit.store.find_account("helper")
    assert found is not None
    assert (found.account.id, found.account.kind) == (bot, AccountKind.BOT)
    assert await kit.store.replace_session(bot, "token", "sealed") is Replacement.REPLACED
    assert await kit.store.switch_account(bot, active=False)
    assert await kit.store.active_accounts() == []
    assert await kit.store.remove_account(bot)
    assert list(await kit.store.list_accounts()) == []


async def test_a_bot_that_the_application_inserts_is_one(kit: StoreKit) -> None:
    bot = kit.app.insert(
        "integration_accounts", owner_id=OWNER, type="telegram_bot", secrets_encrypted="token"
    )
    (found,) = await kit.store.active_accounts()
    assert (found.id, found.kind) == (bot, AccountKind.BOT)


async def test_logging_in_again_keeps_the_row_and_corrects_its_type(kit: StoreKit) -> None:
    bot = await kit.store.add_account("helper", OWNER, "token", user_id=7)
    again = await kit.store.add_account(None, OWNER, "new", user_id=7, kind=AccountKind.BOT)
    (record,) = await kit.store.list_accounts()
    assert (again, record.account.kind, record.account.name) == (bot, AccountKind.BOT, "helper")
    assert record.account.secrets_encrypted == "new"


async def test_what_names_a_bot_is_the_bot_s_and_so_is_what_follows_in_the_conversation(
    inbox: Inbox,
) -> None:
    bot = await inbox.store.add_account("helper", OWNER, "token", user_id=7, kind=AccountKind.BOT)
    chat = inbox.chat("500")
    named = inbox.write(chat, "named", integration_account_id=bot)
    helper = Inbox(inbox.kit, bot)
    attempt = await helper.claim_one()
    assert (attempt.message_id, attempt.account_id) == (named, bot)
    await helper.send(attempt, 3)
    follows = inbox.write(chat, "follows", integration_account_id=None)
    assert await inbox.claim() == []
    assert (await helper.claim_one()).message_id == follows


async def test_a_bot_is_not_taken_for_who_writes_first(inbox: Inbox) -> None:
    await inbox.store.add_account("helper", OWNER, "token", user_id=7, kind=AccountKind.BOT)
    first = inbox.write(inbox.chat("500"), "hello", integration_account_id=None)
    attempt = await inbox.claim_one()
    assert (attempt.message_id, attempt.account_id) == (first, inbox.account)


async def test_an_owner_with_nothing_but_a_bot_has_to_name_it(inbox: Inbox) -> None:
    await inbox.store.remove_account(inbox.account)
    bot = await inbox.store.add_account("h", OWNER, "t", user_id=7, kind=AccountKind.BOT)
    message = inbox.write(inbox.chat("500"), "hello", integration_account_id=None)
    assert await Inbox(inbox.kit, bot).claim() == []
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, (record.error or "").partition(":")[0]) == (OutboxState.DEAD, "no account")
