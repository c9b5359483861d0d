"""A database that another worker uses: nothing of it changes, and accounts go over one by one, and back."""

import json
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import trio
from psycopg import sql

from contracts.store_kit import OWNER
from supabase_schema.rpc_kit import CLOCK, migrations, open_database
from supabase_schema.rpc_store import Json, RpcError
from supabase_schema.world import Process, World, inbound
from tgworker.devstack import Cluster

ACCOUNT = "0a000000-0000-4000-8000-000000000001"
SWITCHED_OFF = "0a000000-0000-4000-8000-000000000002"
CHAT = "0c000000-0000-4000-8000-000000000001"
QUIET_S = 150


@pytest.fixture
def before(shared_cluster: Cluster, inbox_template: str) -> Generator[World]:
    """The application's database, before anything of ours."""
    with open_database(shared_cluster, inbox_template) as url, ExitStack() as stack:
        yield World(url, stack)


@pytest.fixture(scope="session")
def adopted_template(shared_cluster: Cluster, inbox_template: str) -> str:
    async def make() -> str:
        await shared_cluster.create_database("adopted", template=inbox_template)
        for file in [*migrations(), CLOCK]:
            await shared_cluster.run_file(file, database="adopted")
        return "adopted"

    return trio.run(make)


@pytest.fixture
def adopted(shared_cluster: Cluster, adopted_template: str) -> Generator[World]:
    """The same, after the migrations."""
    with open_database(shared_cluster, adopted_template) as url, ExitStack() as stack:
        yield World(url, stack)


def migrate(world: World) -> None:
    for file in migrations():
        world.app.execute(file.read_bytes())


def pass_time(world: World, seconds: float) -> None:
    """On every connection of the world and its workers, from the server's clock."""
    later = sql.SQL(
        "create or replace function public.tgworker_now() returns timestamptz language sql volatile"
        " set search_path = pg_catalog, public, pg_temp"
        " as $$ select clock_timestamp() + {} * interval '1 s' $$"
    ).format(sql.Literal(seconds))
    world.app.execute(later)


# What was there before must not be changed: everything that PostgreSQL knows of it, read from its catalogs.
CATALOG = """
select jsonb_object_agg(k.what, k.is_so order by k.what)::text as all_of_it from (
    select 'class ' || c.oid::regclass as what,
        jsonb_build_array(c.relacl, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relkind)
            as is_so
    from pg_class c where c.relnamespace = 'public'::regnamespace
    union all
    select 'column ' || a.attrelid::regclass || '.' || a.attname,
        jsonb_build_array(format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
            pg_get_expr(d.adbin, d.adrelid), a.attnum)
    from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped
    union all
    select 'policy ' || polrelid::regclass || ' ' || polname,
        jsonb_build_array(polcmd, polpermissive, polroles::regrole[]::text[], pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid))
    from pg_policy
    union all
    select 'function ' || p.oid::regprocedure, jsonb_build_array(p.proacl, p.prosecdef, p.proconfig, p.prosrc)
    from pg_proc p where p.pronamespace = 'public'::regnamespace
    union all
    select 'trigger ' || tgrelid::regclass || ' ' || tgname,
        jsonb_build_array(pg_get_triggerdef(oid), tgenabled)
    from pg_trigger where not tgisinternal
    union all
    select 'constraint ' || conrelid::regclass || ' ' || conname, to_jsonb(pg_get_constraintdef(oid))
    from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n' -- (as of PostgreSQL 18)
    union all
    select 'index ' || indexrelid::regclass, to_jsonb(pg_get_indexdef(indexrelid))
    from pg_index i join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
    union all
    select 'defaults ' || defaclrole::regrole || defaclobjtype::text, to_jsonb(defaclacl) from pg_default_acl
) k
"""


def catalog(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.one(CATALOG))
    return found


QUERIES = (
    "select * from inbox_of('0f000000-0000-4000-8000-000000000001')",
    "select * from pending_messages order by id",
    "select * from messages order by id",
    "select id, owner_id, type, is_active, secrets_encrypted from integration_accounts order by id",
    "select * from contact_identities order by id",
    "select * from conversations order by id",
    "select count(*) from audit",
    "select worker_id, status, loops_status from worker_heartbeats",
    "select * from presence_status",
)


