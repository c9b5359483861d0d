"""Settling: what the rows of the application look like afterwards."""

from dataclasses import replace
from datetime import UTC, datetime

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, StoreKit, inbound, outgoing, user
from contracts.store_kit import batch as updates
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Sent, Settled, Unknown
from tgworker.messaging.records import OutboxState


async def test_a_sent_message_carries_telegrams_id_and_time(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "good morning")
    attempt = await inbox.claim_one()
    sent_at = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    await inbox.store.turn([Settled(attempt, Sent(4711, sent_at))], {}, known=())
    row = inbox.message(message)
    assert row["external_message_id"] == "4711"
    assert datetime.fromisoformat(row["sent_at"]) == sent_at
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id, record.error) == (OutboxState.SENT, 4711, None)
    conversation = inbox.kit.app.row("conversations", chat)
    assert conversation is not None
    assert conversation["last_message_preview"] == "good morning"
    assert conversation["last_channel"] == "telegram"
    assert datetime.fromisoformat(conversation["last_message_at"]) == sent_at


async def test_without_telegrams_time_the_stores_calendar_serves(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi", sent_at="2020-01-01T00:00:00Z")
    attempt = await inbox.claim_one()
    inbox.kit.calendar.advance(3)
    await inbox.store.turn([Settled(attempt, Sent(1))], {}, known=())
    sent_at = datetime.fromisoformat(inbox.message(message)["sent_at"])
    assert (sent_at - START).total_seconds() == 3


async def test_an_older_send_does_not_take_over_the_preview(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "slow")
    attempt = await inbox.claim_one()
    newer = datetime(2026, 1, 1, 13, 0, tzinfo=UTC)
    await inbox.store.ingest(inbox.account, updates(inbound(500, 9, "newer", sent_at=newer)))
    await inbox.store.turn([Settled(attempt, Sent(8, START))], {}, known=())
    conversation = inbox.kit.app.row("conversations", chat)
    assert conversation is not None
    assert conversation["last_message_preview"] == "newer"


async def test_a_refused_message_is_dead_lettered_with_its_reason_and_blocks_nothing(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    inbox.write(chat, "next")
    await inbox.store.turn([Settled(await inbox.claim_one(), Refused("USER_IS_BLOCKED"))], {}, known=())
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.error) == (OutboxState.DEAD, "USER_IS_BLOCKED")
    assert inbox.message(message)["external_message_id"] == "error-hi"
    assert (await inbox.claim_one()).text == "next"


async def test_settling_twice_changes_nothing(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await inbox.send(attempt, 10)
    await inbox.store.turn([Settled(attempt, Refused("too late"))], {}, known=())
    await inbox.send(attempt, 11)
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id) == (OutboxState.SENT, 10)
    assert inbox.message(message)["external_message_id"] == "10"


async def test_an_attempt_that_was_handed_over_again_changes_nothing(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    lost = await inbox.claim_one()
    again = await inbox.claim_one()
    await inbox.store.turn([Settled(lost, Refused("of the first attempt"))], {}, known=())
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.SENDING
    await inbox.send(again, 10)
    assert inbox.message(message)["external_message_id"] == "10"


async def test_one_batch_may_hold_every_kind_of_outcome(inbox: Inbox) -> None:
    chats = [inbox.chat(str(500 + number)) for number in range(4)]
    rows = [inbox.write(chat, f"m{number}") for number, chat in enumerate(chats)]
    attempts = await inbox.claim()
    outcomes: tuple[Outcome, ...] = (
        Sent(1, START),
        Deferred(9, "FLOOD_WAIT_9"),
        Refused("NO"),
        Unknown("timeout"),
    )
    await inbox.store.turn(
        [Settled(attempt, outcome) for attempt, outcome in zip(attempts, outcomes, strict=True)], {}, known=()
    )
    records = await inbox.store.outcomes(rows)
    assert [records[row].state.value for row in rows] == ["sent", "deferred", "dead", "deferred"]
    assert [inbox.message(row)["external_message_id"] for row in rows] == [
        "1",
        "local-m1",
        "error-m2",
        "local-m3",
    ]
    listed = await inbox.store.list_outbox([OutboxState.DEFERRED, OutboxState.DEAD])
    assert [record.message_id for record in listed] == rows[1:]
    assert await inbox.store.list_outbox() == listed


async def test_settling_nothing_is_fine(inbox: Inbox) -> None:
    await inbox.store.turn([], {}, known=())


async def test_already_sent_without_an_id_is_settled_and_gets_its_id_later(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    inbox.write(chat, "next")
    attempt = await inbox.claim_one()
    await inbox.store.turn([Settled(attempt, Sent(None))], {}, known=())
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id) == (OutboxState.SENT, None)
    assert inbox.message(message)["external_message_id"] == "sent-hi"
    assert (await inbox.claim_one()).text == "next"
    await inbox.store.ingest(inbox.account, updates(sent_ids=[(attempt.random_id, 4711)]))
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.telegram_id) == (OutboxState.SENT, 4711)
    assert inbox.message(message)["external_message_id"] == "4711"


async def test_the_update_itself_gives_a_message_its_missing_id_by_chat_and_text(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    await inbox.store.turn([Settled(await inbox.claim_one(), Sent(None))], {}, known=())
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "something else"))) == 1
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 71, "hi"))) == 0
    assert inbox.message(message)["external_message_id"] == "71"
    # Only once: the next "hi" is another message.
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 72, "hi"))) == 1


