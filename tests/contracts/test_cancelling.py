"""Cancelling and sending again, by the application or a person; what expires; and what was too late."""

import json
from dataclasses import replace

import pytest

from contracts.store_kit import Inbox, batch
from tgworker.messaging.models import Attempt, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Settled, Unknown, Unsure
from tgworker.messaging.records import CancelAnswer, OutboxRecord, OutboxState

LATER = '{"telegram": {"not_before": "2026-01-01T13:00:00Z"}}'
NEVER = "00000000-0000-4000-8000-00000000beef"


async def record(inbox: Inbox, message: MessageId) -> OutboxRecord:
    return (await inbox.store.outcomes([message]))[message]


async def settle(inbox: Inbox, attempt: Attempt, outcome: Outcome) -> None:
    await inbox.store.turn([Settled(attempt, outcome)], {}, known=())


async def cancel(inbox: Inbox, message: MessageId) -> CancelAnswer:
    return (await inbox.store.cancel([message]))[message]


async def withdrawn(inbox: Inbox, *known: MessageId, slots: int = 0) -> list[MessageId]:
    turn = await inbox.store.turn((), {inbox.account: slots} if slots else {}, known=known)
    return list(turn.withdrawn)


@pytest.mark.parametrize("payload", [None, LATER])
async def test_what_waits_is_cancelled_and_its_conversation_goes_on(
    inbox: Inbox, payload: str | None
) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi", raw_payload=payload)
    inbox.write(chat, "next")
    assert await cancel(inbox, message) is CancelAnswer.CANCELLED
    row = await record(inbox, message)
    assert (row.state, row.error, row.cancel_asked_at) == (OutboxState.CANCELLED, "cancelled", None)
    assert inbox.message(message)["external_message_id"] == "error-hi"
    assert (await inbox.claim_one()).text == "next"
    assert await cancel(inbox, message) is CancelAnswer.CANCELLED, "to say it twice changes nothing"


async def test_what_telegram_put_off_is_cancelled(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Deferred(60, "FLOOD_WAIT_60"))
    assert await cancel(inbox, message) is CancelAnswer.CANCELLED
    inbox.kit.calendar.advance(61)
    assert await inbox.claim() == []


