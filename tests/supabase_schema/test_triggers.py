"""The application writes `messages` as it always did: the queue follows, and never stands in its way."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import LiteralString

import pytest
from psycopg import sql

from contracts.store_kit import OWNER
from supabase_schema.rpc_store import Json
from supabase_schema.world import Process, World, inbound, settled


def ready(world: World) -> tuple[str, Process]:
    account, process = world.account(), world.worker()
    process.acquire(account)
    return account, process


def texts(process: Process, known: list[str] | None = None) -> list[str]:
    return [attempt["text"] for attempt in process.claim(known=known or [])]


@pytest.mark.parametrize(
    "change",
    [
        "delete from messages where id = %s",
        "update messages set external_message_id = '4711' where id = %s",
        "update messages set external_message_id = null where id = %s",
        "update messages set channel = 'whatsapp' where id = %s",
        "update messages set direction = 'inbound' where id = %s",
    ],
)
def test_a_pending_message_that_is_taken_back_makes_room_for_the_next(
    world: World, change: LiteralString
) -> None:
    account, process = ready(world)
    chat, other = world.chat("500"), world.chat("501")
    first = world.write(chat, "first", account)
    world.write(chat, "second", account)
    world.write(other, "elsewhere", account)
    process.claim(0)  # the lanes are made
    world.sql(change, first)
    assert world.state(first) == "cancelled"
    assert sorted(texts(process)) == ["elsewhere", "second"]


def test_a_conversation_that_is_deleted_takes_its_pending_messages_with_it(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    messages = [world.write(chat, text, account) for text in ("first", "second")]
    process.claim(0)
    world.sql("delete from conversations where id = %s", chat)
    assert [world.state(message) for message in messages] == ["cancelled", "cancelled"]
    assert texts(process) == []
    assert world.one("select count(*) from tgworker_lanes") == 0


def test_messages_that_are_truncated_are_noticed_by_the_claim(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "first", account)
    process.claim(0)
    world.sql("truncate messages cascade")  # no trigger of ours is asked
    assert texts(process) == []
    assert world.state(message) == "cancelled"


def test_the_text_that_is_sent_is_the_one_that_stands_there_at_the_claim(world: World) -> None:
    account, process = ready(world)
    message = world.write(world.chat("500"), "first draft", account)
    world.sql("update messages set text = 'as it was meant' where id = %s", message)
    assert texts(process) == ["as it was meant"]


def test_a_pending_message_that_moves_to_another_conversation_waits_in_its_line(world: World) -> None:
    account, process = ready(world)
    chat, other = world.chat("500"), world.chat("501")
    moved = world.write(chat, "moved", account)
    world.write(chat, "stays", account)
    blocking = world.write(other, "in front", account)
    process.claim(0)  # the lanes are made
    world.sql("update messages set conversation_id = %s where id = %s", other, moved)
    # Its number stays: it is older than what stood there.
    attempts = process.claim()
    assert sorted(attempt["text"] for attempt in attempts) == ["moved", "stays"]
    assert world.state(blocking) == "waiting"


def test_a_head_that_moved_is_not_taken_from_its_old_lane_before_the_note_is_read(world: World) -> None:
    account, process = ready(world)
    chat, other = world.chat("500"), world.chat("501")
    moved = world.write(chat, "moved", account)
    world.write(chat, "stays", account)
    world.write(other, "in front", account)
    process.claim(0)
    for number in range(120):  # notes that stand before the one about the move
        world.write(world.chat(str(600 + number)), "crowd", account)
    world.sql("update messages set conversation_id = %s where id = %s", other, moved)
    attempts = process.claim(1000)
    in_flight = [attempt["conversation_id"] for attempt in attempts]
    assert len(set(in_flight)) == len(in_flight)
    assert {"stays", "in front"} <= {attempt["text"] for attempt in attempts}
    for number, attempt in enumerate(attempts):
        process.send(attempt, number + 1)
    assert [attempt["text"] for attempt in process.claim(1000) if attempt["text"] != "crowd"] == ["moved"]


def test_a_pending_message_that_gets_another_account_is_sent_by_that_one(world: World) -> None:
    account, process = ready(world)
    other = world.account()
    process.acquire(other)
    message = world.write(world.chat("500"), "hi", account)
    world.sql("update messages set integration_account_id = %s where id = %s", other, message)
    assert [attempt["account"] for attempt in process.claim()] == [other]


def test_a_pending_message_may_be_put_off_and_brought_forward(timed: World) -> None:
    assert timed.calendar is not None
    account, process = ready(timed)
    message = timed.write(timed.chat("500"), "hi", account)
    later = json.dumps({"telegram": {"not_before": "2026-01-01T13:00:00Z"}})
    timed.sql("update messages set raw_payload = %s where id = %s", later, message)
    assert timed.state(message) == "deferred"
    assert texts(process) == []
    timed.sql("update messages set raw_payload = '{}' where id = %s", message)
    assert texts(process) == ["hi"]


def test_what_is_in_flight_is_not_touched_by_an_edit(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    message = world.write(chat, "hi", account)
    world.write(chat, "next", account)
    (attempt,) = process.claim()
    world.sql(
        "update messages set conversation_id = %s, raw_payload = '{\"telegram\":{}}' where id = %s",
        world.chat("501"),
        message,
    )
    world.sql("delete from messages where id = %s", message)
    assert world.state(message) == "sending"
    assert texts(process, known=[message]) == []
    assert process.send(attempt, 70)["settled"] == [message]
    assert texts(process) == ["next"]


def test_one_statement_of_many_rows_keeps_their_order_and_other_rows_cost_nothing(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    before = int(world.one("select pg_current_xact_id()::text"))
    world.sql(
        "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
        f" external_message_id) select '{OWNER}', %s, %s, 'outbound', n, 'local-' || n"
        " from generate_series(1, 500) n",
        chat,
        account,
    )
    # One transaction and one subtransaction, not one for each row.
    assert int(world.one("select pg_current_xact_id()::text")) - before <= 3
    world.sql(
        "insert into messages (owner_id, conversation_id, direction, text, external_message_id)"
        f" select '{OWNER}', %s, 'inbound', n, n from generate_series(1, 500) n",
        chat,
    )
    assert world.one("select count(*) from tgworker_outbox") == 500
    assert world.one("select count(*) from tgworker_touched") == 1
    sent: list[str] = []
    for number in range(20):
        (attempt,) = process.claim()
        sent.append(attempt["text"])
        process.send(attempt, number + 1)
    assert sent == [str(number) for number in range(1, 21)]


def test_a_row_that_is_written_anew_under_its_old_id_is_sent(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    message = world.write(chat, "first", account)
    world.sql("delete from messages where id = %s", message)
    assert texts(process) == []
    world.sql(
        "insert into messages (id, owner_id, conversation_id, integration_account_id, direction, text,"
        f" external_message_id) values (%s, '{OWNER}', %s, %s, 'outbound', 'anew', 'local-anew')",
        message,
        chat,
        account,
    )
    assert texts(process) == ["anew"]


BREAKAGES: dict[str, LiteralString] = {
    "a table of ours is gone": "alter table tgworker_outbox rename to tgworker_outbox_gone",
    "a constraint of ours fails": "alter table tgworker_outbox add constraint never check (seq < 0)"
    " not valid",
    "a function of ours is gone": "drop function tgworker_time cascade",
    "even errors cannot be noted": "alter table tgworker_outbox rename to tgworker_outbox_gone;"
    " alter table tgworker_trigger_errors rename to tgworker_trigger_errors_gone;"
    " alter table tgworker_removed_accounts rename to tgworker_removed_accounts_gone",
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_no_error_of_ours_fails_a_statement_of_the_application(world: World, breakage: str) -> None:
    account, chat = world.account(), world.chat("500")
    world.app.execute(BREAKAGES[breakage])
    message = world.write(chat, "hi", account)
    world.sql("update messages set external_message_id = 'local-again' where id = %s", message)
    world.sql("update messages set external_message_id = '5' where id = %s", message)
    assert world.external(message) == "5"
    world.sql("delete from messages where id = %s", message)
    world.sql("delete from integration_accounts where id = %s", account)
    assert world.one("select count(*) from messages") == 0


def test_what_a_trigger_failed_to_do_is_noted_and_repaired_by_the_next_claim(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    kept, taken_back = world.write(chat, "kept", account), world.write(chat, "taken back", account)
    world.app.execute("alter table tgworker_outbox add constraint never check (seq < 0) not valid")
    lost = world.write(chat, "lost", account)
    world.sql("delete from messages where id = %s", taken_back)
    assert world.state(lost) is None
    assert world.state(taken_back) == "waiting"
    errors = world.sql("select message_id::text, error from tgworker_trigger_errors order by n")
    assert [error["message_id"] for error in errors] == [lost, taken_back]
    assert all("never" in error["error"] for error in errors)
    world.app.execute("alter table tgworker_outbox drop constraint never")
    (attempt,) = process.claim()
    assert attempt["message_id"] == kept
    assert (world.state(lost), world.state(taken_back)) == ("waiting", "cancelled")
    process.send(attempt, 1)
    assert texts(process) == ["lost"]
    assert world.one("select count(*) from tgworker_trigger_errors where repaired_at is null") == 0


def test_what_no_trigger_told_is_found_by_the_sweep(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    world.app.execute("alter table messages disable trigger user")
    young = world.write(chat, "young", account)
    old = world.write(chat, "old", account)
    world.sql("update messages set sent_at = now() - interval '25 hours' where id = %s", old)
    world.app.execute("alter table messages enable trigger user")
    answer = process.rpc("tgworker_sweep", p_full=True)
    assert (answer["repaired"], answer["compared"]) == (2, True)
    assert (world.state(young), world.state(old)) == ("waiting", "held")
    assert texts(process) == ["young"]
    assert process.rpc("tgworker_sweep", p_full=True)["repaired"] == 0


@pytest.mark.parametrize(
    "locked", ["tgworker_outbox", "tgworker_touched", "tgworker_lanes", "tgworker_accounts", "tgworker_meta"]
)
def test_no_lock_on_a_table_of_ours_holds_the_application_up(world: World, locked: str) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    holder = world.connect(autocommit=False)
    holder.execute(sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier(locked)))
    began = time.monotonic()
    message = world.write(chat, "hi", account)
    # Twice a quarter of a second at most, and what a busy machine adds.
    assert time.monotonic() - began < 5
    holder.rollback()
    assert texts(process) == ["hi"]
    assert world.state(message) == "sending"


@contextmanager
def locked_outbox(world: World) -> Generator[None]:
    """Somebody works on our table by hand, and locks everybody out."""
    holder = world.connect(autocommit=False)
    holder.execute("lock table tgworker_outbox in access exclusive mode")
    yield
    holder.rollback()


def test_order_holds_where_a_trigger_gave_up_on_the_first_row(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    with locked_outbox(world):
        world.write(chat, "first", account)
        world.sql(
            "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
            f" external_message_id) select '{OWNER}', %s, %s, 'outbound', n || ' of three',"
            " 'local-' || n from generate_series(1, 3) n",
            chat,
            account,
        )
    assert world.one("select count(*) from tgworker_trigger_errors") == 4
    world.write(chat, "last", account)
    sent: list[str] = []
    while attempts := process.claim():
        (attempt,) = attempts
        sent.append(attempt["text"])
        process.send(attempt, 70 + len(sent))
    assert sent == ["first", "1 of three", "2 of three", "3 of three", "last"]


def test_nothing_of_a_conversation_is_sent_until_its_missed_row_is_there(world: World) -> None:
    """Not by the settle of what was sent before, either, while repairs are another worker's work."""
    account, process = ready(world)
    chat = world.chat("500")
    world.write(chat, "before", account)
    (attempt,) = process.claim()
    with locked_outbox(world):
        world.write(chat, "missed", account)
    world.write(chat, "after", account)
    world.write(world.chat("501"), "elsewhere", account)
    tidying = world.connect("service_role", autocommit=False)
    tidying.execute("select pg_advisory_xact_lock(hashtext('tgworker'), hashtext('tidy'))")
    answer = process.tick([settled(attempt, "sent", telegram_id=70)], 5)
    assert (answer["error"], answer["claim"]["attempts"]) == (None, [])
    tidying.rollback()
    assert {found["text"] for found in process.claim()} == {"missed", "elsewhere"}


