"""Contacts follow how people and groups are called; what Telegram leaves out takes nothing away."""

import json
from typing import Any

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit, batch, inbound, user
from tgworker.messaging.models import Peer, PeerKind, latest_peers

PERSON = 500
GROUP = -77
CHANNEL = -1_000_000_000_555


def metadata(inbox: Inbox, chat_id: int) -> dict[str, Any]:
    (identity,) = inbox.kit.app.rows("contact_identities", owner_id=OWNER, value=str(chat_id))
    found: dict[str, Any] = json.loads(identity["metadata"])
    return found


async def meet(inbox: Inbox, *peers: Peer) -> None:
    await inbox.store.ingest(inbox.account, batch(peers=peers))


def min_user(chat_id: int, **names: Any) -> Peer:
    return Peer(chat_id, PeerKind.USER, is_min=True, **names)


async def test_names_follow_and_what_is_gone_goes(inbox: Inbox) -> None:
    ada = user(PERSON, "Ada", last_name="Byron", username="ada")
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 1), peers=[ada]))
    await meet(inbox, user(PERSON, "Ada", last_name="Lovelace", username="countess"))
    called = {"first_name": "Ada", "last_name": "Lovelace", "username": "countess", "is_group": False}
    assert metadata(inbox, PERSON) == called
    await meet(inbox, user(PERSON, "Ada", last_name="Lovelace"))  # he has no username any more
    del called["username"]
    assert metadata(inbox, PERSON) == called


async def test_what_the_application_added_stays(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 1), peers=[user(PERSON, "Ada")]))
    (identity,) = inbox.kit.app.rows("contact_identities")
    noted = {**metadata(inbox, PERSON), "avatar_url": "https://x/1.jpg", "note": ["likes", "numbers"]}
    inbox.kit.app.update("contact_identities", identity["id"], metadata=json.dumps(noted))
    await meet(inbox, user(PERSON, "Augusta"))
    assert metadata(inbox, PERSON) == {**noted, "first_name": "Augusta"}


async def test_a_peer_without_any_name_takes_none_away(kit: StoreKit, inbox: Inbox) -> None:
    ada = user(PERSON, "Ada", username="ada")
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 1), peers=[ada]))
    called = metadata(inbox, PERSON)
    nameless = Peer(PERSON, PeerKind.USER, access_hash=99)
    await meet(inbox, nameless)
    eve = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    await kit.store.save_peers(eve, [nameless])  # to whom he is nobody yet
    assert metadata(inbox, PERSON) == called


async def test_a_min_peer_changes_nothing_that_is_known(inbox: Inbox) -> None:
    ada = user(PERSON, "Ada", last_name="Byron", username="ada", phone="4420", is_contact=True, photo_id=4)
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 1), peers=[ada]))
    called = metadata(inbox, PERSON)
    await meet(inbox, min_user(PERSON, first_name="A."))
    await inbox.store.save_peers(inbox.account, [min_user(PERSON, first_name="A.")])
    assert metadata(inbox, PERSON) == called
    assert await inbox.store.peers(inbox.account) == [ada]


async def test_a_min_peer_names_who_has_no_name_until_more_is_known(inbox: Inbox) -> None:
    stranger = min_user(PERSON, first_name="Ada", username="ada")
    said = inbound(GROUP, 1, sender_id=PERSON)
    await inbox.store.ingest(inbox.account, batch(said, peers=[stranger]))
    assert metadata(inbox, PERSON) == {"first_name": "Ada", "username": "ada", "is_group": False}
    assert await inbox.store.peers(inbox.account) == []  # by that nobody can be addressed
    await meet(inbox, user(PERSON, "Augusta"))
    assert metadata(inbox, PERSON) == {"first_name": "Augusta", "is_group": False}


async def test_a_history_names_its_people_as_well(inbox: Inbox) -> None:
    inbox.kit.app.insert(
        "sync_history_jobs", owner_id=OWNER, integration_account_id=inbox.account, telegram_id=str(GROUP)
    )
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    said = inbound(GROUP, 1, sender_id=PERSON)
    await inbox.store.save_history(job, [said], [min_user(PERSON, first_name="Ada")])
    assert metadata(inbox, PERSON) == {"first_name": "Ada", "is_group": False}