def answers(world: World) -> dict[tuple[str, str], Any]:
    """What the application's queries answer, for each of its people."""
    found: dict[tuple[str, str], Any] = {}
    for role in ("postgres", "anon", "authenticated", "service_role"):
        connection = world.connect(role)
        claims = json.dumps({"sub": OWNER, "role": role})
        connection.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
        for query in QUERIES:
            try:
                found[role, query] = [list(row.values()) for row in connection.execute(query.encode())]
            except psycopg.Error as error:
                found[role, query] = error.sqlstate
    return found


def test_nothing_that_was_there_changes_and_every_query_answers_the_same(before: World) -> None:
    catalog_before, answers_before = catalog(before), answers(before)
    migrate(before)
    migrate(before)
    catalog_after = catalog(before)
    assert {name: catalog_after.get(name) for name in catalog_before} == catalog_before
    added = {name for name in catalog_after if name not in catalog_before}
    assert {name for name in added if "tgworker_" not in name} == {
        "column worker_heartbeats.incarnation",
        "column worker_heartbeats.seq",
    }
    assert answers(before) == answers_before


def test_large_tables_get_no_index_without_being_asked(before: World) -> None:
    before.sql(
        "insert into conversations (owner_id, last_message_preview)"
        " select gen_random_uuid(), repeat(md5(n::text), 6) from generate_series(1, 80000) n"
    )
    migrate(before)
    (advice,) = before.worker().rpc("tgworker_schema")["advice"]
    assert advice.startswith("create index concurrently if not exists tgworker_conversations_identity on")
    before.app.execute(advice.encode())
    assert before.worker().rpc("tgworker_schema")["advice"] == []
    names = {name for name in catalog(before) if name.startswith("index tgworker_")}
    assert "index tgworker_message_jobs_open" in names  # on a small one it does


DIFFERENT = {
    "alter table messages alter column external_message_id type bigint using null": (
        "messages.external_message_id is bigint, not text"
    ),
    "alter table conversations drop column unread_count": (
        "conversations.unread_count is missing, not integer"
    ),
    "alter table messages add column tenant text not null default 'x';"
    "alter table messages alter column tenant drop default": (
        "messages.tenant must not be null, and has no default"
    ),
    "alter table message_jobs alter column payload type text": "message_jobs.payload is text, not jsonb",
}


@pytest.mark.parametrize("difference", DIFFERENT)
def test_an_application_with_other_tables_is_told_so_and_left_alone(before: World, difference: str) -> None:
    before.app.execute("drop view pending_messages")
    before.app.execute(difference.encode())
    as_it_was = catalog(before)
    with pytest.raises(psycopg.errors.RaiseException, match=DIFFERENT[difference]):
        migrate(before)
    before.app.execute("rollback")
    assert catalog(before) == as_it_was


@pytest.mark.slow
def test_the_migrations_wait_for_no_long_transaction(before: World) -> None:
    busy = before.connect(autocommit=False)
    busy.execute("update messages set text = text where text = 'hello'")
    began = time.monotonic()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        migrate(before)
    assert time.monotonic() - began < 20
    before.app.execute("rollback")
    # Nothing is half-done: people write, and the files may be run again.
    before.sql("update messages set text = text where text = 'sent'")
    busy.rollback()
    migrate(before)
    assert before.worker().rpc("tgworker_schema")["adopted"] is True


def test_what_waits_is_queued_in_its_order_and_what_is_old_is_held(adopted: World) -> None:
    rows = adopted.sql("select local_id, state, seq from tgworker_outbox order by seq")
    assert {row["local_id"]: row["state"] for row in rows} == {
        "local-old": "held",
        "local-undated": "held",
        "local-first": "waiting",
        "local-second": "waiting",
        "local-orphan": "waiting",
        "local-accountless": "waiting",
    }
    order = [row["local_id"] for row in rows]
    assert order.index("local-old") < order.index("local-first") < order.index("local-second")
    assert all(row["seq"] < 0 for row in rows)