@pytest.mark.parametrize(
    "change",
    [
        "delete from messages where id = %s",
        "update messages set external_message_id = '4711' where id = %s",
        "update messages set text = 'edited' where id = %s",
    ],
)
def test_a_conversation_goes_on_when_nothing_is_to_be_repaired(world: World, change: LiteralString) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    with locked_outbox(world):
        missed = world.write(chat, "missed", account)
        world.sql(change, missed)
    world.write(chat, "after", account)
    (attempt,) = process.claim()
    assert attempt["text"] == ("edited" if "edited" in change else "after")


def test_a_conversation_that_a_missed_row_moved_from_goes_on_and_its_new_one_too(world: World) -> None:
    account, process = ready(world)
    old, new = world.chat("500"), world.chat("501")
    moved = world.write(old, "moved", account)
    world.write(old, "behind it", account)
    with locked_outbox(world):
        world.sql("update messages set conversation_id = %s where id = %s", new, moved)
    assert {(found["text"], found["to"]) for found in process.claim()} == {
        ("moved", "501"),
        ("behind it", "500"),
    }


def test_a_row_that_cannot_be_repaired_holds_up_its_conversation_alone(world: World) -> None:
    account, process = ready(world)
    chat, other = world.chat("500"), world.chat("501")
    with locked_outbox(world):
        poison = world.write(chat, "poison", account)
        world.write(other, "missed", account)
    world.write(chat, "behind it", account)
    # (Whatever may be wrong with it.)
    never = f"alter table tgworker_outbox add constraint never check (message_id <> '{poison}') not valid"
    world.app.execute(never.encode())
    assert texts(process) == ["missed"]
    world.app.execute("alter table tgworker_outbox drop constraint never")
    assert sorted(texts(process)) == ["missed", "poison"]


