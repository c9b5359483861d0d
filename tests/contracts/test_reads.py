"""Reads, both ways: compared as numbers, within their chat and account, each told once, at a bounded cost."""

import json
from collections.abc import Iterable

from contracts.store_kit import OWNER, Inbox, StoreKit, batch, inbound, outgoing
from tgworker.messaging.changes import Change, ReadByThem, ReadByUs
from tgworker.messaging.models import AccountId, ConversationId, MessageId
from tgworker.messaging.outcomes import Settled, Unknown

PERSON = 500
GROUP = -77
CHANNEL = -1_000_000_000_555


async def tell(inbox: Inbox, *changes: Change, account: AccountId | None = None) -> None:
    await inbox.store.ingest(account or inbox.account, batch(changes=changes))


def read(inbox: Inbox, by: str) -> list[str]:
    """The texts of the messages that were read, as often as that was told; numbers in their order."""
    texts = [
        str(inbox.message(MessageId(event["message_id"]))["text"])
        for event in inbox.kit.app.rows("message_events", type="read")
        if json.loads(event["payload"]) == {"by": by}
    ]
    return sorted(texts, key=lambda text: (len(text), text))


def unread(inbox: Inbox) -> list[int]:
    return [int(row["unread_count"]) for row in inbox.kit.app.rows("conversations")]


async def store(inbox: Inbox, chat: int, ids: Iterable[int], *, ours: bool) -> None:
    make = outgoing if ours else inbound
    await inbox.store.ingest(inbox.account, batch(*(make(chat, one, str(one)) for one in ids)))


async def test_they_have_read_what_we_wrote_up_to_a_message(inbox: Inbox) -> None:
    await store(inbox, PERSON, (8, 9, 10, 11), ours=True)  # as text, "10" comes before "9"
    await store(inbox, PERSON, (7,), ours=False)
    for _ in range(2):
        await tell(inbox, ReadByThem(PERSON, 9))
    assert read(inbox, "them") == ["8", "9"]
    await tell(inbox, ReadByThem(PERSON, 8), ReadByThem(PERSON, 11), ReadByThem(PERSON, 10))
    assert read(inbox, "them") == ["8", "9", "10", "11"]
    assert read(inbox, "us") == []


async def test_a_read_is_of_its_chat_and_account(kit: StoreKit, inbox: Inbox) -> None:
    eve = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    for chat in (PERSON, GROUP, CHANNEL):
        await store(inbox, chat, (5,), ours=True)
    await kit.store.ingest(eve, batch(outgoing(PERSON, 5, "eve's")))
    await tell(inbox, ReadByThem(CHANNEL, 99))
    assert read(inbox, "them") == ["5"]
    (event,) = kit.app.rows("message_events")
    row = inbox.message(MessageId(event["message_id"]))
    assert (row["integration_account_id"], event["owner_id"]) == (inbox.account, OWNER)
    await tell(inbox, ReadByThem(PERSON, 4), account=eve)
    assert len(read(inbox, "them")) == 1
    await tell(inbox, ReadByThem(PERSON, 5), account=eve)
    assert read(inbox, "them") == ["5", "eve's"]


async def test_what_comes_after_a_read_is_read_by_the_next(inbox: Inbox) -> None:
    await tell(inbox, ReadByThem(PERSON, 5))
    await store(inbox, PERSON, (6, 7), ours=True)
    await tell(inbox, ReadByThem(PERSON, 6))
    assert read(inbox, "them") == ["6"]


async def test_a_first_read_of_a_long_chat_tells_of_its_newest_messages(inbox: Inbox) -> None:
    await store(inbox, PERSON, range(1, 251), ours=True)
    await tell(inbox, ReadByThem(PERSON, 250))
    assert read(inbox, "them") == [str(number) for number in range(151, 251)]
    await store(inbox, PERSON, (251,), ours=True)
    await tell(inbox, ReadByThem(PERSON, 251))
    assert len(read(inbox, "them")) == 101


async def test_a_message_that_was_read_before_its_send_was_known_is_read_once_it_is(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat(str(PERSON)), "hello")
    attempt = await inbox.claim_one()
    await tell(inbox, ReadByThem(PERSON, 70))
    assert read(inbox, "them") == []
    await inbox.send(attempt, 70)
    assert read(inbox, "them") == ["hello"]
    assert [event["message_id"] for event in inbox.kit.app.rows("message_events")] == [message]