async def test_two_candidates_for_a_missing_id_are_not_guessed_between(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    chat = inbox.chat("500")
    rows = [inbox.write(chat, "hi", external_message_id=f"local-{number}") for number in range(2)]
    for _ in rows:
        await inbox.store.turn([Settled(await inbox.claim_one(), Sent(None))], {}, known=())
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 71, "hi"))) == 1
    assert [inbox.message(row)["external_message_id"] for row in rows] == ["sent-0", "sent-1"]


async def test_an_update_settles_a_row_whose_answer_was_lost(inbox: Inbox) -> None:
    """While it is deferred, in flight, or already given up."""
    outcomes: dict[str, Outcome | None] = {
        "deferred": Unknown("timeout"),
        "flying": None,
        "dead": Refused("INTERNAL"),
    }
    for number, (text, outcome) in enumerate(outcomes.items()):
        message = inbox.write(inbox.chat(str(500 + number)), text)
        attempt = await inbox.claim_one()
        if outcome is not None:
            await inbox.store.turn([Settled(attempt, outcome)], {}, known=())
        echo = outgoing(500 + number, 90 + number, text)
        new = await inbox.store.ingest(
            inbox.account, updates(echo, sent_ids=[(attempt.random_id, 90 + number)])
        )
        assert new == 0
        record = (await inbox.store.outcomes([message]))[message]
        assert (record.state, record.telegram_id) == (OutboxState.SENT, 90 + number)
        assert inbox.message(message)["external_message_id"] == str(90 + number)
        # Whatever the attempt says after that is old news.
        await inbox.store.turn([Settled(attempt, Unknown("timeout"))], {}, known=())
        inbox.kit.calendar.advance(100)
        assert await inbox.claim() == []


async def test_a_random_id_of_another_account_settles_nothing(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await kit.store.ingest(bob, updates(sent_ids=[(attempt.random_id, 90)]))
    assert (await kit.store.outcomes([message]))[message].state is OutboxState.SENDING


async def test_a_message_to_a_name_is_keyed_by_the_chat_that_was_resolved(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("@ada"), "hi")
    attempt = await inbox.claim_one()
    assert (attempt.to, attempt.peer) == ("@ada", None)
    await inbox.store.save_peers(inbox.account, [user(500, username="Ada")])
    await inbox.send(attempt, 70)
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 0
    # The answer arrives in the same conversation.
    await inbox.store.ingest(inbox.account, updates(inbound(500, 71, "hello")))
    (reply,) = inbox.kit.app.rows("messages", direction="inbound")
    assert reply["conversation_id"] == inbox.message(message)["conversation_id"]


async def test_a_message_to_a_number_that_stays_hidden_is_still_stored_once(inbox: Inbox) -> None:
    """The resolved peer shows neither name nor number, so that only the message id links the two."""
    message = inbox.write(inbox.chat("+442079460002"), "hi")
    attempt = await inbox.claim_one()
    await inbox.store.save_peers(inbox.account, [user(500)])
    await inbox.send(attempt, 70)
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 0
    assert inbox.message(message)["external_message_id"] == "70"


async def test_an_attempt_that_names_its_resolved_peer_is_keyed_by_it(inbox: Inbox) -> None:
    inbox.write(inbox.chat("+442079460002"), "hi")
    attempt = replace(await inbox.claim_one(), peer=user(500))
    await inbox.send(attempt, 70)
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 0


async def test_an_update_that_comes_before_the_answer_is_stored_once(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 1
    (echo,) = (row for row in inbox.kit.app.rows("messages") if row["id"] != message)
    inbox.kit.app.insert("message_events", owner_id=OWNER, message_id=echo["id"], type="read")
    await inbox.send(attempt, 70)
    rows = inbox.kit.app.rows("messages")
    assert [(row["id"], row["external_message_id"]) for row in rows] == [(message, "70")]
    (event,) = inbox.kit.app.rows("message_events")
    assert event["message_id"] == message
    assert await inbox.store.ingest(inbox.account, updates(outgoing(500, 70, "hi"))) == 0


async def test_the_preview_is_short_and_never_empty(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "x" * 4096)
    await inbox.send(await inbox.claim_one(), 1)
    conversation = inbox.kit.app.row("conversations", chat)
    assert conversation is not None
    assert conversation["last_message_preview"] == "x" * 100
    inbox.kit.calendar.advance(1)
    message = inbox.write(chat, "", message_type="photo")
    inbox.attach(message)
    await inbox.claim()
    inbox.kit.calendar.advance(3)
    await inbox.send(await inbox.claim_one(), 2)
    conversation = inbox.kit.app.row("conversations", chat)
    assert conversation is not None
    assert conversation["last_message_preview"] == "[photo]"