def test_a_long_transaction_of_the_application_holds_nobody_else_up(world: World) -> None:
    account, process = ready(world)
    chats = [world.chat(str(500 + number)) for number in range(3)]
    messages = [world.write(chat, f"m{number}", account) for number, chat in enumerate(chats)]
    first, second, third = process.claim()
    slow = world.connect(autocommit=False)
    # It holds one message, the conversation of another, and has written into the lane of the third.
    slow.execute("update messages set text = text where id = %s", (messages[0],))
    slow.execute("update conversations set status = 'seen' where id = %s", (chats[1],))
    slow.execute(
        "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
        f" external_message_id) values ('{OWNER}', %s, %s, 'outbound', 'm4', 'local-m4')",
        (chats[2], account),
    )
    process.rpc._connection.execute("set lock_timeout = '1ms'")  # whoever waits fails
    for number, attempt in enumerate((first, second, third)):
        assert process.send(attempt, 70 + number)["settled"] == [attempt["message_id"]]
    assert [world.state(message) for message in messages] == ["sent"] * 3
    assert [world.external(message) for message in messages] == ["local-m0", "71", "72"]
    assert texts(process) == []
    slow.commit()
    # What could not be written then is written now, and what was not there then is sent.
    assert texts(process) == ["m4"]
    assert [world.external(message) for message in messages] == ["70", "71", "72"]
    previews = {
        row["last_message_preview"] for row in world.sql("select last_message_preview from conversations")
    }
    assert previews == {"m0", "m1", "m2"}


