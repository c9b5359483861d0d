"""What becomes of stored messages: edits, deletes, reactions and pins, in the rows and in their events."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.store_kit import OWNER, START, Inbox, batch, inbound, outgoing, user
from tgworker.messaging.changes import Change, Deleted, Edited, Pinned, Reacted
from tgworker.messaging.incoming_files import NotFetched
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.models import ChatMessage, MessageId, Position
from tgworker.messaging.outcomes import Sent, Settled

PERSON = 500
GROUP = -77
CHANNEL = -1_000_000_000_555
LATER = START + timedelta(minutes=5)
STAMP = "2026-01-01T12:05:00.000Z"


async def tell(inbox: Inbox, *changes: Change) -> None:
    await inbox.store.ingest(inbox.account, batch(changes=changes))


def the(inbox: Inbox, telegram_id: int, chat: int = PERSON) -> Mapping[str, Any]:
    """The row of a message."""
    (identity,) = inbox.kit.app.rows("contact_identities", value=str(chat))
    (conversation,) = inbox.kit.app.rows("conversations", primary_identity_id=identity["id"])
    (row,) = inbox.kit.app.rows(
        "messages", conversation_id=conversation["id"], external_message_id=str(telegram_id)
    )
    return row


def raw(row: Mapping[str, Any]) -> Any:
    return json.loads(row["raw_payload"] or "{}")


def events(inbox: Inbox, row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = inbox.kit.app.rows("message_events", message_id=row["id"])
    assert {event["owner_id"] for event in found} <= {row["owner_id"]}
    said = [(str(event["occurred_at"]), event["type"], json.loads(event["payload"])) for event in found]
    return [(kind, payload) for _, kind, payload in sorted(said, key=lambda each: each[0])]


def preview(inbox: Inbox) -> str:
    (conversation,) = inbox.kit.app.rows("conversations")
    return str(conversation["last_message_preview"])


def edited(message: ChatMessage, at: datetime | None = LATER) -> Edited:
    return Edited(message, at)


# ---------------------------------------------------------------- edits


async def test_an_edit_changes_the_text_and_what_the_conversation_shows(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "before", raw_payload={"reply_to": 3})))
    change = edited(inbound(PERSON, 70, "after"))
    for _ in range(2):
        await tell(inbox, change)
    row = the(inbox, 70)
    assert row["text"] == "after"
    assert raw(row) == {"reply_to": 3, "edited_at": STAMP}
    assert events(inbox, row) == [("edit", {"edited_at": STAMP})]
    assert preview(inbox) == "after"
    (event,) = inbox.kit.app.rows("message_events")
    assert datetime.fromisoformat(event["occurred_at"]) == LATER
    (conversation,) = inbox.kit.app.rows("conversations")
    assert conversation["unread_count"] == 1


async def test_an_edit_of_an_older_message_is_not_what_the_conversation_shows(inbox: Inbox) -> None:
    newer = inbound(PERSON, 71, "newer", sent_at=START + timedelta(seconds=9))
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "before"), newer))
    await tell(inbox, edited(inbound(PERSON, 70, "after")))
    assert the(inbox, 70)["text"] == "after"
    assert preview(inbox) == "newer"


async def test_what_only_looks_different_is_no_edit(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(CHANNEL, 70, "post", sender_id=None)))
    before = the(inbox, 70, CHANNEL)
    await tell(inbox, edited(inbound(CHANNEL, 70, "post", sender_id=None, raw_payload={"views": 9}), None))
    assert the(inbox, 70, CHANNEL) == before
    assert inbox.kit.app.rows("message_events") == []


async def test_a_message_that_nobody_knows_changes_nothing(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70), inbound(CHANNEL, 71, sender_id=None)))
    before = list(inbox.kit.app.rows("messages"))
    await tell(
        inbox,
        edited(inbound(PERSON, 71, "x")),
        edited(inbound(CHANNEL, 70, "x")),
        Reacted(PERSON, 72, {"+": 1}),
        Pinned(-5, (70, 71), is_pinned=True),
        Deleted(-5, (70, 71)),
        Deleted(None, (73,)),
    )
    assert list(inbox.kit.app.rows("messages")) == before
    assert inbox.kit.app.rows("message_events") == []


async def test_edits_follow_one_another_and_a_late_one_changes_nothing(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "0")))
    first, second, third = (
        edited(inbound(PERSON, 70, str(n)), START + timedelta(seconds=n)) for n in (1, 2, 3)
    )
    await tell(inbox, first, second)
    await tell(inbox, third)
    await tell(inbox, second)
    row = the(inbox, 70)
    assert row["text"] == "3"
    assert [payload["edited_at"][17:19] for _, payload in events(inbox, row)] == ["01", "02", "03"]


async def test_a_message_and_its_edit_may_come_in_one_batch(inbox: Inbox) -> None:
    position = Position(5, 0, 0, 1)
    whole = batch(
        inbound(PERSON, 70, "before"),
        peers=[user(PERSON)],
        changes=[edited(inbound(PERSON, 70, "after")), Reacted(PERSON, 70, {"+": 1})],
        position=position,
    )
    assert await inbox.store.ingest(inbox.account, whole) == 1
    assert await inbox.store.ingest(inbox.account, whole) == 0
    row = the(inbox, 70)
    assert row["text"] == "after"
    assert sorted(kind for kind, _ in events(inbox, row)) == ["edit", "reaction"]
    assert await inbox.store.position(inbox.account) == position


async def test_another_accounts_message_of_the_same_number_is_not_meant(inbox: Inbox) -> None:
    eve = await inbox.store.add_account("eve", OWNER, "token", user_id=2)
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 70, "the same", sender_id=PERSON)))
    await inbox.store.ingest(eve, batch(inbound(GROUP, 70, "the same", sender_id=501)))
    await tell(
        inbox, edited(inbound(GROUP, 70, "another")), Deleted(None, (70,)), Reacted(GROUP, 70, {"+": 1})
    )
    rows = inbox.kit.app.rows("messages", external_message_id="70")
    texts = {row["integration_account_id"]: (row["text"], len(events(inbox, row))) for row in rows}
    assert texts == {inbox.account: ("another", 3), eve: ("the same", 0)}


PHOTO = {"media": {"byte_size": 10, "width": 3, "height": 2}}
OTHER_PHOTO = {"media": {"byte_size": 99, "width": 3, "height": 2}}


async def test_a_file_that_was_replaced_is_fetched_again_and_a_new_caption_fetches_nothing(
    inbox: Inbox,
) -> None:
    def photo(text: str, size: int, payload: Mapping[str, Any]) -> ChatMessage:
        facts = FileFacts(FileKind.PHOTO, size, "image/jpeg")
        return inbound(PERSON, 70, text, message_type="photo", raw_payload=payload, file=facts)

    async def sizes() -> list[int | None]:
        return [file.facts.size for file in await inbox.media.wanted_files(inbox.account)]

    await inbox.store.ingest(inbox.account, batch(photo("", 10, PHOTO)))
    (file,) = await inbox.media.wanted_files(inbox.account)
    await inbox.media.finish_file(inbox.account, file, NotFetched("too large", unwanted=True))
    await tell(inbox, edited(photo("a caption", 10, PHOTO)))
    assert await sizes() == []
    assert the(inbox, 70)["text"] == "a caption"
    await tell(inbox, edited(photo("a caption", 99, OTHER_PHOTO), LATER + timedelta(minutes=1)))
    assert await sizes() == [99]
    assert raw(the(inbox, 70))["media"]["byte_size"] == 99


async def test_what_a_message_is_may_change(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "just text")))
    await tell(inbox, edited(inbound(PERSON, 70, "", message_type="photo", raw_payload=PHOTO)))
    row = the(inbox, 70)
    assert (row["text"], row["message_type"], raw(row)["media"]) == ("", "photo", PHOTO["media"])
    assert preview(inbox) == "[photo]"


# ---------------------------------------------------------------- edits of what the application wrote


async def sent(inbox: Inbox, text: str, telegram_id: int = 70, **columns: Any) -> MessageId:
    message = inbox.write(inbox.chat(str(PERSON)), text, external_message_id="local-x", **columns)
    await inbox.send(await inbox.claim_one(), telegram_id)
    return message


async def test_an_edit_of_our_own_message_leaves_what_the_application_says_of_it(inbox: Inbox) -> None:
    asked = {"telegram": {"not_before": None}, "reply_to": "their own"}
    message = await sent(inbox, "before", raw_payload=json.dumps(asked))
    inbox.kit.app.update("messages", message, message_type="note")
    new = outgoing(PERSON, 70, "after", message_type="text", raw_payload={"reply_to": 3})
    await tell(inbox, edited(new))
    row = inbox.message(message)
    assert (row["text"], row["message_type"]) == ("after", "note")
    assert raw(row) == {**asked, "edited_at": STAMP}
    assert preview(inbox) == "after"


@pytest.mark.parametrize(
    ("mode", "text", "shown"),
    [
        ("markdown", "**bold** and [a link](https://example.org/x)", "bold and a link"),
        ("html", "<b>bold</b> &lt;3 <a href='x'>a link</a>", "bold <3 a link"),
    ],
)
async def test_the_echo_of_a_marked_up_text_does_not_take_its_markup_away(
    inbox: Inbox, mode: str, text: str, shown: str
) -> None:
    asked = json.dumps({"telegram": {"parse_mode": mode}})
    message = await sent(inbox, text, raw_payload=asked, message_type="text")
    await tell(inbox, edited(outgoing(PERSON, 70, shown)))
    assert inbox.message(message)["text"] == text
    await tell(inbox, edited(outgoing(PERSON, 70, "changed on the phone"), LATER + timedelta(seconds=1)))
    assert inbox.message(message)["text"] == "changed on the phone"


async def in_two_parts(inbox: Inbox) -> MessageId:
    """A text that Telegram has as messages 70 and 71."""
    text = "one " * 5 + "\n\n" + "two " * 5
    message = inbox.write(inbox.chat(str(PERSON)), text, external_message_id="local-x")
    for telegram_id in (70, 71):
        (attempt,) = (await inbox.store.turn((), {inbox.account: 1}, known=(), text_limit=24)).attempts
        settled = Settled(replace(attempt, parts=2), Sent(telegram_id, START))
        await inbox.store.turn([settled], {}, known=())
    assert await inbox.store.find_messages(inbox.account, [70, 71], chat_id=PERSON) == {
        (PERSON, 70): message,
        (PERSON, 71): message,
    }
    return message


async def test_an_edit_of_a_part_leaves_the_whole_text_and_is_noted(inbox: Inbox) -> None:
    message = await in_two_parts(inbox)
    text = inbox.message(message)["text"]
    await tell(inbox, edited(outgoing(PERSON, 71, "zwei")))
    row = inbox.message(message)
    assert row["text"] == text
    assert raw(row) == {"edited_at": STAMP, "parts": {"2": {"edited_at": STAMP, "text": "zwei"}}}
    assert events(inbox, row) == [("edit", {"edited_at": STAMP, "part": 2, "parts": 2})]


async def test_a_row_is_deleted_with_the_last_of_its_parts(inbox: Inbox) -> None:
    message = await in_two_parts(inbox)
    await tell(inbox, Deleted(None, (71,)))
    gone = raw(inbox.message(message))
    assert "deleted_at" not in gone
    assert set(gone["parts"]) == {"2"}
    await tell(inbox, Deleted(None, (70, 71)))
    gone = raw(inbox.message(message))
    assert gone["deleted_at"] == gone["parts"]["1"]["deleted_at"] == "2026-01-01T12:00:00.000Z"
    said = events(inbox, inbox.message(message))
    assert sorted(payload["part"] for _, payload in said) == [1, 2]


async def test_reactions_to_the_first_part_are_the_rows(inbox: Inbox) -> None:
    message = await in_two_parts(inbox)
    await tell(inbox, Reacted(PERSON, 70, {"+": 1}), Reacted(PERSON, 71, {"-": 2}))
    noted = raw(inbox.message(message))
    assert noted["reactions"]["counts"] == {"+": 1}
    assert noted["parts"] == {"2": {"reactions": {"counts": {"-": 2}, "own": [], "by": []}}}


# ---------------------------------------------------------------- deletes


async def test_a_deleted_message_stays_and_says_so(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "gone")))
    await tell(inbox, Deleted(None, (70,)))
    inbox.kit.calendar.advance(60)
    await tell(inbox, Deleted(None, (70,)))
    row = the(inbox, 70)
    assert row["text"] == "gone"
    assert raw(row) == {"deleted_at": "2026-01-01T12:00:00.000Z"}
    assert events(inbox, row) == [("delete", {})]
    assert preview(inbox) == "gone"


async def test_a_delete_without_a_chat_means_no_channel_and_one_with_a_chat_no_other(inbox: Inbox) -> None:
    await inbox.store.ingest(
        inbox.account,
        batch(
            inbound(PERSON, 70), inbound(GROUP, 71, sender_id=501), inbound(CHANNEL, 70), inbound(CHANNEL, 71)
        ),
    )

    def gone() -> set[tuple[int, int]]:
        everything = ((PERSON, 70), (GROUP, 71), (CHANNEL, 70), (CHANNEL, 71))
        return {(chat, one) for chat, one in everything if "deleted_at" in raw(the(inbox, one, chat))}

    await tell(inbox, Deleted(None, (70, 71)))
    assert gone() == {(PERSON, 70), (GROUP, 71)}
    await tell(inbox, Deleted(CHANNEL, (71, 72)))
    assert gone() == {(PERSON, 70), (GROUP, 71), (CHANNEL, 71)}


# ---------------------------------------------------------------- reactions and pins


async def test_reactions_are_what_they_are_now_and_only_news_is_an_event(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, raw_payload={"reply_to": 3})))
    heart = Reacted(PERSON, 70, {"+": 2, "custom:5": 1}, ("+",), ((PERSON, "+"), (1, "+")))
    for change in (heart, heart, Reacted(PERSON, 70, {}), Reacted(PERSON, 70, {}), heart):
        inbox.kit.calendar.advance(1)
        await tell(inbox, change)
    row = the(inbox, 70)
    state = {
        "counts": {"+": 2, "custom:5": 1},
        "own": ["+"],
        "by": [{"from": PERSON, "reaction": "+"}, {"from": 1, "reaction": "+"}],
    }
    assert raw(row) == {"reply_to": 3, "reactions": state}
    nothing: Mapping[str, Any] = {"counts": {}, "own": [], "by": []}
    assert events(inbox, row) == [("reaction", state), ("reaction", nothing), ("reaction", state)]
    await tell(inbox, Reacted(PERSON, 70, {}))
    assert raw(the(inbox, 70)) == {"reply_to": 3}


async def test_own_reactions_that_telegram_does_not_tell_of_stay_while_there_are_any(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70), inbound(PERSON, 71)))
    await tell(inbox, Reacted(PERSON, 70, {"+": 1, "-": 1}, ("+", "-")), Reacted(PERSON, 71, {"+": 1}, None))
    assert raw(the(inbox, 71))["reactions"]["own"] == []
    await tell(inbox, Reacted(PERSON, 70, {"+": 1, "-": 1}, None))
    assert len(events(inbox, the(inbox, 70))) == 1
    await tell(inbox, Reacted(PERSON, 70, {"-": 2}, None))
    assert raw(the(inbox, 70))["reactions"] == {"counts": {"-": 2}, "own": ["-"], "by": []}


async def test_a_pin_is_noted_once_and_taken_back(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(GROUP, 70), inbound(GROUP, 71)))
    pin, unpin = (Pinned(GROUP, (70, 71, 72), is_pinned=pinned) for pinned in (True, False))
    await tell(inbox, unpin)
    assert inbox.kit.app.rows("message_events") == []
    for change in (pin, pin, unpin, unpin):
        inbox.kit.calendar.advance(1)
        await tell(inbox, change)
    for telegram_id in (70, 71):
        row = the(inbox, telegram_id, GROUP)
        assert raw(row) == {"pinned": False}
        assert events(inbox, row) == [("pin", {}), ("unpin", {})]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("payload", ["[1]", '"text"', "7", "null"])
async def test_a_payload_that_is_no_object_stops_nothing(inbox: Inbox, payload: str) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "before")))
    inbox.kit.app.update("messages", the(inbox, 70)["id"], raw_payload=payload)
    for _ in range(2):
        await tell(
            inbox,
            edited(inbound(PERSON, 70, "after", raw_payload=PHOTO)),
            Reacted(PERSON, 70, {"+": 1}),
            Pinned(PERSON, (70,), is_pinned=True),
            Deleted(None, (70,)),
        )
    row = the(inbox, 70)
    assert row["text"] == "after"
    kinds = sorted(kind for kind, _ in events(inbox, row))
    if payload == "null":
        assert set(raw(row)) == {"media", "edited_at", "reactions", "pinned", "deleted_at"}
        assert kinds == ["delete", "edit", "pin", "reaction"]
    else:
        assert json.loads(row["raw_payload"]) == json.loads(payload)
        assert kinds == ["delete", "edit"]  # what is noted nowhere cannot be told from news


@pytest.mark.parametrize("parts", [7, [], {"2": "x"}, {"2": {"edited_at": "rubbish"}}])
async def test_notes_that_the_application_overwrote_stop_nothing(inbox: Inbox, parts: object) -> None:
    message = await in_two_parts(inbox)
    inbox.kit.app.update("messages", message, raw_payload=json.dumps({"parts": parts}))
    await tell(inbox, edited(outgoing(PERSON, 71, "zwei")), Deleted(None, (70, 71)))
    noted = raw(inbox.message(message))
    assert noted["parts"]["2"]["text"] == "zwei"
    assert "deleted_at" in noted


@pytest.mark.parametrize(
    "payload",
    [
        '{"n": 123456789012345678901234567890, "f": 0.25}',
        '{"reactions": {"own": [[1], null]}, "edited_at": [1], "parts": {"1": 1}}',
        '{"deep": ' + 200 * "[" + 200 * "]" + "}",
    ],
)
async def test_what_the_application_noted_stays_as_it_is(inbox: Inbox, payload: str) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "before")))
    inbox.kit.app.update("messages", the(inbox, 70)["id"], raw_payload=payload)
    await tell(inbox, edited(inbound(PERSON, 70, "after")), Reacted(PERSON, 70, {"+": 1}, None))
    noted = raw(the(inbox, 70))
    assert noted["reactions"]["counts"] == {"+": 1}
    assert {"edited_at": STAMP, "reactions": noted["reactions"]}.items() <= noted.items()
    before = {key: value for key, value in json.loads(payload).items() if key in ("n", "f", "deep", "parts")}
    assert before.items() <= noted.items()


async def test_texts_that_no_database_keeps_are_kept_all_the_same(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70, "before")))
    nul = "a\0b"
    await tell(inbox, edited(inbound(PERSON, 70, nul)), Reacted(PERSON, 70, {nul: 1}, (nul,), ((1, nul),)))
    row = the(inbox, 70)
    assert row["text"] == "a\N{REPLACEMENT CHARACTER}b"
    assert list(raw(row)["reactions"]["counts"]) == ["a\N{REPLACEMENT CHARACTER}b"]


async def test_a_row_that_the_application_removed_is_not_missed(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(PERSON, 70), inbound(PERSON, 71, "stays")))
    inbox.kit.app.delete("messages", the(inbox, 70)["id"])
    changes: Sequence[Change] = (
        edited(inbound(PERSON, 70, "x")),
        Deleted(None, (70, 71)),
        Reacted(PERSON, 70, {"+": 1}),
        Pinned(PERSON, (70,), is_pinned=True),
    )
    await tell(inbox, *changes)
    assert [kind for kind, _ in events(inbox, the(inbox, 71))] == ["delete"]
    assert len(inbox.kit.app.rows("message_events")) == 1
