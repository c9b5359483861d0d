"""A text that takes several messages: each part claimed, sent and settled once, in order, come what may."""

import json
from dataclasses import replace

import pytest

from contracts.store_kit import Inbox, batch, outgoing, user
from tgworker.messaging.models import Attempt, Doubt
from tgworker.messaging.outcomes import Deferred, Refused, Released, Sent, Settled, Unknown
from tgworker.messaging.records import OutboxState

LONG = "0123456789 " * 30
"""Of 330 characters: with a limit of 100, some parts."""


def asking(**wishes: str) -> str:
    """What the application writes into ``messages.raw_payload``."""
    return json.dumps({"telegram": wishes})


async def settle(
    inbox: Inbox, attempt: Attempt, outcome: Sent | Deferred | Refused | Released | Unknown
) -> None:
    await inbox.store.turn([Settled(attempt, outcome)], {}, known=())


async def claim(inbox: Inbox, limit: int = 100) -> Attempt:
    (attempt,) = (await inbox.store.turn((), {inbox.account: 1}, known=(), text_limit=limit)).attempts
    return attempt


async def send_part(inbox: Inbox, part: int, telegram_id: int, parts: int = 4) -> Attempt:
    attempt = await claim(inbox)
    assert attempt.part == part
    await settle(inbox, replace(attempt, parts=parts), Sent(telegram_id, inbox.kit.calendar.today))
    return attempt


async def test_a_text_that_fits_is_one_part(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "hi")
    attempt = await claim(inbox)
    assert (attempt.part, attempt.parts, attempt.text_limit, attempt.parse_mode) == (0, 1, 100, None)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x" * 100, True),
        ("x" * 101, False),
        ("\U0001f44b" * 50, True),
        ("\U0001f44b" * 50 + "x", False),
        ("é" * 100, True),
    ],
)
async def test_what_fits_is_counted_as_telegram_counts(inbox: Inbox, text: str, fits: bool) -> None:
    inbox.write(inbox.chat("500"), text, external_message_id="local-1")
    assert (await claim(inbox)).parts == (1 if fits else None)


@pytest.mark.parametrize(
    ("length", "mode", "fits"), [(300, "html", True), (301, "html", False), (301, None, True)]
)
async def test_formatting_may_need_more_messages_than_its_text(
    inbox: Inbox, length: int, mode: str | None, fits: bool
) -> None:
    payload = None if mode is None else asking(parse_mode=mode)
    inbox.write(inbox.chat("500"), "x" * length, external_message_id="local-1", raw_payload=payload)
    assert (await claim(inbox, limit=4096)).parts == (1 if fits else None)


async def test_parts_follow_each_other_and_the_message_is_sent_with_the_last(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, LONG, external_message_id="local-long")
    inbox.write(chat, "next")
    attempts: list[Attempt] = []
    for part in range(3):
        attempts.append(await send_part(inbox, part, 10 + part))
        assert inbox.message(message)["external_message_id"] == "local-long"
        assert (await inbox.store.outcomes([message]))[message].state is OutboxState.WAITING
    attempts.append(await send_part(inbox, 3, 13))
    assert {attempt.text for attempt in attempts} == {LONG}
    assert {attempt.message_id for attempt in attempts} == {message}
    assert len({attempt.random_id for attempt in attempts}) == 4
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id) == (OutboxState.SENT, 10)
    assert inbox.message(message)["external_message_id"] == "10"
    assert (await claim(inbox)).text == "next"


