"""A request that timed out may have been carried out, and is sent again: every call may be repeated."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from supabase_schema.rpc_store import Json, RpcError
from supabase_schema.world import OWNER, Process, World, inbound, settled

FACTS = {"kind": "photo", "size": 7, "mime_type": "image/jpeg"}
FETCHED = {"outcome": "fetched", "bucket": "media", "path": "a", "file_name": "a", "mime_type": "image/jpeg"}
LATER = {"outcome": "later", "retry_after_s": 60, "tries": 1, "reason": "no answer"}


class Stage:
    """A world with something in every state, and a process that knows it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = world.account()
        self.process = world.worker()
        self.process.acquire(self.account)
        peers = [{"chat_id": 500, "kind": "user", "photo_id": 9}]
        self.process.ingest(self.account, inbound(500, 1, file=FACTS), peers=peers)
        self.file: str = self.process.rpc("tgworker_wanted_files", p_account=self.account)[0]["message_id"]
        self.chats = [world.chat(str(600 + number)) for number in range(8)]
        texts = ("sent", "deferred", "refused", "unknown", "released")
        self.messages = {
            text: world.write(chat, text, self.account) for text, chat in zip(texts, self.chats, strict=False)
        }
        self.attempts = {attempt["text"]: attempt for attempt in self.process.claim()}
        self.waiting = world.write(self.chats[5], "waiting", self.account)
        dead = world.write(self.chats[6], "dead", self.account)
        (attempt,) = self.process.claim(1, known=list(self.messages.values()))
        assert attempt["message_id"] == self.waiting
        self.process.settle(attempt, "released", reason="x")
        self.dead = dead
        world.sql(
            "insert into sync_history_jobs (owner_id, integration_account_id, telegram_id)"
            " values (%s, %s, '500')",
            OWNER,
            self.account,
        )
        self.job: dict[str, Any] = self.process.rpc(
            "tgworker_claim_history", p_holder=self.process.holder, p_accounts=self.process.leases()
        )["jobs"][0]
        self.ids = [world.new_id() for _ in range(3)]

    def ingest(self) -> Any:
        return self.process.ingest(
            self.account,
            inbound(500, 2, "two"),
            inbound(700, 3, "three"),
            inbound(600, 70, "sent", outgoing=True),
            peers=[{"chat_id": 700, "kind": "user", "access_hash": 4, "first_name": "Grace"}],
            sent_ids=[[self.attempts["sent"]["random_id"], 70]],
            position={"pts": 5, "qts": 1, "date": 2, "seq": 3, "channels": {"9": 4}},
            number=2,
        )

    def settle(self) -> Any:
        items = Json(
            settled(attempt, text, telegram_id=80, retry_after_s=5, reason="because")
            for text, attempt in self.attempts.items()
        )
        return self.process.rpc("tgworker_settle", p_items=items)

    def finish_file(self, outcome: dict[str, Any]) -> Any:
        return self.process.rpc(
            "tgworker_finish_file", p_account=self.account, p_fence=1, p_message=self.file, p_outcome=outcome
        )

    def finish_avatar(self, outcome: dict[str, Any]) -> Any:
        return self.process.rpc(
            "tgworker_finish_avatar",
            p_account=self.account,
            p_fence=1,
            p_chat=500,
            p_photo=9,
            p_outcome={**outcome, "url": "https://a"},
        )


