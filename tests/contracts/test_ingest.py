"""What arrives: contacts, conversations, messages, unread counts, peers, positions."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import RFC_4122, UUID

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, StoreKit, batch, inbound, outgoing, user
from tgworker.messaging.models import Peer, PeerKind, Position

GROUP = -400
CHANNEL = -1001234567890


async def test_a_first_message_makes_contact_conversation_and_message(inbox: Inbox) -> None:
    peer = user(500, "Ada", last_name="Lovelace", username="ada")
    message = inbound(500, 70, "hello", raw_payload={"entities": [{"type": "bold"}]})
    assert await inbox.store.ingest(inbox.account, batch(message, peers=[peer])) == 1
    (identity,) = inbox.kit.app.rows("contact_identities")
    assert (identity["owner_id"], identity["type"], identity["value"]) == (OWNER, "telegram_user", "500")
    assert json.loads(identity["metadata"]) == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": "ada",
        "is_group": False,
    }
    (conversation,) = inbox.kit.app.rows("conversations")
    assert conversation["owner_id"] == OWNER
    assert conversation["primary_identity_id"] == identity["id"]
    assert (conversation["unread_count"], conversation["last_message_preview"]) == (1, "hello")
    assert conversation["last_channel"] == "telegram"
    (row,) = inbox.kit.app.rows("messages")
    assert row["conversation_id"] == conversation["id"]
    assert row["identity_id"] == identity["id"]
    assert row["integration_account_id"] == inbox.account
    assert (row["direction"], row["channel"], row["text"]) == ("inbound", "telegram", "hello")
    assert (row["external_message_id"], row["message_type"]) == ("70", "text")
    assert json.loads(row["raw_payload"]) == {"entities": [{"type": "bold"}]}


async def test_the_same_batch_again_changes_nothing(inbox: Inbox) -> None:
    some = batch(inbound(500, 70), outgoing(500, 71), inbound(GROUP, 72, sender_id=501), peers=[user(500)])
    assert await inbox.store.ingest(inbox.account, some) == 3
    before = {
        table: inbox.kit.app.rows(table) for table in ("contact_identities", "conversations", "messages")
    }
    assert await inbox.store.ingest(inbox.account, some) == 0
    after = {
        table: inbox.kit.app.rows(table) for table in ("contact_identities", "conversations", "messages")
    }
    assert after == before


async def test_a_batch_that_overlaps_the_last_one_adds_what_is_new(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), inbound(500, 71)))
    assert await inbox.store.ingest(inbox.account, batch(inbound(500, 71), inbound(500, 72, "last"))) == 1
    (conversation,) = inbox.kit.app.rows("conversations")
    assert (conversation["unread_count"], conversation["last_message_preview"]) == (3, "last")


async def test_a_message_twice_in_one_batch_is_one_message(inbox: Inbox) -> None:
    assert await inbox.store.ingest(inbox.account, batch(inbound(500, 70), inbound(500, 70))) == 1


async def test_the_same_number_in_another_chat_or_account_is_another_message(
    kit: StoreKit, inbox: Inbox
) -> None:
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    assert await kit.store.ingest(inbox.account, batch(inbound(500, 70), inbound(CHANNEL, 70))) == 2
    assert await kit.store.ingest(bob, batch(inbound(500, 70))) == 1
    assert len(kit.app.rows("messages")) == 3


async def test_own_messages_from_other_devices_are_stored_once_and_never_sent(inbox: Inbox) -> None:
    assert await inbox.store.ingest(inbox.account, batch(outgoing(500, 70, "from my phone"))) == 1
    assert await inbox.store.ingest(inbox.account, batch(outgoing(500, 70, "from my phone"))) == 0
    (row,) = inbox.kit.app.rows("messages")
    assert (row["direction"], row["external_message_id"]) == ("outbound", "70")
    (conversation,) = inbox.kit.app.rows("conversations")
    assert (conversation["unread_count"], conversation["last_message_preview"]) == (0, "from my phone")
    assert await inbox.claim() == []


async def test_in_a_group_the_conversation_is_the_groups_and_the_message_its_senders(inbox: Inbox) -> None:
    peers = [Peer(GROUP, PeerKind.CHAT, title="Analysts"), user(501, "Grace")]
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 70, sender_id=501), peers=peers))
    identities = {row["value"]: row for row in inbox.kit.app.rows("contact_identities")}
    assert json.loads(identities[str(GROUP)]["metadata"]) == {"title": "Analysts", "is_group": True}
    (conversation,) = inbox.kit.app.rows("conversations")
    assert conversation["primary_identity_id"] == identities[str(GROUP)]["id"]
    (row,) = inbox.kit.app.rows("messages")
    assert row["identity_id"] == identities["501"]["id"]


async def test_strangers_without_a_peer_are_contacts_without_a_name(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 70, sender_id=None), inbound(500, 71)))
    metadata = {row["value"]: json.loads(row["metadata"]) for row in inbox.kit.app.rows("contact_identities")}
    assert metadata == {str(GROUP): {"is_group": True}, "500": {"is_group": False}}


async def test_a_changed_name_changes_the_contact_and_leaves_the_rest(inbox: Inbox) -> None:
    await inbox.store.ingest(
        inbox.account, batch(inbound(500, 70), peers=[user(500, "Ada", last_name="Byron", username="ada")])
    )
    (identity,) = inbox.kit.app.rows("contact_identities")
    metadata = {**json.loads(identity["metadata"]), "avatar_url": "https://example.org/a.jpg"}
    inbox.kit.app.update("contact_identities", identity["id"], metadata=json.dumps(metadata))
    await inbox.store.ingest(inbox.account, batch(peers=[user(500, "Ada", last_name="Lovelace")]))
    (identity,) = inbox.kit.app.rows("contact_identities")
    assert json.loads(identity["metadata"]) == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "is_group": False,
        "avatar_url": "https://example.org/a.jpg",
    }


async def test_a_peer_without_a_name_takes_no_name_away(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), peers=[user(500, "Ada")]))
    await inbox.store.save_peers(inbox.account, [Peer(500, PeerKind.USER, access_hash=9)])
    assert await inbox.store.peers(inbox.account) == [replace(user(500, "Ada"), access_hash=9)]
    await inbox.store.save_peers(inbox.account, [Peer(500, PeerKind.USER, access_hash=None)])
    assert await inbox.store.peers(inbox.account) == [replace(user(500, "Ada"), access_hash=9)]
    await inbox.store.save_peers(inbox.account, [Peer(500, PeerKind.USER, first_name="Augusta")])
    assert await inbox.store.peers(inbox.account) == [replace(user(500, "Augusta"), access_hash=9)]


async def test_access_hashes_belong_to_their_account(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    await kit.store.save_peers(inbox.account, [user(500)])
    assert await kit.store.peers(bob) == []


async def test_ids_of_64_bits_survive(inbox: Inbox) -> None:
    extremes = [
        Peer(-1009999999999999, PeerKind.CHANNEL, access_hash=-(2**63), title="Far"),
        Peer(2**52, PeerKind.USER, access_hash=2**63 - 1, first_name="Wide"),
    ]
    await inbox.store.save_peers(inbox.account, extremes)
    assert await inbox.store.peers(inbox.account) == extremes


async def test_an_existing_conversation_of_the_contact_is_used(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70)))
    assert [row["id"] for row in inbox.kit.app.rows("conversations")] == [chat]


async def test_older_messages_do_not_take_over_the_preview(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 71, "newer")))
    older = inbound(500, 70, "older", sent_at=START - timedelta(seconds=1))
    await inbox.store.ingest(inbox.account, batch(older))
    (conversation,) = inbox.kit.app.rows("conversations")
    assert (conversation["unread_count"], conversation["last_message_preview"]) == (2, "newer")


async def test_within_a_batch_the_newest_message_is_the_preview(inbox: Inbox) -> None:
    await inbox.store.ingest(
        inbox.account,
        batch(*(inbound(500, 70 + number, f"m{number}") for number in range(12)), inbound(501, 90, "other")),
    )
    previews = {
        row["last_message_preview"]: row["unread_count"] for row in inbox.kit.app.rows("conversations")
    }
    assert previews == {"m11": 12, "other": 1}


async def test_messages_are_stored_in_the_order_in_which_they_came(inbox: Inbox) -> None:
    texts = [f"m{number}" for number in range(250)]
    await inbox.store.ingest(
        inbox.account, batch(*(inbound(500 + n % 7, 1000 + n, text) for n, text in enumerate(texts)))
    )
    assert [row["text"] for row in inbox.kit.app.rows("messages")] == texts


async def test_what_a_person_deleted_does_not_come_back(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70)))
    (row,) = inbox.kit.app.rows("messages")
    inbox.kit.app.delete("messages", row["id"])
    assert await inbox.store.ingest(inbox.account, batch(inbound(500, 70))) == 0
    assert inbox.kit.app.rows("messages") == []


async def test_texts_come_back_as_they_were(inbox: Inbox) -> None:
    texts = [
        "Olá, tudo bem? 👩‍👩‍👧",
        "quotes \" and \\ and '",
        "line\nbreak\ttab",
        "",
        "x" * 4096,
        "\u2028\ufeff",
    ]
    await inbox.store.ingest(
        inbox.account, batch(*(inbound(500, 70 + number, text) for number, text in enumerate(texts)))
    )
    assert [row["text"] for row in inbox.kit.app.rows("messages")] == texts


async def test_a_nul_in_a_text_loses_nothing_else(inbox: Inbox) -> None:
    await inbox.store.ingest(
        inbox.account, batch(inbound(500, 70, "before\0after"), inbound(500, 71, "next"))
    )
    assert [row["text"] for row in inbox.kit.app.rows("messages")] == ["before\ufffdafter", "next"]


async def test_the_position_is_stored_with_the_batch(inbox: Inbox) -> None:
    assert await inbox.store.position(inbox.account) is None
    first = Position(10, 1, 1_700_000_000, 5, {111: 7, 222: 8})
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), position=first))
    assert await inbox.store.position(inbox.account) == first
    second = Position(11, 1, 1_700_000_001, 6, {222: 9, 333: 1})
    await inbox.store.ingest(inbox.account, batch(position=second))
    assert await inbox.store.position(inbox.account) == second
    await inbox.store.ingest(inbox.account, batch(inbound(500, 71)))
    assert await inbox.store.position(inbox.account) == second


async def test_a_worker_that_takes_over_finds_position_and_peers(kit: StoreKit, inbox: Inbox) -> None:
    position = Position(10, 1, 1_700_000_000, 5, {111: 7})
    await kit.store.ingest(inbox.account, batch(peers=[user(500)], position=position))
    heir = kit.take_over()
    assert await heir.position(inbox.account) == position
    assert await heir.peers(inbox.account) == [user(500)]
    moved = Position(10, 1, 1_700_000_000, 5, {111: 8})
    await heir.ingest(inbox.account, batch(position=moved))
    assert await heir.position(inbox.account) == moved


async def test_a_person_who_was_written_to_by_name_answers_in_the_same_conversation(inbox: Inbox) -> None:
    by_name, by_phone = inbox.chat("@ada"), inbox.chat("+442079460001")
    peers = [user(500, username="Ada"), user(501, phone="442079460001")]
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), inbound(501, 71), peers=peers))
    assert [row["conversation_id"] for row in inbox.kit.app.rows("messages")] == [by_name, by_phone]
    assert [row["value"] for row in inbox.kit.app.rows("contact_identities")] == ["500", "501"]


async def test_times_are_written_to_the_millisecond_and_rows_get_ids_of_their_own(
    kit: StoreKit, inbox: Inbox
) -> None:
    at = START - timedelta(seconds=1) + timedelta(milliseconds=7)
    await inbox.store.ingest(
        inbox.account, batch(*(inbound(500, n, f"m {n}", sent_at=at) for n in range(70, 90)))
    )
    rows = kit.app.rows("messages")
    assert {_moment(row["sent_at"]) for row in rows} == {at}
    ids = {UUID(str(row["id"])) for row in rows}
    assert len(ids) == 20
    assert {each.variant for each in ids} == {RFC_4122}


def _moment(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