def test_unread_counts_wait_for_nobody_and_are_not_lost(world: World) -> None:
    account, process = ready(world)
    chat = world.chat("500")
    slow = world.connect(autocommit=False)
    slow.execute("update conversations set status = 'seen' where id = %s", (chat,))
    process.rpc._connection.execute("set lock_timeout = '1ms'")
    assert process.ingest(account, inbound(500, 1), inbound(500, 2, "last"))["new"] == 2
    slow.commit()
    assert world.one("select unread_count from conversations where id = %s", chat) == 0
    process.claim()
    (row,) = world.sql("select unread_count, last_message_preview from conversations where id = %s", chat)
    assert (row["unread_count"], row["last_message_preview"]) == (2, "last")
    assert world.one("select count(*) from tgworker_chores") == 0


def test_a_row_that_the_application_holds_is_passed_over(world: World) -> None:
    """A head in a transaction that takes it back does not keep its account's slots from others."""
    account, process = ready(world)
    held = world.write(world.chat("500"), "held", account)
    world.write(world.chat("501"), "free", account)
    process.claim(0)
    slow = world.connect(autocommit=False)
    slow.execute("delete from messages where id = %s", (held,))
    process.rpc._connection.execute("set lock_timeout = '1ms'")
    assert [attempt["text"] for attempt in process.claim(1)] == []
    assert [attempt["text"] for attempt in process.claim(1)] == ["free"]
    slow.commit()
    assert world.state(held) == "cancelled"