async def test_a_crash_between_two_parts_goes_on_with_the_next(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await send_part(inbox, 0, 10)
    (again,) = (await inbox.kit.take_over().turn((), {inbox.account: 1}, known=(), text_limit=100)).attempts
    assert again.part == 1


async def test_a_crash_while_a_part_is_on_its_way_repeats_that_very_part(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await send_part(inbox, 0, 10)
    lost = await claim(inbox)
    (again,) = (await inbox.kit.take_over().turn((), {inbox.account: 1}, known=(), text_limit=100)).attempts
    assert (again.part, again.random_id, again.text) == (1, lost.random_id, LONG)


async def test_a_settle_that_comes_twice_moves_on_once(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    first = replace(await claim(inbox), parts=4)
    for _ in range(2):
        await settle(inbox, first, Sent(10))
    second = replace(await claim(inbox), parts=4)
    await settle(inbox, first, Sent(10))
    assert second.part == 1
    await settle(inbox, second, Sent(11))
    assert (await claim(inbox)).part == 2


async def test_what_is_repeated_is_what_was_committed(inbox: Inbox) -> None:
    """The limit, the text and its markup may change meanwhile; what is on its way does not."""
    message = inbox.write(
        inbox.chat("500"),
        LONG,
        external_message_id="local-long",
        raw_payload=asking(parse_mode="html"),
    )
    first = await claim(inbox)
    assert (first.parse_mode, first.text_limit) == ("html", 100)
    await settle(inbox, first, Unknown("no answer"))
    inbox.kit.app.update("messages", message, text="short", raw_payload=asking(parse_mode="markdown"))
    inbox.kit.calendar.advance(2)
    again = await claim(inbox, limit=4096)
    assert again == replace(first, number=2, fence=again.fence, doubt=Doubt(2, 0))


async def test_what_was_certainly_not_sent_is_what_the_application_says_now(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await settle(inbox, await claim(inbox), Deferred(1, "FLOOD_WAIT_1"))
    inbox.kit.app.update("messages", message, text="short")
    inbox.kit.calendar.advance(2)
    again = await claim(inbox, limit=50)
    assert (again.text, again.parts, again.text_limit, again.part) == ("short", 1, 50, 0)


@pytest.mark.parametrize("mode", ["markdown", "HTML", "no such mode"])
async def test_the_markup_is_the_applications_word(inbox: Inbox, mode: str) -> None:
    inbox.write(inbox.chat("500"), "hi", raw_payload=asking(parse_mode=mode))
    assert (await claim(inbox)).parse_mode == mode


@pytest.mark.parametrize(
    "payload", [None, {}, {"telegram": None}, {"telegram": "x"}, {"telegram": {"parse_mode": None}}]
)
async def test_without_a_word_about_markup_there_is_none(inbox: Inbox, payload: object) -> None:
    inbox.write(inbox.chat("500"), "**hi**", raw_payload=None if payload is None else json.dumps(payload))
    assert (await claim(inbox)).parse_mode is None


async def test_a_refused_part_ends_the_message_and_says_what_was_sent(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, LONG, external_message_id="local-long")
    inbox.write(chat, "next")
    await send_part(inbox, 0, 10)
    await send_part(inbox, 1, 11)
    await settle(inbox, replace(await claim(inbox), parts=4), Refused("CHAT_WRITE_FORBIDDEN"))
    record = (await inbox.store.outcomes([message]))[message]
    assert record.state is OutboxState.DEAD
    assert record.error == "CHAT_WRITE_FORBIDDEN (2 of its 4 parts were sent)"
    assert inbox.message(message)["external_message_id"] == "error-long"
    assert (await claim(inbox)).text == "next"


async def test_a_message_that_is_sent_again_goes_on_where_it_stopped(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await send_part(inbox, 0, 10)
    await settle(inbox, replace(await claim(inbox), parts=4), Refused("CHAT_WRITE_FORBIDDEN"))
    inbox.kit.app.update("messages", message, external_message_id="local-again")
    again = await claim(inbox)
    assert (again.part, again.text) == (1, LONG)


async def test_a_part_that_waits_or_was_not_tried_is_the_same_part(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await send_part(inbox, 0, 10)
    await settle(inbox, replace(await claim(inbox), parts=4), Deferred(5, "FLOOD_WAIT_5"))
    inbox.kit.calendar.advance(6)
    released = await claim(inbox)
    await settle(inbox, replace(released, parts=4), Released("went offline"))
    assert ((await claim(inbox)).part, released.part) == (1, 1)


async def test_doubt_about_a_later_part_is_repeated_as_soon_as_about_the_first(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    for part in range(3):
        await send_part(inbox, part, 10 + part)
    await settle(inbox, replace(await claim(inbox), parts=4), Unknown("no answer"))
    inbox.kit.calendar.advance(0.9)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(0.2)
    assert (await claim(inbox)).part == 3


async def test_what_has_begun_to_be_sent_does_not_expire(inbox: Inbox) -> None:
    until = (inbox.kit.calendar.today.replace(microsecond=0)).isoformat()
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await send_part(inbox, 0, 10)
    inbox.kit.app.update("messages", message, raw_payload=asking(expires_at=until))
    inbox.kit.calendar.advance(100)
    assert (await claim(inbox)).part == 1


# ------------------------------------------------ updates that tell before the answer does


async def test_an_update_about_a_part_is_no_word_about_the_message(inbox: Inbox) -> None:
    """Nobody has counted the parts yet: the row waits for its worker, and the next has nothing to send."""
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await inbox.store.save_peers(inbox.account, [user(500)])
    first = await claim(inbox)
    await inbox.store.ingest(
        inbox.account, batch(outgoing(500, 10, LONG[:99]), sent_ids=[(first.random_id, 10)])
    )
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENDING
    assert len(inbox.kit.app.rows("messages")) == 1, "its echo was stored as a message of its own"
    inbox.kit.calendar.advance(7200)  # far beyond the time in which Telegram would know a repeat
    (again,) = (await inbox.kit.take_over().turn((), {inbox.account: 1}, known=(), text_limit=100)).attempts
    assert (again.part, again.known_id, again.parts) == (0, 10, None)


async def test_the_last_part_is_settled_by_an_update(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await inbox.store.save_peers(inbox.account, [user(500)])
    for part in range(3):
        await send_part(inbox, part, 10 + part)
    last = await claim(inbox)
    await inbox.store.ingest(inbox.account, batch(sent_ids=[(last.random_id, 13)]))
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENT
    assert inbox.message(message)["external_message_id"] == "10"


async def test_updates_about_earlier_parts_change_nothing(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    first = await send_part(inbox, 0, 10)
    second = await claim(inbox)
    sent_ids = [(first.random_id, 10), (second.random_id, 11)]
    await inbox.store.ingest(inbox.account, batch(sent_ids=sent_ids))
    await settle(inbox, replace(second, parts=4), Sent(11))
    assert (await claim(inbox)).part == 2
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENDING


async def test_echoes_of_parts_are_not_stored_again(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), LONG, external_message_id="local-long")
    await inbox.store.save_peers(inbox.account, [user(500)])
    first = await claim(inbox)
    early = batch(outgoing(500, 10, LONG[:99]))
    await inbox.store.ingest(inbox.account, early)  # before the answer, and without a random_id
    assert len(inbox.kit.app.rows("messages")) == 2
    await settle(inbox, replace(first, parts=2), Sent(10))
    assert len(inbox.kit.app.rows("messages")) == 1
    await send_part(inbox, 1, 11, parts=2)
    await inbox.store.ingest(inbox.account, batch(outgoing(500, 10, LONG[:99]), outgoing(500, 11, LONG[99:])))
    assert len(inbox.kit.app.rows("messages")) == 1
