"""Rows wait for their attachments, as long as they say; one that comes too late is not lost in silence."""

import json
from typing import Any

import pytest

from contracts.store_kit import OTHER_OWNER, Inbox
from tgworker.messaging.models import MessageId
from tgworker.messaging.outcomes import Deferred, Settled
from tgworker.messaging.records import CancelAnswer, OutboxRecord, OutboxState


def expecting(count: object) -> str:
    """What the application writes into ``messages.raw_payload``."""
    return json.dumps({"telegram": {"attachments": count}})


async def record(inbox: Inbox, message: MessageId) -> OutboxRecord:
    return (await inbox.store.outcomes([message]))[message]


def write(inbox: Inbox, text: str = "look", **columns: Any) -> MessageId:
    return inbox.write(inbox.chat("500"), text, external_message_id="local-x", **columns)


async def test_a_row_waits_for_as_many_attachments_as_it_says(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(3))
    assert await inbox.claim() == []
    waiting = await record(inbox, message)
    assert (waiting.state, waiting.attempts) == (OutboxState.WAITING, 0)
    assert waiting.error == "waits for its attachments: 0 of 3"
    inbox.attach(message, "1")
    inbox.kit.calendar.advance(60)
    inbox.attach(message, "2")
    assert await inbox.claim() == []
    assert (await record(inbox, message)).error == "waits for its attachments: 2 of 3"
    inbox.attach(message, "3")
    attempt = await inbox.claim_one()
    assert [file.path for file in attempt.files] == ["1", "2", "3"]


@pytest.mark.parametrize("there", [0, 2])
async def test_a_row_whose_attachments_do_not_all_come_is_dead_lettered(inbox: Inbox, there: int) -> None:
    message = write(inbox, raw_payload=expecting(3))
    assert await inbox.claim() == []
    for number in range(there):
        inbox.attach(message, str(number))
    inbox.kit.calendar.advance(599.9)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(0.1)
    assert await inbox.claim() == []
    dead = await record(inbox, message)
    assert (dead.state, dead.error) == (OutboxState.DEAD, f"{there} of 3 attachments came within 600 s")
    assert inbox.message(message)["external_message_id"] == "error-x"


async def test_the_row_that_waits_holds_up_its_conversation_and_no_other(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "first", raw_payload=expecting(1))
    inbox.write(chat, "second")
    inbox.write(inbox.chat("501"), "elsewhere")
    assert [attempt.text for attempt in await inbox.claim(slots=1)] == ["elsewhere"]
    inbox.attach(message)
    assert [attempt.text for attempt in await inbox.claim(slots=2)] == ["first", "elsewhere"]


async def test_many_rows_that_wait_take_no_slot(inbox: Inbox) -> None:
    for number in range(5):
        inbox.write(inbox.chat(str(500 + number)), f"{number}", raw_payload=expecting(1))
    inbox.write(inbox.chat("600"), "plain")
    assert [attempt.text for attempt in await inbox.claim(slots=1)] == ["plain"]


@pytest.mark.parametrize("kind", ["photo", "voice", "document"])
async def test_a_row_of_a_file_type_waits_a_moment_and_goes_with_what_is_there(
    inbox: Inbox, kind: str
) -> None:
    message = write(inbox, message_type=kind)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).error == "waits for its attachments"
    inbox.attach(message, "1")
    inbox.kit.calendar.advance(2.9)
    inbox.attach(message, "2")
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(0.1)
    attempt = await inbox.claim_one()
    assert ([file.path for file in attempt.files], attempt.message_type) == (["1", "2"], kind)


@pytest.mark.parametrize("text", ["", "a text that would go without its picture"])
async def test_a_row_of_a_file_type_is_never_sent_without_a_file(inbox: Inbox, text: str) -> None:
    message = write(inbox, text, message_type="photo")
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(3)
    assert await inbox.claim() == []
    dead = await record(inbox, message)
    assert (dead.state, dead.error) == (OutboxState.DEAD, "no attachment came within 3 s")


async def test_an_attachment_says_that_more_may_come(inbox: Inbox) -> None:
    message = write(inbox)
    inbox.attach(message)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(3)
    assert len((await inbox.claim_one()).files) == 1


@pytest.mark.parametrize("kind", ["text", "service_join"])
async def test_a_plain_row_is_claimed_at_once(inbox: Inbox, kind: str) -> None:
    write(inbox, message_type=kind)
    attempt = await inbox.claim_one()
    assert (attempt.files, attempt.parts, attempt.more_random_ids) == ((), 1, ())


@pytest.mark.parametrize("count", [0, -1, 101, 1.5, "3", True, None, [2], {"n": 2}])
async def test_a_number_of_attachments_that_is_none_is_ignored(inbox: Inbox, count: object) -> None:
    write(inbox, raw_payload=expecting(count))
    assert (await inbox.claim_one()).files == ()


async def test_a_message_takes_a_hundred_attachments_at_most(inbox: Inbox) -> None:
    message = write(inbox)
    for number in range(101):
        inbox.attach(message, str(number))
    assert await inbox.claim() == []
    dead = await record(inbox, message)
    assert (dead.state, dead.error) == (OutboxState.DEAD, "it has 101 attachments: 100 is the most")