async def test_a_username_that_somebody_else_took_over_is_his(inbox: Inbox) -> None:
    first, second = user(PERSON, "Ada", username="Ada"), user(PERSON + 1, "Bob")
    await inbox.store.ingest(
        inbox.account, batch(inbound(PERSON, 1), inbound(PERSON + 1, 2), peers=[first, second])
    )
    await meet(inbox, user(PERSON + 1, "Bob", username="ada"))
    assert metadata(inbox, PERSON) == {"first_name": "Ada", "is_group": False}
    assert metadata(inbox, PERSON + 1)["username"] == "ada"
    assert {peer.chat_id: peer.username for peer in await inbox.store.peers(inbox.account)} == {
        PERSON: None,
        PERSON + 1: "ada",
    }
    inbox.write(inbox.chat("@ADA"), "to whoever is called so now")
    attempt = await inbox.claim_one()
    assert attempt.peer is not None
    assert attempt.peer.chat_id == PERSON + 1


async def test_a_username_that_was_asked_for_is_not_the_one_before(inbox: Inbox) -> None:
    await inbox.store.record_recipients(inbox.account, {"@other": user(PERSON, "Ada", username="ada")})
    await meet(inbox, user(PERSON + 1, "Bob", username="Other"))
    inbox.write(inbox.chat("@other"), "hello")
    attempt = await inbox.claim_one()
    assert attempt.peer is not None
    assert attempt.peer.chat_id == PERSON + 1


async def test_two_who_swapped_their_usernames_have_them(inbox: Inbox) -> None:
    await meet(inbox, user(PERSON, username="a"), user(PERSON + 1, username="b"))
    await meet(inbox, user(PERSON, username="b"), user(PERSON + 1, username="a"))
    names = [peer.username for peer in await inbox.store.peers(inbox.account)]
    assert names == ["b", "a"]


async def test_another_account_keeps_its_own_access_hash(kit: StoreKit, inbox: Inbox) -> None:
    eve = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    hers, eves = (Peer(PERSON, PeerKind.USER, access_hash=number, first_name="Ada") for number in (1, 2))
    await kit.store.save_peers(inbox.account, [hers])
    await kit.store.save_peers(eve, [eves])
    assert await kit.store.peers(inbox.account) == [hers]
    assert await kit.store.peers(eve) == [eves]


@pytest.mark.parametrize(("chat_id", "kind"), [(GROUP, PeerKind.CHAT), (CHANNEL, PeerKind.CHANNEL)])
async def test_groups_and_channels_are_identities_and_their_titles_follow(
    inbox: Inbox, chat_id: int, kind: PeerKind
) -> None:
    def called(title: str) -> Peer:
        return Peer(chat_id, kind, access_hash=9, title=title)

    await inbox.store.ingest(
        inbox.account, batch(inbound(chat_id, 1, sender_id=PERSON), peers=[called("Friends")])
    )
    (before,) = inbox.kit.app.rows("conversations")
    await meet(inbox, called("Good friends"))
    assert metadata(inbox, chat_id) == {"title": "Good friends", "is_group": True}
    assert metadata(inbox, PERSON) == {"is_group": False}
    (after,) = inbox.kit.app.rows("conversations")
    assert after == before


@pytest.mark.parametrize("hostile", ["[1]", "7", '"text"'])
async def test_metadata_that_is_no_object_stops_nothing(inbox: Inbox, hostile: str) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 1)))
    (identity,) = inbox.kit.app.rows("contact_identities")
    inbox.kit.app.update("contact_identities", identity["id"], metadata=hostile)
    await meet(inbox, min_user(PERSON, first_name="Ada"))
    (identity,) = inbox.kit.app.rows("contact_identities")
    assert json.loads(identity["metadata"]) == json.loads(hostile)


def test_a_peer_that_was_told_in_part_replaces_none() -> None:
    known, newer = user(PERSON, "Ada"), user(PERSON, "Augusta")
    less, other = min_user(PERSON, first_name="A."), min_user(PERSON + 1, first_name="B.")
    assert latest_peers([known, less, other]) == (known, other)
    assert latest_peers([less, known, newer]) == (newer,)
    assert latest_peers([less]) == (less,)
