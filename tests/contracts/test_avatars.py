"""Photos of contacts and groups: wanted once for each photo, and shown in the contact's metadata."""

import json
from typing import Any

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, batch, inbound, user
from tgworker.messaging.incoming_files import Fetched, FetchLater, FetchOutcome, NotFetched, WantedAvatar
from tgworker.messaging.models import Peer, PeerKind

FETCHED = Fetched("media", "avatars/9.jpg", "9.jpg", "image/jpeg", 20_000)
PHOTO = 5_400_000_000_000_000_001
OTHER_PHOTO = -5_400_000_000_000_000_002


async def wanted(inbox: Inbox, limit: int = 100) -> list[WantedAvatar]:
    return list(await inbox.media.wanted_avatars(inbox.account, limit=limit))


async def met(inbox: Inbox, photo_id: int | None = PHOTO, **more: Any) -> None:
    """Somebody with a photo has written."""
    telegram_id = len(inbox.kit.app.rows("messages")) + 1
    await inbox.store.ingest(
        inbox.account, batch(inbound(500, telegram_id), peers=[user(500, photo_id=photo_id, **more)])
    )


async def finish(
    inbox: Inbox, outcome: FetchOutcome, *, photo_id: int = PHOTO, url: str | None = None, tries: int = 0
) -> None:
    avatar = WantedAvatar(500, photo_id, OWNER, tries)
    await inbox.media.finish_avatar(inbox.account, avatar, outcome, url=url)


def metadata(inbox: Inbox, owner: str = OWNER, value: str = "500") -> dict[str, Any]:
    (identity,) = inbox.kit.app.rows("contact_identities", owner_id=owner, value=value)
    found: dict[str, Any] = json.loads(identity["metadata"])
    return found


async def test_the_photo_of_a_contact_is_wanted_until_it_was_fetched(inbox: Inbox) -> None:
    await met(inbox)
    assert await wanted(inbox) == [WantedAvatar(500, PHOTO, OWNER)]
    await finish(inbox, FETCHED, url="https://files/9.jpg")
    assert await wanted(inbox) == []
    shown = metadata(inbox)
    assert (shown["avatar_url"], shown["first_name"]) == ("https://files/9.jpg", "Ada")
    assert inbox.kit.app.rows("attachments") == []


async def test_a_group_has_its_photo(inbox: Inbox) -> None:
    group = Peer(-77, PeerKind.CHAT, title="Crew", photo_id=PHOTO)
    await inbox.store.ingest(inbox.account, batch(inbound(-77, 1, sender_id=500), peers=[group, user(500)]))
    (avatar,) = await wanted(inbox)
    assert avatar == WantedAvatar(-77, PHOTO, OWNER)
    await inbox.media.finish_avatar(inbox.account, avatar, FETCHED, url="https://files/g.jpg")
    assert metadata(inbox, value="-77")["avatar_url"] == "https://files/g.jpg"
    assert "avatar_url" not in metadata(inbox)


async def test_whoever_is_no_contact_or_has_no_photo_is_left_alone(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(600, photo_id=PHOTO)])
    await met(inbox, photo_id=None)
    assert await wanted(inbox) == []
    inbox.chat("600")
    assert await wanted(inbox) == [WantedAvatar(600, PHOTO, OWNER)]


async def test_another_photo_is_wanted_anew(inbox: Inbox) -> None:
    await met(inbox)
    await finish(inbox, FETCHED, url="https://files/1.jpg")
    await met(inbox, OTHER_PHOTO)
    assert await wanted(inbox) == [WantedAvatar(500, OTHER_PHOTO, OWNER)]
    assert metadata(inbox)["avatar_url"] == "https://files/1.jpg", "the old one is shown meanwhile"
    await finish(inbox, FETCHED, photo_id=OTHER_PHOTO, url="https://files/2.jpg")
    assert metadata(inbox)["avatar_url"] == "https://files/2.jpg"


async def test_a_peer_that_comes_without_a_photo_takes_none_away(inbox: Inbox) -> None:
    await met(inbox)
    await met(inbox, photo_id=None)
    assert await wanted(inbox) == [WantedAvatar(500, PHOTO, OWNER)]
    (peer,) = await inbox.store.peers(inbox.account)
    assert peer.photo_id == PHOTO
    await finish(inbox, FETCHED)
    await met(inbox, photo_id=None)
    await met(inbox)
    assert await wanted(inbox) == []


