"""History jobs for whole accounts: the jobs of their chats, what they wait for, and their end."""

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit, inbound, user
from tgworker.messaging.models import (
    WHOLE_ACCOUNT,
    AccountHistory,
    AccountId,
    HistoryJob,
    JobId,
    Peer,
    PeerKind,
)
from tgworker.messaging.records import HistoryRecord


def row(inbox: Inbox, job_id: JobId) -> Any:
    found = inbox.kit.app.row("sync_history_jobs", job_id)
    assert found is not None
    return found


async def whole_job(inbox: Inbox, limit: int = 250) -> HistoryJob:
    job_id = await inbox.store.request_history(inbox.account, WHOLE_ACCOUNT, limit=limit)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert job.id == job_id
    return job


async def claimed(inbox: Inbox, known: Sequence[JobId] = (), limit: int = 9) -> list[HistoryJob]:
    return list(await inbox.store.claim_history([inbox.account], known=known, limit=limit))


async def listed(inbox: Inbox, job_id: JobId) -> HistoryRecord:
    (record,) = await inbox.store.histories([job_id])
    return record


async def test_a_row_for_a_whole_account_is_claimed_as_such(inbox: Inbox) -> None:
    job = await whole_job(inbox)
    assert (job.to, job.peer, job.limit_messages, job.takeout) == (WHOLE_ACCOUNT, None, 250, None)
    assert job.whole == AccountHistory()
    assert row(inbox, job.id)["status"] == "processing"
    assert await claimed(inbox, known=[job.id]) == []


async def test_each_chat_gets_a_job_in_the_order_of_the_list_and_never_two(inbox: Inbox) -> None:
    job = await whole_job(inbox)
    peers = [user(500), Peer(-77, PeerKind.CHAT, title="Team")]
    await inbox.store.file_chats(job, [500, -77], peers, cursor="behind")
    (again,) = await claimed(inbox, limit=1)
    assert (again.id, again.whole, again.tries) == (job.id, AccountHistory("behind"), 1)
    await inbox.store.file_chats(again, [-77, 501], [], cursor=None)
    chats = await claimed(inbox)
    assert [(each.to, each.part_of, each.whole, each.limit_messages) for each in chats] == [
        ("500", job.id, None, 250),
        ("-77", job.id, None, 250),
        ("501", job.id, None, 250),
    ]
    assert [each.peer for each in chats] == [*peers, None]
    named = [row(inbox, each.id) for each in chats]
    assert [(each["telegram_name"], bool(each["is_group"])) for each in named] == [
        ("Ada", False),
        ("Team", True),
        (None, False),
    ]
    assert {each["owner_id"] for each in named} == {OWNER}


async def test_the_account_s_job_is_handed_over_again_once_those_of_its_chats_have_ended(
    inbox: Inbox,
) -> None:
    job = await whole_job(inbox)
    await inbox.store.file_chats(job, [500, 501, 502], [], cursor=None)
    one, two, three = await claimed(inbox)
    await inbox.store.save_history(one, [inbound(500, 6, "a"), inbound(500, 7, "b")], [], below=6, seen=2)
    await inbox.store.finish_history(one.id)
    await inbox.store.finish_history(two.id, error="CHANNEL_PRIVATE")
    assert await claimed(inbox, known=[three.id]) == []
    record = await listed(inbox, job.id)
    assert (record.to, record.status, record.synced) == (WHOLE_ACCOUNT, "processing", 2)
    assert (record.chats, record.chats_done, record.chats_failed, record.is_listed) == (3, 2, 1, True)
    assert (await listed(inbox, three.id)).part_of == job.id
    await inbox.store.save_history(three, [inbound(502, 9, "c")], [], below=9, seen=1)
    await inbox.store.finish_history(three.id)
    (last,) = await claimed(inbox)
    assert (last.id, last.whole) == (job.id, AccountHistory(None, is_listed=True, failed=1))
    await inbox.store.finish_history(job.id)
    ended = row(inbox, job.id)
    assert (ended["status"], ended["messages_synced"]) == ("completed", 3)
    assert ended["error_message"] == "1 of 3 chats could not be read: their own jobs say why"
    record = await listed(inbox, job.id)
    assert (record.chats, record.chats_done, record.chats_failed) == (3, 3, 1)


async def test_an_account_without_chats_ends_at_once(inbox: Inbox) -> None:
    job = await whole_job(inbox)
    await inbox.store.file_chats(job, [], [], cursor=None)
    (last,) = await claimed(inbox)
    assert last.whole == AccountHistory(None, is_listed=True)
    await inbox.store.finish_history(job.id)
    assert (row(inbox, job.id)["status"], row(inbox, job.id)["error_message"]) == ("completed", None)


