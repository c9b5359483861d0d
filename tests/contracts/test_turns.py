"""A turn of the outbound loop: what it settles is stored before it claims, and all of it may be repeated."""

from contracts.store_kit import Inbox
from tgworker.messaging.models import Attempt
from tgworker.messaging.outcomes import Refused, Released, Sent, Settled
from tgworker.messaging.records import OutboxState


async def turn(inbox: Inbox, *settled: Settled, known: tuple[Attempt, ...] = ()) -> list[Attempt]:
    ids = [attempt.message_id for attempt in known]
    return list((await inbox.store.turn(settled, {inbox.account: 10}, known=ids)).attempts)


async def test_what_is_settled_makes_room_for_the_claim_of_the_same_turn(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    messages = [inbox.write(chat, text) for text in ("one", "two", "three")]
    texts: list[str] = []
    outcomes: tuple[Settled, ...] = ()
    for telegram_id in (70, 71, 72):
        (attempt,) = await turn(inbox, *outcomes)
        texts.append(attempt.text)
        outcomes = (Settled(attempt, Sent(telegram_id)),)
    assert await turn(inbox, *outcomes) == []
    assert texts == ["one", "two", "three"]
    assert [inbox.message(message)["external_message_id"] for message in messages] == ["70", "71", "72"]


async def test_a_turn_whose_answer_was_lost_is_repeated_and_nothing_happens_twice(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    first, second = (inbox.write(chat, text) for text in ("first", "second"))
    (attempt,) = await turn(inbox)
    outcome = Settled(attempt, Sent(70))
    (lost,) = await turn(inbox, outcome)
    (again,) = await turn(inbox, outcome)
    assert again.message_id == lost.message_id == second
    assert again.random_id == lost.random_id
    assert (lost.number, again.number) == (1, 2)
    assert await turn(inbox, outcome, known=(again,)) == []
    records = await inbox.store.outcomes([first, second])
    assert (records[first].state, records[first].telegram_id) == (OutboxState.SENT, 70)
    assert records[second].state is OutboxState.SENDING


async def test_what_is_given_back_is_handed_over_by_the_same_turn(inbox: Inbox) -> None:
    inbox.write(inbox.chat("500"), "hi")
    (attempt,) = await turn(inbox)
    outcome = Settled(attempt, Released("the account went offline"))
    (anew,) = await turn(inbox, outcome)
    assert (anew.message_id, anew.number) == (attempt.message_id, 1)
    # Its answer was lost: the old attempt's outcome, once more, does not keep the new one from being settled.
    (again,) = await turn(inbox, outcome)
    assert (again.message_id, again.random_id) == (attempt.message_id, attempt.random_id)
    assert await turn(inbox, Settled(again, Sent(70))) == []
    assert inbox.message(again.message_id)["external_message_id"] == "70"


async def test_without_slots_a_turn_only_settles(inbox: Inbox) -> None:
    refused, waiting = (inbox.write(inbox.chat(value), value) for value in ("500", "501"))
    attempts = {attempt.message_id: attempt for attempt in await inbox.claim(1)}
    outcome = Settled(attempts[refused], Refused("PEER_ID_INVALID"))
    assert list((await inbox.store.turn([outcome], {}, known=())).attempts) == []
    records = await inbox.store.outcomes([refused, waiting])
    assert (records[refused].state, records[waiting].state) == (OutboxState.DEAD, OutboxState.WAITING)
    assert list((await inbox.store.turn((), {}, known=())).attempts) == []