def test_a_row_without_an_account_that_the_application_holds_is_passed_over(world: World) -> None:
    account, process = ready(world)
    held, free = (world.write(world.chat(value), value, None) for value in ("500", "501"))
    slow = world.connect(autocommit=False)
    slow.execute("update messages set text = 'held' where id = %s", (held,))
    process.rpc._connection.execute("set lock_timeout = '1ms'")
    assert [attempt["message_id"] for attempt in process.claim()] == [free]
    slow.commit()
    assert world.one("select integration_account_id from messages where id = %s", free) == account
    world.sql("update tgworker_lanes set ready_at = now() where integration_account_id is null")
    assert texts(process, known=[free]) == ["held"]


def test_a_row_whose_account_the_application_is_deleting_is_passed_over(world: World) -> None:
    """With an outcome of that account's written just before, each would wait for the other."""
    account, process = ready(world)
    first = world.write(world.chat("500"), "first", account)
    (attempt,) = process.claim()
    orphan = world.write(world.chat("501"), "whose?", None)
    slow = world.connect(autocommit=False)
    slow.execute("select 1 from integration_accounts where id = %s for update", (account,))
    process.rpc._connection.execute("set lock_timeout = '1ms'")
    answer = process.tick([settled(attempt, "sent", telegram_id=70)], 5)
    assert (answer["error"], answer["claim"]["attempts"]) == (None, [])
    assert answer["settled"]["settled"] == [first]
    slow.commit()
    world.sql("update tgworker_lanes set ready_at = now() where integration_account_id is null")
    assert [found["message_id"] for found in process.claim()] == [orphan]


def test_a_repair_waits_for_no_long_transaction(world: World) -> None:
    account, process = ready(world)
    chat, other = world.chat("500"), world.chat("501")
    broken, slowly = world.write(chat, "broken", account), world.write(other, "slowly", account)
    world.app.execute("alter table tgworker_outbox add constraint never check (attempts < 0) not valid")
    world.sql("update messages set external_message_id = '1' where id = any (%s)", [broken, slowly])
    world.app.execute("alter table tgworker_outbox drop constraint never")
    slow = world.connect(autocommit=False)
    # As a trigger does in a transaction of the application's.
    slow.execute("select from tgworker_outbox where message_id = %s for update", (slowly,))
    began = time.monotonic()
    assert process.claim(0) == []
    assert time.monotonic() - began < 5
    assert (world.state(broken), world.state(slowly)) == ("cancelled", "waiting")  # the other one not yet
    slow.commit()
    assert texts(process) == []
    assert (world.state(broken), world.state(slowly)) == ("cancelled", "cancelled")


def test_an_account_that_is_removed_takes_everything_of_ours_with_it(world: World) -> None:
    account, other = world.account(), world.account()
    process = world.worker()
    process.acquire(account, other)
    chat = world.chat("500")
    process.ingest(
        account,
        {"chat_id": 500, "telegram_id": 1, "sender_id": 500, "text": "x", "sent_at": "2026-01-01T00:00:00Z"},
        peers=[{"chat_id": 500, "kind": "user", "access_hash": 1}],
        position={"pts": 1, "qts": 1, "date": 1, "seq": 1, "channels": {"9": 3}},
    )
    process.rpc("tgworker_record_account", p_account=account, p_fence=1, p_state="online")
    wait = {"kind": "strangers", "key": "", "left_s": 9, "reason": "PEER_FLOOD"}
    process.rpc("tgworker_save_waits", p_account=account, p_fence=1, p_waits=Json([wait]))
    flying = world.write(chat, "flying", account)
    (attempt,) = process.claim()
    waiting = world.write(chat, "waiting", account)
    after = world.write(chat, "after", other)
    world.sql("delete from integration_accounts where id = %s", account)
    # Nobody knows what became of the one in flight; it does not block its chat for ever.
    assert [found["message_id"] for found in process.claim()] == [after]
    assert (world.state(flying), world.state(waiting)) == ("unsure", "dead")
    assert world.external(waiting) == "error-waiting"
    assert process.send(attempt, 70)["stale"] == [flying]
    while process.rpc("tgworker_sweep")["more"]:
        pass
    for table in ("peers", "positions", "channel_positions", "waits", "accounts"):
        assert world.everything()[f"tgworker_{table}"] == [], table
    assert world.one("select array_agg(integration_account_id)::text[] from tgworker_leases") == [other]
    assert world.one("select count(*) from tgworker_message_keys where scope = %s", account) == 0
    assert world.one("select count(*) from tgworker_removed_accounts") == 0
