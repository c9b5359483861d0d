"""History jobs of the application: claimed, handed over after a crash, ended."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from contracts.store_kit import OTHER_OWNER, OWNER, START, Inbox, StoreKit, batch, inbound, outgoing, user
from tgworker.messaging.models import JobId, Position


def history_job(inbox: Inbox, **columns: Any) -> JobId:
    values = {"owner_id": OWNER, "telegram_id": "500", "integration_account_id": inbox.account, **columns}
    return JobId(inbox.kit.app.insert("sync_history_jobs", **values))


def row(inbox: Inbox, table: str, job: JobId) -> Mapping[str, Any]:
    found = inbox.kit.app.row(table, job)
    assert found is not None
    return found


async def test_a_history_job_is_claimed_once_and_completed(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    job_id = history_job(inbox, limit_messages=200)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert (job.id, job.account_id, job.to, job.limit_messages) == (job_id, inbox.account, "500", 200)
    assert job.peer == user(500)
    assert row(inbox, "sync_history_jobs", job_id)["status"] == "processing"
    assert list(await inbox.store.claim_history([inbox.account], known=[job_id])) == []
    await inbox.store.finish_history(job_id)
    done = row(inbox, "sync_history_jobs", job_id)
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert done["processed_at"] is not None
    assert list(await inbox.store.claim_history([inbox.account], known=())) == []


async def test_history_is_stored_without_unread_or_position_and_without_doubles(inbox: Inbox) -> None:
    position = Position(10, 0, 0, 0)
    live = inbound(500, 70, "live")
    await inbox.store.ingest(inbox.account, batch(live, peers=[user(500)], position=position))
    job_id = history_job(inbox)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    old = [
        inbound(500, 60 + number, f"old {number}", sent_at=START - timedelta(days=1)) for number in range(5)
    ]
    assert await inbox.store.save_history(job, [*old[:3], live], [user(500)]) == 3
    assert await inbox.store.save_history(job, [*old, outgoing(500, 66, "mine")], []) == 3
    (conversation,) = inbox.kit.app.rows("conversations")
    assert conversation["unread_count"] == 1
    assert await inbox.store.position(inbox.account) == position
    assert row(inbox, "sync_history_jobs", job_id)["messages_synced"] == 6
    assert len(inbox.kit.app.rows("messages")) == 7


async def test_history_alone_gives_the_conversation_its_preview(inbox: Inbox) -> None:
    history_job(inbox)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.save_history(job, [inbound(500, 2, "second"), inbound(500, 1, "first")], [])
    (conversation,) = inbox.kit.app.rows("conversations")
    assert (conversation["unread_count"], conversation["last_message_preview"]) == (0, "second")


async def test_a_history_job_takes_its_chat_from_its_conversation_if_need_be(inbox: Inbox) -> None:
    history_job(inbox, telegram_id=None, conversation_id=inbox.chat("501"))
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert job.to == "501"


async def test_a_history_job_reaches_no_other_owner(inbox: Inbox) -> None:
    strange = history_job(inbox, owner_id=OTHER_OWNER)
    theirs = inbox.kit.app.insert("conversations", owner_id=OTHER_OWNER)
    named = history_job(inbox, conversation_id=theirs)
    sane = history_job(inbox)
    jobs = await inbox.store.claim_history([inbox.account], known=(), limit=3)
    assert [job.id for job in jobs] == [sane]
    assert [
        (
            row(inbox, "sync_history_jobs", job)["status"],
            row(inbox, "sync_history_jobs", job)["error_message"],
        )
        for job in (strange, named)
    ] == [
        ("failed", "its account belongs to another owner"),
        ("failed", "its conversation belongs to another owner"),
    ]


async def test_a_history_job_that_names_no_chat_fails_with_its_reason(inbox: Inbox) -> None:
    job_id = history_job(inbox, telegram_id=None)
    assert list(await inbox.store.claim_history([inbox.account], known=())) == []
    failed = row(inbox, "sync_history_jobs", job_id)
    assert (failed["status"], failed["error_message"]) == ("failed", "the job names no chat")


async def test_a_history_job_says_how_many_it_asks_for(inbox: Inbox) -> None:
    history_job(inbox)
    history_job(inbox, limit_messages=100_000)
    history_job(inbox, limit_messages=-5)
    jobs = await inbox.store.claim_history([inbox.account], known=(), limit=3)
    assert [job.limit_messages for job in jobs] == [100, 100_000, 0]


async def test_a_history_job_counts_its_claims_since_its_last_page(kit: StoreKit, inbox: Inbox) -> None:
    history_job(inbox)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert job.tries == 0
    for tries in (1, 2):
        (job,) = await inbox.store.claim_history([inbox.account], known=())
        assert job.tries == tries
    await inbox.store.save_history(job, [inbound(500, 60, "old")], [], below=60, seen=1)
    (again,) = await kit.take_over().claim_history([inbox.account], known=())
    assert again.tries == 1


async def test_jobs_of_accounts_that_are_not_online_wait(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    history_job(inbox)
    assert list(await kit.store.claim_history([bob], known=())) == []


async def test_a_crash_leaves_nothing_in_processing(kit: StoreKit, inbox: Inbox) -> None:
    first, second = history_job(inbox), history_job(inbox)
    await kit.store.claim_history([inbox.account], known=())
    heir = kit.take_over()
    # Before what is new, and whatever the heir believes to know.
    jobs = await heir.claim_history([inbox.account], known=[first], limit=5)
    assert [job.id for job in jobs] == [first, second]


async def test_whoever_takes_a_history_job_over_goes_on_where_it_was(kit: StoreKit, inbox: Inbox) -> None:
    job_id = history_job(inbox, limit_messages=300)
    (job,) = await kit.store.claim_history([inbox.account], known=())
    assert (job.below, job.seen, job.fills_gap, job.known_top) == (0, 0, False, None)
    await kit.store.save_history(job, [inbound(500, 60, "old")], [], below=60, seen=100)
    await kit.store.save_history(
        job, [inbound(500, 60, "old")], [], below=60, seen=100
    )  # its answer was lost
    heir = kit.take_over()
    (again,) = await heir.claim_history([inbox.account], known=())
    assert (again.id, again.below, again.seen, again.messages_synced) == (job_id, 60, 100, 1)
    await heir.finish_history(job_id)
    assert row(inbox, "sync_history_jobs", job_id)["status"] == "completed"
