"""Changes of stored messages beside an application that holds rows and has rules; and what they cost."""

import json
from typing import Any

import pytest

from supabase_schema.rpc_store import RpcError
from supabase_schema.test_flat_costs import LARGE, pages_of
from supabase_schema.world import Process, World, inbound

EDIT = {
    "change": "edited",
    "message": inbound(500, 1, text="after"),
    "edited_at": "2026-01-01T12:05:00Z",
}
REACTION = {
    "change": "reacted",
    "chat_id": 500,
    "telegram_id": 1,
    "counts": {"+": 1},
    "own": [],
    "by": [],
}
CHANGES: list[dict[str, Any]] = [
    EDIT,
    REACTION,
    {"change": "pinned", "chat_id": 500, "telegram_ids": [1], "is_pinned": True},
    {"change": "deleted", "chat_id": None, "telegram_ids": [1]},
    {"change": "read_by_them", "chat_id": 500, "max_id": 1},
    {"change": "read_by_us", "chat_id": 500, "max_id": 1, "still_unread": 0},
]


def tell(process: Process, account: str, *changes: dict[str, Any], number: int | None = None) -> None:
    process.rpc(
        "tgworker_ingest",
        p_account=account,
        p_fence=process.fences[account],
        p_batch={"changes": list(changes)},
        p_number=number,
    )


@pytest.fixture
def process(world: World) -> Process:
    process = world.worker()
    process.acquire(world.account())
    (account,) = process.fences
    process.ingest(account, inbound(500, 1, text="before"))
    return process


def account_of(process: Process) -> str:
    (account,) = process.fences
    return account


def test_a_message_that_the_application_holds_is_waited_for_and_nothing_is_lost(
    world: World, process: Process
) -> None:
    application = world.connect("postgres")
    application.execute("begin")
    application.execute("update messages set text = text")
    with pytest.raises(RpcError) as error:
        tell(process, account_of(process), EDIT)
    assert error.value.code == "55P03"  # to be repeated
    application.execute("commit")
    tell(process, account_of(process), EDIT)
    assert world.one("select text from messages") == "after"


def test_a_conversation_that_the_application_holds_is_a_chore(world: World, process: Process) -> None:
    application = world.connect("postgres")
    application.execute("begin")
    application.execute("update conversations set status = status")
    tell(process, account_of(process), EDIT, CHANGES[-1])
    application.execute("commit")
    assert world.one("select last_message_preview from conversations") == "before"
    process.claim()
    (row,) = world.sql("select last_message_preview as shown, unread_count as unread from conversations")
    assert (row["shown"], row["unread"]) == ("after", 0)


def test_events_that_the_application_refuses_stop_nothing_and_are_noted(
    world: World, process: Process
) -> None:
    world.sql("alter table message_events add check (type in ('read', 'delivered'))")
    for _ in range(2):
        tell(process, account_of(process), *CHANGES)
    assert world.one("select text from messages") == "after"
    assert world.one("select array_agg(type order by type) from message_events") == ["read"]
    assert world.one("select count(*) from tgworker_events where kind = 'message_event_refused'") == 1


def test_a_late_repeat_of_an_older_batch_changes_nothing(world: World, process: Process) -> None:
    account = account_of(process)
    position = {"pts": 1, "qts": 0, "date": 0, "seq": 0, "channels": {}}
    batch = {"changes": [REACTION], "position": position}
    fence = process.fences[account]
    process.rpc("tgworker_ingest", p_account=account, p_fence=fence, p_batch=batch, p_number=9)
    tell(process, account, {**REACTION, "counts": {"-": 1}}, number=8)
    assert world.one("select raw_payload #> '{reactions,counts}' from messages") == {"+": 1}


def test_changes_scan_no_large_table(world: World, process: Process) -> None:
    connection = process.rpc._connection
    connection.execute("begin")
    tell(process, account_of(process), *CHANGES)
    scans = connection.execute(
        "select relname from pg_stat_xact_user_tables where seq_scan > 0 and relname = any (%s)",
        ([*LARGE, "message_events", "tgworker_read_marks", "tgworker_positions"],),
    )
    assert scans.fetchall() == []
    connection.execute("rollback")


@pytest.mark.slow
def test_a_read_costs_the_same_however_long_the_chat_is(world: World, process: Process) -> None:
    account = account_of(process)
    chat = world.one("select id from conversations")
    costs: list[int] = []
    for first, last in ((2, 1_000), (1_001, 20_000)):
        world.sql(
            "with stored as (insert into messages (id, owner_id, conversation_id, integration_account_id,"
            " channel, direction, text, message_type, external_message_id) select gen_random_uuid(),"
            " c.owner_id, c.id, %s, 'telegram', 'outbound', 'x', 'text', n::text"
            " from conversations c, generate_series(%s::integer, %s) n where c.id = %s"
            " returning id, external_message_id)"
            " insert into tgworker_message_keys (scope, telegram_id, chat_id, message_id)"
            " select %s, external_message_id::bigint, 500, id from stored",
            account,
            first,
            last,
            chat,
            account,
        )
        batch = json.dumps({"changes": [{"change": "read_by_them", "chat_id": 500, "max_id": last}]})
        call = f"select tgworker_ingest('{account}', {process.fences[account]}, '{batch}')"
        costs.append([pages_of(world, call) for _ in range(3)][-1])
    small, large = costs
    assert large <= small * 1.5 + 100, costs