async def test_ids_that_nobody_knows_have_no_answer(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    assert await inbox.store.cancel([MessageId(NEVER), message]) == {message: CancelAnswer.CANCELLED}
    assert await inbox.store.retry([MessageId(NEVER)]) == {}


# ------------------------------------------------ in a worker's hands


@pytest.mark.parametrize("outcome", [Released("given back"), Deferred(9, "FLOOD_WAIT_9")])
async def test_what_a_worker_has_in_hand_is_taken_out_of_it(inbox: Inbox, outcome: Outcome) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    inbox.write(chat, "next")
    other = inbox.write(inbox.chat("501"), "other")
    held = {attempt.message_id: attempt for attempt in await inbox.claim()}
    assert await withdrawn(inbox, message, other) == []
    assert await cancel(inbox, message) is CancelAnswer.ASKED
    assert await withdrawn(inbox, message, other) == [message]
    assert await withdrawn(inbox, other) == []
    await settle(inbox, held[message], outcome)
    row = await record(inbox, message)
    assert (row.state, row.error, row.not_before) == (OutboxState.CANCELLED, "cancelled", None)
    assert inbox.message(message)["external_message_id"] == "error-hi"
    assert [attempt.text for attempt in await inbox.claim(known=[other])] == ["next"]


async def test_a_worker_with_free_slots_hears_of_it_too(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await inbox.claim_one()
    await cancel(inbox, message)
    assert await withdrawn(inbox, message, slots=5) == [message]


async def test_what_was_sent_meanwhile_is_sent_and_the_row_says_that_it_was_too_late(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    assert await cancel(inbox, message) is CancelAnswer.ASKED
    inbox.kit.calendar.advance(1)
    await inbox.send(attempt, 10)
    row = await record(inbox, message)
    assert (row.state, row.telegram_id) == (OutboxState.SENT, 10)
    assert row.cancel_asked_at is not None
    assert inbox.message(message)["external_message_id"] == "10"
    assert await cancel(inbox, message) is CancelAnswer.LATE


async def test_what_telegram_has_is_too_late_and_the_row_says_when_it_was_wanted(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await inbox.send(await inbox.claim_one(), 10)
    inbox.kit.calendar.advance(5)
    wanted_at = inbox.kit.calendar.today
    assert await cancel(inbox, message) is CancelAnswer.LATE
    row = await record(inbox, message)
    assert (row.state, row.cancel_asked_at) == (OutboxState.SENT, wanted_at)


async def test_what_is_in_doubt_is_too_late(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Unknown("no answer"))
    assert await cancel(inbox, message) is CancelAnswer.LATE
    inbox.kit.calendar.advance(2)
    again = await inbox.claim_one()
    assert await cancel(inbox, message) is CancelAnswer.LATE
    assert await withdrawn(inbox, message) == []
    await settle(inbox, again, Deferred(1, "FLOOD_WAIT_1"))
    assert (await record(inbox, message)).state is OutboxState.DEFERRED, "still to be found out"


async def test_a_doubtful_end_of_what_was_to_be_stopped_is_found_out_all_the_same(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    assert await cancel(inbox, message) is CancelAnswer.ASKED
    await settle(inbox, attempt, Unknown("no answer"))
    inbox.kit.calendar.advance(2)
    again = await inbox.claim_one()
    assert again.random_id == attempt.random_id


async def test_a_message_of_which_a_part_was_sent_goes_on(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "0123456789 " * 30, external_message_id="local-1")
    (first,) = (await inbox.store.turn((), {inbox.account: 1}, known=(), text_limit=100)).attempts
    await settle(inbox, replace(first, parts=4), Sent(10))
    assert await cancel(inbox, message) is CancelAnswer.LATE
    second = await inbox.claim_one()
    assert second.part == 1
    assert await withdrawn(inbox, message) == []
    await settle(inbox, replace(second, parts=4), Released("went offline"))
    assert (await inbox.claim_one()).part == 1


async def test_a_part_that_an_update_told_of_is_sent(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "0123456789 " * 30, external_message_id="local-1")
    (first,) = (await inbox.store.turn((), {inbox.account: 1}, known=(), text_limit=100)).attempts
    await settle(inbox, first, Unknown("no answer"))
    await inbox.store.ingest(inbox.account, batch(sent_ids=[(first.random_id, 10)]))
    assert await cancel(inbox, message) is CancelAnswer.LATE


@pytest.mark.parametrize("way", ["withdrawn", "deleted"])
async def test_the_applications_own_ways_take_it_out_of_a_workers_hands(inbox: Inbox, way: str) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    if way == "deleted":
        inbox.kit.app.delete("messages", message)
    else:
        inbox.kit.app.update("messages", message, external_message_id="taken-back")
    assert await withdrawn(inbox, message) == [message]
    await settle(inbox, attempt, Released("cancelled"))
    assert (await record(inbox, message)).state is OutboxState.CANCELLED


# ------------------------------------------------ sent again


@pytest.mark.parametrize("outcome", [Refused("USER_IS_BLOCKED"), Unsure("nobody knows")])
async def test_what_ended_is_sent_again_with_the_same_key(inbox: Inbox, outcome: Outcome) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await settle(inbox, attempt, outcome)
    assert await inbox.store.retry([message]) == {message: OutboxState.WAITING}
    assert inbox.message(message)["external_message_id"] == "local-hi"
    row = await record(inbox, message)
    assert (row.error, row.cancel_asked_at) == (None, None)
    again = await inbox.claim_one()
    assert (again.text, again.random_id) == ("hi", attempt.random_id)
    await inbox.send(again, 10)
    assert (await record(inbox, message)).state is OutboxState.SENT


async def test_what_was_cancelled_or_has_expired_is_sent_after_all(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    cancelled = inbox.write(chat, "cancelled")
    await cancel(inbox, cancelled)
    until = json.dumps({"telegram": {"expires_at": "2026-01-01T12:00:10Z"}})
    expired = inbox.write(chat, "expired", raw_payload=until)
    inbox.kit.calendar.advance(20)
    assert await inbox.claim() == []
    assert (await record(inbox, expired)).state is OutboxState.EXPIRED
    assert inbox.message(expired)["external_message_id"] == "error-expired"
    assert await cancel(inbox, expired) is CancelAnswer.CANCELLED
    await inbox.store.retry([cancelled, expired])
    for text in ("cancelled", "expired"):
        attempt = await inbox.claim_one()
        assert attempt.text == text
        await inbox.send(attempt, len(text))


async def test_a_dead_letter_can_be_closed(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Refused("USER_IS_BLOCKED"))
    assert await cancel(inbox, message) is CancelAnswer.CANCELLED
    row = await record(inbox, message)
    assert (row.state, row.error) == (OutboxState.CANCELLED, "cancelled; before: USER_IS_BLOCKED")


async def test_what_nobody_knows_of_is_not_called_cancelled(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Unsure("nobody knows"))
    assert await cancel(inbox, message) is CancelAnswer.LATE
    assert (await record(inbox, message)).state is OutboxState.UNSURE


async def test_only_what_ended_or_is_held_is_sent_again(inbox: Inbox) -> None:
    waiting = inbox.write(inbox.chat("500"), "waiting")
    sent = inbox.write(inbox.chat("501"), "sent")
    later = inbox.write(inbox.chat("502"), "later", raw_payload=LATER)
    held = {attempt.message_id: attempt for attempt in await inbox.claim()}
    await inbox.send(held[sent], 10)
    states = await inbox.store.retry([waiting, sent, later])
    assert {states[waiting], states[sent], states[later]} == {
        OutboxState.SENDING,
        OutboxState.SENT,
        OutboxState.DEFERRED,
    }
    assert inbox.message(sent)["external_message_id"] == "10"


async def test_what_was_deleted_stays_what_it_was(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await settle(inbox, await inbox.claim_one(), Refused("USER_IS_BLOCKED"))
    inbox.kit.app.delete("messages", message)
    assert await inbox.store.retry([message]) == {message: OutboxState.DEAD}


# ------------------------------------------------ expiry


async def test_a_claim_says_how_long_it_may_begin(inbox: Inbox) -> None:
    until = json.dumps({"telegram": {"expires_at": "2026-01-01T12:00:10Z"}})
    inbox.write(inbox.chat("500"), "hi", raw_payload=until)
    inbox.write(inbox.chat("501"), "for ever")
    inbox.kit.calendar.advance(4)
    attempts = {attempt.text: attempt for attempt in await inbox.claim()}
    assert attempts["hi"].expires_in_s == pytest.approx(6, abs=0.001)
    assert attempts["for ever"].expires_in_s is None


async def test_what_is_given_back_too_late_has_expired(inbox: Inbox) -> None:
    until = json.dumps({"telegram": {"expires_at": "2026-01-01T12:00:10Z"}})
    message = inbox.write(inbox.chat("500"), "hi", raw_payload=until)
    attempt = await inbox.claim_one()
    inbox.kit.calendar.advance(11)
    await settle(inbox, attempt, Released("it expired before it was sent"))
    assert await inbox.claim() == []
    assert (await record(inbox, message)).state is OutboxState.EXPIRED
    assert inbox.message(message)["external_message_id"] == "error-hi"