def test_nothing_is_ours_before_it_was_given_to_us(adopted: World) -> None:
    process = adopted.worker()
    assert process.rpc("tgworker_active_accounts") == []
    assert process.acquire(ACCOUNT, SWITCHED_OFF)["leases"] == []
    before = adopted.sql("select * from messages order by id")
    for _ in range(3):
        process.claim()
        process.rpc("tgworker_sweep", p_full=True)
    assert adopted.sql("select * from messages order by id") == before
    stages = {account["id"]: account["stage"] for account in process.rpc("tgworker_list_accounts")}
    assert stages == {ACCOUNT: "released", SWITCHED_OFF: "released"}


def test_the_old_worker_goes_on_and_its_writes_leave_the_queue_right(adopted: World) -> None:
    message = adopted.one("select send_message(%s, %s, 'hi')", CHAT, ACCOUNT)
    assert adopted.state(message) == "waiting"
    adopted.sql("update messages set external_message_id = '99' where id = %s", message)
    assert adopted.state(message) == "cancelled"


def adopt(world: World, account: str = ACCOUNT) -> dict[str, Any]:
    process = world.worker()
    assert process.rpc("tgworker_adopt_account", p_account=account)["state"] == "waiting"
    pass_time(world, QUIET_S + 1)
    answer: dict[str, Any] = process.rpc("tgworker_adopt_account", p_account=account)
    assert answer["state"] == "ours"
    return answer


def switch(world: World, account: str = ACCOUNT) -> bool:
    return bool(world.one("select is_active from integration_accounts where id = %s", account))


def test_an_account_is_taken_over_once_the_old_worker_has_let_go_of_it(adopted: World) -> None:
    process = adopted.worker()
    answer = process.rpc("tgworker_adopt_account", p_account=ACCOUNT)
    assert answer == {"state": "waiting", "for_s": QUIET_S}
    assert switch(adopted) is False  # by this the old worker disconnects
    pass_time(adopted, QUIET_S - 50)
    assert 0 < process.rpc("tgworker_adopt_account", p_account=ACCOUNT)["for_s"] <= 50
    assert process.acquire(ACCOUNT)["leases"] == []
    # A last sync of the old worker: the wait begins anew.
    adopted.sql("update integration_accounts set last_sync_at = now() where id = %s", ACCOUNT)
    pass_time(adopted, QUIET_S + 1)
    assert process.rpc("tgworker_adopt_account", p_account=ACCOUNT)["for_s"] == QUIET_S
    pass_time(adopted, 2 * QUIET_S + 2)
    assert process.rpc("tgworker_adopt_account", p_account=ACCOUNT) == {"state": "ours", "held": 0}
    assert process.rpc("tgworker_adopt_account", p_account=ACCOUNT) == {"state": "ours", "held": 0}
    assert [account["id"] for account in process.rpc("tgworker_active_accounts")] == [ACCOUNT]
    assert len(process.acquire(ACCOUNT)["leases"]) == 1
    attempts = process.claim()
    # The one without an account is its owner's only active one's.
    assert {(attempt["text"], attempt["to"]) for attempt in attempts} == {
        ("first", "500"),
        ("accountless", "501"),
    }
    assert process.send(attempts[0], 80)["stale"] == []
    (record,) = [row for row in process.rpc("tgworker_list_accounts") if row["id"] == ACCOUNT]
    assert record["is_active"] is True  # what its owner wants


def test_what_was_pending_for_a_day_when_its_account_was_adopted_is_held(adopted: World) -> None:
    message = adopted.one("select send_message(%s, %s, 'yesterday')", CHAT, ACCOUNT)
    process = adopted.worker()
    process.rpc("tgworker_adopt_account", p_account=ACCOUNT)
    pass_time(adopted, 25 * 3600)
    assert process.rpc("tgworker_adopt_account", p_account=ACCOUNT)["held"] == 3
    assert adopted.state(message) == "held"
    process.acquire(ACCOUNT)
    assert process.claim() == []
    assert adopted.state("0e000000-0000-4000-8000-000000000007") == "held"  # it had no account until now
    # A person says that it is still wanted.
    states = process.rpc("tgworker_retry", p_ids=[message])
    assert states == [{"message_id": message, "state": "waiting"}]
    assert [attempt["text"] for attempt in process.claim()] == ["yesterday"]


def file_job(world: World, account: str, hours_ago: int = 0, status: str = "pending") -> str:
    return str(
        world.one(
            "insert into message_jobs (owner_id, integration_account_id, action, payload, status, created_at)"
            " select owner_id, id, 'mark_read', jsonb_build_object('conversation_id', %s::text), %s,"
            " now() - make_interval(hours => %s) from integration_accounts where id = %s returning id",
            CHAT,
            status,
            hours_ago,
            account,
        )
    )


