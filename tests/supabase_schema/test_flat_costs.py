"""What a claim costs does not grow with what lies in the tables: counted in pages that PostgreSQL touches.

Statistics are those of empty tables all the time: nothing here is analyzed, and autovacuum is off.
"""

import json

import pytest

from supabase_schema.world import OWNER, Process, World, inbound, settled

CHATS = 40


def fill(world: World, account: str, *, sent: int, pending: int, behind_one: int) -> None:
    """Rows as the application and the worker leave them behind, without the way there."""
    for table in ("messages", "conversations", "tgworker_outbox", "tgworker_lanes", "tgworker_touched"):
        world.app.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    chats = [world.chat(str(500 + number)) for number in range(CHATS)]
    insert = (
        "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
        " external_message_id) select %s, (%s::uuid[])[n %% %s + 1], %s, 'outbound', n, 'local-' || n"
        " from generate_series(1, %s) n"
    )
    world.sql(insert, OWNER, chats, CHATS, account, sent)
    world.sql(
        "update tgworker_outbox set state = 'sent', attempts = 1, chat_id = 1, settled_at = now(),"
        " claim = seq, fence = 1"
    )
    world.sql(insert, OWNER, chats, CHATS, account, pending)
    blocked = world.chat("400")
    world.sql(insert, OWNER, [blocked], 1, account, behind_one)
    world.sql(
        "update tgworker_outbox set state = 'deferred', attempts = 1, not_before = now() + interval '1 day'"
        " where seq = (select min(seq) from tgworker_outbox where conversation_id = %s)",
        blocked,
    )
    world.sql("select tgworker_relane(array(select id from conversations))")
    world.sql("delete from tgworker_touched")
    world.sql("truncate tgworker_touched")


def pages(world: World, process: Process, account: str, free: int) -> int:
    """How many pages one claim touches, once its plans are made."""
    arguments = f'\'{process.holder}\', \'[{{"account": "{account}", "fence": 1, "free": {free}}}]\''
    explain = f"explain (analyze, buffers, format json) select tgworker_claim({arguments})"
    touched: list[int] = []
    for _ in range(3):
        world.app.execute("begin")
        (row,) = world.app.execute(explain.encode()).fetchall()
        world.app.execute("rollback")
        plan = row["QUERY PLAN"][0]["Plan"]
        touched.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return touched[-1]


@pytest.mark.slow
def test_a_claim_touches_as_many_pages_with_a_large_backlog_as_with_a_small_one(
    world: World, timed: World
) -> None:
    timed.calendar = None  # another empty database
    costs: list[int] = []
    for some, sent, pending, behind_one in ((world, 10, 80, 2), (timed, 6_000, 3_000, 3_000)):
        account, process = some.account(), some.worker()
        process.acquire(account)
        fill(some, account, sent=sent, pending=pending, behind_one=behind_one)
        costs.append(pages(some, process, account, 10))
    small, large = costs
    # Deeper indexes, but nothing that follows the number of rows: the tables have hundreds of pages.
    assert large <= small * 1.5 + 30, costs


