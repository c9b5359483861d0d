"""Claims: what is handed over, in which order, and to whom."""

from contracts.store_kit import NOBODY, OTHER_OWNER, OWNER, START, Inbox, StoreKit, user
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.outcomes import Deferred, Released, Settled, Unknown
from tgworker.messaging.records import OutboxState


async def test_a_row_that_the_application_inserts_plainly_is_claimed(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    chat = inbox.chat("500")
    message = inbox.write(chat, "hi")
    (attempt,) = await inbox.claim()
    assert attempt.message_id == message
    assert attempt.account_id == inbox.account
    assert attempt.conversation_id == chat
    assert (attempt.to, attempt.text, attempt.part, attempt.number) == ("500", "hi", 0, 1)
    assert attempt.peer == user(500)


async def test_rows_that_are_not_outbound_telegram_and_local_are_left_alone(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "a", external_message_id="77")
    inbox.write(chat, "b", external_message_id=None)
    inbox.kit.app.insert(
        "messages",
        owner_id=OWNER,
        conversation_id=chat,
        integration_account_id=inbox.account,
        channel="whatsapp",
        direction="outbound",
        text="c",
        external_message_id="local-c",
    )
    inbox.kit.app.insert(
        "messages",
        owner_id=OWNER,
        conversation_id=chat,
        integration_account_id=inbox.account,
        channel="telegram",
        direction="inbound",
        text="d",
        external_message_id="local-d",
    )
    assert await inbox.claim() == []


async def test_one_conversation_has_one_attempt_at_a_time_and_keeps_its_order(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    for text in ("one", "two", "three"):
        inbox.write(chat, text)
    texts: list[str] = []
    for telegram_id in range(100, 103):
        (attempt,) = await inbox.claim()
        assert await inbox.claim(known=[attempt.message_id]) == []
        texts.append(attempt.text)
        await inbox.send(attempt, telegram_id)
    assert texts == ["one", "two", "three"]
    assert await inbox.claim() == []


async def test_an_account_gets_no_more_than_its_free_slots_and_the_oldest_first(inbox: Inbox) -> None:
    for number in range(5):
        inbox.write(inbox.chat(str(500 + number)), f"m{number}")
    first = await inbox.claim(2)
    rest = await inbox.claim(10, known=[attempt.message_id for attempt in first])
    assert [attempt.text for attempt in first] == ["m0", "m1"]
    assert [attempt.text for attempt in rest] == ["m2", "m3", "m4"]


async def test_accounts_without_a_slot_get_nothing(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    inbox.write(inbox.chat("500"), "for ada")
    inbox.write(inbox.chat("501"), "for bob", integration_account_id=other)
    attempts = (await kit.store.turn((), {other: 5}, known=())).attempts
    assert [attempt.text for attempt in attempts] == ["for bob"]


async def test_with_many_accounts_online_each_gets_its_own(kit: StoreKit, inbox: Inbox) -> None:
    others = [await kit.store.add_account(None, OWNER, "t", user_id=number) for number in range(2, 40)]
    accounts = [inbox.account, *others]
    for number in (3, 17, 38):
        inbox.write(inbox.chat(str(1000 + number)), f"m{number}", integration_account_id=accounts[number])
    attempts = (await kit.store.turn((), dict.fromkeys(accounts, 3), known=())).attempts
    assert {(attempt.account_id, attempt.text) for attempt in attempts} == {
        (accounts[number], f"m{number}") for number in (3, 17, 38)
    }
    # Lost claims are found among many accounts too.
    again = (await kit.store.turn((), dict.fromkeys(accounts, 3), known=())).attempts
    assert {attempt.text for attempt in again} == {"m3", "m17", "m38"}


async def test_a_claim_whose_answer_was_lost_is_handed_over_again_with_the_same_random_id(
    inbox: Inbox,
) -> None:
    inbox.write(inbox.chat("500"), "hi")
    lost = await inbox.claim_one()
    again = await inbox.claim_one()
    assert again.message_id == lost.message_id
    assert again.random_id == lost.random_id
    assert (lost.number, again.number) == (1, 2)
    assert await inbox.claim(known=[again.message_id]) == []


async def test_random_ids_differ_between_messages_and_fit_64_signed_bits(inbox: Inbox) -> None:
    for number in range(20):
        inbox.write(inbox.chat(str(500 + number)), f"m{number}")
    random_ids = {attempt.random_id for attempt in await inbox.claim(20)}
    assert len(random_ids) == 20
    assert all(-(2**63) <= random_id < 2**63 for random_id in random_ids)


async def test_released_rows_wait_as_if_they_had_never_been_claimed(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await inbox.store.turn([Settled(attempt, Released("went offline"))], {}, known=())
    record = (await inbox.store.outcomes([message]))[message]
    assert (record.state, record.attempts) == (OutboxState.WAITING, 0)
    assert (await inbox.claim_one()).number == 1


async def test_a_deferred_row_comes_back_after_the_announced_time_and_blocks_its_chat_until_then(
    inbox: Inbox,
) -> None:
    chat = inbox.chat("500")
    inbox.write(chat, "one")
    inbox.write(chat, "two")
    inbox.write(inbox.chat("501"), "elsewhere")
    one, elsewhere = await inbox.claim()
    await inbox.store.turn([Settled(one, Deferred(30, "FLOOD_WAIT_30"))], {}, known=())
    await inbox.send(elsewhere, 100)
    inbox.kit.calendar.advance(29.9)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(0.2)
    again = await inbox.claim_one()
    assert (again.text, again.number) == ("one", 2)


async def test_an_unknown_outcome_is_retried_with_growing_delays_and_the_same_random_id(
    inbox: Inbox,
) -> None:
    inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    first = attempt.random_id
    for delay_s in (1, 2, 4, 8, 16, 32, 60, 60):
        await inbox.store.turn([Settled(attempt, Unknown("timeout"))], {}, known=())
        inbox.kit.calendar.advance(delay_s - 0.1)
        assert await inbox.claim() == []
        inbox.kit.calendar.advance(0.2)
        attempt = await inbox.claim_one()
        assert attempt.random_id == first
    assert attempt.number == 9


async def test_a_flood_wait_leaves_no_doubt_however_long(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "hi")
    await inbox.store.turn(
        [Settled(await inbox.claim_one(), Deferred(7200, "FLOOD_WAIT_7200"))], {}, known=()
    )
    inbox.kit.calendar.advance(7201)
    assert (await inbox.claim_one()).number == 2


async def test_a_row_that_asks_for_a_later_time_is_sent_then_and_holds_nobody_up(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    later = inbox.write(
        chat, "later", raw_payload='{"telegram": {"not_before": "2026-01-01T12:01:00+00:00"}}'
    )
    inbox.write(chat, "now")
    assert (await inbox.store.outcomes([later]))[later].state is OutboxState.DEFERRED
    now = await inbox.claim_one()
    assert now.text == "now"
    await inbox.send(now, 100)
    inbox.kit.calendar.advance(59)
    assert await inbox.claim() == []
    inbox.write(chat, "still now")
    attempt = await inbox.claim_one()
    assert attempt.text == "still now"
    await inbox.send(attempt, 101)
    inbox.kit.calendar.advance(1)
    assert (await inbox.claim_one()).text == "later"


async def test_a_row_past_its_time_expires_unsent(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "lunch?", raw_payload='{"telegram": {"expires_at": "2026-01-01T12:01:00Z"}}')
    inbox.write(chat, "next")
    inbox.kit.calendar.advance(60)
    attempts = await inbox.claim()
    assert [attempt.text for attempt in attempts] == ["next"]
    record = (await inbox.store.outcomes([message]))[message]
    assert record.state is OutboxState.EXPIRED
    assert inbox.message(message)["external_message_id"] == "error-lunch?"


async def test_nonsense_in_raw_payload_stops_nothing(inbox: Inbox) -> None:
    for number, payload in enumerate(
        (
            "{broken",
            "[]",
            '"text"',
            '{"telegram": 5}',
            '{"telegram": {"not_before": 17, "expires_at": "soon"}}',
        )
    ):
        inbox.write(inbox.chat(str(500 + number)), f"m{number}", raw_payload=payload)
    assert [attempt.text for attempt in await inbox.claim()] == ["m0", "m1", "m2", "m3", "m4"]


async def test_a_row_without_an_account_takes_its_conversations_last_one(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    chat = inbox.chat("500")
    inbox.write(
        chat, "old", integration_account_id=inbox.account, external_message_id="1", sent_at="2025-01-01"
    )
    inbox.write(chat, "newer", integration_account_id=bob, external_message_id="2", sent_at="2025-01-02")
    message = inbox.write(chat, "hi", integration_account_id=None)
    (attempt,) = (await kit.store.turn((), {inbox.account: 5, bob: 5}, known=())).attempts
    assert (attempt.account_id, attempt.message_id) == (bob, message)
    assert inbox.message(message)["integration_account_id"] == bob


async def test_a_row_without_an_account_takes_its_owners_only_active_one(kit: StoreKit, inbox: Inbox) -> None:
    inactive = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    kit.app.update("integration_accounts", inactive, is_active=False)
    inbox.write(inbox.chat("500"), "hi", integration_account_id=None)
    assert (await inbox.claim_one()).account_id == inbox.account


async def test_a_row_that_no_account_can_send_is_dead_lettered_with_its_reason(
    kit: StoreKit, inbox: Inbox
) -> None:
    await kit.store.add_account("bob", OWNER, "token", user_id=2)
    message = inbox.write(inbox.chat("500"), "hi", integration_account_id=None)
    assert await inbox.claim() == []
    record = (await kit.store.outcomes([message]))[message]
    assert record.state is OutboxState.DEAD
    assert record.error is not None
    assert "no account" in record.error
    assert inbox.message(message)["external_message_id"] == "error-hi"


async def test_a_row_without_anybody_to_send_it_to_is_dead_lettered(inbox: Inbox) -> None:
    chat = inbox.kit.app.insert("conversations", owner_id=OWNER)
    message = inbox.write(chat, "hi")
    assert await inbox.claim() == []
    record = (await inbox.store.outcomes([message]))[message]
    assert record.state is OutboxState.DEAD
    assert record.error == "its conversation has no Telegram identity"


async def test_a_conversation_over_another_channel_reaches_its_contact_on_telegram(inbox: Inbox) -> None:
    app = inbox.kit.app
    contact = "c0000000-0000-4000-8000-000000000001"
    mail = app.insert(
        "contact_identities", owner_id=OWNER, contact_id=contact, type="email", value="a@example.org"
    )
    app.insert("contact_identities", owner_id=OWNER, contact_id=contact, type="telegram_user", value="500")
    chat = app.insert("conversations", owner_id=OWNER, contact_id=contact, primary_identity_id=mail)
    inbox.write(chat, "hi")
    assert (await inbox.claim_one()).to == "500"


async def test_a_name_that_is_known_leads_to_its_peer(inbox: Inbox) -> None:
    await inbox.store.save_peers(
        inbox.account, [user(500, username="Ada_L"), user(501, phone="442079460001")]
    )
    # These were written before the peers were known, so that the store could not recognise them.
    app = inbox.kit.app
    named = app.insert("contact_identities", owner_id=OWNER, type="telegram_user", value="@ADA_l")
    phone = app.insert("contact_identities", owner_id=OWNER, type="telegram_user", value="+442079460001")
    for identity in (named, phone):
        inbox.write(app.insert("conversations", owner_id=OWNER, primary_identity_id=identity), "hi")
    attempts = await inbox.claim()
    assert [attempt.peer.chat_id for attempt in attempts if attempt.peer is not None] == [500, 501]


async def test_a_pending_message_that_the_application_deletes_is_cancelled_and_blocks_nothing(
    inbox: Inbox,
) -> None:
    chat = inbox.chat("500")
    first = inbox.write(chat, "first")
    inbox.write(chat, "second")
    inbox.kit.app.delete("messages", first)
    assert (await inbox.store.outcomes([first]))[first].state is OutboxState.CANCELLED
    assert (await inbox.claim_one()).text == "second"


async def test_a_message_deleted_in_flight_is_not_tried_again_and_does_not_come_back(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    message = inbox.write(chat, "first")
    inbox.write(chat, "second")
    attempt = await inbox.claim_one()
    inbox.kit.app.delete("messages", message)
    assert await inbox.claim(known=[message]) == []
    await inbox.store.turn([Settled(attempt, Unknown("timeout"))], {}, known=())
    inbox.kit.calendar.advance(10)
    attempts = await inbox.claim()
    assert [attempt.text for attempt in attempts] == ["second"]
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.CANCELLED


async def test_a_pending_message_that_is_local_no_more_is_withdrawn(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "first")
    inbox.kit.app.update("messages", message, external_message_id="4711")
    assert await inbox.claim() == []
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.CANCELLED
    assert inbox.message(message)["external_message_id"] == "4711"


async def test_a_dead_message_that_becomes_local_again_is_sent_again(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi", integration_account_id=NOBODY)
    assert await inbox.claim() == []
    assert (await inbox.store.outcomes([message]))[message].state is OutboxState.DEAD
    inbox.kit.app.update(
        "messages", message, external_message_id="local-again", integration_account_id=inbox.account
    )
    # The account was the reason; the row looks again for one.
    attempt = await inbox.claim_one()
    assert (attempt.message_id, attempt.account_id) == (message, inbox.account)


async def test_a_message_whose_account_is_removed_is_dead_lettered(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    message = inbox.write(inbox.chat("500"), "hi", integration_account_id=bob)
    kit.app.delete("integration_accounts", bob)
    record = (await kit.store.outcomes([message]))[message]
    assert record.state is OutboxState.DEAD
    assert inbox.message(message)["external_message_id"] == "error-hi"


async def test_a_settled_attempt_is_not_claimed_even_if_it_is_still_known(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "hi")
    attempt = await inbox.claim_one()
    await inbox.send(attempt, 100)
    assert await inbox.claim(known=[attempt.message_id]) == []


async def test_an_idle_claim_notices_every_kind_of_news(kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("500")
    assert await inbox.claim() == []
    assert await inbox.claim() == []
    await kit.store.enqueue(inbox.account, "501", ["from this very process"])
    attempt = await inbox.claim_one()
    await inbox.send(attempt, 1)
    assert await inbox.claim() == []
    inbox.write(chat, "from outside")
    attempt = await inbox.claim_one()
    await kit.store.turn([Settled(attempt, Deferred(5, "FLOOD_WAIT_5"))], {}, known=())
    assert await inbox.claim() == []
    assert await inbox.claim() == []
    kit.calendar.advance(5)
    attempt = await inbox.claim_one()
    assert await inbox.claim(known=[attempt.message_id]) == []
    # Forgotten by its holder.
    assert (await inbox.claim_one()).number == 3
    bob = await kit.store.add_account("bob", OTHER_OWNER, "token", user_id=2)
    known = [attempt.message_id]
    assert list((await kit.store.turn((), {AccountId(bob): 5}, known=known)).attempts) == []
    kit.app.update("messages", attempt.message_id, text="still the same row")
    assert await inbox.claim(known=[MessageId(attempt.message_id)]) == []
    assert kit.calendar.today > START


async def test_rows_that_end_make_room_for_those_behind_them_in_the_same_claim(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    for number in range(5):
        message = inbox.write(chat, f"m{number}")
        if number < 4:
            attempt = await inbox.claim_one()
            assert attempt.text == f"m{number}"
            await inbox.store.turn([Settled(attempt, Released("went away"))], {}, known=())
            # Withdrawn behind the queue's back, as a person with SQL would.
            inbox.kit.app.update("messages", message, external_message_id="gone", direction="inbound")
    assert [attempt.text for attempt in await inbox.claim()] == ["m4"]