def claimed_jobs(process: Process) -> list[str]:
    answer = process.rpc("tgworker_claim_jobs", p_holder=process.holder, p_accounts=process.leases())
    return [job["job_id"] for job in answer["jobs"]]


def test_jobs_of_accounts_that_are_not_ours_are_left_to_the_old_worker(adopted: World) -> None:
    job = file_job(adopted, ACCOUNT)
    adopted.sql(
        "update message_jobs set integration_account_id = null where id = %s", file_job(adopted, ACCOUNT)
    )
    process = adopted.worker()
    before = adopted.sql("select * from message_jobs order by id")
    for _ in range(2):
        assert claimed_jobs(process) == []
        process.rpc("tgworker_sweep", p_full=True)
    assert adopted.sql("select * from message_jobs order by id") == before
    adopt(adopted)
    process.acquire(ACCOUNT)
    assert claimed_jobs(process) == [job]


def test_jobs_that_were_a_day_old_when_their_account_was_adopted_are_not_done(adopted: World) -> None:
    old = [file_job(adopted, ACCOUNT, 30), file_job(adopted, ACCOUNT, 30, "processing")]
    new = file_job(adopted, ACCOUNT, 2, "processing")  # the old worker's last one
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    assert claimed_jobs(process) == [new]
    failed = adopted.sql("select id::text, error_message from message_jobs where status = 'failed'")
    assert {row["id"] for row in failed} == set(old)
    why = "given up: it had waited for more than a day when its account was adopted"
    assert {row["error_message"] for row in failed} == {why}