def pages_of(world: World, call: str) -> int:
    """How many pages a call touches; it is taken back."""
    world.app.execute("begin")
    (row,) = world.app.execute(f"explain (analyze, buffers, format json) {call}".encode()).fetchall()
    world.app.execute("rollback")
    plan = row["QUERY PLAN"][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.slow
def test_a_settle_and_an_ingest_touch_as_many_pages_when_much_was_exchanged_already(world: World) -> None:
    for table in (*LARGE, "tgworker_leases"):
        world.app.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    account, process = world.account(), world.worker()
    process.acquire(account)
    for number in range(30):
        world.write(world.chat(str(500 + number)), "hi", account)
    costs: list[tuple[int, int]] = []
    for _ in range(2):
        attempts = process.claim(10)
        items = [
            settled(attempt, "sent", telegram_id=100_000 + attempt["claim"], chat_id=500 + number)
            for number, attempt in enumerate(attempts)
        ]
        batch = {"messages": [inbound(500 + n, 200_000 + n) for n in range(10)], "peers": [], "sent_ids": []}
        settle = f"select tgworker_settle('{json.dumps(items)}')"
        ingest = f"select tgworker_ingest('{account}', 1, '{json.dumps(batch)}')"
        # Plans are made first, and kept.
        costs.append([(pages_of(world, settle), pages_of(world, ingest)) for _ in range(3)][-1])
        for start in range(1, 20_000, 1_000):
            process.ingest(account, *(inbound(500 + n % 30, n) for n in range(start, start + 1_000)))
    for small, large in zip(*costs, strict=True):
        assert large <= small * 1.5 + 30, costs


def test_own_messages_and_peers_cost_the_same_when_much_was_exchanged_already(world: World) -> None:
    for table in (*LARGE, "tgworker_leases"):
        world.app.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    account, process = world.account(), world.worker()
    process.acquire(account)
    chats = [world.chat(str(500 + number)) for number in range(30)]
    for number in range(10):
        world.write(chats[number], "hi", account)
    attempts = process.claim(10)
    own = {"outgoing": True, "sender_id": 1}
    messages = [inbound(500 + n, 200_000 + n, "hi", **own) for n in range(10)]
    peers = [{"chat_id": 480 + n, "kind": "user", "access_hash": n, "first_name": "Ada"} for n in range(10)]
    sent_ids = [[attempt["random_id"], 200_000 + n] for n, attempt in enumerate(attempts)]
    batch = {"messages": messages, "peers": peers, "sent_ids": sent_ids}
    old = [inbound(600 + n, 300_000 + n) for n in range(10)]
    calls = (
        f"select tgworker_ingest('{account}', 1, '{json.dumps(batch)}')",
        f"select tgworker_save_history('{account}', 1, '{account}', '{json.dumps(old)}')",
    )
    costs = [[pages_of(world, call) for call in calls] for _ in range(3)][-1:]
    for start in range(1, 10_000, 1_000):
        some = range(start, start + 1_000)
        more = [{"chat_id": 9_000 + n, "kind": "user", "access_hash": n, "first_name": "Bob"} for n in some]
        process.ingest(account, *(inbound(9_000 + n, n) for n in some), peers=more)
    world.sql(
        "insert into tgworker_outbox (message_id, conversation_id, integration_account_id, local_id, state,"
        " attempts, chat_id, settled_at) select gen_random_uuid(), %s, %s, 'local-x', 'sent', 1, 1, now()"
        " from generate_series(1, 10000)",
        chats[0],
        account,
    )
    world.sql(
        "insert into tgworker_outbox_parts select message_id, 0, -seq, seq from tgworker_outbox"
        " where state = 'sent'"
    )
    costs.append([pages_of(world, call) for call in calls])
    for small, large in zip(*costs, strict=True):
        assert large <= small * 1.5 + 60, costs


@pytest.mark.slow
def test_rows_that_wait_for_their_recipient_make_no_call_dearer(world: World) -> None:
    for table in (*LARGE, "tgworker_leases"):
        world.app.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    account, process = world.account(), world.worker()
    process.acquire(account)
    for number in range(10):
        world.write(world.chat(str(500 + number)), "hi", account)
    peer, other = ({"chat_id": n, "kind": "user", "access_hash": 7} for n in (77, 78))
    found = {"to": "@name5", "outcome": "found", "peer": peer}
    slots = json.dumps([{"account": account, "fence": 1, "free": 5}])
    calls = (
        f"select tgworker_claim('{process.holder}', '{slots}')",
        f"select tgworker_save_peers('{account}', 1, '{json.dumps([other])}')",
        f"select tgworker_record_recipients('{account}', 1, '{json.dumps([found])}')",
    )
    costs: list[list[int]] = []
    for first, last in ((1, 10), (11, 4_000)):
        # Rows as they are left behind, without the way there.
        world.sql(
            "insert into tgworker_outbox (message_id, conversation_id, integration_account_id, local_id,"
            " state, recipient)"
            " select gen_random_uuid(), gen_random_uuid(), %s, 'local-x', 'resolving', '@name' || n"
            " from generate_series(%s::integer, %s) n",
            account,
            first,
            last,
        )
        world.sql("select tgworker_relane(array(select conversation_id from tgworker_outbox))")
        costs.append([[pages_of(world, call) for call in calls] for _ in range(3)][-1])
    for small, large in zip(*costs, strict=True):
        assert large <= small * 1.5 + 30, costs


def test_an_idle_claim_touches_next_to_nothing(world: World) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)
    fill(world, account, sent=1_000, pending=0, behind_one=50)
    assert pages(world, process, account, 10) <= 40


LARGE = (
    "messages",
    "conversations",
    "contact_identities",
    "tgworker_outbox",
    "tgworker_outbox_parts",
    "tgworker_message_keys",
    "tgworker_peers",
    "tgworker_lanes",
)


def test_calls_scan_no_large_table_even_where_it_looks_small(world: World) -> None:
    """A plan that was made for empty tables serves full ones: so it had better be the right one."""
    account, process = world.account(), world.worker()
    process.acquire(account)
    world.write(world.chat("500"), "hi", account)
    connection = process.rpc._connection
    connection.execute("begin")
    (attempt,) = process.claim()
    process.send(attempt, 70)
    process.ingest(
        account, inbound(500, 71), inbound(501, 72, sender_id=502), inbound(500, 70, outgoing=True)
    )
    process.claim()
    process.rpc("tgworker_is_acquainted", p_account=account, p_conversation=attempt["conversation_id"])
    asked = {"p_message": attempt["message_id"], "p_chat": 500}
    process.rpc("tgworker_owned", p_account=account, p_telegram_ids=[70, 71], **asked)
    process.rpc("tgworker_unnamed", p_account=account, p_fence=1)
    process.rpc(
        "tgworker_name",
        p_account=account,
        p_fence=1,
        p_telegram_id=70,
        p_sent_at="2026-01-01T12:00Z",
        **asked,
    )
    scans = connection.execute(
        "select relname from pg_stat_xact_user_tables where seq_scan > 0 and relname = any (%s)",
        (list(LARGE),),
    )
    assert scans.fetchall() == []
    connection.execute("rollback")
