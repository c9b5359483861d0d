"""Messages of which nobody knows whether Telegram has them: what the store keeps, and what it does."""

from dataclasses import replace

import pytest

from contracts.store_kit import OWNER, START, Inbox, inbound, outgoing, user
from contracts.store_kit import batch as updates
from tgworker.messaging.models import Attempt, Copy, Doubt, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Settled, Unknown, Unsure
from tgworker.messaging.records import OutboxState

DINNER = '{"telegram": {"expires_at": "2026-01-01T12:01:00Z"}}'


async def settle(inbox: Inbox, attempt: Attempt, outcome: Outcome) -> None:
    await inbox.store.turn([Settled(attempt, outcome)], {}, known=())


# ------------------------------------------------ what the claim keeps


async def test_a_first_attempt_leaves_nothing_open(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "hi")
    assert (await inbox.claim_one()).doubt is None


@pytest.mark.parametrize("outcome", [Deferred(1, "FLOOD_WAIT_1"), Released("offline")])
async def test_what_telegram_certainly_does_not_have_is_in_no_doubt(inbox: Inbox, outcome: Outcome) -> None:
    inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), outcome)
    inbox.kit.calendar.advance(5)
    assert (await inbox.claim_one()).doubt is None


async def test_the_doubt_counts_from_the_first_doubtful_attempt_and_what_was_known_then(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    await inbox.store.ingest(
        inbox.account,
        updates(inbound(500, 41), inbound(500, 42), inbound(600, 50), peers=[user(500), user(600)]),
    )
    inbox.write(chat, "hi")
    await settle(inbox, await inbox.claim_one(), Unknown("timeout"))
    await inbox.store.ingest(inbox.account, updates(inbound(500, 60)))
    inbox.kit.calendar.advance(7)
    again = await inbox.claim_one()
    assert again.doubt == Doubt(7, 42)
    await settle(inbox, again, Deferred(3, "FLOOD_WAIT_3"))  # says nothing about the first attempt
    inbox.kit.calendar.advance(3)
    assert (await inbox.claim_one()).doubt == Doubt(10, 42)


async def test_an_attempt_that_nobody_settled_is_in_doubt_since_it_was_made(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    await inbox.store.ingest(inbox.account, updates(inbound(500, 41), peers=[user(500)]))
    inbox.write(chat, "hi")
    await inbox.claim_one()
    await inbox.store.ingest(inbox.account, updates(inbound(500, 43)))
    inbox.kit.calendar.advance(4000)
    assert (await inbox.claim_one()).doubt == Doubt(4000, 41)


async def test_own_messages_are_known_ones(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    chat = inbox.chat("500")
    inbox.write(chat, "one")
    inbox.write(chat, "two")
    await inbox.send(await inbox.claim_one(), 71)
    await inbox.claim_one()
    doubt = (await inbox.claim_one()).doubt
    assert doubt is not None
    assert doubt.top_id == 71


async def test_of_a_chat_that_nobody_knows_nothing_is_known(inbox: Inbox) -> None:
    inbox.write(inbox.chat("@stranger"), "hi")
    await inbox.claim_one()
    assert (await inbox.claim_one()).doubt == Doubt(0, 0)


async def test_what_expires_in_doubt_is_handed_over_to_be_looked_for(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "dinner?", raw_payload=DINNER)
    await settle(inbox, await inbox.claim_one(), Unknown("timeout"))
    inbox.kit.calendar.advance(61)
    assert (await inbox.claim_one()).doubt == Doubt(61, 0, expired=True)
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENDING


# ------------------------------------------------ whose a message is


async def test_a_message_that_is_another_row_belongs_to_that(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "hi")
    await inbox.send(await inbox.claim_one(), 70)
    await inbox.store.ingest(inbox.account, updates(outgoing(500, 71, "hi"), peers=[user(500)]))
    inbox.write(chat, "hi")
    attempt = await inbox.claim_one()
    owned = await inbox.store.owned(attempt, 500, [70, 71, 72])
    assert (owned.ids, owned.rivals) == (frozenset({70, 71}), False)
    assert (await inbox.store.owned(attempt, 600, [70, 71, 72])).ids == frozenset()
    assert (await inbox.store.owned(attempt, 500, [])).ids == frozenset()


async def test_what_only_a_history_job_has_brought_may_be_the_message(inbox: Inbox) -> None:
    """The update log, which names our messages, no longer told of it; the history does not name them."""
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Unknown("timeout"))
    inbox.kit.app.insert(
        "sync_history_jobs",
        owner_id=OWNER,
        integration_account_id=inbox.account,
        telegram_id="500",
        limit_messages=100,
    )
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert await inbox.store.save_history(job, [outgoing(500, 70, "hi")], [user(500)]) == 1
    inbox.kit.calendar.advance(4000)
    attempt = await inbox.claim_one()
    assert (await inbox.store.owned(attempt, 500, [70])).ids == frozenset()
    await settle(inbox, replace(attempt, peer=user(500)), Sent(70, START))
    assert [(row["id"], row["external_message_id"]) for row in inbox.kit.app.rows("messages")] == [
        (message, "70")
    ]


@pytest.mark.parametrize("fate", [Sent(None), Unknown("timeout"), Unsure("nothing"), None])
@pytest.mark.parametrize("text", ["hi", "hello"])
async def test_a_row_with_the_same_text_whose_message_nobody_knows_is_a_rival(
    inbox: Inbox, fate: Outcome | None, text: str
) -> None:
    await inbox.store.save_peers(inbox.account, [user(500, username="ada")])
    inbox.write(inbox.chat("@ada"), text)
    other = await inbox.claim_one()
    if fate is not None:
        await settle(inbox, other, fate)
    inbox.write(inbox.chat("500"), "hi")
    attempt = next(each for each in await inbox.claim() if each.message_id != other.message_id)
    assert (await inbox.store.owned(attempt, 500, [70])).rivals is (text == "hi")


async def test_a_row_that_was_sent_is_no_rival(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "hi")
    await settle(inbox, await inbox.claim_one(), Unknown("timeout"))
    inbox.kit.calendar.advance(5)
    await inbox.send(await inbox.claim_one(), 70)
    inbox.write(chat, "hi")
    assert not (await inbox.store.owned(await inbox.claim_one(), 500, [70])).rivals


# ------------------------------------------------ what nobody will know


async def test_an_unsure_message_is_for_a_person_and_its_chat_goes_on(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    inbox.write(chat, "next")
    attempt = await inbox.claim_one()
    await inbox.store.turn([Settled(attempt, Unsure("the history shows nothing"))], {}, known=())
    await inbox.store.turn([Settled(attempt, Refused("too late"))], {}, known=())
    (listed,) = await inbox.store.list_outbox([OutboxState.UNSURE])
    assert (listed.message_id, listed.error) == (message, "the history shows nothing")
    assert inbox.message(message)["external_message_id"] == "error-hi"
    assert (await inbox.claim_one()).text == "next"
    assert await inbox.store.count_unsure() == 1


async def test_an_update_that_names_an_unsure_message_makes_it_sent(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await inbox.store.turn([Settled(attempt, Unsure("the history shows nothing"))], {}, known=())
    await inbox.store.ingest(inbox.account, updates(sent_ids=[(attempt.random_id, 77)]))
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENT
    assert inbox.message(message)["external_message_id"] == "77"


async def test_a_person_may_have_an_unsure_message_sent_again(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await inbox.store.turn([Settled(attempt, Unknown("timeout"))], {}, known=())
    inbox.kit.calendar.advance(2)
    await inbox.store.turn([Settled(await inbox.claim_one(), Unsure("nothing"))], {}, known=())
    inbox.kit.app.update("messages", message, external_message_id="local-again")
    assert (await inbox.claim_one()).random_id == attempt.random_id


async def test_an_account_that_is_removed_leaves_what_is_in_doubt_to_a_person(inbox: Inbox) -> None:
    account = await inbox.store.add_account("bob", OWNER, "token", user_id=2)
    message = inbox.write(inbox.chat("500"), "hi", integration_account_id=account)
    (attempt,) = (await inbox.store.turn((), {account: 1}, known=())).attempts
    await settle(inbox, attempt, Unknown("timeout"))
    inbox.kit.app.delete("integration_accounts", account)
    await inbox.claim()
    record = (await inbox.store.outcomes([message]))[message]
    assert record.state is OutboxState.UNSURE
    assert record.error == "its account was removed while nobody knew whether Telegram has it"
    assert inbox.message(message)["external_message_id"] == "error-hi"


# ------------------------------------------------ sent, under an id that nobody knows


async def sent_without_id(inbox: Inbox, text: str = "hi") -> MessageId:
    """A row to user 500, of whose chat 41 is the newest known message, that Telegram has under some id."""
    rows = inbox.kit.app.rows("contact_identities", value="500")
    if rows:
        (conversation,) = inbox.kit.app.rows("conversations", primary_identity_id=rows[0]["id"])
        chat = conversation["id"]
    else:
        chat = inbox.chat("500")
        await inbox.store.ingest(inbox.account, updates(inbound(500, 41), peers=[user(500)]))
    message = inbox.write(chat, text)
    attempt = await inbox.claim_one()
    await settle(inbox, replace(attempt, parts=1), Sent(None))
    assert inbox.message(message)["external_message_id"] == f"sent-{text}"
    return message


async def test_what_has_no_id_is_handed_out_with_all_that_a_look_needs_and_named(inbox: Inbox) -> None:
    message = await sent_without_id(inbox)
    (attempt,) = await inbox.store.unnamed(inbox.account)
    assert (attempt.message_id, attempt.account_id, attempt.text) == (message, inbox.account, "hi")
    assert attempt.peer == user(500)
    assert attempt.doubt == Doubt(0, 41)
    await inbox.store.name(attempt, 500, Copy(70, START))
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id) == (OutboxState.SENT, 70)
    assert inbox.message(message)["external_message_id"] == "70"
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 0  # it is known
    assert list(await inbox.store.unnamed(inbox.account)) == []


async def test_a_name_that_came_meanwhile_stays(inbox: Inbox) -> None:
    message = await sent_without_id(inbox)
    (attempt,) = await inbox.store.unnamed(inbox.account)
    await inbox.store.ingest(inbox.account, updates(sent_ids=[(attempt.random_id, 71)]))
    await inbox.store.name(attempt, 500, Copy(70, START))
    assert inbox.message(message)["external_message_id"] == "71"


async def test_it_is_handed_out_three_times_and_a_few_at_a_time(inbox: Inbox) -> None:
    first = await sent_without_id(inbox, "0")
    for number in range(1, 25):
        await sent_without_id(inbox, str(number))
    handed_out = [[one.message_id for one in await inbox.store.unnamed(inbox.account)] for _ in range(6)]
    assert [len(some) for some in handed_out] == [20, 20, 20, 5, 5, 5]
    assert handed_out[0][0] == first
    assert list(await inbox.store.unnamed(inbox.account)) == []


async def test_an_older_message_with_the_same_text_is_not_it(inbox: Inbox) -> None:
    """A history job may bring what was there before."""
    message = await sent_without_id(inbox)
    await inbox.store.ingest(inbox.account, updates(outgoing(500, 12, "hi")))
    assert inbox.message(message)["external_message_id"] == "sent-hi"
    await inbox.store.ingest(inbox.account, updates(outgoing(500, 42, "hi")))
    assert inbox.message(message)["external_message_id"] == "42"