CALLS: dict[str, Callable[[Stage], Any]] = {
    "ingest": Stage.ingest,
    "settle": Stage.settle,
    "save_history": lambda s: s.process.rpc(
        "tgworker_save_history",
        p_account=s.account,
        p_fence=1,
        p_job=s.job["job_id"],
        p_messages=Json([inbound(500, 1), inbound(500, 9), inbound(800, 10)]),
    ),
    "finish_jobs": lambda s: s.process.rpc(
        "tgworker_finish_jobs", p_items=Json([{"job_id": s.job["job_id"], "fence": 1, "error": "no"}])
    ),
    "enqueue": lambda s: s.process.rpc(
        "tgworker_enqueue",
        p_account=s.account,
        p_to="@Somebody",
        p_messages=Json({"id": row, "text": f"t{row}"} for row in s.ids),
    ),
    "enqueue_files": lambda s: s.process.rpc(
        "tgworker_enqueue",
        p_account=s.account,
        p_to="@Somebody",
        p_messages=Json([{"id": s.ids[0], "text": "", "files": [{"id": row, "path": row} for row in s.ids]}]),
    ),
    "record_progress": lambda s: s.process.rpc(
        "tgworker_record_progress",
        p_message=s.attempts["sent"]["message_id"],
        p_claim=s.attempts["sent"]["claim"],
        p_done=1,
        p_total=2,
    ),
    "finish_file": lambda s: s.finish_file(FETCHED),
    "finish_file_later": lambda s: s.finish_file(LATER),
    "finish_avatar": lambda s: s.finish_avatar(FETCHED),
    "finish_avatar_later": lambda s: s.finish_avatar(LATER),
    "add_account": lambda s: s.process.rpc(
        "tgworker_add_account", p_id=s.ids[0], p_name="bob", p_owner=OWNER, p_secrets="t", p_user_id=9
    ),
    "switch_account": lambda s: s.process.rpc("tgworker_switch_account", p_account=s.account, p_active=False),
    "replace_session": lambda s: s.process.rpc(
        "tgworker_replace_session", p_account=s.account, p_read="token", p_sealed="under another key"
    ),
    "remove_account": lambda s: s.process.rpc("tgworker_remove_account", p_account=s.account),
    "presence": lambda s: s.process.rpc(
        "tgworker_presence",
        p_accounts=Json(
            {**lease, "items": [{"chat_id": 500, "is_online": True}, {"chat_id": 600, "is_typing": True}]}
            for lease in s.process.leases()
        ),
    ),
    "heartbeat": lambda s: s.process.rpc(
        "tgworker_heartbeat", p_worker="w", p_incarnation=1, p_seq=1, p_status="online"
    ),
    "events": lambda s: s.process.rpc(
        "tgworker_record_events",
        p_worker="w",
        p_events=Json([{"id": row, "kind": "restart", "detail": {"n": 1}} for row in s.ids]),
    ),
    "cancel": lambda s: s.process.rpc("tgworker_cancel", p_ids=[s.waiting, s.dead]),
    "retry": lambda s: s.process.rpc("tgworker_retry", p_ids=[s.waiting, s.dead]),
    "acquire": lambda s: s.process.acquire(s.account),
    "release": lambda s: s.process.release(),
    "record_account": lambda s: s.process.rpc(
        "tgworker_record_account", p_account=s.account, p_fence=1, p_state="online", p_user_id=7
    ),
    "record_synced": lambda s: s.process.rpc("tgworker_record_synced", p_accounts=s.process.leases()),
    "sweep": lambda s: s.process.rpc("tgworker_sweep", p_full=True),
    "finish_adoption": lambda s: s.process.rpc("tgworker_finish_adoption"),
}

CHANGES_NOTHING = {"record_synced", "acquire", "sweep", "finish_adoption"}  # but for a time


def without_times(everything: dict[str, list[Any]]) -> dict[str, list[Any]]:
    for table in ("tgworker_leases", "tgworker_meta", "presence_status", "worker_heartbeats"):
        everything[table] = [len(everything[table])]
    return everything


@pytest.mark.parametrize("call", CALLS)
def test_the_second_time_changes_nothing(timed: World, call: str) -> None:
    stage = Stage(timed)
    before = without_times(timed.everything())
    CALLS[call](stage)
    once = without_times(timed.everything())
    if call not in CHANGES_NOTHING | {"release", "retry", "heartbeat"}:
        assert once != before
    CALLS[call](stage)
    assert without_times(timed.everything()) == once


def test_a_late_repeat_of_a_settle_does_not_touch_the_next_attempt(world: World) -> None:
    """A message that was given back and claimed again is at its first attempt twice: the token differs."""
    account, process = world.account(), world.worker()
    process.acquire(account)
    message = world.write(world.chat("500"), "hi", account)
    (first,) = process.claim()
    process.settle(first, "released", reason="went away")
    (second,) = process.claim()
    assert (first["number"], second["number"]) == (1, 1)
    assert second["claim"] > first["claim"]
    assert process.settle(first, "released", reason="went away")["stale"] == [message]
    assert world.state(message) == "sending"


def test_a_late_repeat_of_an_older_batch_does_not_move_the_position_back(world: World) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)

    def batch(number: int | None, pts: int, channels: dict[str, int] | None) -> None:
        position = {"pts": pts, "qts": 0, "date": 0, "seq": 0, "channels": channels}
        process.ingest(account, position=position, number=number)

    batch(1, 10, {"5": 1, "6": 1})
    batch(2, 20, {"6": 2})
    batch(1, 10, {"5": 1, "6": 1})
    position = {"pts": 20, "qts": 0, "date": 0, "seq": 0, "channels": {"6": 2}, "user_id": None}
    assert process.rpc("tgworker_position", p_account=account) == position
    batch(3, 30, None)  # the channels are as before
    assert process.rpc("tgworker_position", p_account=account) == {**position, "pts": 30}
    # Another process counts from one again.
    heir = world.worker(holder=uuid4())
    process.release()
    heir.acquire(account)
    heir.ingest(account, position={**position, "pts": 40}, number=1)
    assert heir.rpc("tgworker_position", p_account=account)["pts"] == 40