async def test_another_owners_attachment_does_not_count_and_is_not_reached(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(1))
    inbox.attach(message, "theirs", owner_id=OTHER_OWNER)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).error == "waits for its attachments: 0 of 1"
    inbox.attach(message, "ours")
    assert [file.path for file in (await inbox.claim_one()).files] == ["ours"]


async def test_only_another_owners_attachment_is_none(inbox: Inbox) -> None:
    message = write(inbox)
    inbox.attach(message, "theirs", owner_id=OTHER_OWNER)
    assert (await inbox.claim_one()).files == ()


async def test_attachments_that_are_taken_away_are_counted_again(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(2))
    first = inbox.attach(message, "1")
    assert await inbox.claim() == []
    inbox.kit.app.delete("attachments", first)
    inbox.attach(message, "2")
    assert await inbox.claim() == []
    assert (await record(inbox, message)).error == "waits for its attachments: 1 of 2"
    inbox.attach(message, "3")
    assert [file.path for file in (await inbox.claim_one()).files] == ["2", "3"]


async def test_an_attachment_that_is_moved_to_the_message_counts(inbox: Inbox) -> None:
    draft = inbox.write(inbox.chat("600"), "draft", external_message_id=None)
    attachment = inbox.attach(draft)
    message = write(inbox, raw_payload=expecting(1))
    assert await inbox.claim() == []
    inbox.kit.app.update("attachments", attachment, message_id=message)
    assert [file.id for file in (await inbox.claim_one()).files] == [attachment]


async def test_a_message_that_is_deleted_while_it_waits_is_not_sent(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(2))
    inbox.attach(message)
    assert await inbox.claim() == []
    inbox.kit.app.delete("messages", message)
    assert (await record(inbox, message)).state is OutboxState.CANCELLED
    inbox.kit.calendar.advance(700)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).state is OutboxState.CANCELLED


async def test_a_message_is_cancelled_while_it_waits(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(2))
    assert await inbox.claim() == []
    assert await inbox.store.cancel([message]) == {message: CancelAnswer.CANCELLED}
    inbox.attach(message, "1")
    inbox.attach(message, "2")
    assert await inbox.claim() == []


async def test_a_message_expires_while_it_waits(inbox: Inbox) -> None:
    until = inbox.kit.calendar.today.replace(minute=1).isoformat()
    message = write(inbox, raw_payload=json.dumps({"telegram": {"attachments": 1, "expires_at": until}}))
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(61)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).state is OutboxState.EXPIRED


async def test_what_is_sent_again_waits_anew(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(1))
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(600)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).state is OutboxState.DEAD
    await inbox.store.retry([message])
    assert await inbox.claim() == []
    assert (await record(inbox, message)).error == "waits for its attachments: 0 of 1"
    inbox.attach(message)
    assert len((await inbox.claim_one()).files) == 1


async def test_the_wait_goes_on_with_the_next_worker(inbox: Inbox) -> None:
    message = write(inbox, raw_payload=expecting(1))
    assert await inbox.claim() == []
    heir = inbox.kit.take_over()
    assert (await heir.turn((), {inbox.account: 1}, known=())).attempts == []
    inbox.attach(message)
    (attempt,) = (await heir.turn((), {inbox.account: 1}, known=())).attempts
    assert len(attempt.files) == 1


# ------------------------------------------------ too late


LATE = "an attachment was linked after it was sent"


async def test_an_attachment_that_comes_after_the_message_was_sent_is_told(inbox: Inbox) -> None:
    message = write(inbox)
    await inbox.send(await inbox.claim_one(), 70)
    assert await inbox.store.list_outbox() == []
    inbox.attach(message)
    sent = await record(inbox, message)
    assert (sent.state, sent.error, sent.files) == (OutboxState.SENT, LATE, 0)
    assert [each.message_id for each in await inbox.store.list_outbox()] == [message]
    assert await inbox.claim() == []


async def test_an_attachment_that_comes_while_the_message_is_on_its_way_is_told_once_it_is_sent(
    inbox: Inbox,
) -> None:
    message = write(inbox)
    attempt = await inbox.claim_one()
    inbox.attach(message)
    await inbox.send(attempt, 70)
    assert (await record(inbox, message)).error == LATE


async def test_an_attachment_that_comes_before_the_next_try_is_not_late(inbox: Inbox) -> None:
    message = write(inbox)
    attempt = await inbox.claim_one()
    inbox.attach(message)
    await inbox.store.turn([Settled(attempt, Deferred(5, "FLOOD_WAIT_5"))], {}, known=())
    inbox.kit.calendar.advance(6)
    again = await inbox.claim_one()
    assert len(again.files) == 1
    await inbox.send(again, 70)
    assert (await record(inbox, message)).error is None


async def test_an_attachment_that_came_late_and_went_again_is_not_told(inbox: Inbox) -> None:
    message = write(inbox)
    attempt = await inbox.claim_one()
    attachment = inbox.attach(message)
    await inbox.store.turn([Settled(attempt, Deferred(5, "FLOOD_WAIT_5"))], {}, known=())
    inbox.kit.app.delete("attachments", attachment)
    inbox.kit.calendar.advance(6)
    await inbox.send(await inbox.claim_one(), 70)
    assert (await record(inbox, message)).error is None


async def test_another_owners_attachment_is_not_late(inbox: Inbox) -> None:
    message = write(inbox)
    await inbox.send(await inbox.claim_one(), 70)
    inbox.attach(message, owner_id=OTHER_OWNER)
    assert (await record(inbox, message)).error is None
