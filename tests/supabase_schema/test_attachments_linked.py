"""The application links attachments as it always did: their order is noted, and nothing of ours fails it."""

import json
from typing import Any, LiteralString

import pytest

from supabase_schema.rpc_kit import migrations
from supabase_schema.rpc_store import Json
from supabase_schema.world import OWNER, Process, World

LATE = "an attachment was linked after it was sent"
STRANGER = "0f000000-0000-4000-8000-00000000beef"


def ready(world: World) -> tuple[str, Process]:
    account, process = world.account(), world.worker()
    process.acquire(account)
    return account, process


def attach(world: World, message: str, *paths: str, owner: str = OWNER) -> None:
    """In one statement, under ids that do not follow the order."""
    world.sql(
        "insert into attachments (id, owner_id, message_id, storage_bucket, storage_path)"
        " select gen_random_uuid(), %s, %s, 'media', p from unnest(%s::text[]) p",
        owner,
        message,
        list(paths),
    )


def paths(attempt: dict[str, Any]) -> list[str]:
    return [file["path"] for file in attempt["files"]]


def expecting(world: World, message: str, count: int) -> None:
    payload = json.dumps({"telegram": {"attachments": count}})
    world.sql("update messages set raw_payload = %s where id = %s", payload, message)


def test_a_row_inserted_the_old_way_goes_with_the_attachments_that_follow_it(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "look", account)
    timed.sql("update messages set message_type = 'image' where id = %s", message)
    assert process.claim() == []
    timed.calendar.advance(2.5)
    attach(timed, message, "c", "a", "b")
    assert process.claim() == []
    timed.calendar.advance(0.5)
    (attempt,) = process.claim()
    assert (paths(attempt), attempt["message_type"]) == (["c", "a", "b"], "image")


