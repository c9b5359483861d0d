"""Presence is kept for the owner's contacts, in one call for all accounts; what it does not say is left."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, StoreKit, batch, inbound, user
from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import Presence

GROUP = -77


async def say(inbox: Inbox, *items: Presence) -> None:
    await inbox.store.record_presence({inbox.account: items})


def row(kit: StoreKit, chat_id: int, owner: str = OWNER) -> Mapping[str, Any]:
    (identity,) = kit.app.rows("contact_identities", value=str(chat_id), owner_id=owner)
    (found,) = kit.app.rows("presence_status", contact_identity_id=identity["id"])
    assert found["owner_id"] == owner
    return found


def conversation(kit: StoreKit, chat_id: int) -> str:
    (identity,) = kit.app.rows("contact_identities", value=str(chat_id))
    (found,) = kit.app.rows("conversations", primary_identity_id=identity["id"])
    return str(found["id"])


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


async def test_only_contacts_are_kept(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1)))
    await say(inbox, Presence(500, is_online=True), Presence(999, is_online=True))
    (found,) = inbox.kit.app.rows("presence_status")
    assert found == row(inbox.kit, 500)
    assert (bool(found["is_online"]), bool(found["is_typing"])) == (True, False)
    assert found["conversation_id"] == conversation(inbox.kit, 500)
    assert found["typing_expires_at"] is None
    assert moment(found["updated_at"]) == START


async def test_what_is_not_said_is_left(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1)))
    seen = START - timedelta(hours=1)
    await say(inbox, Presence(500, is_online=False, last_seen_at=seen))
    inbox.kit.calendar.advance(60)
    await say(inbox, Presence(500, is_typing=True))
    found = row(inbox.kit, 500)
    assert (bool(found["is_online"]), moment(found["last_seen_at"])) == (False, seen)
    assert moment(found["updated_at"]) == START + timedelta(seconds=60)
    await say(inbox, Presence(500, is_online=True))
    found = row(inbox.kit, 500)
    assert (bool(found["is_online"]), bool(found["is_typing"])) == (True, True)
    assert moment(found["last_seen_at"]) == seen


async def test_typing_counts_for_a_while_and_ends_when_it_is_said(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1), inbound(501, 1)))
    await say(inbox, Presence(500, is_typing=True), Presence(501, is_typing=True, typing_for_s=30))
    assert moment(row(inbox.kit, 500)["typing_expires_at"]) == START + timedelta(seconds=5)
    assert moment(row(inbox.kit, 501)["typing_expires_at"]) == START + timedelta(seconds=30)
    await say(inbox, Presence(500, is_typing=False))
    found = row(inbox.kit, 500)
    assert (bool(found["is_typing"]), found["typing_expires_at"]) == (False, None)
    assert bool(row(inbox.kit, 501)["is_typing"])


async def test_who_types_in_a_group_types_in_its_conversation(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1), inbound(GROUP, 2, sender_id=500)))
    own, common = conversation(inbox.kit, 500), conversation(inbox.kit, GROUP)
    await say(inbox, Presence(500, is_typing=True, typing_in=GROUP))
    assert row(inbox.kit, 500)["conversation_id"] == common
    await say(inbox, Presence(500, is_online=True))
    assert row(inbox.kit, 500)["conversation_id"] == common
    await say(inbox, Presence(500, is_typing=False))
    assert row(inbox.kit, 500)["conversation_id"] == own
    await say(inbox, Presence(500, is_typing=True, typing_in=-4321))  # a group without a conversation
    assert row(inbox.kit, 500)["conversation_id"] == own


async def test_somebody_without_a_conversation_of_his_own_types_in_the_group(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 2, sender_id=500)))
    await say(inbox, Presence(500, is_online=True))
    assert row(inbox.kit, 500)["conversation_id"] is None
    await say(inbox, Presence(500, is_typing=True, typing_in=GROUP))
    await say(inbox, Presence(500, is_typing=False))
    assert row(inbox.kit, 500)["conversation_id"] == conversation(inbox.kit, GROUP)


async def test_one_call_is_for_all_accounts_and_the_last_word_of_an_owners_counts(
    kit: StoreKit, inbox: Inbox
) -> None:
    second = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    stranger = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=3)
    for account in (inbox.account, stranger):
        await kit.store.ingest(account, batch(inbound(500, 1)))
    await kit.store.record_presence(
        {
            inbox.account: [
                Presence(500, is_online=False, is_typing=True),
                Presence(500, is_online=True, last_seen_at=START),
            ],
            second: [Presence(500, is_online=False)],
            stranger: [Presence(500, is_online=True)],
            AccountId(str(uuid4())): [Presence(500, is_online=True)],  # gone
        }
    )
    mine, theirs = row(kit, 500), row(kit, 500, OTHER_OWNER)
    assert (bool(mine["is_online"]), bool(mine["is_typing"])) == (False, True)
    assert moment(mine["last_seen_at"]) == START
    assert (bool(theirs["is_online"]), bool(theirs["is_typing"])) == (True, False)


async def test_the_same_again_adds_no_row(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1)))
    for _ in range(2):
        await say(inbox, Presence(500, is_online=True))
    await say(inbox)
    assert len(inbox.kit.app.rows("presence_status")) == 1


async def test_who_is_shown_online_or_typing_is_known_to_the_next_process(
    kit: StoreKit, inbox: Inbox
) -> None:
    second = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    stranger = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=3)
    people = [user(number) for number in (500, 501, 502, 503)]
    messages = [inbound(number, number) for number in (500, 501, 502, 503, 504)]
    await inbox.store.ingest(inbox.account, batch(*messages, peers=people))
    await inbox.store.ingest(second, batch(peers=[user(501)]))
    seen = START - timedelta(hours=1)
    await say(
        inbox,
        Presence(500, is_online=True),
        Presence(501, is_online=False, last_seen_at=seen, is_typing=True),
        Presence(502, is_online=False),
        Presence(504, is_online=True),  # nobody whom an account could be told of
    )
    inbox.kit.calendar.advance(60)
    store = inbox.kit.take_over()
    shown = await store.shown([inbox.account, second, stranger, AccountId(str(uuid4()))])
    typing = Presence(501, is_online=False, last_seen_at=seen, is_typing=True)
    assert {account: sorted(some, key=lambda item: item.chat_id) for account, some in shown.items()} == {
        inbox.account: [Presence(500, is_online=True, last_seen_at=START, is_typing=False), typing],
        second: [typing],
    }
    assert await store.shown([stranger]) == {}