def test_a_job_of_which_the_application_says_hardly_anything_ends_with_a_reason(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    nameless, ownerless, timeless = (file_job(adopted, ACCOUNT) for _ in range(3))
    adopted.sql(
        "update message_jobs set action = null, payload = null, created_at = null where id = %s", nameless
    )
    adopted.sql("update message_jobs set owner_id = null where id = %s", ownerless)
    adopted.sql("update message_jobs set action = null, created_at = null where id = %s", timeless)
    answer = process.rpc("tgworker_claim_jobs", p_holder=process.holder, p_accounts=process.leases())
    assert [(job["job_id"], job["action"]) for job in answer["jobs"]] == [
        (timeless, "")
    ]  # the worker says no
    failed = adopted.sql("select id::text, error_message from message_jobs where status = 'failed'")
    assert {row["id"]: row["error_message"] for row in failed} == {
        nameless: "it names no message and no conversation",
        ownerless: "its account belongs to another owner",
    }


def test_messages_of_the_old_worker_are_not_stored_again(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    facts: dict[str, Any] = {"file": {"kind": "photo", "size": 7}}
    sent = inbound(500, 71, "sent", outgoing=True, sender_id=1, **facts)
    old = [inbound(500, 70, **facts), sent, inbound(500, 72, "new", **facts)]
    answer = process.rpc(
        "tgworker_save_history",
        p_account=ACCOUNT,
        p_fence=process.fences[ACCOUNT],
        p_job=adopted.new_id(),
        p_messages=Json(old),
    )
    assert [found["telegram_id"] for found in answer["messages"]] == [72]
    files = process.rpc("tgworker_wanted_files", p_account=ACCOUNT)
    assert [file["telegram_id"] for file in files] == [72], "the old worker has seen to the others"
    # Old duplicates stay what they are; the first of them is the one that edits and deletes mean.
    assert adopted.one("select count(*) from messages where external_message_id = '70'") == 2
    key = adopted.one("select message_id from tgworker_message_keys where telegram_id = 70")
    assert key == "0d000000-0000-4000-8000-000000000001"


def test_attachments_that_were_linked_before_the_migrations_are_sent(before: World) -> None:
    first, owner = "0e000000-0000-4000-8000-000000000004", OWNER
    for path in ("a", "b"):
        before.sql(
            "insert into attachments (id, owner_id, message_id, storage_bucket, storage_path)"
            " values (%s, %s, %s, 'media', %s)",
            before.new_id(),
            owner,
            first,
            path,
        )
    migrate(before)
    adopt(before)
    process = before.worker()
    process.acquire(ACCOUNT)
    (attempt,) = [attempt for attempt in process.claim() if attempt["text"] == "first"]
    assert [file["path"] for file in attempt["files"]] == ["a", "b"]
    before.sql("insert into attachments (owner_id, message_id) values (%s, %s)", owner, first)
    process.settle(attempt, "sent", telegram_id=5, parts=2)
    assert before.state(first) == "waiting", "the second file is a part of its own"


def test_dirty_contacts_and_counts_are_lived_with(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    peers = [{"chat_id": chat, "kind": "user", "access_hash": 1, "first_name": "Ada"} for chat in (500, 501)]
    later = {"sent_at": "2026-06-01T00:00:00Z"}
    messages = [inbound(500, 90, **later), inbound(501, 91, **later), inbound(502, 92, **later)]
    assert process.ingest(ACCOUNT, *messages, peers=peers)["new"] == 3
    process.ingest(ACCOUNT, *messages, peers=peers)
    rows = adopted.sql(
        "select conversation_id::text, external_message_id as id from messages where sent_at = '2026-06-01'"
    )
    chats = {row["id"]: row["conversation_id"] for row in rows}
    assert chats["90"] == CHAT
    assert chats["91"] == "0c000000-0000-4000-8000-000000000004"
    assert adopted.one("select unread_count from conversations where id = %s", CHAT) == 1  # it was null
    for _ in range(2):
        process.rpc(
            "tgworker_presence",
            p_accounts=Json(
                {
                    **lease,
                    "items": [{"chat_id": 500, "is_online": True}, {"chat_id": 501, "is_typing": True}],
                }
                for lease in process.leases()
            ),
        )
    assert adopted.one("select count(*) from presence_status") == 2  # without a unique key
    # What is no object stays; a contact without metadata gets some.
    rows = adopted.sql(
        "select right(id::text, 1) as n, metadata from contact_identities where id::text like '0b000000-%%'"
    )
    metadata = {row["n"]: row["metadata"] for row in rows if row["n"] in "124"}
    named = {"first_name": "Ada", "is_group": False}
    assert {"1": named, "2": named, "4": "text"}.items() <= metadata.items()


def test_a_unique_key_of_the_application_turns_no_batch_away(adopted: World) -> None:
    adopted.sql("delete from messages where id = '0d000000-0000-4000-8000-000000000002'")
    adopted.sql("create unique index on messages (conversation_id, external_message_id)")
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    # Both younger than what is looked for among the old worker's messages.
    known = inbound(500, 70, sent_at="2027-06-01T00:00:00Z")
    answer = process.ingest(ACCOUNT, known, inbound(500, 73, sent_at="2027-06-01T00:00:00Z"))
    assert [found["telegram_id"] for found in answer["messages"]] == [73]
    assert adopted.one("select unread_count from conversations where id = %s", CHAT) == 1
    key = adopted.one("select message_id from tgworker_message_keys where telegram_id = 70")
    assert key == "0d000000-0000-4000-8000-000000000001"
    assert process.ingest(ACCOUNT, known)["new"] == 0


def test_the_old_workers_accounts_are_not_stamped(adopted: World) -> None:
    stamp = "select last_sync_at from integration_accounts where id = %s"
    before = adopted.one(stamp, ACCOUNT)
    adopted.worker().rpc("tgworker_record_account", p_account=ACCOUNT, p_fence=None, p_state="elsewhere")
    assert adopted.one(stamp, ACCOUNT) == before
    assert adopted.one("select count(*) from tgworker_accounts") == 0


def test_rows_without_an_account_are_decided_about_once_the_account_is_ours(adopted: World) -> None:
    process = adopted.worker()
    process.claim()
    assert adopted.external("0e000000-0000-4000-8000-000000000007") == "local-accountless"
    adopt(adopted)
    pass_time(adopted, 400)
    process.acquire(ACCOUNT)
    assert {attempt["text"] for attempt in process.claim()} == {"first", "accountless"}
    # The one for an account that does not exist is nobody's to decide about, while there is another worker.
    assert adopted.external("0e000000-0000-4000-8000-000000000006") == "local-orphan"


def test_whoever_switches_the_account_on_gives_it_back(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    assert process.renew()["lost"] == []
    adopted.sql("update integration_accounts set is_active = true where id = %s", ACCOUNT)
    assert process.renew()["lost"] == [ACCOUNT]
    process.release()
    assert process.acquire(ACCOUNT)["not_ours"] == [ACCOUNT]


def test_the_way_back_waits_for_the_lease_and_leaves_nothing_to_be_sent_twice(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    attempt, _ = sorted(process.claim(), key=lambda found: found["to"])
    waiting = process.rpc("tgworker_release_account", p_account=ACCOUNT)
    assert waiting["state"] == "waiting"
    assert 0 < waiting["for_s"] <= 60
    assert process.renew()["lost"] == [ACCOUNT]
    process.release()
    for unsure in (2, 0):
        released = process.rpc("tgworker_release_account", p_account=ACCOUNT)
        assert released == {"state": "released", "unsure": unsure, "renewed": False}
    assert switch(adopted) is True
    assert adopted.external(attempt["message_id"]) == "error-first"
    assert adopted.external("0e000000-0000-4000-8000-000000000003") == "local-second"  # the old worker's now
    assert process.send(attempt, 80)["stale"] == [attempt["message_id"]]
    assert process.acquire(ACCOUNT)["leases"] == []
    assert process.rpc("tgworker_adopt_account", p_account=ACCOUNT)["state"] == "waiting"


def test_when_the_old_worker_is_gone_the_switch_is_the_owners_again(adopted: World) -> None:
    adopt(adopted)
    process = adopted.worker()
    process.acquire(ACCOUNT)
    for expected in ([ACCOUNT], []):
        assert process.rpc("tgworker_finish_adoption") == {"finished": expected}
    assert switch(adopted) is True
    assert process.renew()["lost"] == []
    adopted.sql("update integration_accounts set is_active = false where id = %s", ACCOUNT)
    assert process.rpc("tgworker_active_accounts") == []


def sessions(world: World) -> tuple[Any, Any]:
    """What the application's column holds, and what a worker of ours reads."""
    (mine,) = [row for row in world.worker().rpc("tgworker_list_accounts") if row["id"] == ACCOUNT]
    column = world.one("select secrets_encrypted from integration_accounts where id = %s", ACCOUNT)
    return column, mine["secrets_encrypted"]


def test_a_session_is_kept_beside_the_application_s_and_counts_as_long_as_that_stands(adopted: World) -> None:
    process = adopted.worker()
    stored = process.rpc("tgworker_stored_session", p_account=ACCOUNT)
    assert stored == {"application": "s1", "ours": None}
    arguments = {"p_account": ACCOUNT, "p_read": "s1", "p_session": "token"}
    # Another one than was read: nothing is done.
    again = process.rpc("tgworker_adopt_account", **{**arguments, "p_read": "s0"})
    assert again == {"state": "waiting", "for_s": 0}
    assert (switch(adopted), adopted.one("select count(*) from tgworker_accounts")) == (True, 0)
    assert process.rpc("tgworker_adopt_account", **arguments)["for_s"] == QUIET_S
    assert sessions(adopted) == ("s1", "token")
    pass_time(adopted, QUIET_S + 1)
    for _ in range(2):
        assert process.rpc("tgworker_adopt_account", **arguments)["state"] == "ours"
    (active,) = process.rpc("tgworker_active_accounts")
    assert active["secrets_encrypted"] == "token"
    assert process.rpc("tgworker_stored_session", p_account=ACCOUNT) == {"application": "s1", "ours": "token"}
    # Its owner logs in anew in the application: ours is the old one's.
    adopted.sql("update integration_accounts set secrets_encrypted = 's3' where id = %s", ACCOUNT)
    assert sessions(adopted) == ("s3", "s3")
    assert process.rpc("tgworker_stored_session", p_account=ACCOUNT) == {"application": "s3", "ours": None}
    anew = {"p_account": ACCOUNT, "p_read": "s3", "p_session": "token-3"}
    assert process.rpc("tgworker_adopt_account", **anew)["state"] == "ours"
    assert sessions(adopted) == ("s3", "token-3")
    # And logs out there.
    adopted.sql("update integration_accounts set secrets_encrypted = null where id = %s", ACCOUNT)
    assert sessions(adopted) == (None, "")
    assert process.rpc("tgworker_stored_session", p_account=ACCOUNT) == {"application": "", "ours": None}


def test_the_old_worker_gets_the_session_back_that_it_left(adopted: World) -> None:
    process = adopted.worker()
    adopt(adopted)
    process.rpc("tgworker_adopt_account", p_account=ACCOUNT, p_read="s1", p_session="token")
    process.acquire(ACCOUNT)
    process.rpc("tgworker_record_account", p_account=ACCOUNT, p_fence=1, p_state="online", p_user_id=77)
    login = {"p_name": None, "p_owner": OWNER, "p_secrets": "token-2", "p_user_id": 77}
    for _ in range(2):
        again = process.rpc("tgworker_add_account", p_id=adopted.new_id(), **login)
        assert again == {"id": ACCOUNT}
        assert sessions(adopted) == ("s1", "token-2")
    process.release()
    for _ in range(2):
        answer = process.rpc("tgworker_release_account", p_account=ACCOUNT)
        assert answer == {"state": "released", "unsure": 0, "renewed": True}
    assert adopted.one("select secrets_encrypted from integration_accounts where id = %s", ACCOUNT) == "s1"
    # The newer one is there should the account come back.
    assert process.rpc("tgworker_stored_session", p_account=ACCOUNT)["ours"] == "token-2"


def test_an_account_that_logs_in_here_is_ours_and_the_old_worker_never_sees_it(adopted: World) -> None:
    process = adopted.worker()
    arguments = {"p_name": "ada", "p_owner": OWNER, "p_secrets": "token", "p_user_id": 7}
    fresh = process.rpc("tgworker_add_account", p_id=adopted.new_id(), **arguments)["id"]
    assert switch(adopted, fresh) is False
    assert [account["id"] for account in process.rpc("tgworker_active_accounts")] == [fresh]
    again = process.rpc("tgworker_add_account", p_id=adopted.new_id(), **{**arguments, "p_secrets": "new"})[
        "id"
    ]
    assert (again, switch(adopted, fresh)) == (fresh, False)
    process.rpc("tgworker_release_account", p_account=fresh)
    with pytest.raises(RpcError, match="adopt it first"):
        process.rpc("tgworker_add_account", p_id=adopted.new_id(), **arguments)


def test_a_bot_of_somebody_else_s_is_left_alone_and_one_that_logs_in_here_is_ours(adopted: World) -> None:
    theirs = adopted.account()
    adopted.sql("update integration_accounts set type = 'telegram_bot' where id = %s", theirs)
    message = adopted.one(
        "insert into messages (owner_id, conversation_id, integration_account_id, channel, direction, text,"
        " external_message_id) values (%s, %s, %s, 'telegram', 'outbound', 'theirs', 'local-7') returning id",
        OWNER,
        CHAT,
        theirs,
    )
    process = adopted.worker()
    process.rpc("tgworker_sweep", p_full=True)
    assert process.rpc("tgworker_active_accounts") == []
    assert adopted.one("select external_message_id from messages where id = %s", message) == "local-7"
    arguments = {"p_name": "helper", "p_owner": OWNER, "p_secrets": "token", "p_user_id": 7}
    ours = process.rpc("tgworker_add_account", p_id=adopted.new_id(), p_kind="telegram_bot", **arguments)[
        "id"
    ]
    (active,) = process.rpc("tgworker_active_accounts")
    assert (active["id"], active["kind"]) == (ours, "telegram_bot")
    assert switch(adopted, ours) is False
    process.rpc("tgworker_release_account", p_account=ours)
    assert process.rpc("tgworker_active_accounts") == []


def test_a_table_that_takes_no_bots_says_so(adopted: World) -> None:
    adopted.app.execute(
        "alter table integration_accounts add check (type in ('telegram_user', 'whatsapp', 'email'))"
    )
    arguments = {"p_name": "helper", "p_owner": OWNER, "p_secrets": "token", "p_user_id": 7}
    with pytest.raises(RpcError, match="takes no account of the type 'telegram_bot'"):
        adopted.worker().rpc(
            "tgworker_add_account", p_id=adopted.new_id(), p_kind="telegram_bot", **arguments
        )


def test_the_owners_switch_of_an_adopted_account_is_turned_where_it_is_kept(adopted: World) -> None:
    process = adopted.worker()
    adopt(adopted)
    process.rpc("tgworker_adopt_account", p_account=ACCOUNT)

    def active() -> list[str]:
        return [account["id"] for account in process.rpc("tgworker_active_accounts")]

    assert (active(), switch(adopted)) == ([ACCOUNT], False)
    assert process.rpc("tgworker_switch_account", p_account=ACCOUNT, p_active=False) == {"switched": True}
    assert (active(), switch(adopted, ACCOUNT)) == ([], False)
    assert process.rpc("tgworker_switch_account", p_account=ACCOUNT, p_active=True) == {"switched": True}
    # To the old worker the account is off all the time.
    assert (active(), switch(adopted, ACCOUNT)) == ([ACCOUNT], False)
    process.rpc("tgworker_switch_account", p_account=ACCOUNT, p_active=False)
    process.rpc("tgworker_finish_adoption")
    assert switch(adopted, ACCOUNT) is False
    process.rpc("tgworker_switch_account", p_account=ACCOUNT, p_active=True)
    assert switch(adopted, ACCOUNT) is True


def test_of_the_old_workers_accounts_nothing_is_changed(adopted: World) -> None:
    process = adopted.worker()
    before = adopted.sql("select * from integration_accounts where id = %s", ACCOUNT)
    with pytest.raises(RpcError, match="adopt it first") as caught:
        process.rpc("tgworker_switch_account", p_account=ACCOUNT, p_active=False)
    assert caught.value.case == "released"
    with pytest.raises(RpcError, match="adopt it first"):
        process.rpc("tgworker_remove_account", p_account=ACCOUNT)
    again = {"p_account": ACCOUNT, "p_read": "s1", "p_sealed": "under another key"}
    assert process.rpc("tgworker_replace_session", **again) == {"answer": "not_ours"}
    assert adopted.sql("select * from integration_accounts where id = %s", ACCOUNT) == before


def test_an_adopted_session_under_another_key_stands_beside_the_applications(adopted: World) -> None:
    process = adopted.worker()
    adopt(adopted)
    anew = {"p_account": ACCOUNT, "p_read": "s1", "p_sealed": "under another key"}
    assert process.rpc("tgworker_replace_session", **anew) == {"answer": "replaced"}
    assert sessions(adopted) == ("s1", "under another key")
    assert process.rpc("tgworker_replace_session", **anew) == {"answer": "changed"}
    anew |= {"p_read": "under another key", "p_sealed": "and another"}
    assert process.rpc("tgworker_replace_session", **anew) == {"answer": "replaced"}
    assert sessions(adopted) == ("s1", "and another")


def test_an_account_is_held_as_long_as_its_lease_lasts(world: World) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)
    held = process.rpc("tgworker_held", p_account=account)["for_s"]
    assert 0 < held <= 60
    process.rpc("tgworker_switch_account", p_account=account, p_active=False)
    # The switch takes nobody's lease away: whoever has it disconnects in order, and gives it back.
    assert process.rpc("tgworker_held", p_account=account)["for_s"] > 0
    process.release()
    assert process.rpc("tgworker_held", p_account=account) == {"for_s": 0}


def test_on_a_database_of_ours_there_is_nothing_to_adopt(world: World) -> None:
    account, process = world.account(), world.worker()
    for call in ("tgworker_adopt_account", "tgworker_release_account"):
        with pytest.raises(RpcError) as caught:
            process.rpc(call, p_account=account)
        assert caught.value.case == "not_adopted"


def test_the_heartbeat_table_of_the_plan_serves_old_and_new(adopted: World) -> None:
    process = adopted.worker()
    beat = {"p_worker": "telegram-main", "p_status": "degraded", "p_loops": {"sync": {"alive": True}}}
    assert process.rpc("tgworker_heartbeat", p_incarnation=1, p_seq=1, **beat) == {"written": True}
    # A worker that knows only the plan's columns writes them as before.
    adopted.sql(
        "insert into worker_heartbeats (worker_id, status, last_heartbeat_at, loops_status)"
        " values ('telegram-main', 'online', now(), '{}') on conflict (worker_id) do update"
        " set status = excluded.status, loops_status = excluded.loops_status"
    )
    (row,) = process.rpc("tgworker_heartbeats")
    assert (row["status"], row["incarnation"], row["seq"]) == ("online", 1, 1)