def test_many_attachments_of_one_statement_keep_their_order(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    names = [str(number) for number in range(100)]
    expecting(world, message, 100)
    attach(world, message, *names)
    (attempt,) = process.claim()
    assert paths(attempt) == names
    assert len(attempt["more_random_ids"]) == len(set(attempt["more_random_ids"])) == 99


def test_the_attachment_that_completes_them_wakes_the_worker(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    expecting(world, message, 1)
    assert process.claim() == []
    wait = {"p_accounts": [account], "p_timeout_s": 0.01, "p_step_s": 0.01}
    assert world.worker().rpc("tgworker_wait", **wait) == {"work": False, "jobs": False}
    attach(world, message, "a")
    assert world.worker().rpc("tgworker_wait", **wait) == {"work": True, "jobs": False}
    assert len(process.claim()) == 1


def test_what_the_application_says_of_their_number_may_change_while_it_waits(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    expecting(world, message, 3)
    attach(world, message, "a")
    assert process.claim() == []
    expecting(world, message, 1)
    assert [paths(attempt) for attempt in process.claim()] == [["a"]]


def test_attachments_are_counted_again_now_and_then_though_nobody_told_of_one(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "look", account)
    expecting(timed, message, 1)
    assert process.claim() == []
    attach(timed, message, "a")
    timed.sql("delete from tgworker_touched")
    timed.calendar.advance(14)
    assert process.claim() == []
    timed.calendar.advance(1)
    assert len(process.claim()) == 1


def test_a_draft_that_becomes_pending_has_its_attachments(timed: World) -> None:
    """Also those that are older than our triggers."""
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "look", account)
    timed.sql("update messages set external_message_id = 'draft' where id = %s", message)
    attach(timed, message, "a")
    timed.sql("delete from tgworker_attachments")
    timed.sql("update messages set external_message_id = 'local-x' where id = %s", message)
    assert process.claim() == []
    timed.calendar.advance(3)
    assert [paths(attempt) for attempt in process.claim()] == [["a"]]


@pytest.mark.parametrize(
    "change",
    [
        "insert into attachments (owner_id, message_id) select owner_id, id from messages",
        "update attachments set owner_id = gen_random_uuid()",
        "delete from attachments",
    ],
)
def test_a_broken_trigger_fails_no_statement_and_the_claim_repairs(
    world: World, change: LiteralString
) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    expecting(world, message, 2)
    attach(world, message, "a")
    assert process.claim() == []
    world.sql("alter table tgworker_touched add constraint broken check (message_id is null) not valid")
    world.sql(change)
    errors = world.sql("select message_id, conversation_id, trigger_name, error from tgworker_trigger_errors")
    assert [(str(row["message_id"]), "broken" in row["error"]) for row in errors] == [(message, True)]
    assert errors[0]["conversation_id"] is not None
    world.sql("alter table tgworker_touched drop constraint broken")
    found = process.claim()
    expected = 1 if change.startswith("insert") else 0
    assert len(found) == expected
    assert world.one("select count(*) from tgworker_trigger_errors where repaired_at is null") == 0
    assert world.one("select count(*) from tgworker_attachments") == world.one(
        "select count(*) from attachments"
    )


def test_a_lock_on_a_row_of_ours_holds_no_application_up(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    expecting(world, message, 1)
    assert process.claim() == []
    other = world.connect(autocommit=False)
    other.execute("select 1 from tgworker_outbox for update")
    other.execute("select 1 from tgworker_lanes for update")
    world.sql("set statement_timeout = '200ms'")
    attach(world, message, "a")
    other.rollback()
    assert world.one("select count(*) from tgworker_trigger_errors") == 0
    assert len(process.claim()) == 1


def test_attachments_of_inbound_messages_are_not_noted(world: World) -> None:
    account, process = ready(world)
    process.ingest(
        account, {"chat_id": 5, "telegram_id": 1, "sender_id": 5, "text": "hi", "sent_at": "2026-01-01"}
    )
    attach(world, world.one("select id from messages"), "a")
    assert world.one("select count(*) from tgworker_attachments") == 0


def test_the_sweep_finds_what_no_trigger_told(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    expecting(world, message, 1)
    assert process.claim() == []
    world.sql("alter table attachments disable trigger user")
    attach(world, message, "a")
    assert process.claim() == []
    answer = world.worker().rpc("tgworker_sweep", p_full=True)
    assert answer["repaired"] == 1
    (attempt,) = process.claim()
    assert paths(attempt) == ["a"]
    world.sql("delete from attachments")
    world.worker().rpc("tgworker_sweep", p_full=True)
    assert world.one("select count(*) from tgworker_attachments") == 0


def test_one_that_came_too_late_is_an_event_once(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    (attempt,) = process.claim()
    process.send(attempt, 70)
    attach(world, message, "theirs", owner=STRANGER)
    process.claim()
    assert world.one("select count(*) from tgworker_events") == 0
    for path in ("a", "b"):
        attach(world, message, path)
        process.claim()
    assert world.one("select error from tgworker_outbox") == LATE
    (event,) = world.sql(
        "select kind, worker_id, integration_account_id as account, detail from tgworker_events"
    )
    assert (event["kind"], event["worker_id"], str(event["account"])) == ("attachment_late", "w", account)
    assert event["detail"] == {"message_id": message}


def test_one_that_came_at_the_very_moment_of_the_claim_is_found_by_the_sweep(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    (attempt,) = process.claim()
    process.send(attempt, 70)
    attach(world, message, "a")
    world.sql("delete from tgworker_touched")  # read by a claim that did not see the attachment yet
    process.claim()
    assert world.one("select error from tgworker_outbox") is None
    world.worker().rpc("tgworker_sweep", p_full=True)
    assert world.one("select error from tgworker_outbox") == LATE


def test_an_attachment_of_an_id_that_is_taken_is_not_stolen(world: World) -> None:
    account, process = ready(world)
    theirs = world.write(world.chat("500"), "theirs", account)
    attach(world, theirs, "a")
    taken = str(world.one("select id from attachments"))
    message = world.new_id()
    file = {"id": taken, "bucket": "media", "path": "b", "file_name": None, "mime_type": None, "byte_size": 1}
    world.worker().rpc(
        "tgworker_enqueue",
        p_account=account,
        p_to="501",
        p_messages=Json([{"id": message, "text": "ours", "message_type": "photo", "files": [file]}]),
    )
    assert process.claim() == []
    shown = world.sql("select error from tgworker_outbox where message_id = %s", message)
    assert shown == [{"error": "waits for its attachments: 0 of 1"}]
    assert world.one("select storage_path from attachments") == "a"


def test_enqueuing_under_a_strangers_message_id_links_nothing_to_it(world: World) -> None:
    account = world.account()
    theirs = world.write(world.chat("500", STRANGER), "theirs", world.account(STRANGER), STRANGER)
    file = {"id": world.new_id(), "bucket": "media", "path": "b"}
    world.worker().rpc(
        "tgworker_enqueue",
        p_account=account,
        p_to="501",
        p_messages=Json([{"id": theirs, "text": "ours", "files": [file]}]),
    )
    assert world.one("select count(*) from attachments") == 0


def test_what_was_linked_before_the_migrations_goes_by_its_ids(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "look", account)
    attach(world, message, "x", "y")
    ids = [str(row["id"]) for row in world.sql("select id from attachments order by id")]
    world.sql("delete from tgworker_attachments")
    world.sql("delete from tgworker_touched")
    expecting(world, message, 2)
    for file in migrations()[-1:]:
        world.app.execute(file.read_bytes())
    (attempt,) = process.claim()
    assert [file["id"] for file in attempt["files"]] == ids
