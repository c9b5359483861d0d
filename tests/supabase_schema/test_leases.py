"""One account, one place: leases, tokens, and what a process that was replaced can still do (nothing)."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from supabase_schema.rpc_store import Json, RpcError
from supabase_schema.world import Process, World, inbound


def test_a_lease_is_one_process_s_until_it_runs_out(timed: World) -> None:
    assert timed.calendar is not None
    account = timed.account()
    first, second = timed.worker(), timed.worker()
    assert first.acquire(account, ttl_s=30)["leases"] == [{"account": account, "fence": 1}]
    refused = second.acquire(account, ttl_s=30)
    assert refused["leases"] == []
    assert refused["elsewhere"] == [{"account": account, "worker": "w", "for_s": 30}]
    timed.calendar.advance(29)
    assert first.renew(30)["lost"] == []
    timed.calendar.advance(29)
    assert second.acquire(account, ttl_s=30)["leases"] == []
    timed.calendar.advance(1)
    assert second.acquire(account, ttl_s=30)["leases"] == [{"account": account, "fence": 2}]
    assert first.renew(30) == {"leases": [], "lost": [account]}


def test_the_next_process_of_the_same_holder_gets_it_at_once_with_a_higher_token(world: World) -> None:
    account, holder = world.account(), uuid4()
    world.worker(holder=holder, incarnation=1).acquire(account)
    heir = world.worker(holder=holder, incarnation=2)
    assert heir.acquire(account)["leases"] == [{"account": account, "fence": 2}]


def test_asking_again_keeps_the_token_and_a_late_call_of_the_dead_process_changes_nothing(
    world: World,
) -> None:
    account, holder = world.account(), uuid4()
    dead, heir = (world.worker(holder=holder, incarnation=number) for number in (1, 2))
    for _ in range(2):
        assert dead.acquire(account)["leases"] == [{"account": account, "fence": 1}]
    for _ in range(2):
        assert heir.acquire(account)["leases"] == [{"account": account, "fence": 2}]
    late = dead.acquire(account)
    assert (late["leases"], [found["account"] for found in late["elsewhere"]]) == ([], [account])
    assert heir.renew()["lost"] == []


def test_a_lease_that_ran_out_and_that_nobody_took_is_renewed_under_its_token(timed: World) -> None:
    assert timed.calendar is not None
    account, process = timed.account(), timed.worker()
    process.acquire(account)
    timed.calendar.advance(3600)
    assert process.renew() == {"leases": [{"account": account, "fence": 1}], "lost": []}


def test_a_released_lease_is_anybodys_and_a_late_renewal_does_not_take_it_back(world: World) -> None:
    account = world.account()
    first, second = world.worker(), world.worker()
    first.acquire(account)
    assert first.release() == {"released": [account]}
    assert first.release() == {"released": []}
    assert first.renew()["lost"] == [account]
    assert second.acquire(account)["leases"] == [{"account": account, "fence": 2}]
    assert first.release() == {"released": []}


def test_what_the_owner_switched_off_or_is_no_telegram_account_is_not_ours(world: World) -> None:
    off, nobody = world.account(is_active=False), world.new_id()
    other = world.one(
        "insert into integration_accounts (owner_id, type) values (gen_random_uuid(), 'whatsapp')"
        " returning id"
    )
    answer = world.worker().acquire(off, other, nobody)
    assert answer["leases"] == answer["elsewhere"] == []
    assert sorted(answer["not_ours"]) == sorted([off, other, nobody])
    assert world.one("select count(*) from tgworker_leases") == 0


@pytest.mark.parametrize("ttl_s", [0, 4, 301, -1])
def test_a_lease_that_nobody_could_keep_or_wait_for_is_refused(world: World, ttl_s: int) -> None:
    with pytest.raises(RpcError, match="5 to 300") as caught:
        world.worker().acquire(world.account(), ttl_s=ttl_s)
    assert (caught.value.code, caught.value.case) == ("PT400", "bad_request")


WRITES: dict[str, Callable[[Process, str], Any]] = {
    "ingest": lambda p, a: p.ingest(
        a, inbound(500, 1), position={"pts": 1, "qts": 1, "date": 1, "seq": 1, "channels": {}}
    ),
    "save_peers": lambda p, a: p.rpc(
        "tgworker_save_peers",
        p_account=a,
        p_fence=p.fences[a],
        p_peers=Json([{"chat_id": 500, "kind": "user", "access_hash": 7}]),
    ),
    "save_waits": lambda p, a: p.rpc(
        "tgworker_save_waits",
        p_account=a,
        p_fence=p.fences[a],
        p_waits=Json([{"kind": "chat", "key": "500", "left_s": 9, "reason": "SLOWMODE_WAIT_9"}]),
    ),
    "save_history": lambda p, a: p.rpc(
        "tgworker_save_history",
        p_account=a,
        p_fence=p.fences[a],
        p_job=a,
        p_messages=Json([inbound(500, 1)]),
    ),
    "file_chats": lambda p, a: p.rpc(
        "tgworker_file_chats", p_account=a, p_fence=p.fences[a], p_job=a, p_chats=[500]
    ),
    "keep_takeout": lambda p, a: p.rpc(
        "tgworker_keep_takeout", p_account=a, p_fence=p.fences[a], p_job=a, p_takeout="sealed"
    ),
    "put_history_off": lambda p, a: p.rpc(
        "tgworker_put_history_off", p_account=a, p_fence=p.fences[a], p_job=a, p_seconds=1.0, p_note="x"
    ),
    "record_account": lambda p, a: p.rpc(
        "tgworker_record_account", p_account=a, p_fence=p.fences[a], p_state="banned"
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_token_writes_nothing(world: World, write: str) -> None:
    account, holder = world.account(), uuid4()
    world.chat("1")
    world.one(  # (its id is the account's: that is what the writes above know)
        "with job as (insert into sync_history_jobs (id, owner_id, integration_account_id, telegram_id,"
        " status) select id, owner_id, id, 'all', 'processing' from integration_accounts where id = %s"
        " returning id)"
        " insert into tgworker_account_histories (job_id, integration_account_id) select id, id from job"
        " returning job_id",
        account,
    )
    dead, heir = (world.worker(holder=holder, incarnation=number) for number in (1, 2))
    dead.acquire(account)
    heir.acquire(account)
    before = world.everything()
    with pytest.raises(RpcError, match="belongs to a newer worker") as caught:
        WRITES[write](dead, account)
    assert (caught.value.code, caught.value.case) == ("PT409", "lease_lost")
    assert world.everything() == before
    WRITES[write](heir, account)
    assert world.everything() != before


def test_a_stale_token_settles_claims_ends_and_stamps_nothing(world: World) -> None:
    account, chat, holder = world.account(), world.chat("500"), uuid4()
    world.write(chat, "one", account)
    world.write(world.chat("501"), "two", account)
    job = world.one(
        "insert into message_jobs (owner_id, integration_account_id, action, payload)"
        " select owner_id, %s, 'mark_read', jsonb_build_object('conversation_id', id)"
        " from conversations where id = %s returning id",
        account,
        chat,
    )
    dead, heir = (world.worker(holder=holder, incarnation=number) for number in (1, 2))
    dead.acquire(account)
    (attempt,) = dead.claim(1)
    (claimed,) = dead.rpc("tgworker_claim_jobs", p_holder=dead.holder, p_accounts=dead.leases())["jobs"]
    heir.acquire(account)
    before = world.everything()
    assert dead.send(attempt, 70)["stale"] == [attempt["message_id"]]
    assert dead.claim_answer() == {"attempts": [], "withdrawn": [], "lost": [account], "more": False}
    jobs = dead.rpc("tgworker_claim_jobs", p_holder=dead.holder, p_accounts=dead.leases())
    assert jobs["jobs"] == []
    finished = dead.rpc("tgworker_finish_jobs", p_items=Json([{"job_id": job, "fence": claimed["fence"]}]))
    assert finished == {"finished": [], "stale": [job]}
    assert dead.rpc("tgworker_record_synced", p_accounts=dead.leases()) == {"lost": [account]}
    assert world.everything() == before
    assert {found["text"] for found in heir.claim()} == {"one", "two"}


def test_a_new_holder_waits_until_a_write_under_the_old_token_is_done(timed: World) -> None:
    """Else the write could be committed after the new holder has read what it thinks is the last word."""
    assert timed.calendar is not None
    account = timed.account()
    old, new = timed.worker(), timed.worker()
    old.acquire(account)
    timed.calendar.advance(61)
    writing = timed.connect("service_role", autocommit=False)
    writing.execute("select tgworker_check_fence(%s, %s)", (account, old.fences[account]))
    new.rpc("tgworker_schema")  # sets the calendar
    new.rpc._connection.execute("set lock_timeout = '100ms'")
    with pytest.raises(RpcError, match="lock timeout"):
        new.acquire(account)
    writing.rollback()
    assert new.acquire(account)["leases"] == [{"account": account, "fence": 2}]


LOCKING: dict[str, Callable[[Process, list[str]], object]] = {
    "acquire": lambda process, accounts: process.acquire(*accounts),
    "renew": lambda process, _: process.renew(),
    "release": lambda process, _: process.release(),
    "tick": lambda process, _: process.rpc(
        "tgworker_tick", p_holder=process.holder, p_leases=process.leases(), p_settled=Json([])
    ),
}


@pytest.mark.parametrize("call", LOCKING)
def test_leases_are_locked_in_one_order_by_everybody(world: World, call: str) -> None:
    """Else two calls for the same accounts could wait for each other."""
    first, last = sorted(world.account() for _ in range(2))
    process = world.worker()
    process.acquire(last)
    process.acquire(first)
    # (The table has them in the other order, and so have the arguments.)
    assert [lease["account"] for lease in process.leases()] == [last, first]
    holder, other = world.connect(autocommit=False), world.connect(autocommit=False)
    lock = "select 1 from tgworker_leases where integration_account_id = %s for update"
    holder.execute(lock, (last,))
    waiting = threading.Thread(target=LOCKING[call], args=(process, [last, first]))
    waiting.start()
    try:
        while not world.one("select count(*) from pg_locks where not granted"):
            time.sleep(0.01)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(f"{lock} nowait", (first,))
    finally:
        holder.rollback()
        waiting.join(30)
    assert not waiting.is_alive()


def test_another_workers_word_about_an_account_is_not_overwritten(world: World) -> None:
    account, process = world.account(), world.worker()
    process.rpc("tgworker_record_account", p_account=account, p_fence=None, p_state="waiting")
    process.acquire(account)
    with pytest.raises(RpcError, match="another worker"):
        world.worker().rpc("tgworker_record_account", p_account=account, p_fence=None, p_state="elsewhere")
    assert world.one("select state from tgworker_accounts") == "waiting"