async def test_a_message_of_which_nobody_knows_whether_it_was_sent_is_not_read(inbox: Inbox) -> None:
    inbox.write(inbox.chat(str(PERSON)), "hello")
    attempt = await inbox.claim_one()
    await tell(inbox, ReadByThem(PERSON, 70))
    await inbox.store.turn([Settled(attempt, Unknown("x"))], {}, known=())
    assert inbox.kit.app.rows("message_events") == []


async def test_we_have_read_a_chat_elsewhere(inbox: Inbox) -> None:
    await store(inbox, PERSON, (5, 6, 7), ours=False)
    assert unread(inbox) == [3]
    await tell(inbox, ReadByUs(PERSON, 6, 1))
    assert unread(inbox) == [1]
    assert read(inbox, "us") == ["5", "6"]
    await tell(inbox, ReadByUs(PERSON, 7, 0))
    assert unread(inbox) == [0]
    assert read(inbox, "us") == ["5", "6", "7"]
    assert read(inbox, "them") == []


async def test_what_came_after_the_read_stays_unread_even_in_its_batch(inbox: Inbox) -> None:
    await store(inbox, PERSON, (5,), ours=False)
    late = batch(inbound(PERSON, 6), changes=[ReadByUs(PERSON, 5, 0)])
    await inbox.store.ingest(inbox.account, late)
    assert unread(inbox) == [1]
    assert read(inbox, "us") == ["5"]


async def test_a_read_never_raises_the_count(inbox: Inbox) -> None:
    await store(inbox, PERSON, (5, 6), ours=False)
    (conversation,) = inbox.kit.app.rows("conversations")
    inbox.kit.app.update("conversations", conversation["id"], unread_count=0)  # seen in the application
    await tell(inbox, ReadByUs(PERSON, 5, 17))
    assert unread(inbox) == [0]
    inbox.kit.app.update("conversations", conversation["id"], unread_count=-3)
    await tell(inbox, ReadByUs(PERSON, 6, 0))
    assert unread(inbox) == [-3]


async def test_telegram_counts_what_the_store_does_not_have(inbox: Inbox) -> None:
    await store(inbox, PERSON, (5, 6), ours=False)
    (conversation,) = inbox.kit.app.rows("conversations")
    inbox.kit.app.update("conversations", conversation["id"], unread_count=40)
    await tell(inbox, ReadByUs(PERSON, 5, 12))
    assert unread(inbox) == [12]


async def test_two_accounts_in_one_conversation_have_each_its_own_unread(kit: StoreKit, inbox: Inbox) -> None:
    eve = await kit.store.add_account("eve", OWNER, "token", user_id=2)
    for account in (inbox.account, eve):
        for number in (5, 6, 7):
            await kit.store.ingest(account, batch(inbound(PERSON, number)))
    assert unread(inbox) == [6]
    await tell(inbox, ReadByUs(PERSON, 7, 0))
    assert unread(inbox) == [3]
    await tell(inbox, ReadByUs(PERSON, 6, 1), account=eve)
    assert unread(inbox) == [1]
    await tell(inbox, ReadByUs(PERSON, 7, 0), account=eve)
    assert unread(inbox) == [0]


async def test_an_account_that_became_another_users_has_read_nothing(inbox: Inbox) -> None:
    await store(inbox, PERSON, (5,), ours=True)
    await tell(inbox, ReadByThem(PERSON, 900))
    await inbox.store.forget_user(inbox.account, 2)
    await store(inbox, PERSON, (6,), ours=True)
    await tell(inbox, ReadByThem(PERSON, 6))
    assert read(inbox, "them") == ["5", "6"]


async def test_a_chat_that_nobody_knows_is_read_without_a_trace(inbox: Inbox) -> None:
    chat = ConversationId(inbox.chat("600"))
    await tell(inbox, ReadByUs(600, 5, 0), ReadByThem(601, 5))
    assert inbox.kit.app.rows("message_events") == []
    assert inbox.kit.app.row("conversations", chat) is not None