async def test_what_people_ask_for_comes_before_the_chats_of_a_whole_account(inbox: Inbox) -> None:
    job = await whole_job(inbox)
    await inbox.store.file_chats(job, [500, 501], [], cursor=None)
    asked = await inbox.store.request_history(inbox.account, "700", limit=5)
    assert [each.to for each in await claimed(inbox)] == ["700", "500", "501"]
    assert [each.job_id for each in await inbox.store.histories()][:2] == [job.id, asked]


async def test_each_account_gets_one_job_before_any_gets_a_second(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    for to in ("500", "501", "502"):
        await inbox.store.request_history(inbox.account, to, limit=5)
    await inbox.store.request_history(bob, "900", limit=5)
    jobs = await kit.store.claim_history([inbox.account, bob], known=(), limit=2)
    assert {each.account_id for each in jobs} == {inbox.account, bob}


async def test_what_is_put_off_says_why_and_is_not_claimed_before_its_time(
    kit: StoreKit, inbox: Inbox
) -> None:
    job = await whole_job(inbox)
    await inbox.store.put_history_off(job, seconds=300, note="Telegram asks the owner")
    waiting = row(inbox, job.id)
    assert (waiting["status"], waiting["error_message"]) == ("pending", "Telegram asks the owner")
    assert (await listed(inbox, job.id)).error == "Telegram asks the owner"
    other = await inbox.store.request_history(inbox.account, "500", limit=5)
    assert [each.id for each in await claimed(inbox)] == [other]
    await inbox.store.finish_history(other)
    kit.calendar.advance(299)
    assert list(await kit.take_over().claim_history([inbox.account], known=())) == []
    kit.calendar.advance(2)
    (again,) = await kit.take_over().claim_history([inbox.account], known=())
    assert (again.id, again.tries) == (job.id, 1)


async def test_what_it_waited_for_is_said_no_more_once_it_goes_on(kit: StoreKit, inbox: Inbox) -> None:
    job = await whole_job(inbox)
    await inbox.store.put_history_off(job, seconds=5, note="later")
    kit.calendar.advance(6)
    (job,) = await claimed(inbox)
    await inbox.store.file_chats(job, [500], [], cursor="more")
    assert (row(inbox, job.id)["status"], row(inbox, job.id)["error_message"]) == ("processing", None)


async def test_the_takeout_session_goes_with_the_chats_until_it_is_over(kit: StoreKit, inbox: Inbox) -> None:
    job = await whole_job(inbox)
    await inbox.store.keep_takeout(job, "sealed")
    await inbox.store.file_chats(job, [500, 501], [], cursor=None)
    heir = kit.take_over()
    one, two = await heir.claim_history([inbox.account], known=(), limit=2)
    assert (one.takeout, two.takeout) == ("sealed", "sealed")
    await heir.keep_takeout(one, None)
    later = kit.take_over()
    one, two = await later.claim_history([inbox.account], known=(), limit=2)
    assert (one.takeout, two.takeout) == (None, None)


async def test_a_second_job_for_the_account_waits_for_the_first(inbox: Inbox) -> None:
    first = await whole_job(inbox)
    second = await inbox.store.request_history(inbox.account, WHOLE_ACCOUNT, limit=1)
    assert await claimed(inbox, known=[first.id]) == []
    await inbox.store.finish_history(first.id, error="no")
    assert [each.id for each in await claimed(inbox)] == [second]


async def test_chats_of_a_job_that_the_application_has_ended_are_not_read(inbox: Inbox) -> None:
    job = await whole_job(inbox)
    await inbox.store.file_chats(job, [500], [], cursor=None)
    inbox.kit.app.update("sync_history_jobs", job.id, status="failed")
    assert await claimed(inbox) == []
    (chat,) = [each for each in inbox.kit.app.rows("sync_history_jobs") if each["id"] != job.id]
    assert (chat["status"], chat["error_message"]) == (
        "failed",
        "the job for the whole account was ended",
    )


@pytest.mark.parametrize("how", ["ended", "removed"])
async def test_of_a_job_that_the_application_ends_the_takeout_session_is_left(inbox: Inbox, how: str) -> None:
    job = await whole_job(inbox)
    await inbox.store.keep_takeout(job, "sealed")
    if how == "ended":
        inbox.kit.app.update("sync_history_jobs", job.id, status="failed")
    else:
        inbox.kit.app.delete("sync_history_jobs", job.id)
    assert await inbox.store.count_history() == 1
    (left,) = await claimed(inbox)
    assert (left.id, left.account_id, left.takeout) == (job.id, inbox.account, "sealed")
    assert left.whole == AccountHistory(is_listed=True, is_ended=True)
    assert await claimed(inbox, known=[job.id]) == []
    await inbox.store.keep_takeout(left, None)
    assert await claimed(inbox) == []


async def test_a_whole_account_is_nobody_else_s(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    await whole_job(inbox)
    assert list(await kit.store.claim_history([AccountId(bob)], known=())) == []