async def test_a_contact_that_is_renamed_keeps_its_picture(inbox: Inbox) -> None:
    await met(inbox)
    await finish(inbox, FETCHED, url="https://files/9.jpg")
    await met(inbox, last_name="Lovelace")
    shown = metadata(inbox)
    assert (shown["avatar_url"], shown["last_name"]) == ("https://files/9.jpg", "Lovelace")


async def test_without_an_address_nothing_is_shown(inbox: Inbox) -> None:
    await met(inbox)
    await finish(inbox, FETCHED)
    assert "avatar_url" not in metadata(inbox)
    assert await wanted(inbox) == []


async def test_a_photo_is_tried_five_times_and_then_given_up_until_there_is_another(inbox: Inbox) -> None:
    await met(inbox)
    for tries in range(5):
        assert await wanted(inbox) == [WantedAvatar(500, PHOTO, OWNER, tries)]
        await finish(inbox, FetchLater(60, "no answer"), tries=tries)
        assert await wanted(inbox) == []
        inbox.kit.calendar.advance(60)
    assert await wanted(inbox) == []
    await met(inbox)
    assert await wanted(inbox) == []
    await met(inbox, OTHER_PHOTO)
    assert await wanted(inbox) == [WantedAvatar(500, OTHER_PHOTO, OWNER)]


async def test_a_wait_that_telegram_announced_does_not_count(inbox: Inbox) -> None:
    await met(inbox)
    for _ in range(7):
        await finish(inbox, FetchLater(60, "FLOOD_WAIT_60", counts=False))
        inbox.kit.calendar.advance(59)
        assert await wanted(inbox) == []
        inbox.kit.calendar.advance(1)
        assert await wanted(inbox) == [WantedAvatar(500, PHOTO, OWNER)]


async def test_a_new_photo_does_not_wait_for_the_old_ones_time(inbox: Inbox) -> None:
    await met(inbox)
    await finish(inbox, FetchLater(3600, "no answer"))
    await met(inbox, OTHER_PHOTO)
    assert await wanted(inbox) == [WantedAvatar(500, OTHER_PHOTO, OWNER)]


async def test_a_photo_that_telegram_does_not_give_is_given_up(inbox: Inbox) -> None:
    await met(inbox)
    await finish(inbox, NotFetched("it is gone"))
    inbox.kit.calendar.advance(86_400)
    assert await wanted(inbox) == []
    await met(inbox, OTHER_PHOTO)
    assert len(await wanted(inbox)) == 1


@pytest.mark.parametrize("outcome", [FETCHED, FetchLater(60, "no answer"), NotFetched("it is gone")])
async def test_what_became_of_an_older_photo_changes_nothing(inbox: Inbox, outcome: FetchOutcome) -> None:
    await met(inbox)
    await met(inbox, OTHER_PHOTO)
    await finish(inbox, outcome, url="https://files/old.jpg")
    assert await wanted(inbox) == [WantedAvatar(500, OTHER_PHOTO, OWNER)]
    assert "avatar_url" not in metadata(inbox)


async def test_a_photo_is_fetched_once_for_its_owner_whichever_account_does_it(inbox: Inbox) -> None:
    await met(inbox)
    second = await inbox.store.add_account("ada-2", OWNER, "token", user_id=2)
    foreign = await inbox.store.add_account("bert", OTHER_OWNER, "token", user_id=3)
    for account in (second, foreign):
        await inbox.store.ingest(account, batch(inbound(500, 1), peers=[user(500, photo_id=PHOTO)]))
    await finish(inbox, FETCHED, url="https://files/9.jpg")
    assert list(await inbox.media.wanted_avatars(second)) == []
    assert list(await inbox.media.wanted_avatars(foreign)) == [WantedAvatar(500, PHOTO, OTHER_OWNER)]
    assert "avatar_url" not in metadata(inbox, OTHER_OWNER)


async def test_as_many_as_are_asked_for(inbox: Inbox) -> None:
    people = [user(500 + number, photo_id=PHOTO + number) for number in range(5)]
    messages = [inbound(500 + number, number + 1) for number in range(5)]
    await inbox.store.ingest(inbox.account, batch(*messages, peers=people))
    assert len(await wanted(inbox, limit=3)) == 3
    assert len(await wanted(inbox)) == 5


async def test_metadata_that_is_no_object_stays_what_it_is(inbox: Inbox) -> None:
    await met(inbox)
    (identity,) = inbox.kit.app.rows("contact_identities")
    inbox.kit.app.update("contact_identities", identity["id"], metadata="[1]")
    await finish(inbox, FETCHED, url="https://files/9.jpg")
    (identity,) = inbox.kit.app.rows("contact_identities")
    assert json.loads(identity["metadata"]) == [1]
    assert await wanted(inbox) == []
