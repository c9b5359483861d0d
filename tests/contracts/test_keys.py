"""Messages are counted by account in private chats and groups, by channel in channels: no key collides."""

from contracts.store_kit import OTHER_OWNER, Inbox, StoreKit, batch, inbound, outgoing, user
from tgworker.messaging.models import AccountState, Position
from tgworker.messaging.update_batches import Gap

GROUP = -77
SUPERGROUP = -1_000_000_000_077
CHANNEL = -1_000_000_000_555
PERSON = 500


async def found(inbox: Inbox, *ids: int, chat_id: int | None = None) -> dict[tuple[int, int], str]:
    """Texts, by chat and id."""
    rows = await inbox.store.find_messages(inbox.account, ids, chat_id=chat_id)
    return {key: str(inbox.message(row)["text"]) for key, row in rows.items()}


async def test_a_delete_that_names_no_chat_means_no_channel(inbox: Inbox) -> None:
    await inbox.store.ingest(
        inbox.account,
        batch(
            inbound(PERSON, 70, "private"),
            inbound(GROUP, 71, "in the group", sender_id=501),
            inbound(CHANNEL, 70, "in the channel", sender_id=None),
            inbound(SUPERGROUP, 71, "in the supergroup", sender_id=501),
            outgoing(PERSON, 72, "from my phone"),
        ),
    )
    assert await found(inbox, 70, 71, 72, 73) == {
        (PERSON, 70): "private",
        (GROUP, 71): "in the group",
        (PERSON, 72): "from my phone",
    }
    assert await found(inbox, 70, 71, 72, chat_id=CHANNEL) == {(CHANNEL, 70): "in the channel"}
    assert await found(inbox, 70, 71, 72, chat_id=PERSON) == {
        (PERSON, 70): "private",
        (PERSON, 72): "from my phone",
    }
    assert await found(inbox) == {}


async def test_another_account_means_its_own_messages_by_the_same_ids(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    others = Inbox(kit, bob)
    await kit.store.ingest(inbox.account, batch(inbound(PERSON, 70, "hers"), inbound(CHANNEL, 9, "post")))
    await kit.store.ingest(bob, batch(inbound(PERSON, 70, "his"), inbound(CHANNEL, 9, "post")))
    assert await found(inbox, 70, 9) == {(PERSON, 70): "hers"}
    assert await found(others, 70, 9) == {(PERSON, 70): "his"}
    mine = await kit.store.find_messages(inbox.account, [9], chat_id=CHANNEL)
    theirs = await kit.store.find_messages(bob, [9], chat_id=CHANNEL)
    assert set(mine.values()).isdisjoint(theirs.values())  # each owner has his own copy


async def test_a_group_that_became_a_supergroup_keeps_its_old_messages_apart(inbox: Inbox) -> None:
    moved = inbound(GROUP, 12, "", message_type="service_migrate", sender_id=501)
    begun = inbound(SUPERGROUP, 1, "", message_type="service_migrate", sender_id=501)
    before = [inbound(GROUP, number, f"before {number}", sender_id=501) for number in (10, 11)]
    after = [inbound(SUPERGROUP, number, f"after {number}", sender_id=501) for number in (2, 10, 11, 12)]
    assert await inbox.store.ingest(inbox.account, batch(*before, moved, begun, *after)) == 8
    assert await inbox.store.ingest(inbox.account, batch(*before, moved, begun, *after)) == 0
    assert await found(inbox, 10, 11, 12) == {
        (GROUP, 10): "before 10",
        (GROUP, 11): "before 11",
        (GROUP, 12): "",
    }
    assert await found(inbox, 10, 11, 12, chat_id=SUPERGROUP) == {
        (SUPERGROUP, 10): "after 10",
        (SUPERGROUP, 11): "after 11",
        (SUPERGROUP, 12): "after 12",
    }


async def test_a_gap_in_the_supergroup_is_not_closed_by_the_groups_messages(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 12, sender_id=501)))
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(SUPERGROUP, 12), Gap(GROUP, 12)]))
    jobs = [row["telegram_id"] for row in inbox.kit.app.rows("sync_history_jobs")]
    assert jobs == [str(SUPERGROUP)]


async def test_a_message_of_ours_is_meant_by_the_id_that_telegram_gave_it(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat(str(PERSON)), "ours")
    await inbox.send(await inbox.claim_one(), 70)
    assert await inbox.store.find_messages(inbox.account, [70], chat_id=None) == {(PERSON, 70): message}


async def test_an_account_that_became_another_users_takes_nothing_for_known(inbox: Inbox) -> None:
    """Somebody puts another session into the row: position, hashes and ids are the other one's."""
    store, account = inbox.store, inbox.account
    await store.record_account(account, AccountState.ONLINE, last_error=None, user_id=1)
    first = Position(10, 0, 1_700_000_000, 5, {111: 7})
    await store.ingest(account, batch(inbound(PERSON, 70, "hers"), peers=[user(PERSON)], position=first))
    position = await store.position(account)
    assert position is not None
    assert position.user_id == 1
    await store.forget_user(account, 2)
    await store.forget_user(account, 2)
    assert await store.position(account) is None
    assert await store.peers(account) == []
    assert await found(inbox, 70) == {}
    # The same numbers mean other messages now, and the old rows are still there.
    second = Position(3, 0, 1_700_000_100, 1, {222: 1})
    assert await store.ingest(account, batch(inbound(PERSON, 70, "his"), position=second)) == 1
    position = await store.position(account)
    assert position is not None
    assert (position, position.user_id) == (second, 2)
    assert [row["text"] for row in inbox.kit.app.rows("messages")] == ["hers", "his"]
    assert await found(inbox, 70) == {(PERSON, 70): "his"}
