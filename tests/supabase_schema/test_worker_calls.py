"""Heartbeats, ticks, the call that waits, presence, events, and the sweep."""

import threading
import time
from typing import Any

import pytest

from supabase_schema.rpc_store import Json, RpcError
from supabase_schema.world import Process, World, inbound, settled


def ready(world: World) -> tuple[str, Process]:
    account, process = world.account(), world.worker()
    process.acquire(account)
    return account, process


def beat(process: Process, incarnation: int, seq: int, status: str = "online") -> bool:
    answer = process.rpc(
        "tgworker_heartbeat",
        p_worker="w",
        p_incarnation=incarnation,
        p_seq=seq,
        p_status=status,
        p_loops={"sync": {"alive": True}},
    )
    return bool(answer["written"])


def test_an_older_heartbeat_never_overwrites_a_newer_one(timed: World) -> None:
    assert timed.calendar is not None
    process = timed.worker()
    writes = [(1, 1, True), (1, 3, True), (1, 2, False), (1, 3, False), (2, 1, True), (1, 9, False)]
    for incarnation, seq, written in writes:
        assert beat(process, incarnation, seq) is written
    timed.calendar.advance(7.5)
    (row,) = process.rpc("tgworker_heartbeats", p_worker="w")
    assert (row["incarnation"], row["seq"], row["age_s"]) == (2, 1, 7.5)
    assert row["loops_status"] == {"sync": {"alive": True}}
    assert process.rpc("tgworker_heartbeats", p_worker="nobody") == []


def test_heartbeats_are_stamped_by_the_servers_clock(world: World) -> None:
    beat(world.worker(), 1, 1)
    assert abs(world.one("select extract(epoch from now() - last_heartbeat_at) from worker_heartbeats")) < 30


def tick(process: Process, **parts: Any) -> Any:
    return process.rpc("tgworker_tick", p_holder=process.holder, **parts)


def test_one_tick_is_a_heartbeat_renewals_and_a_claim(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "hi", account)
    timed.calendar.advance(50)
    answer = tick(
        process,
        p_heartbeat={"worker": "w", "incarnation": 1, "seq": 1, "status": "online", "loops": {}},
        p_leases=process.leases(),
        p_ttl_s=60,
        p_slots=Json([{"account": account, "fence": 1, "free": 3}]),
    )
    assert answer["heartbeat"] == {"written": True}
    assert answer["leases"] == {"leases": [{"account": account, "fence": 1}], "lost": []}
    assert [attempt["message_id"] for attempt in answer["claim"]["attempts"]] == [message]
    assert answer["error"] is None
    timed.calendar.advance(50)  # the renewal counts
    assert tick(process, p_slots=Json([{"account": account, "fence": 1, "free": 3}]))["claim"]["lost"] == []
    empty = tick(process)
    parts = ("heartbeat", "leases", "settled", "claim", "error")
    assert [empty[part] for part in parts] == [None] * 5


