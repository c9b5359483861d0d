"""Crashes: a worker is killed with everything open, another one opens the store."""

import pytest

from contracts.store_kit import Inbox, StoreKit, batch, inbound, outgoing, user
from tgworker.messaging.models import AccountState, Doubt
from tgworker.messaging.outcomes import Refused, Sent, Settled
from tgworker.messaging.records import OutboxState


async def test_what_was_in_flight_is_handed_over_with_the_same_random_id_and_in_order(
    kit: StoreKit, inbox: Inbox
) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "one")
    inbox.write(chat, "two")
    before = await inbox.claim_one()
    heir = kit.take_over()
    # The heir knows nothing; even if it claimed to, the fence is older than its own.
    (after,) = (await heir.turn((), {inbox.account: 5}, known=[before.message_id])).attempts
    assert (after.text, after.random_id, after.number) == ("one", before.random_id, 2)
    assert after.fence > before.fence
    await heir.turn([Settled(after, Sent(70))], {}, known=())
    (following,) = (await heir.turn((), {inbox.account: 5}, known=())).attempts
    assert following.text == "two"


async def test_the_dead_workers_last_words_change_nothing(kit: StoreKit, inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "one")
    before = await inbox.claim_one()
    old = kit.store
    heir = kit.take_over()
    (after,) = (await heir.turn((), {inbox.account: 5}, known=())).attempts
    await old.turn([Settled(before, Refused("from beyond"))], {}, known=())
    assert (await heir.outcomes([message]))[message].state is OutboxState.SENDING
    await heir.turn([Settled(after, Sent(70))], {}, known=())
    assert inbox.message(message)["external_message_id"] == "70"


async def test_a_worker_that_was_superseded_cannot_write(kit: StoreKit, inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "one")
    old = kit.store
    kit.take_over()
    with pytest.raises(Exception, match=r"(newer|another) worker"):
        await old.turn((), {inbox.account: 5}, known=())
    with pytest.raises(Exception, match=r"(newer|another) worker"):
        await old.ingest(inbox.account, batch(inbound(500, 70)))
    with pytest.raises(Exception, match=r"(newer|another) worker"):
        await old.record_account(inbox.account, AccountState.ONLINE, last_error=None)
    assert len(kit.app.rows("messages")) == 1


async def test_a_crash_between_telegrams_answer_and_the_settle_sends_once(
    kit: StoreKit, inbox: Inbox
) -> None:
    """The update that recognises the message comes before, or instead of, the second attempt."""
    await kit.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "one")
    before = await inbox.claim_one()
    heir = kit.take_over()
    await heir.ingest(inbox.account, batch(outgoing(500, 70, "one"), sent_ids=[(before.random_id, 70)]))
    assert list((await heir.turn((), {inbox.account: 5}, known=())).attempts) == []
    assert inbox.message(message)["external_message_id"] == "70"
    assert len(kit.app.rows("messages")) == 1


async def test_a_crash_before_the_echo_is_recognised_merges_with_the_second_attempt(
    kit: StoreKit, inbox: Inbox
) -> None:
    await kit.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "one")
    await inbox.claim_one()
    heir = kit.take_over()
    # The difference brings the message without its random id; the repeat is answered with the original's id.
    assert await heir.ingest(inbox.account, batch(outgoing(500, 70, "one"))) == 1
    (after,) = (await heir.turn((), {inbox.account: 5}, known=())).attempts
    await heir.turn([Settled(after, Sent(70))], {}, known=())
    assert [(row["id"], row["external_message_id"]) for row in kit.app.rows("messages")] == [(message, "70")]


async def test_a_takeover_long_after_the_crash_knows_how_old_the_doubt_is(
    kit: StoreKit, inbox: Inbox
) -> None:
    inbox.write(inbox.chat("500"), "one")
    await inbox.claim_one()
    kit.calendar.advance(3601)
    heir = kit.take_over()
    (attempt,) = (await heir.turn((), {inbox.account: 5}, known=())).attempts
    assert attempt.doubt == Doubt(3601, 0)