def test_an_answer_that_was_lost_is_handed_over_by_the_next_claim(world: World) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)
    chats = [world.chat(str(500 + number)) for number in range(3)]
    for chat in chats:
        world.write(chat, "first", account)
        world.write(chat, "second", account)
    lost = process.claim(2)
    again = process.claim(3)
    assert [a["random_id"] for a in again[:2]] == [a["random_id"] for a in lost]
    assert [a["number"] for a in again] == [2, 2, 1]
    assert process.claim(3, known=[a["message_id"] for a in again]) == []


def test_what_cannot_be_read_is_refused_whole(world: World) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)
    before = world.everything()
    for bad in ({"chat_id": "x"}, {"sent_at": "never"}, {"telegram_id": 2**70}):
        with pytest.raises(RpcError):
            process.ingest(account, inbound(500, 1), {**inbound(500, 2), **bad})
    assert world.everything() == before


@pytest.mark.parametrize("nothing", [None, [], "null"])
def test_a_batch_without_anything_is_fine(world: World, nothing: object) -> None:
    account, process = world.account(), world.worker()
    process.acquire(account)
    empty = {"messages": nothing, "peers": nothing, "sent_ids": nothing, "position": None}
    answer = process.rpc("tgworker_ingest", p_account=account, p_fence=1, p_batch=empty)
    assert answer == {"new": 0, "messages": []}


def process_of(world: World) -> tuple[str, Process]:
    account, process = world.account(), world.worker()
    process.acquire(account)
    return account, process


def test_cancelling_takes_back_what_was_not_sent_and_nothing_else(world: World) -> None:
    account, process = process_of(world)
    chat = world.chat("500")
    flying, waiting = world.write(chat, "flying", account), world.write(chat, "waiting", account)
    (attempt,) = process.claim()
    states = process.rpc(
        "tgworker_cancel", p_ids=[flying, waiting, world.new_id()], p_reason="changed my mind"
    )
    assert states == [
        {"message_id": flying, "state": "sending", "answer": "asked"},
        {"message_id": waiting, "state": "cancelled", "answer": "cancelled"},
    ]
    assert world.external(waiting) == "error-waiting"
    (record,) = process.rpc("tgworker_list_outbox", p_states=["cancelled"])
    assert (record["message_id"], record["error"]) == (waiting, "changed my mind")
    process.send(attempt, 7)
    assert process.claim() == []


def test_cancelling_what_a_worker_has_in_hand_wakes_it(world: World) -> None:
    account, process = process_of(world)
    message = world.write(world.chat("500"), "flying", account)
    other = world.write(world.chat("501"), "withdrawn", account)
    assert len(process.claim()) == 2
    assert not process.rpc("tgworker_has_work", p_accounts=[account])
    process.rpc("tgworker_cancel", p_ids=[message])
    assert process.rpc("tgworker_has_work", p_accounts=[account])
    process.claim(known=[message, other])
    assert not process.rpc("tgworker_has_work", p_accounts=[account])
    world.sql("update messages set external_message_id = 'taken back' where id = %s", other)
    assert process.rpc("tgworker_has_work", p_accounts=[account])


def test_retrying_sends_again_what_a_person_has_looked_at(world: World) -> None:
    account, process = process_of(world)
    chat = world.chat("500")
    message, gone = world.write(chat, "refused", account), world.write(world.chat("501"), "gone", account)
    for attempt in process.claim():
        process.settle(attempt, "refused", reason="PEER_FLOOD")
    world.sql("delete from messages where id = %s", gone)
    states = process.rpc("tgworker_retry", p_ids=[message, gone])
    assert {row["message_id"]: row["state"] for row in states} == {message: "waiting", gone: "dead"}
    assert world.external(message) == "local-refused"
    (attempt,) = process.claim()
    process.send(attempt, 5)
    # What went well is not sent again.
    assert process.rpc("tgworker_retry", p_ids=[message]) == [{"message_id": message, "state": "sent"}]
    assert process.claim() == []


def test_an_expired_message_that_is_retried_does_not_expire_again(timed: World) -> None:
    assert timed.calendar is not None
    account, process = process_of(timed)
    message = timed.write(timed.chat("500"), "lunch?", account)
    payload = '{"telegram": {"expires_at": "2026-01-01T12:00:10Z"}}'
    timed.sql("update messages set raw_payload = %s where id = %s", payload, message)
    timed.calendar.advance(11)
    assert process.claim() == []
    assert timed.state(message) == "expired"
    process.rpc("tgworker_retry", p_ids=[message])
    assert [attempt["text"] for attempt in process.claim()] == ["lunch?"]
