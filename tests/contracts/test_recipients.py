"""Rows whose recipient nobody knows yet: they wait in ``resolving``, and go on when it is found."""

import json
from datetime import timedelta

import pytest

from contracts.store_kit import OWNER, START, Inbox, StoreKit, batch, user
from tgworker.messaging.models import MessageId, Peer, PeerKind, Sought
from tgworker.messaging.outcomes import Deferred, Refused, Settled, Unresolved
from tgworker.messaging.records import OutboxRecord, OutboxState

ASKED = Unresolved("asked who this is")


async def park(inbox: Inbox) -> list[str]:
    """Claim what is due and say that nobody knows whom it is for; returns for whom it is."""
    attempts = await inbox.claim()
    assert [attempt.peer for attempt in attempts] == [None] * len(attempts)
    await inbox.store.turn([Settled(attempt, ASKED) for attempt in attempts], {}, known=())
    return [attempt.to for attempt in attempts]


async def record(inbox: Inbox, message: MessageId) -> OutboxRecord:
    return (await inbox.store.outcomes([message]))[message]


async def sought(inbox: Inbox) -> list[Sought]:
    return list((await inbox.store.recipients(inbox.account)).sought)


async def test_such_a_row_waits_and_holds_up_its_conversation_alone(kit: StoreKit, inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    unknown, known = inbox.chat("@Ada"), inbox.chat("500")
    first = inbox.write(unknown, "first")
    assert await park(inbox) == ["@Ada"]
    inbox.write(unknown, "second")
    other = inbox.write(known, "other")
    kit.calendar.advance(100_000)
    assert [attempt.message_id for attempt in await inbox.claim()] == [other]
    row = await record(inbox, first)
    assert (row.state, row.attempts, row.error) == (OutboxState.RESOLVING, 0, ASKED.reason)
    assert await sought(inbox) == [Sought("@ada")]
    assert inbox.message(first)["external_message_id"] == "local-first"


async def test_once_it_is_found_every_row_for_it_may_be_claimed(inbox: Inbox) -> None:
    first, second = (inbox.chat(name) for name in ("@Ada", "+442079460001"))
    rows = [inbox.write(first, "1"), inbox.write(second, "2")]
    await park(inbox)
    inbox.write(first, "3")
    found = user(500, username="Ada")
    assert list(await inbox.store.record_recipients(inbox.account, {"@ada": found})) == []
    (attempt,) = await inbox.claim()
    assert (attempt.message_id, attempt.number) == (rows[0], 1)
    assert attempt.peer is not None
    assert attempt.peer.access_hash == found.access_hash
    assert await sought(inbox) == [Sought("+442079460001")]
    assert found.chat_id in [peer.chat_id for peer in await inbox.store.peers(inbox.account)]


async def test_a_name_that_its_peer_does_not_show_is_asked_for_once(inbox: Inbox) -> None:
    """One of several usernames, and a phone number that nobody sees."""
    inbox.chat("500")  # the application has a contact of that id, so that the other two keep their names
    chats = {name: inbox.chat(name) for name in ("@second_name", "+442079460001")}
    for name, chat in chats.items():
        inbox.write(chat, name)
    await park(inbox)
    found = user(500, username="first_name")
    await inbox.store.record_recipients(inbox.account, dict.fromkeys(chats, found))
    attempts = await inbox.claim()
    assert [attempt.peer and attempt.peer.chat_id for attempt in attempts] == [500, 500]
    for number, attempt in enumerate(attempts):
        await inbox.send(attempt, 900 + number)
    inbox.write(chats["@second_name"], "again")
    again = await inbox.claim_one()
    assert again.peer is not None
    assert again.peer.chat_id == 500


@pytest.mark.parametrize("to", ["500", "@Ada", "+442079460001"])
async def test_a_peer_that_comes_from_elsewhere_is_found_as_well(inbox: Inbox, to: str) -> None:
    message = inbox.write(inbox.chat(to), "1")
    await park(inbox)
    await inbox.store.ingest(inbox.account, batch(peers=[user(600)]))
    assert await inbox.claim() == []
    await inbox.store.ingest(inbox.account, batch(peers=[user(500, username="Ada", phone="442079460001")]))
    attempt = await inbox.claim_one()
    assert attempt.message_id == message
    assert attempt.peer is not None


async def test_what_telegram_refuses_ends_with_its_reason_and_the_chat_goes_on(inbox: Inbox) -> None:
    chat = inbox.chat("@nobody")
    first = inbox.write(chat, "1")
    await park(inbox)
    second = inbox.write(chat, "2")
    await inbox.store.record_recipients(inbox.account, {"@nobody": Refused("USERNAME_NOT_OCCUPIED")})
    row = await record(inbox, first)
    assert (row.state, row.error) == (OutboxState.DEAD, "USERNAME_NOT_OCCUPIED")
    assert inbox.message(first)["external_message_id"] == "error-1"
    assert (await inbox.claim_one()).message_id == second


async def test_what_is_deferred_shows_until_when_and_is_not_claimed_then(kit: StoreKit, inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("@ada"), "1")
    await park(inbox)
    await inbox.store.record_recipients(inbox.account, {"@ada": Deferred(86_400, "FLOOD_WAIT_86400")})
    row = await record(inbox, message)
    assert (row.state, row.error) == (OutboxState.RESOLVING, "FLOOD_WAIT_86400")
    assert row.not_before == START + timedelta(days=1)
    kit.calendar.advance(86_000)
    assert await sought(inbox) == [Sought("@ada", 400)]
    kit.calendar.advance(1000)
    assert await sought(inbox) == [Sought("@ada", 0)]
    assert await inbox.claim() == [], "it is for Telegram to say, not for the clock"


async def test_another_worker_finds_whom_rows_wait_for_the_oldest_first(kit: StoreKit, inbox: Inbox) -> None:
    for to in ("@zoe", "500", "@ada"):
        inbox.write(inbox.chat(to), to)
    await park(inbox)
    heir = kit.take_over()
    asked = (await heir.recipients(inbox.account)).sought
    assert [one.to for one in asked] == ["@zoe", "500", "@ada"]
    assert [one.to for one in (await heir.recipients(inbox.account, limit=2)).sought] == ["@zoe", "500"]


async def test_an_account_is_introduced_once(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    assert not (await kit.store.recipients(inbox.account)).introduced
    await kit.store.record_introduced(inbox.account)
    heir = kit.take_over()
    assert (await heir.recipients(inbox.account)).introduced
    assert not (await heir.recipients(other)).introduced


async def test_a_row_that_was_claimed_again_is_not_touched_by_an_older_answer(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("@ada"), "1")
    old = await inbox.claim_one()
    new = await inbox.claim_one()
    await inbox.store.turn([Settled(old, ASKED)], {}, known=[message])
    assert (await record(inbox, message)).state is OutboxState.SENDING
    await inbox.store.turn([Settled(new, ASKED)], {}, known=())
    assert (await record(inbox, message)).state is OutboxState.RESOLVING


async def test_a_row_that_the_application_takes_back_is_sought_no_more(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("@ada"), "1")
    await park(inbox)
    inbox.kit.app.delete("messages", message)
    assert await sought(inbox) == []
    assert list(await inbox.store.record_recipients(inbox.account, {"@ada": user(500)})) == []


async def test_a_row_expires_while_nobody_knows_whom_it_is_for(kit: StoreKit, inbox: Inbox) -> None:
    until = (START + timedelta(hours=1)).isoformat()
    message = inbox.write(
        inbox.chat("@ada"), "1", raw_payload=json.dumps({"telegram": {"expires_at": until}})
    )
    await park(inbox)
    kit.calendar.advance(3601)
    assert await inbox.claim() == []
    assert (await record(inbox, message)).state is OutboxState.EXPIRED


async def test_one_accounts_answer_moves_no_row_of_another(kit: StoreKit, inbox: Inbox) -> None:
    other = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    message = inbox.write(inbox.chat("-55"), "1")
    await park(inbox)
    group = Peer(-55, PeerKind.CHAT, title="Friends")
    await kit.store.record_recipients(other, {"-55": group})
    assert (await record(inbox, message)).state is OutboxState.RESOLVING
    await kit.store.record_recipients(inbox.account, {"-55": group})
    assert (await record(inbox, message)).state is OutboxState.WAITING


async def test_another_users_session_is_introduced_anew(kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("@second_name")
    inbox.write(chat, "1")
    await park(inbox)
    await kit.store.record_recipients(inbox.account, {"@second_name": user(500, username="first_name")})
    await kit.store.record_introduced(inbox.account)
    await kit.store.forget_user(inbox.account, 99)
    assert not (await kit.store.recipients(inbox.account)).introduced
    assert (await inbox.claim_one()).peer is None


async def test_a_claim_that_died_while_nobody_knew_whom_it_was_for_leaves_no_doubt(
    kit: StoreKit, inbox: Inbox
) -> None:
    inbox.write(inbox.chat("@ada"), "1")
    await inbox.claim_one()
    heir = kit.take_over()
    kit.calendar.advance(5)
    (again,) = (await heir.turn((), {inbox.account: 1}, known=())).attempts
    await heir.turn([Settled(again, ASKED)], {}, known=())
    kit.calendar.advance(86_400)
    await heir.record_recipients(inbox.account, {"@ada": user(500)})
    (attempt,) = (await heir.turn((), {inbox.account: 1}, known=())).attempts
    assert attempt.peer is not None
    assert attempt.doubt is None, "nothing can have left"


async def test_a_doubt_outlasts_the_search_for_whom_it_was_sent_to(kit: StoreKit, inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "1")
    assert (await inbox.claim_one()).peer is not None
    await kit.store.forget_user(inbox.account, 99)
    await park(inbox)
    await kit.store.record_recipients(inbox.account, {"500": user(500)})
    assert (await inbox.claim_one()).doubt is not None
    await inbox.store.turn([Settled(await inbox.claim_one(), ASKED)], {}, known=())
    await kit.store.record_recipients(inbox.account, {"500": Refused("PEER_NOT_FOUND")})
    row = await record(inbox, message)
    assert row.state is OutboxState.UNSURE
    assert row.error is not None
    assert row.error.endswith("(PEER_NOT_FOUND)")
