"""What a claim says of a message's files, and how their parts are told apart and settled."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, batch, outgoing, user
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import Attempt, ChatMessage, JobMessage, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Sent, Settled, Unknown
from tgworker.messaging.records import OutboxRecord, OutboxState

# Not in the order in which they are inserted.
IDS = [f"{digit * 8}-0000-4000-8000-000000000000" for digit in "7391"]


def write(inbox: Inbox, count: int, text: str = "look") -> MessageId:
    payload = json.dumps({"telegram": {"attachments": count}})
    message = inbox.write(
        inbox.chat("500"), text, external_message_id="local-x", message_type="photo", raw_payload=payload
    )
    for number in range(count):
        inbox.attach(message, f"{number}.jpg", id=IDS[number])
    return message


async def settle(inbox: Inbox, attempt: Attempt, outcome: Outcome) -> None:
    await inbox.store.turn([Settled(attempt, outcome)], {}, known=())


async def record(inbox: Inbox, message: MessageId) -> OutboxRecord:
    return (await inbox.store.outcomes([message]))[message]


async def claim(inbox: Inbox, caption_limit: int = 1024) -> Attempt:
    (attempt,) = (
        await inbox.store.turn((), {inbox.account: 1}, known=(), caption_limit=caption_limit)
    ).attempts
    return attempt


async def album(inbox: Inbox, attempt: Attempt, first: int, parts: int | None = None) -> None:
    """Telegram took all the files of an attempt at once."""
    more = tuple((each, first + 1 + number) for number, each in enumerate(attempt.more_random_ids))
    settled = replace(attempt, parts=parts or len(attempt.files))
    await settle(inbox, settled, Sent(first, inbox.kit.calendar.today, more))


async def send_what_is_known(inbox: Inbox) -> list[int]:
    """Settle parts that Telegram has already, as the worker does; returns their ids."""
    known: list[int] = []
    while attempts := await inbox.claim(1):
        (attempt,) = attempts
        assert attempt.known_id is not None
        known.append(attempt.known_id)
        await settle(inbox, replace(attempt, parts=len(attempt.files)), Sent(attempt.known_id))
    return known


async def test_a_claim_names_the_files_in_the_order_in_which_they_were_linked(inbox: Inbox) -> None:
    message = write(inbox, 3)
    inbox.kit.app.update(
        "attachments", IDS[1], file_name="Ünïcode 📷.jpg", mime_type="image/jpeg", byte_size=5_000_000_000
    )
    attempt = await inbox.claim_one()
    assert attempt.files == (
        OutgoingFile(IDS[0], "media", "0.jpg"),
        OutgoingFile(IDS[1], "media", "1.jpg", "Ünïcode 📷.jpg", "image/jpeg", 5_000_000_000),
        OutgoingFile(IDS[2], "media", "2.jpg"),
    )
    assert (attempt.message_id, attempt.message_type, attempt.part) == (message, "photo", 0)
    assert attempt.parts is None, "the worker says how many there are"


async def test_an_attachment_row_without_a_file_is_handed_over_as_it_is(inbox: Inbox) -> None:
    message = write(inbox, 0)
    inbox.attach(message, id=IDS[0], storage_bucket=None, storage_path=None)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(3)
    assert (await inbox.claim_one()).files == (OutgoingFile(IDS[0], "", ""),)


async def test_the_parts_of_an_album_have_their_random_ids_from_the_beginning(inbox: Inbox) -> None:
    write(inbox, 3)
    attempt = await inbox.claim_one()
    ids = (attempt.random_id, *attempt.more_random_ids)
    assert len(set(ids)) == 3
    rows = inbox.kit.app.rows("tgworker_outbox_parts")
    assert sorted((row["part"], row["random_id"]) for row in rows) == list(enumerate(ids))
    await album(inbox, attempt, 70)
    second = await inbox.claim_one()
    assert (second.part, second.random_id, second.more_random_ids) == (1, ids[1], (ids[2],))


async def test_what_is_repeated_is_what_was_committed(inbox: Inbox) -> None:
    message = write(inbox, 2)
    first = await claim(inbox, caption_limit=1024)
    assert first.caption_limit == 1024
    await settle(inbox, first, Unknown("no answer"))
    inbox.kit.app.delete("attachments", IDS[0])
    inbox.kit.app.update("attachments", IDS[1], storage_path="elsewhere")
    inbox.attach(message, "late.jpg")
    inbox.kit.app.update("messages", message, text="another caption")
    inbox.kit.calendar.advance(2)
    again = await claim(inbox, caption_limit=2048)
    assert again == replace(first, number=2, fence=again.fence, doubt=again.doubt)
    assert again.doubt is not None


async def test_a_crash_hands_the_same_files_over_again(inbox: Inbox) -> None:
    write(inbox, 2)
    first = await claim(inbox)
    inbox.kit.app.delete("attachments", IDS[0])
    (again,) = (
        await inbox.kit.take_over().turn((), {inbox.account: 1}, known=(), caption_limit=2048)
    ).attempts
    assert (again.files, again.text, again.caption_limit) == (first.files, first.text, 1024)
    assert (again.random_id, again.more_random_ids) == (first.random_id, first.more_random_ids)


async def test_what_was_certainly_not_sent_is_what_the_application_says_now(inbox: Inbox) -> None:
    message = write(inbox, 2)
    await settle(inbox, await claim(inbox, caption_limit=1024), Deferred(1, "FLOOD_WAIT_1"))
    inbox.attach(message, "3.jpg", id=IDS[3])
    inbox.kit.app.update("messages", message, text="another caption")
    inbox.kit.calendar.advance(2)
    again = await claim(inbox, caption_limit=2048)
    assert [file.path for file in again.files] == ["0.jpg", "1.jpg", "3.jpg"]
    assert (again.text, again.caption_limit, again.number) == ("another caption", 2048, 2)


async def test_an_album_is_sent_once_and_each_message_is_known(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = write(inbox, 4)
    await album(inbox, await inbox.claim_one(), 70)
    known = await send_what_is_known(inbox)
    assert known == [71, 72, 73][: len(known)]
    assert (await record(inbox, message)).state is OutboxState.SENT
    assert inbox.message(message)["external_message_id"] == "70"
    found = await inbox.store.find_messages(inbox.account, [70, 71, 72, 73], chat_id=500)
    assert found == {(500, telegram_id): message for telegram_id in (70, 71, 72, 73)}
    echoes = batch(*(outgoing(500, telegram_id) for telegram_id in (70, 71, 72, 73)))
    assert await inbox.store.ingest(inbox.account, echoes) == 0


async def test_a_crash_after_an_album_was_settled_sends_nothing_again(inbox: Inbox) -> None:
    write(inbox, 3)
    await album(inbox, await inbox.claim_one(), 70)
    (next_part,) = (await inbox.kit.take_over().turn((), {inbox.account: 1}, known=())).attempts
    assert (next_part.part, next_part.known_id) == (1, 71)


async def test_an_album_of_which_updates_told_before_its_answer_is_not_sent_again(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = write(inbox, 3)
    first = await inbox.claim_one()
    ids = (first.random_id, *first.more_random_ids)
    told = [(each, 70 + number) for number, each in enumerate(ids)]
    echoes = [outgoing(500, telegram_id, "") for _, telegram_id in told]
    assert await inbox.store.ingest(inbox.account, batch(*echoes, sent_ids=told)) == 0
    inbox.kit.calendar.advance(7200)  # far beyond the time in which Telegram would know a repeat
    heir = inbox.kit.take_over()
    for part in range(3):
        found = (await heir.turn((), {inbox.account: 1}, known=())).attempts
        if not found:
            break  # the last part's word is the message's
        assert (found[0].part, found[0].known_id) == (part, 70 + part)
        await heir.turn([Settled(replace(found[0], parts=3), Sent(found[0].known_id))], {}, known=())
    assert (await heir.outcomes([message]))[message].state is OutboxState.SENT


async def test_echoes_that_came_before_the_answer_are_one_message_with_it(inbox: Inbox) -> None:
    """An update that names no ``random_id`` was taken for a message from another device."""
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = write(inbox, 3)
    attempt = await inbox.claim_one()
    early = batch(*(outgoing(500, 70 + number, "") for number in range(3)))
    assert await inbox.store.ingest(inbox.account, early) == 3
    await album(inbox, attempt, 70)
    await send_what_is_known(inbox)
    assert [row["id"] for row in inbox.kit.app.rows("messages")] == [message]
    assert {row["id"] for row in inbox.kit.app.rows("attachments")} == set(IDS[:3])


async def test_a_long_caption_follows_the_files_as_parts_of_its_own(inbox: Inbox) -> None:
    message = write(inbox, 2)
    await album(inbox, await inbox.claim_one(), 70, parts=3)
    second = await inbox.claim_one()
    assert (second.part, second.known_id, second.parts) == (1, 71, 3)
    await settle(inbox, second, Sent(71))
    rest = await inbox.claim_one()
    assert (rest.part, rest.known_id, rest.more_random_ids) == (2, None, ())
    await settle(inbox, rest, Sent(72))
    assert (await record(inbox, message)).state is OutboxState.SENT


async def test_a_settle_of_an_album_that_comes_twice_moves_on_once(inbox: Inbox) -> None:
    write(inbox, 4)
    first = await inbox.claim_one()
    for _ in range(2):
        await album(inbox, first, 70)
    assert (await inbox.claim_one()).part == 1


async def test_a_refusal_ends_the_message_with_all_its_files(inbox: Inbox) -> None:
    message = write(inbox, 2)
    await settle(inbox, await inbox.claim_one(), Refused("CHAT_SEND_PHOTOS_FORBIDDEN"))
    dead = await record(inbox, message)
    assert (dead.state, dead.error) == (OutboxState.DEAD, "CHAT_SEND_PHOTOS_FORBIDDEN")


async def test_a_file_that_was_sent_under_an_unknown_id_is_looked_for_as_the_file_that_it_is(
    inbox: Inbox,
) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    write(inbox, 1)
    sent = await claim(inbox, caption_limit=512)
    await settle(inbox, replace(sent, parts=1), Sent(None))
    (unnamed,) = await inbox.store.unnamed(inbox.account)
    assert (unnamed.files, unnamed.message_type, unnamed.caption_limit) == (sent.files, "photo", 512)
    assert (unnamed.text, unnamed.random_id) == (sent.text, sent.random_id)


async def sent_without_id(inbox: Inbox, text: str, *, with_file: bool) -> MessageId:
    """A row that Telegram has under an id that nobody knows."""
    payload = json.dumps({"telegram": {"attachments": 1}}) if with_file else None
    message = inbox.write(inbox.chat("500"), text, external_message_id="local-x", raw_payload=payload)
    if with_file:
        inbox.attach(message)
    await settle(inbox, replace(await inbox.claim_one(), parts=1), Sent(None))
    return message


@pytest.mark.parametrize(
    ("text", "with_file", "echo", "known"),
    [
        ("hi", True, outgoing(500, 70, "hi", message_type="photo"), True),
        ("hi", True, outgoing(500, 70, "hi"), False),
        ("hi", False, outgoing(500, 70, "hi"), True),
        ("hi", False, outgoing(500, 70, "hi", message_type="photo"), False),
        ("", True, outgoing(500, 70, "", message_type="sticker"), False),
        ("", True, outgoing(500, 70, "", message_type="photo"), False),
    ],
)
async def test_a_missing_id_is_not_taken_from_a_message_of_another_kind(
    inbox: Inbox, text: str, with_file: bool, echo: ChatMessage, known: bool
) -> None:
    """A file without a caption may be any: it is looked for."""
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = await sent_without_id(inbox, text, with_file=with_file)
    assert await inbox.store.ingest(inbox.account, batch(echo)) == (0 if known else 1)
    assert (await record(inbox, message)).telegram_id == (70 if known else None)


@pytest.mark.parametrize(
    ("others", "with_file", "text", "rivals"),
    [
        ("a", False, "b", False),
        ("a", True, "b", False),
        ("b", True, "b", True),
        ("x" * 600, True, "b", True),
    ],
)
async def test_a_picture_is_no_rival_of_another_text(
    inbox: Inbox, others: str, with_file: bool, text: str, rivals: bool
) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    await sent_without_id(inbox, others, with_file=with_file)
    (conversation,) = inbox.kit.app.rows("conversations")
    inbox.write(conversation["id"], text, external_message_id="local-y")
    attempt = await inbox.claim_one()
    assert (await inbox.store.owned(attempt, 500, [])).rivals is rivals


async def test_two_pictures_are_rivals(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    await sent_without_id(inbox, "a", with_file=True)
    (conversation,) = inbox.kit.app.rows("conversations")
    payload = json.dumps({"telegram": {"attachments": 1}})
    inbox.attach(inbox.write(conversation["id"], "b", raw_payload=payload), "b.jpg")
    attempt = await inbox.claim_one()
    assert (await inbox.store.owned(attempt, 500, [])).rivals


# ------------------------------------------------ progress


async def test_progress_is_shown_under_the_newest_claim_only(inbox: Inbox) -> None:
    message = write(inbox, 2)
    assert (await record(inbox, message)).files == 2
    first = await inbox.claim_one()
    shown = await record(inbox, message)
    assert (shown.files, shown.bytes_done, shown.bytes_total) == (2, None, None)
    await inbox.outgoing_media.record_progress(first, 1, 5_000_000_000)
    shown = await record(inbox, message)
    assert (shown.bytes_done, shown.bytes_total) == (1, 5_000_000_000)
    second = await inbox.claim_one()
    assert second.number == 2
    await inbox.outgoing_media.record_progress(first, 2, 5_000_000_000)
    assert (await record(inbox, message)).bytes_done == 1
    await inbox.outgoing_media.record_progress(second, 3, 5_000_000_000)
    assert [row.bytes_done for row in await inbox.store.list_outbox()] == [3]
    await album(inbox, second, 70)
    await inbox.outgoing_media.record_progress(second, 4, 5_000_000_000)
    assert (await record(inbox, message)).bytes_done == 3


# ------------------------------------------------ as the commands do it


def files(*paths: str) -> Sequence[OutgoingFile]:
    return [
        OutgoingFile(row_id, "tgworker", path, f"{path}.bin", "application/x", 7)
        for row_id, path in zip(IDS, paths, strict=False)
    ]


@pytest.mark.parametrize("texts", [[], ["look"]])
async def test_enqueuing_files_makes_one_message_that_goes_at_once(inbox: Inbox, texts: list[str]) -> None:
    given = files("a", "b")
    (message,) = await inbox.store.enqueue(inbox.account, "500", texts, files=given, kind=FileKind.VOICE)
    attempt = await inbox.claim_one()
    assert (attempt.message_id, attempt.files, attempt.message_type) == (message, tuple(given), "voice")
    assert (attempt.text, attempt.to) == ("".join(texts), "500")
    assert {row["owner_id"] for row in inbox.kit.app.rows("attachments")} == {OWNER}


async def test_enqueuing_more_texts_than_one_with_files_is_refused(inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="one text at most, not 2"):
        await inbox.store.enqueue(inbox.account, "500", ["a", "b"], files=files("a"))
    assert inbox.kit.app.rows("messages") == []


async def test_too_many_files_are_refused(inbox: Inbox) -> None:
    many = [OutgoingFile(f"{number:08}-0000-4000-8000-000000000000", "b", "p") for number in range(101)]
    with pytest.raises(ValueError, match="100 files at most, not 101"):
        await inbox.store.enqueue(inbox.account, "500", [], files=many)
    assert inbox.kit.app.rows("messages") == []


async def test_files_that_cannot_be_enqueued_leave_no_message_behind(inbox: Inbox) -> None:
    foreign = inbox.kit.app.insert("conversations", owner_id=OTHER_OWNER)
    with pytest.raises(Exception, match="no conversation"):
        await inbox.store.enqueue(inbox.account, foreign, [], files=files("a"))
    assert inbox.kit.app.rows("messages") == []
    assert inbox.kit.app.rows("attachments") == []


async def test_a_job_about_an_album_waits_for_all_of_it_and_knows_its_files(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(peers=[user(500)]))
    message = write(inbox, 3)
    values = {"owner_id": OWNER, "integration_account_id": inbox.account, "message_id": message}
    inbox.kit.app.insert("message_jobs", action="edit", payload='{"text": "new"}', **values)
    assert (await inbox.store.claim_jobs([inbox.account], known=())).jobs == ()
    await album(inbox, await claim(inbox), 70)
    assert (await inbox.store.claim_jobs([inbox.account], known=())).jobs == ()
    assert await send_what_is_known(inbox) == [71, 72]
    (job,) = (await inbox.store.claim_jobs([inbox.account], known=())).jobs
    assert job.telegram_ids == (70, 71, 72)
    assert job.message == JobMessage("photo", "sent", parts=3, files=3)
