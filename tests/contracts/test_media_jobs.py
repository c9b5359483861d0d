"""Files that messages carry: filed with their messages, wanted until it is known what became of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, batch, inbound, outgoing, user
from tgworker.messaging.incoming_files import Fetched, FetchLater, FetchOutcome, IncomingFile, NotFetched
from tgworker.messaging.limits import Retention
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.models import MessageId
from tgworker.messaging.outcomes import Sent, Settled
from tgworker.messaging.update_batches import Gap

PHOTO = FileFacts(FileKind.PHOTO, 70_000, "image/jpeg", width=1280, height=720)
VIDEO = FileFacts(FileKind.VIDEO, 5_000_000_000, "video/mp4", "holiday 🏖.mp4", 12.5, 640, 480)
FETCHED = Fetched("media", "a/b/holiday.mp4", "holiday.mp4", "video/mp4", 5_000_000_000)
DAY_S = 86_400


async def wanted(inbox: Inbox, limit: int = 100) -> list[IncomingFile]:
    return list(await inbox.media.wanted_files(inbox.account, limit=limit))


async def wanted_ids(inbox: Inbox, limit: int = 100) -> list[int]:
    return [file.telegram_id for file in await wanted(inbox, limit)]


async def arrived(inbox: Inbox, facts: FileFacts = VIDEO) -> IncomingFile:
    """A message with a file that has just come."""
    await inbox.store.ingest(inbox.account, batch(inbound(500, 7, "look", file=facts, message_type="video")))
    (file,) = await wanted(inbox)
    return file


async def finish(inbox: Inbox, file: IncomingFile, outcome: FetchOutcome) -> None:
    await inbox.media.finish_file(inbox.account, file, outcome)


def row(inbox: Inbox, message_id: MessageId) -> Mapping[str, Any]:
    (found,) = inbox.kit.app.rows("tgworker_files", message_id=message_id)
    return found


async def history(inbox: Inbox, *messages: Any, fills_gap: bool = False) -> None:
    """Messages that a history job found."""
    if fills_gap:
        await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None)]))
    else:
        inbox.kit.app.insert(
            "sync_history_jobs", owner_id=OWNER, integration_account_id=inbox.account, telegram_id="500"
        )
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.save_history(job, messages, [])
    await inbox.store.finish_history(job.id)


async def test_a_file_is_filed_with_its_message(inbox: Inbox) -> None:
    file = await arrived(inbox)
    (message,) = inbox.kit.app.rows("messages")
    assert file == IncomingFile(message["id"], OWNER, 500, 7, VIDEO)
    assert inbox.kit.app.rows("attachments") == []


async def test_a_message_without_a_file_wants_none(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 1), inbound(500, 2, file=PHOTO)))
    assert await wanted_ids(inbox) == [2]


async def test_what_comes_twice_is_filed_once(inbox: Inbox) -> None:
    message = inbound(500, 7, file=PHOTO)
    for _ in range(2):
        await inbox.store.ingest(inbox.account, batch(message, message))
    (file,) = await wanted(inbox)
    await finish(inbox, file, FETCHED)
    await inbox.store.ingest(inbox.account, batch(message))
    await history(inbox, message)
    assert await wanted(inbox) == []


async def test_facts_that_no_database_keeps_lose_only_that(inbox: Inbox) -> None:
    odd = FileFacts(FileKind.DOCUMENT, 0, "x/\udce9", "caf\udce9 \0 \u202e" + "/" * 4096)
    file = await arrived(inbox, odd)
    assert file.facts == replace(odd, mime_type="x/?", file_name="caf? \ufffd \u202e" + "/" * 4096)


async def test_the_newest_come_first_and_history_after_them(inbox: Inbox) -> None:
    await history(
        inbox,
        inbound(500, 1, file=PHOTO, sent_at=START.replace(hour=1)),
        inbound(500, 2, file=PHOTO, sent_at=START.replace(hour=2)),
    )
    older, newer = START.replace(hour=3), START.replace(hour=4)
    await inbox.store.ingest(inbox.account, batch(inbound(501, 9, file=PHOTO, sent_at=older)))
    await inbox.store.ingest(inbox.account, batch(inbound(502, 8, file=PHOTO, sent_at=newer)))
    assert await wanted_ids(inbox) == [8, 9, 2, 1]
    assert await wanted_ids(inbox, limit=3) == [8, 9, 2]


async def test_what_fills_a_gap_is_no_history(inbox: Inbox) -> None:
    """Nobody has seen it yet: it comes as what is new."""
    await inbox.store.ingest(inbox.account, batch(inbound(500, 5, file=PHOTO)))
    later = START.replace(hour=20)
    await history(
        inbox, inbound(500, 4, file=PHOTO), inbound(500, 6, file=PHOTO, sent_at=later), fills_gap=True
    )
    assert await wanted_ids(inbox) == [6, 5, 4]


async def test_another_accounts_files_are_its_own_business(inbox: Inbox) -> None:
    file = await arrived(inbox)
    other = await inbox.store.add_account("bert", OTHER_OWNER, "token", user_id=2)
    assert list(await inbox.media.wanted_files(other)) == []
    await inbox.media.finish_file(other, file, FETCHED)
    assert await wanted(inbox) == [file]
    assert inbox.kit.app.rows("attachments") == []


# ------------------------------------------------ the account's own messages


async def test_what_the_owner_sent_from_another_device_has_its_file(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(outgoing(500, 7, file=PHOTO)))
    assert await wanted_ids(inbox) == [7]


@pytest.mark.parametrize("first", ["answer", "update"])
async def test_what_this_worker_sent_has_its_file_already(inbox: Inbox, first: str) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "look")
    inbox.attach(message)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(3)
    attempt = await inbox.claim_one()
    answer = [Settled(replace(attempt, parts=1), Sent(7))]
    echo = batch(outgoing(500, 7, "look", file=PHOTO))
    if first == "answer":
        await inbox.store.turn(answer, {}, known=())
        await inbox.store.ingest(inbox.account, echo)
    else:
        # Without its ``random_id`` it is taken for a message from another device.
        await inbox.store.ingest(inbox.account, echo)
        (file,) = await wanted(inbox)
        await inbox.store.turn(answer, {}, known=())
        await finish(inbox, file, FETCHED)
    assert await wanted(inbox) == []
    assert [each["storage_path"] for each in inbox.kit.app.rows("attachments")] == ["a.jpg"]
    assert [each["id"] for each in inbox.kit.app.rows("messages")] == [message]


async def test_a_file_that_was_fetched_before_it_was_known_for_ours_goes(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = inbox.write(inbox.chat("500"), "look")
    inbox.attach(message)
    assert await inbox.claim() == []
    inbox.kit.calendar.advance(3)
    attempt = await inbox.claim_one()
    await inbox.store.ingest(inbox.account, batch(outgoing(500, 7, "look", file=PHOTO)))
    (file,) = await wanted(inbox)
    await finish(inbox, file, FETCHED)
    await inbox.store.turn([Settled(replace(attempt, parts=1), Sent(7))], {}, known=())
    assert [each["storage_path"] for each in inbox.kit.app.rows("attachments", message_id=message)] == [
        "a.jpg"
    ]
    assert (await inbox.store.outcomes([message]))[message].error is None


# ------------------------------------------------ what became of it


async def test_a_file_that_was_fetched_is_an_attachment(inbox: Inbox) -> None:
    file = await arrived(inbox)
    await finish(inbox, file, FETCHED)
    (attachment,) = inbox.kit.app.rows("attachments")
    assert (attachment["message_id"], attachment["owner_id"]) == (file.message_id, OWNER)
    assert (attachment["storage_bucket"], attachment["storage_path"]) == (FETCHED.bucket, FETCHED.path)
    assert (attachment["file_name"], attachment["mime_type"]) == ("holiday.mp4", "video/mp4")
    assert attachment["byte_size"] == 5_000_000_000
    assert row(inbox, file.message_id)["state"] == "done"
    assert await wanted(inbox) == []


async def test_a_file_that_is_finished_twice_is_one_attachment(inbox: Inbox) -> None:
    file = await arrived(inbox)
    for outcome in (
        FETCHED,
        FETCHED,
        replace(FETCHED, path="elsewhere"),
        FetchLater(1, "x"),
        NotFetched("x"),
    ):
        await finish(inbox, file, outcome)
    (attachment,) = inbox.kit.app.rows("attachments")
    assert attachment["storage_path"] == FETCHED.path
    assert row(inbox, file.message_id)["state"] == "done"


async def test_an_attachment_that_the_application_removed_does_not_come_back(inbox: Inbox) -> None:
    file = await arrived(inbox)
    await finish(inbox, file, FETCHED)
    (attachment,) = inbox.kit.app.rows("attachments")
    inbox.kit.app.delete("attachments", attachment["id"])
    await finish(inbox, file, FETCHED)
    assert inbox.kit.app.rows("attachments") == []


async def test_the_file_of_a_message_that_was_deleted_is_not_wanted(inbox: Inbox) -> None:
    file = await arrived(inbox)
    inbox.kit.app.delete("messages", file.message_id)
    assert await wanted(inbox) == []
    await finish(inbox, file, FETCHED)
    assert inbox.kit.app.rows("attachments") == []


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (NotFetched("Telegram has it no more"), "failed"),
        (NotFetched("larger than 20 MB", unwanted=True), "unwanted"),
    ],
)
async def test_a_file_that_is_not_fetched_says_why(inbox: Inbox, outcome: NotFetched, state: str) -> None:
    file = await arrived(inbox)
    await finish(inbox, file, outcome)
    found = row(inbox, file.message_id)
    assert (found["state"], found["error"]) == (state, outcome.reason)
    assert await wanted(inbox) == []
    assert inbox.kit.app.rows("attachments") == []


async def test_a_file_is_tried_again_later(inbox: Inbox) -> None:
    file = await arrived(inbox)
    await finish(inbox, file, FetchLater(30, "no answer"))
    assert await wanted(inbox) == []
    assert row(inbox, file.message_id)["error"] == "no answer"
    inbox.kit.calendar.advance(29)
    assert await wanted(inbox) == []
    inbox.kit.calendar.advance(1)
    (again,) = await wanted(inbox)
    assert again == replace(file, tries=1)
    await finish(inbox, again, FetchLater(1, "FLOOD_WAIT_1", counts=False))
    inbox.kit.calendar.advance(1)
    assert await wanted(inbox) == [again]


async def test_a_file_that_waits_does_not_hold_up_others(inbox: Inbox) -> None:
    messages = [
        inbound(500, number, file=PHOTO, sent_at=START.replace(second=number)) for number in range(1, 6)
    ]
    await inbox.store.ingest(inbox.account, batch(*messages))
    for file in (await wanted(inbox))[:3]:
        await finish(inbox, file, FetchLater(30, "no answer"))
    assert await wanted_ids(inbox, limit=2) == [2, 1]


async def test_the_next_worker_goes_on(inbox: Inbox) -> None:
    file = await arrived(inbox)
    await finish(inbox, file, FetchLater(30, "no answer"))
    heir: Any = inbox.kit.take_over()
    inbox.kit.calendar.advance(30)
    assert await heir.wanted_files(inbox.account) == [replace(file, tries=1)]


async def test_another_telegram_user_cannot_fetch_what_the_one_before_was_sent(inbox: Inbox) -> None:
    file = await arrived(inbox)
    await inbox.store.forget_user(inbox.account, 2)
    assert await wanted(inbox) == []
    found = row(inbox, file.message_id)
    assert (found["state"], found["error"]) == ("failed", "its account is another Telegram user's now")


async def test_what_became_of_files_is_forgotten_in_time(inbox: Inbox) -> None:
    messages = [inbound(500, number, file=PHOTO) for number in range(1, 5)]
    await inbox.store.ingest(inbox.account, batch(*messages))
    files = {file.telegram_id: file for file in await wanted(inbox)}
    await finish(inbox, files[1], FETCHED)
    await finish(inbox, files[2], NotFetched("too large", unwanted=True))
    await finish(inbox, files[3], NotFetched("gone"))

    async def left_after(days: float, keep: Retention) -> set[int]:
        inbox.kit.calendar.advance(days * DAY_S)
        while await inbox.store.sweep(keep):
            pass
        return {each["telegram_id"] for each in inbox.kit.app.rows("tgworker_files")}

    keep = Retention(days=30, failed_days=180)
    assert await left_after(29, keep) == {1, 2, 3, 4}
    assert await left_after(2, keep) == {3, 4}
    assert await left_after(148, keep) == {3, 4}
    assert await left_after(2, keep) == {4}
    assert len(inbox.kit.app.rows("attachments")) == 1
    assert await wanted_ids(inbox) == [4]
    await inbox.store.ingest(inbox.account, batch(*messages))
    assert await wanted_ids(inbox) == [4], "it is not filed again"
