"""Asking for histories and watching them, as the commands do."""

import pytest

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, StoreKit, inbound
from tgworker.messaging.errors import AccountGone, RecipientUnknown
from tgworker.messaging.models import AccountId, JobId


async def test_asking_does_what_the_application_does(inbox: Inbox) -> None:
    job_id = await inbox.store.request_history(inbox.account, " @Ada ", limit=250)
    row = inbox.kit.app.row("sync_history_jobs", job_id)
    assert row is not None
    assert (row["owner_id"], row["integration_account_id"]) == (OWNER, inbox.account)
    assert (row["telegram_id"], row["limit_messages"], row["status"]) == ("@ada", 250, "pending")
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert (job.id, job.to, job.limit_messages, job.is_group) == (job_id, "@ada", 250, False)


async def test_a_conversation_of_the_owner_is_a_chat_too_and_no_other_is(kit: StoreKit, inbox: Inbox) -> None:
    chat = inbox.chat("501")
    job_id = await inbox.store.request_history(inbox.account, chat, limit=1)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    assert (job.id, job.to) == (job_id, "501")
    other = await kit.store.add_account("other", OTHER_OWNER, "token", user_id=2)
    for to in (chat, "nonsense", "", "0", "00000000-0000-4000-8000-00000000dead"):
        with pytest.raises(RecipientUnknown):
            await inbox.store.request_history(other, to, limit=1)
    with pytest.raises(AccountGone):
        await inbox.store.request_history(AccountId("00000000-0000-4000-8000-00000000dead"), "500", limit=1)
    assert len(inbox.kit.app.rows("sync_history_jobs")) == 1


async def test_progress_is_seen_page_by_page_until_the_end(inbox: Inbox) -> None:
    first = await inbox.store.request_history(inbox.account, "500", limit=200)
    second = await inbox.store.request_history(inbox.account, "-77", limit=5)
    (waiting, other) = await inbox.store.histories()
    assert [waiting.job_id, other.job_id] == [first, second]
    assert (waiting.status, waiting.to, waiting.limit_messages, waiting.seen) == ("pending", "500", 200, 0)
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.save_history(job, [inbound(500, 60, "old")], [], below=60, seen=100, total=1034)
    (read,) = await inbox.store.histories([first])
    assert (read.status, read.seen, read.synced, read.total, read.error) == ("processing", 100, 1, 1034, None)
    await inbox.store.save_history(job, [inbound(500, 50, "older")], [], below=50, seen=200)
    (read,) = await inbox.store.histories([first])
    assert (read.seen, read.synced, read.total, read.has_ended) == (200, 2, 1034, False)
    await inbox.store.finish_history(first, error="CHANNEL_PRIVATE")
    (ended,) = await inbox.store.histories([first])
    assert (ended.status, ended.synced, ended.error) == ("failed", 2, "CHANNEL_PRIVATE")
    assert ended.has_ended
    assert [row.job_id for row in await inbox.store.histories()] == [second]
    assert await inbox.store.histories([]) == []
    assert await inbox.store.histories([JobId("00000000-0000-4000-8000-00000000dead")]) == []
    assert [row.job_id for row in await inbox.store.histories([first, second], limit=1)] == [first]
