"""Enqueuing and listing, as the commands do."""

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, StoreKit, user
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import OutboxState


async def test_enqueuing_does_what_the_application_does(inbox: Inbox) -> None:
    (message,) = await inbox.store.enqueue(inbox.account, "500", ["hi"])
    row = inbox.message(message)
    assert (row["owner_id"], row["integration_account_id"]) == (OWNER, inbox.account)
    assert (row["direction"], row["channel"], row["text"]) == ("outbound", "telegram", "hi")
    assert row["external_message_id"].startswith("local-")
    (identity,) = inbox.kit.app.rows("contact_identities")
    assert (identity["value"], row["identity_id"]) == ("500", identity["id"])
    attempt = await inbox.claim_one()
    assert (attempt.message_id, attempt.to, attempt.text) == (message, "500", "hi")


async def test_many_lines_keep_their_order(inbox: Inbox) -> None:
    texts = [f"line {number}" for number in range(1234)]
    ids = await inbox.store.enqueue(inbox.account, "500", texts)
    assert len(set(ids)) == 1234
    records = await inbox.store.list_outbox(limit=2000)
    assert [record.message_id for record in records] == list(ids)
    assert [inbox.message(message)["text"] for message in ids[498:502]] == texts[498:502]


async def test_one_recipient_is_one_conversation_however_it_is_written(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500, username="Ada", phone="442079460001")])
    for to in ("500", "@ada", "@Ada", "+44 20 7946 0001", " 500 "):
        await inbox.store.enqueue(inbox.account, to, ["hi"])
    (conversation,) = inbox.kit.app.rows("conversations")
    await inbox.store.enqueue(inbox.account, conversation["id"], ["hi"])
    assert len(inbox.kit.app.rows("conversations")) == 1
    assert len(inbox.kit.app.rows("messages", conversation_id=conversation["id"])) == 6


async def test_names_that_nobody_knows_yet_are_kept_for_the_worker_to_resolve(inbox: Inbox) -> None:
    await inbox.store.enqueue(inbox.account, "@Grace_H", ["hi"])
    await inbox.store.enqueue(inbox.account, "+442079460009", ["hi"])
    await inbox.store.enqueue(inbox.account, "-1001234567890", ["hi"])
    assert [attempt.to for attempt in await inbox.claim()] == ["@grace_h", "+442079460009", "-1001234567890"]


@pytest.mark.parametrize(
    "to",
    [
        "",
        "ada",
        "@",
        "@with space",
        "@'; drop table messages; --",
        "+12",
        "+abc",
        "0",
        "@bad\udcff",
        "\udcff",
        "5\0",
        "12.5",
        "--5",
        "9" * 25,
        "00000000-0000-4000-8000-000000000000",
    ],
)
async def test_an_impossible_recipient_is_refused_in_one_line(inbox: Inbox, to: str) -> None:
    with pytest.raises(Exception, match=r"recipient|conversation") as caught:
        await inbox.store.enqueue(inbox.account, to, ["hi"])
    assert "\n" not in str(caught.value)
    assert inbox.kit.app.rows("messages") == []


async def test_another_owners_conversation_is_no_recipient(kit: StoreKit, inbox: Inbox) -> None:
    foreign = kit.app.insert("conversations", owner_id=OTHER_OWNER)
    with pytest.raises(Exception, match="no conversation"):
        await kit.store.enqueue(inbox.account, foreign, ["hi"])


async def test_a_text_that_no_database_keeps_loses_only_that(inbox: Inbox) -> None:
    (message,) = await inbox.store.enqueue(inbox.account, "500", ["caf\udce9 \0 good"])
    assert inbox.message(message)["text"] == "caf? \ufffd good"


async def test_unknown_rows_have_no_outcome(inbox: Inbox) -> None:
    (message,) = await inbox.store.enqueue(inbox.account, "500", ["hi"])
    outcomes = await inbox.store.outcomes([message, MessageId("nobody")])
    assert list(outcomes) == [message]
    assert outcomes[message].state is OutboxState.WAITING
    assert not outcomes[message].state.settled


async def test_the_listing_shows_no_text_and_respects_its_limit(inbox: Inbox) -> None:
    await inbox.store.enqueue(inbox.account, "500", ["secret words"] * 3)
    listed = await inbox.store.list_outbox([OutboxState.WAITING], limit=2)
    assert [record.seq for record in listed] == [1, 2]
    assert "secret" not in repr(listed)
    assert list(await inbox.store.list_outbox([OutboxState.DEAD])) == []
