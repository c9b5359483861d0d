"""Messages of which nobody knows whether Telegram has them: what the store keeps, and what it does."""

from contracts.store_kit import Inbox
from contracts.store_kit import batch as updates
from tgworker.messaging.outcomes import Refused, Settled, Unknown, Unsure
from tgworker.messaging.records import OutboxState


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
