"""A basic group that becomes a supergroup goes on in its conversation."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, StoreKit, batch, inbound
from tgworker.messaging.models import ChatMessage, JobId, Peer, PeerKind
from tgworker.messaging.outcomes import Settled, Unknown, Unresolved
from tgworker.messaging.records import OutboxState
from tgworker.messaging.update_batches import Gap

GROUP = -77
SUPERGROUP = -1_000_000_000_088
PERSON = 501

MOVED = inbound(
    GROUP, 12, "", message_type="service_migrate", sender_id=PERSON, raw_payload={"migrated_to": SUPERGROUP}
)
BEGUN = inbound(
    SUPERGROUP, 1, "", message_type="service_migrate", sender_id=PERSON, raw_payload={"migrated_from": GROUP}
)


def peer(chat_id: int, title: str) -> Peer:
    kind = PeerKind.CHAT if chat_id == GROUP else PeerKind.CHANNEL
    return Peer(chat_id, kind, access_hash=None if chat_id == GROUP else 9, title=title)


def said(chat: int, telegram_id: int, text: str) -> ChatMessage:
    return inbound(chat, telegram_id, text, sender_id=PERSON)


def conversations(inbox: Inbox) -> Sequence[Any]:
    return inbox.kit.app.rows("conversations", owner_id=OWNER)


def value(inbox: Inbox, identity_id: str) -> str:
    row = inbox.kit.app.row("contact_identities", identity_id)
    assert row is not None
    return str(row["value"])


@pytest.mark.parametrize("order", [(MOVED, BEGUN), (BEGUN, MOVED), (MOVED,), (BEGUN,)])
@pytest.mark.parametrize("at_once", [True, False])
async def test_its_conversation_goes_on(inbox: Inbox, order: tuple[ChatMessage, ...], at_once: bool) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before"), peers=[peer(GROUP, "Friends")]))
    after = said(SUPERGROUP, 2, "after")
    for batch_of in [[*order, after]] if at_once else [[each] for each in (*order, after)]:
        await inbox.store.ingest(inbox.account, batch(*batch_of))
    (conversation,) = conversations(inbox)
    assert value(inbox, conversation["primary_identity_id"]) == str(SUPERGROUP)
    texts = {row["text"]: row["conversation_id"] for row in inbox.kit.app.rows("messages")}
    assert texts["before"] == texts["after"] == conversation["id"]
    (identity,) = inbox.kit.app.rows("contact_identities", value=str(SUPERGROUP))
    assert json.loads(identity["metadata"]) == {"title": "Friends", "is_group": True}
    # What the group's history still has belongs there, too, under its own numbers.
    assert await inbox.store.ingest(inbox.account, batch(said(GROUP, 2, "long ago"))) == 1
    assert len(conversations(inbox)) == 1
    assert await inbox.store.find_messages(inbox.account, [2], chat_id=GROUP) != (
        await inbox.store.find_messages(inbox.account, [2], chat_id=SUPERGROUP)
    )


@pytest.mark.parametrize("first", [MOVED, BEGUN])
async def test_a_group_that_was_never_heard_of_has_one_conversation(inbox: Inbox, first: ChatMessage) -> None:
    await inbox.store.ingest(inbox.account, batch(first))
    await inbox.store.ingest(inbox.account, batch(said(SUPERGROUP, 2, "new"), said(GROUP, 3, "old")))
    (conversation,) = conversations(inbox)
    assert value(inbox, conversation["primary_identity_id"]) == str(SUPERGROUP)


async def test_a_gap_of_the_supergroup_is_filled_where_the_group_goes_on(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before"), peers=[peer(GROUP, "Friends")]))
    await inbox.store.ingest(inbox.account, batch(MOVED, gaps=[Gap(SUPERGROUP, None)]))
    (conversation,) = conversations(inbox)
    assert value(inbox, conversation["primary_identity_id"]) == str(SUPERGROUP)
    (job,) = inbox.kit.app.rows("sync_history_jobs", telegram_id=str(SUPERGROUP))
    assert job["conversation_id"] == conversation["id"]


async def test_a_history_tells_of_it_as_well(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before")))
    job_id = inbox.kit.app.insert(
        "sync_history_jobs", owner_id=OWNER, integration_account_id=inbox.account, telegram_id=str(GROUP)
    )
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert job.id == JobId(job_id)
    await inbox.store.save_history(job, [MOVED], [])
    (conversation,) = conversations(inbox)
    assert value(inbox, conversation["primary_identity_id"]) == str(SUPERGROUP)


async def test_what_waits_goes_to_the_supergroup(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before"), peers=[peer(GROUP, "F")]))
    (conversation,) = conversations(inbox)
    inbox.write(conversation["id"], "first")
    inbox.write(conversation["id"], "second")
    attempt = await inbox.claim_one()
    assert attempt.to == str(GROUP)
    await inbox.store.turn([Settled(attempt, Unresolved("x"))], {}, known=())
    await inbox.store.ingest(inbox.account, batch(MOVED, BEGUN, peers=[peer(SUPERGROUP, "F")]))
    for telegram_id in (5, 6):
        attempt = await inbox.claim_one()
        assert (attempt.to, attempt.peer) == (str(SUPERGROUP), peer(SUPERGROUP, "F"))
        await inbox.send(attempt, telegram_id)
    found = await inbox.store.find_messages(inbox.account, [5, 6], chat_id=SUPERGROUP)
    assert len(found) == 2


async def test_what_the_group_may_have_is_left_to_a_person(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before"), peers=[peer(GROUP, "F")]))
    (conversation,) = conversations(inbox)
    doubtful = inbox.write(conversation["id"], "perhaps")
    behind = inbox.write(conversation["id"], "behind it")
    await inbox.store.turn([Settled(await inbox.claim_one(), Unknown("timeout"))], {}, known=())
    await inbox.store.ingest(inbox.account, batch(MOVED, peers=[peer(SUPERGROUP, "F")]))
    record = (await inbox.store.outcomes([doubtful]))[doubtful]
    assert record.state is OutboxState.UNSURE
    assert record.error is not None
    assert "supergroup" in record.error
    assert (await inbox.claim_one()).message_id == behind


async def test_another_owners_group_is_another(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    for account in (inbox.account, bob):
        await kit.store.ingest(account, batch(said(GROUP, 11, "before")))
    await kit.store.ingest(inbox.account, batch(MOVED))
    (other,) = kit.app.rows("conversations", owner_id=OTHER_OWNER)
    assert value(inbox, other["primary_identity_id"]) == str(GROUP)


async def test_a_second_account_in_the_group_finds_it_moved(kit: StoreKit, inbox: Inbox) -> None:
    eve = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    for account in (inbox.account, eve):
        await kit.store.ingest(account, batch(said(GROUP, 11, "before")))
    await kit.store.ingest(inbox.account, batch(MOVED, BEGUN))
    await kit.store.ingest(eve, batch(said(GROUP, 13, "the last"), said(SUPERGROUP, 2, "the first")))
    await kit.store.ingest(eve, batch(MOVED, BEGUN))
    assert len(conversations(inbox)) == 1


async def test_two_conversations_that_there_are_stay_two(inbox: Inbox) -> None:
    later = inbound(SUPERGROUP, 3, "came first", sender_id=PERSON, sent_at=START.replace(hour=13))
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before"), later))
    await inbox.store.ingest(inbox.account, batch(MOVED, BEGUN, said(SUPERGROUP, 4, "after")))
    assert len(conversations(inbox)) == 2
    assert {value(inbox, row["primary_identity_id"]) for row in conversations(inbox)} == {str(SUPERGROUP)}
    texts = {row["text"]: row["conversation_id"] for row in inbox.kit.app.rows("messages")}
    assert texts["came first"] == texts["after"] != texts["before"]


@pytest.mark.parametrize("rubbish", ["-77", None, True, 1.5, 10, -77, -1_000_000_000_001])
async def test_rubbish_moves_nothing(inbox: Inbox, rubbish: object) -> None:
    await inbox.store.ingest(inbox.account, batch(said(GROUP, 11, "before")))
    message = inbound(PERSON, 12, "", message_type="service_migrate", raw_payload={"migrated_to": rubbish})
    other = inbound(
        GROUP,
        13,
        "",
        message_type="service_migrate",
        sender_id=PERSON,
        raw_payload={"migrated_from": rubbish},
    )
    assert await inbox.store.ingest(inbox.account, batch(message, other)) == 2
    assert {value(inbox, row["primary_identity_id"]) for row in conversations(inbox)} == {
        str(GROUP),
        str(PERSON),
    }
