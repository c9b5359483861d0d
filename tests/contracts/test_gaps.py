"""Chats that the update log did not tell everything of: their history is asked for, with the position."""

from collections.abc import Sequence
from typing import Any

from contracts.store_kit import OWNER, Inbox, StoreKit, batch, inbound, user
from tgworker.messaging.models import Peer, PeerKind, Position
from tgworker.messaging.update_batches import Gap

GROUP = -77
CHANNEL = -1_000_000_000_555


def filed(inbox: Inbox) -> Sequence[tuple[Any, ...]]:
    columns = ("telegram_id", "telegram_name", "is_group", "status", "limit_messages")
    return sorted(tuple(row[column] for column in columns) for row in inbox.kit.app.rows("sync_history_jobs"))


async def test_a_gap_becomes_a_history_job_of_its_chat(inbox: Inbox) -> None:
    position = Position(10, 0, 1_700_000_000, 5)
    peers = [user(500, last_name="Lovelace"), Peer(GROUP, PeerKind.CHAT, title="Analysts")]
    gaps = [Gap(500, 70), Gap(GROUP, None), Gap(CHANNEL, None)]
    await inbox.store.ingest(inbox.account, batch(peers=peers, position=position, gaps=gaps))
    assert filed(inbox) == [
        (str(CHANNEL), None, True, "pending", 500),
        (str(GROUP), "Analysts", True, "pending", 500),
        ("500", "Ada Lovelace", False, "pending", 500),
    ]
    assert await inbox.store.position(inbox.account) == position
    jobs = await inbox.store.claim_history([inbox.account], known=(), limit=5)
    assert {(job.to, job.fills_gap, job.messages_synced) for job in jobs} == {
        (str(CHANNEL), True, 0),
        (str(GROUP), True, 0),
        ("500", True, 0),
    }


async def test_a_gaps_job_knows_the_conversation_that_there_is_or_makes_one(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None), Gap(501, None)]))
    jobs = {row["telegram_id"]: row for row in inbox.kit.app.rows("sync_history_jobs")}
    assert jobs["500"]["conversation_id"] == chat
    (other,) = [row for row in inbox.kit.app.rows("conversations") if row["id"] != chat]
    assert jobs["501"]["conversation_id"] == other["id"]
    assert (other["unread_count"], other["last_message_at"]) == (0, None)


async def test_the_same_gap_again_files_nothing_while_a_job_waits(inbox: Inbox) -> None:
    for _ in range(3):
        await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None), Gap(500, 71)]))
    assert len(filed(inbox)) == 1
    # One that is being processed may have read past a gap that comes now.
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None)]))
    assert len(filed(inbox)) == 2
    await inbox.store.finish_history(job.id)
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None)]))
    assert len(filed(inbox)) == 2


async def test_a_job_of_the_application_fills_no_gap(inbox: Inbox) -> None:
    inbox.kit.app.insert(
        "sync_history_jobs",
        owner_id="0f000000-0000-4000-8000-000000000001",
        integration_account_id=inbox.account,
        telegram_id="500",
    )
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None)]))
    jobs = await inbox.store.claim_history([inbox.account], known=(), limit=5)
    assert sorted((job.to, job.fills_gap, job.limit_messages) for job in jobs) == [
        ("500", False, 100),
        ("500", True, 500),
    ]


async def test_where_the_newest_message_is_stored_nothing_is_missing(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), inbound(GROUP, 71, sender_id=501)))
    gaps = [Gap(500, 70), Gap(GROUP, 72), Gap(501, 70)]
    await inbox.store.ingest(inbox.account, batch(gaps=gaps))
    assert [row[0] for row in filed(inbox)] == [str(GROUP), "501"]


async def test_what_comes_in_the_same_batch_may_have_come_after_the_gap(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70), gaps=[Gap(500, 70)]))
    assert len(filed(inbox)) == 1


async def test_what_another_job_has_stored_proves_nothing(inbox: Inbox) -> None:
    inbox.kit.app.insert(
        "sync_history_jobs", owner_id=OWNER, telegram_id="500", integration_account_id=inbox.account
    )
    (pulled,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.save_history(pulled, [inbound(500, 70, "pulled")], [])
    await inbox.store.finish_history(pulled.id)
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, 70)]))
    assert len(filed(inbox)) == 2


async def test_a_gap_is_the_accounts_own(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", "0f000000-0000-4000-8000-000000000002", "token", user_id=2)
    await kit.store.ingest(inbox.account, batch(inbound(500, 70), gaps=[Gap(500, None)]))
    await kit.store.ingest(bob, batch(gaps=[Gap(500, 70)]))
    assert {row["integration_account_id"] for row in kit.app.rows("sync_history_jobs")} == {
        inbox.account,
        bob,
    }
    assert len(filed(inbox)) == 2


async def test_a_gaps_job_knows_how_far_the_log_had_come(inbox: Inbox) -> None:
    """Not what a history job stored amid the gap, not what was sent, and not what came after it."""
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70, "log"), peers=[user(500)]))
    inbox.kit.app.insert(
        "sync_history_jobs", owner_id=OWNER, telegram_id="500", integration_account_id=inbox.account
    )
    (pulled,) = await inbox.store.claim_history([inbox.account], known=())
    await inbox.store.save_history(pulled, [inbound(500, 90, "pulled")], [])
    await inbox.store.finish_history(pulled.id)
    (conversation,) = inbox.kit.app.rows("conversations")
    inbox.write(conversation["id"], "ours")
    await inbox.send(await inbox.claim_one(), 95)
    await inbox.store.ingest(
        inbox.account, batch(inbound(500, 99, "after"), gaps=[Gap(500, None), Gap(501, None)])
    )
    jobs = await inbox.store.claim_history([inbox.account], known=(), limit=2)
    assert {job.to: job.known_top for job in jobs} == {"500": 70, "501": None}


async def test_what_fills_a_gap_is_unread_and_what_is_older_is_not(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 70, "log"), peers=[user(500)]))
    await inbox.store.ingest(inbox.account, batch(gaps=[Gap(500, None)]))
    (job,) = await inbox.store.claim_history([inbox.account], known=())
    found = [inbound(500, number, f"m {number}") for number in (68, 69, 70, 71, 72)]
    assert await inbox.store.save_history(job, found, [], below=68, seen=5) == 4
    (conversation,) = inbox.kit.app.rows("conversations")
    assert conversation["unread_count"] == 3  # 70 from the log, 71, 72