def test_a_claim_that_fails_takes_nothing_else_away(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    sent = timed.write(timed.chat("501"), "before", account)
    (attempt,) = process.claim()
    timed.write(timed.chat("500"), "hi", account)
    timed.app.execute("alter table tgworker_removed_accounts rename to gone")
    timed.calendar.advance(50)
    answer = tick(
        process,
        p_heartbeat={"worker": "w", "incarnation": 1, "seq": 1, "status": "online"},
        p_leases=process.leases(),
        p_ttl_s=60,
        p_settled=Json([settled(attempt, "refused", reason="PEER_ID_INVALID")]),
        p_slots=Json([{"account": account, "fence": 1, "free": 3}]),
    )
    assert answer["claim"] is None
    assert answer["error"]["code"] == "42P01"
    assert answer["settled"] == {"settled": [sent], "stale": []}
    assert timed.state(sent) == "dead"
    assert timed.one("select count(*) from worker_heartbeats") == 1
    timed.calendar.advance(50)
    assert process.renew()["lost"] == []
    timed.app.execute("alter table gone rename to tgworker_removed_accounts")
    assert len(process.claim()) == 1


def test_what_settles_makes_room_for_the_claim_of_the_same_tick(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    first, second = world.write(chat, "first", account), world.write(chat, "second", account)
    (attempt,) = process.claim()
    items = [settled(attempt, "sent", telegram_id=70)]
    answer = process.tick(items, 5)
    assert answer["settled"] == {"settled": [first], "stale": []}
    assert [one["message_id"] for one in answer["claim"]["attempts"]] == [second]
    # The answer was lost: the same again.
    again = process.tick(items, 5)
    assert again["settled"] == {"settled": [], "stale": [first]}
    assert [(one["message_id"], one["number"]) for one in again["claim"]["attempts"]] == [(second, 2)]
    assert (world.external(first), world.state(second)) == ("70", "sending")


def test_a_deadlock_ends_the_whole_tick_to_be_repeated(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "hi", account)
    (attempt,) = process.claim()
    world.app.execute(
        "create or replace function tgworker_tidy(p_now timestamptz) returns boolean language plpgsql as"
        " $$ begin raise exception using errcode = '40P01'; end $$"
    )
    with pytest.raises(RpcError) as raised:
        process.tick([settled(attempt, "sent", telegram_id=70)], 5)
    assert raised.value.code == "40P01"
    assert world.state(message) == "sending"


def wait(process: Process, account: str, timeout_s: float) -> bool:
    answer = process.rpc("tgworker_wait", p_accounts=[account], p_timeout_s=timeout_s)
    return bool(answer["work"] or answer["jobs"])


def test_waiting_ends_when_the_application_writes(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    writer = threading.Timer(0.2, lambda: world.write(chat, "hi", account))
    began = time.monotonic()
    writer.start()
    assert wait(process, account, 30) is True
    assert time.monotonic() - began < 10
    writer.join()
    assert len(process.claim()) == 1
    assert wait(process, account, 0) is False


def test_waiting_ends_when_something_is_due_and_not_for_others(world: World) -> None:
    account, process = ready(world)
    other = world.account()
    world.write(world.chat("501"), "for another", other)
    assert wait(process, account, 0.05) is False
    process.claim()  # takes the note about it
    assert wait(process, account, 0.05) is False
    chat = world.chat("500")
    world.write(chat, "hi", account)
    (attempt,) = process.claim()
    world.write(chat, "behind it", account)
    process.claim(known=[attempt["message_id"]])
    assert wait(process, account, 0.05) is False  # what is in flight is no work
    process.settle(attempt, "deferred", retry_after_s=0.3, reason="FLOOD_WAIT")
    began = time.monotonic()
    assert wait(process, account, 30) is True
    assert time.monotonic() - began < 10


def test_waiting_ends_for_a_job(world: World) -> None:
    account, process = ready(world)
    world.sql(
        "insert into message_jobs (owner_id, integration_account_id, action)"
        " values (gen_random_uuid(), %s, 'typing')",
        account,
    )
    assert wait(process, account, 5) is True


def test_waiting_is_shorter_than_the_statement_timeout(world: World) -> None:
    account, process = ready(world)
    process.rpc._connection.execute("set statement_timeout = '1600ms'")
    began = time.monotonic()
    assert wait(process, account, 30) is False
    assert time.monotonic() - began < 1.5


def test_a_job_that_nobody_has_looked_at_ends_a_wait_and_one_that_waits_does_not(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    message = world.write(chat, "hi", account)
    process.claim()
    wait_for_jobs = {"p_accounts": [], "p_jobs_of": [account], "p_timeout_s": 0.1}
    assert process.rpc("tgworker_wait", **wait_for_jobs) == {"work": False, "jobs": False}
    world.app.execute(
        "insert into message_jobs (owner_id, message_id, action) select owner_id, id, 'edit' from messages"
        " where id = %s",
        [message],
    )
    assert process.rpc("tgworker_wait", **wait_for_jobs) == {"work": False, "jobs": True}
    claim = {"p_holder": process.holder, "p_accounts": process.leases()}
    assert process.rpc("tgworker_claim_jobs", **claim) == {"jobs": [], "waiting": 1}
    assert process.rpc("tgworker_wait", **wait_for_jobs) == {"work": False, "jobs": False}


def test_what_another_program_left_in_processing_for_a_day_is_not_done(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    for hours in (23, 25):
        world.sql(
            "insert into message_jobs (status, owner_id, integration_account_id, action, payload, created_at)"
            " select 'processing', owner_id, id, 'mark_read',"
            " jsonb_build_object('conversation_id', %s::text), now() - make_interval(hours => %s)"
            " from integration_accounts where id = %s",
            chat,
            hours,
            account,
        )
    claim = {"p_holder": process.holder, "p_accounts": process.leases()}
    assert len(process.rpc("tgworker_claim_jobs", **claim)["jobs"]) == 1
    (failed,) = world.sql("select error_message from message_jobs where status = 'failed'")
    assert failed["error_message"] == "given up: somebody has left it in processing for more than a day"


def test_with_many_accounts_work_is_found_as_well(world: World) -> None:
    accounts = [world.account() for _ in range(12)]
    process = world.worker()
    process.acquire(*accounts)
    world.write(world.chat("500"), "hi", accounts[7])
    world.worker().claim()  # somebody else takes the note
    answer = process.rpc("tgworker_wait", p_accounts=accounts, p_timeout_s=5)
    assert answer == {"work": True, "jobs": False}
    assert [attempt["account"] for attempt in process.claim()] == [accounts[7]]


def test_presence_under_a_stale_token_is_not_written_and_fails_no_other(world: World) -> None:
    account, process = ready(world)
    other = world.account()
    process.ingest(account, inbound(500, 1), inbound(501, 1))
    told = [
        {"account": account, "fence": 1, "items": [{"chat_id": 500, "is_online": True}]},
        {"account": other, "fence": 7, "items": [{"chat_id": 501, "is_online": True}]},
    ]
    assert process.rpc("tgworker_presence", p_accounts=Json(told)) == {"written": 1, "lost": [other]}
    assert world.one("select count(*) from presence_status") == 1


def test_presence_waits_for_no_row_that_the_application_holds(world: World) -> None:
    account, process = ready(world)
    process.ingest(account, inbound(500, 1), inbound(501, 1))

    def say(is_online: bool) -> int:
        items = [{"chat_id": chat, "is_online": is_online} for chat in (500, 501)]
        answer = process.rpc("tgworker_presence", p_accounts=Json([{**process.leases()[0], "items": items}]))
        return int(answer["written"])

    assert say(True) == 2
    application = world.connect("postgres")
    application.execute("begin")
    application.execute(
        "update presence_status set is_typing = true where contact_identity_id ="
        " (select id from contact_identities where value = '500')"
    )
    assert say(False) == 1
    application.execute("rollback")
    assert say(False) == 2


def test_the_sweep_forgets_what_is_old_in_small_steps(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    rows = {
        text: timed.write(timed.chat(str(500 + number)), text, account)
        for number, text in enumerate(("sent", "refused", "waiting"))
    }
    attempts = {attempt["text"]: attempt for attempt in process.claim()}
    process.send(attempts["sent"], 1)
    process.settle(attempts["refused"], "refused", reason="NO")
    process.settle(attempts["waiting"], "released", reason="x")
    events = Json({"id": timed.new_id(), "kind": "restart"} for _ in range(3))
    process.rpc("tgworker_record_events", p_worker="w", p_events=events)
    timed.calendar.advance(29 * 86_400)
    assert process.rpc("tgworker_sweep")["deleted"] == 0
    timed.calendar.advance(2 * 86_400)
    step = process.rpc("tgworker_sweep", p_limit=2)
    assert (step["deleted"], step["more"]) == (3, True)
    assert process.rpc("tgworker_sweep", p_limit=2)["deleted"] == 1
    assert [timed.state(rows[text]) for text in rows] == [None, "dead", "waiting"]
    assert timed.one("select count(*) from tgworker_outbox_parts where message_id = %s", rows["sent"]) == 0
    # The application's row stays, and so does its key: it does not come back with the next history.
    assert timed.external(rows["sent"]) == "1"
    assert timed.one("select count(*) from tgworker_message_keys") == 1
    timed.calendar.advance(150 * 86_400)
    process.rpc("tgworker_sweep")
    assert [timed.state(rows[text]) for text in rows] == [None, None, "waiting"]


def test_a_row_whose_outcome_is_not_written_to_its_message_yet_is_not_forgotten(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "hi", account)
    (attempt,) = process.claim()
    process.send(attempt, 1)
    timed.sql("alter table messages disable trigger user")  # as if it had never been written
    timed.sql("update messages set external_message_id = 'local-hi' where id = %s", message)
    timed.sql("alter table messages enable trigger user")
    process.rpc("tgworker_sweep")  # (the first one compares: it is not to repair this by itself)
    timed.sql("alter table messages disable trigger user")
    timed.sql("update messages set external_message_id = 'local-hi' where id = %s", message)
    timed.sql("alter table messages enable trigger user")
    forget = "select tgworker_forget_old(%s, 10, 30, 180)"
    timed.calendar.advance(31 * 86_400)
    assert timed.one(forget, timed.calendar()) == 0
    # Without the row the message would be taken for one that was never sent.
    process.rpc("tgworker_sweep", p_full=True)
    assert timed.external(message) == "1"
    assert timed.one(forget, timed.calendar()) == 1
    assert process.claim() == []


def test_heartbeats_of_workers_that_are_gone_are_forgotten_but_not_another_program_s(timed: World) -> None:
    assert timed.calendar is not None
    _, process = ready(timed)
    timed.sql(
        "insert into worker_heartbeats (worker_id, status, last_heartbeat_at) values ('old', 'online', %s)",
        timed.calendar(),
    )
    beat = {"p_incarnation": 7, "p_seq": 1, "p_status": "online"}
    for worker in ("gone", "here"):
        process.rpc("tgworker_heartbeat", p_worker=worker, **beat)
    timed.calendar.advance(20 * 86_400)
    process.rpc("tgworker_heartbeat", p_worker="here", **{**beat, "p_seq": 2})
    timed.calendar.advance(11 * 86_400)
    process.rpc("tgworker_sweep")
    rows = timed.sql("select worker_id from worker_heartbeats order by 1")
    assert [row["worker_id"] for row in rows] == ["here", "old"]


def test_a_walk_that_takes_too_long_is_given_up_until_the_next_is_due(world: World) -> None:
    _, process = ready(world)
    slow = world.connect(autocommit=False)
    slow.execute("lock table messages in access exclusive mode")
    process.rpc._connection.execute("set statement_timeout = '300ms'")
    assert process.rpc("tgworker_sweep")["compared"] is False
    # It is not begun again with every sweep.
    assert process.rpc("tgworker_sweep")["compared"] is False
    slow.rollback()
    assert process.rpc("tgworker_sweep", p_full=True)["compared"] is True


def test_a_row_in_order_that_no_lane_covers_is_found(world: World) -> None:
    account, process = ready(world)
    world.write(world.chat("500"), "hi", account)
    process.claim(0)
    world.sql("delete from tgworker_lanes")
    assert process.claim() == []
    assert process.rpc("tgworker_sweep")["repaired"] == 1
    assert len(process.claim()) == 1


def test_a_message_that_is_merged_away_may_be_referred_to_by_the_application(world: World) -> None:
    """The echo came first, as a message of its own, and a table of the application points to it."""
    world.app.execute("create table stars (message_id uuid not null references messages)")
    account, process = ready(world)
    message = world.write(world.chat("500"), "hi", account)
    (attempt,) = process.claim()
    (echo,) = process.ingest(account, inbound(500, 70, "hi", outgoing=True))["messages"]
    world.sql("insert into stars values (%s)", echo["message_id"])
    assert process.send(attempt, 70)["settled"] == [message]
    assert (world.external(message), world.external(echo["message_id"])) == ("70", "70")
    assert world.one("select message_id from tgworker_message_keys") == message


def test_workers_that_meet_the_same_groups_at_once_make_one_of_each(world: World) -> None:
    processes: list[tuple[str, Process]] = [ready(world) for _ in range(4)]
    errors: list[RpcError] = []

    def work(number: int) -> None:
        account, process = processes[number]
        for telegram_id in range(8):
            # In each account the same chats, in another order: whoever waited in a circle would fail.
            chats = [(telegram_id * 3 + k * (1 if number % 2 else -1)) % 6 for k in range(6)]
            try:
                process.ingest(account, *(inbound(-400 - c, telegram_id, sender_id=900 + c) for c in chats))
            except RpcError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert errors == []
    process = processes[0][1]
    for _ in range(4):
        process.claim()  # unread counts that somebody held are added, a hundred at a time
    assert world.one("select count(*) from tgworker_chores") == 0
    everything = world.everything()
    counts = {table: len(everything[table]) for table in ("messages", "conversations", "contact_identities")}
    assert counts == {"messages": 4 * 8 * 6, "conversations": 6, "contact_identities": 12}
    assert world.one("select sum(unread_count) from conversations") == 4 * 8 * 6
