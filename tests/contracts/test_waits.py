"""What Telegram asked an account to wait for outlives the worker that heard it."""

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit, batch, inbound, outgoing, user
from tgworker.messaging.models import ConversationId
from tgworker.messaging.outcomes import Refused, Settled
from tgworker.messaging.pacing import SEND, STRANGERS, Scope, StoredWait

FLOOD = StoredWait(Scope.method(SEND), 82_800.0, "FLOOD_WAIT_82800")
SLOW = StoredWait(Scope.chat(-1_000_000_000_055), 30.0, "SLOWMODE_WAIT_30")
SPAM = StoredWait(STRANGERS, 86_400.0, "PEER_FLOOD")


async def test_a_new_account_waits_for_nothing(inbox: Inbox) -> None:
    assert list(await inbox.store.waits(inbox.account)) == []


async def test_another_worker_waits_for_what_is_left_by_the_stores_clock(kit: StoreKit, inbox: Inbox) -> None:
    await kit.store.save_waits(inbox.account, [FLOOD, SPAM, SLOW])
    kit.calendar.advance(20)
    heir = kit.take_over()
    assert list(await heir.waits(inbox.account)) == [
        StoredWait(SLOW.scope, 10.0, SLOW.reason),
        StoredWait(FLOOD.scope, 82_780.0, FLOOD.reason),
        StoredWait(SPAM.scope, 86_380.0, SPAM.reason),
    ]
    kit.calendar.advance(10)
    assert [wait.scope for wait in await heir.waits(inbox.account)] == [FLOOD.scope, SPAM.scope]


async def test_of_two_waits_for_one_thing_the_one_that_ends_later_counts(kit: StoreKit, inbox: Inbox) -> None:
    longer = StoredWait(SLOW.scope, 60.0, "SLOWMODE_WAIT_60")
    for waits in ([SLOW], [longer], [SLOW], [SLOW, longer], []):
        await kit.store.save_waits(inbox.account, waits)
    assert list(await kit.store.waits(inbox.account)) == [longer]
    kit.calendar.advance(60)
    await kit.store.save_waits(inbox.account, [SLOW])
    assert list(await kit.store.waits(inbox.account)) == [SLOW], "what is over is over"


async def test_one_account_does_not_wait_for_anothers_sins(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    await kit.store.save_waits(inbox.account, [FLOOD])
    assert list(await kit.store.waits(other)) == []
    assert list(await kit.store.waits(inbox.account)) == [FLOOD]


async def test_a_worker_that_was_superseded_announces_no_waits(kit: StoreKit, inbox: Inbox) -> None:
    await kit.store.save_waits(inbox.account, [SLOW])
    old = kit.store
    heir = kit.take_over()
    await heir.record_synced([inbox.account])  # it holds the account
    with pytest.raises(Exception, match=r"(newer|another) worker"):
        await old.save_waits(inbox.account, [FLOOD])
    assert list(await heir.waits(inbox.account)) == [SLOW]


async def test_who_never_exchanged_a_message_is_a_stranger(kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("500")
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)

    async def acquainted() -> tuple[bool, bool]:
        return (
            await kit.store.is_acquainted(inbox.account, chat),
            await kit.store.is_acquainted(other, chat),
        )

    inbox.write(chat, "first")
    assert await acquainted() == (False, False)
    first = await inbox.claim_one()
    assert await acquainted() == (False, False), "on its way is not there"
    await inbox.send(first, 70)
    assert await acquainted() == (True, False), "the other account has not written to them"
    assert not await kit.store.is_acquainted(inbox.account, inbox.chat("501"))


async def test_who_stands_in_the_address_book_is_known_as_a_contact(kit: StoreKit, inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "first")
    ada = user(500, is_contact=True)
    for peer in (ada, user(500), ada):
        await kit.store.save_peers(inbox.account, [peer])
        assert list(await kit.store.peers(inbox.account)) == [peer]
    attempt = await inbox.claim_one()
    assert attempt.peer == ada


async def test_a_message_that_was_refused_makes_nobody_known(kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "first")
    refused = Settled(await inbox.claim_one(), Refused("USER_PRIVACY_RESTRICTED"))
    await kit.store.turn([refused], {}, known=())
    assert not await kit.store.is_acquainted(inbox.account, chat)


@pytest.mark.parametrize("who", ["they", "the owner's phone"])
async def test_whoever_wrote_first_both_know_each_other(who: str, kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbound(500, 70) if who == "they" else outgoing(500, 70)
    await kit.store.ingest(inbox.account, batch(message))
    (row,) = kit.app.rows("messages")
    assert row["conversation_id"] == chat
    assert await kit.store.is_acquainted(inbox.account, ConversationId(chat))
