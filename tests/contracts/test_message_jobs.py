"""Message jobs in the stores: which may be done, by whom, in what order; crashes, rows of any kind."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.store_kit import NOBODY, OTHER_OWNER, OWNER, START, Inbox, StoreKit, batch, inbound, user
from tgworker.embedded import StoreSuperseded
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.models import ConversationId, JobId, JobMessage, MessageId, MessageJob
from tgworker.messaging.outcomes import Refused, Sent, Settled

NO_PAYLOAD: Mapping[str, Any] = {}


def job(
    inbox: Inbox, action: str, message: MessageId | None = None, payload: object = NO_PAYLOAD, **columns: Any
) -> JobId:
    values = {"integration_account_id": inbox.account, "owner_id": OWNER, "message_id": message, **columns}
    return JobId(inbox.kit.app.insert("message_jobs", action=action, payload=json.dumps(payload), **values))


def about(inbox: Inbox, action: str, chat: str, **columns: Any) -> JobId:
    return job(inbox, action, payload={"conversation_id": chat}, **columns)


def status(inbox: Inbox, job_id: JobId) -> tuple[str, str | None]:
    row = inbox.kit.app.row("message_jobs", job_id)
    assert row is not None
    assert (row["processed_at"] is not None) == (row["status"] in {"completed", "failed"})
    return row["status"], row["error_message"]


async def claim(inbox: Inbox, *known: JobId, limit: int = 20) -> Sequence[MessageJob]:
    return (await inbox.store.claim_jobs([inbox.account], known=known, limit=limit)).jobs


async def claimed(inbox: Inbox, *known: JobId, limit: int = 20) -> list[JobId]:
    return [each.id for each in await claim(inbox, *known, limit=limit)]


async def done(inbox: Inbox, *jobs: JobId) -> None:
    await inbox.store.settle_jobs([JobVerdict(each, ended=True) for each in jobs])


async def sent(
    inbox: Inbox, text: str = "hi", telegram_id: int = 70, chat: ConversationId | None = None
) -> MessageId:
    message = inbox.write(chat or inbox.chat("500"), text)
    await inbox.send(await inbox.claim_one(), telegram_id)
    return message


# ---------------------------------------------------------------- what a claim says


async def test_a_job_knows_its_message_in_telegrams_terms_and_ends(inbox: Inbox) -> None:
    await inbox.store.save_peers(inbox.account, [user(500)])
    message = await sent(inbox)
    edit = job(inbox, "edit", message, {"text": "hello"})
    (found,) = await claim(inbox)
    assert (found.id, found.account_id, found.action, found.to) == (edit, inbox.account, "edit", "500")
    assert (found.telegram_ids, found.payload, found.peer) == ((70,), {"text": "hello"}, user(500))
    assert (found.attempt, found.message) == (1, JobMessage("text", "sent"))
    assert status(inbox, edit) == ("processing", None)
    assert await claimed(inbox, edit) == []
    await done(inbox, edit)
    assert status(inbox, edit) == ("completed", None)
    assert await claimed(inbox) == []


async def test_a_job_about_a_conversation_knows_its_chat(inbox: Inbox) -> None:
    about(inbox, "typing", inbox.chat("500"))
    (found,) = await claim(inbox)
    assert (found.to, found.telegram_ids, found.message) == ("500", (), None)


async def test_a_message_that_came_in_is_known_by_its_id_in_the_chat_where_it_stands(inbox: Inbox) -> None:
    await inbox.store.ingest(inbox.account, batch(inbound(500, 44), peers=[user(500)]))
    (row,) = inbox.kit.app.rows("messages")
    job(inbox, "react", row["id"], {"emoji": "👍"})
    (found,) = await claim(inbox)
    assert (found.to, found.telegram_ids, found.message) == ("500", (44,), JobMessage("text"))


async def test_what_the_old_worker_sent_is_known_by_the_id_in_its_row(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "old", external_message_id="77")
    job(inbox, "edit", message, {"text": "x"})
    (found,) = await claim(inbox)
    assert found.telegram_ids == (77,)


async def test_all_parts_of_a_split_text_are_known_in_their_order(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "x" * 5000)
    edit = job(inbox, "edit", message, {"text": "y"})
    for part in range(2):
        attempt = await inbox.claim_one()
        settled = Settled(replace(attempt, parts=2), Sent(90 - part, inbox.kit.calendar.today))
        await inbox.store.turn([settled], {}, known=())
        if not part:
            assert await claimed(inbox) == []  # the second part is to come
    (found,) = await claim(inbox)
    assert (found.id, found.telegram_ids) == (edit, (90, 89))
    assert found.message == JobMessage("text", "sent", parts=2)


async def test_a_forward_knows_with_whom_the_conversation_is_that_it_goes_to(inbox: Inbox) -> None:
    message = await sent(inbox)
    target = inbox.chat("@bob")
    job(inbox, "forward", message, {"conversation_id": target})
    (found,) = await claim(inbox)
    assert (found.to, found.target) == ("500", "@bob")


async def test_a_forward_reaches_no_conversation_of_another_owner(inbox: Inbox) -> None:
    message = await sent(inbox)
    identity = inbox.kit.app.insert(
        "contact_identities", owner_id=OTHER_OWNER, type="telegram_user", value="600"
    )
    foreign = inbox.kit.app.insert("conversations", owner_id=OTHER_OWNER, primary_identity_id=identity)
    job(inbox, "forward", message, {"conversation_id": foreign})
    (found,) = await claim(inbox)
    assert found.target is None


# ---------------------------------------------------------------- order


async def test_jobs_of_one_conversation_come_one_by_one_and_others_beside_them(inbox: Inbox) -> None:
    chat, other = inbox.chat("500"), inbox.chat("501")
    first, second, third = (about(inbox, "mark_read", chat) for _ in range(3))
    beside = about(inbox, "mark_read", other)
    assert await claimed(inbox) == [first, beside]
    assert await claimed(inbox, first, beside) == []
    await done(inbox, beside)
    assert await claimed(inbox, first) == []
    await done(inbox, first)
    assert await claimed(inbox) == [second]
    await inbox.store.settle_jobs([JobVerdict(second, ended=False, retry_after_s=30)])
    assert await claimed(inbox) == []  # the third waits behind it
    inbox.kit.calendar.advance(31)
    assert await claimed(inbox) == [second]
    await done(inbox, second)
    assert await claimed(inbox) == [third]


async def test_no_more_are_claimed_than_asked_for_oldest_first(inbox: Inbox) -> None:
    jobs = [about(inbox, "mark_read", inbox.chat(str(500 + number))) for number in range(5)]
    assert await claimed(inbox, limit=2) == jobs[:2]
    assert await claimed(inbox, *jobs[:2]) == jobs[2:]


async def test_typing_waits_behind_nothing_and_nothing_behind_it(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    read, typing = about(inbox, "mark_read", chat), about(inbox, "typing", chat)
    assert await claimed(inbox) == [read, typing]
    await done(inbox, read)
    after = about(inbox, "mark_read", chat)
    assert await claimed(inbox, typing) == [after]


async def test_a_job_waits_for_its_message_and_holds_up_only_what_is_about_the_same(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    there = await sent(inbox, "there", 70, chat)
    waiting = inbox.write(chat, "later")
    edits = [job(inbox, "edit", waiting, {"text": text}) for text in ("a", "b")]
    other = job(inbox, "edit", there, {"text": "c"})
    turn = await inbox.store.claim_jobs([inbox.account], known=())
    assert ([each.id for each in turn.jobs], turn.waiting) == ([other], 2)
    await done(inbox, other)
    assert await claimed(inbox) == []
    attempt = await inbox.claim_one()
    assert await claimed(inbox) == []  # on its way
    await inbox.send(attempt, 71)
    assert await claimed(inbox) == [edits[0]]
    await done(inbox, edits[0])
    assert await claimed(inbox) == [edits[1]]


async def test_a_job_waits_a_quarter_of_an_hour_for_an_id_that_nobody_knows(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    await inbox.store.turn([Settled(await inbox.claim_one(), Sent(None))], {}, known=())
    edit = job(inbox, "edit", message, {"text": "x"})
    assert await claimed(inbox) == []
    inbox.kit.calendar.advance(901)
    (found,) = (await inbox.kit.take_over().claim_jobs([inbox.account], known=())).jobs
    assert (found.id, found.telegram_ids) == (edit, ())


async def test_what_became_of_a_message_that_was_not_sent_is_told(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "hi")
    edit = job(inbox, "edit", message, {"text": "x"})
    await inbox.store.turn([Settled(await inbox.claim_one(), Refused("USER_IS_BLOCKED"))], {}, known=())
    (found,) = await claim(inbox)
    assert (found.id, found.message) == (edit, JobMessage("text", "dead", "USER_IS_BLOCKED"))


# ---------------------------------------------------------------- a delete of what has not left


async def test_a_delete_of_a_message_that_waits_cancels_it_and_is_done(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "oops")
    edit, delete = job(inbox, "edit", message, {"text": "x"}), job(inbox, "delete", message)
    (found,) = await claim(inbox)
    assert status(inbox, delete) == ("completed", None)
    assert (found.id, found.message) == (edit, JobMessage("text", "cancelled", "cancelled"))
    assert await inbox.claim() == []
    assert inbox.message(message)["external_message_id"] == "error-oops"


async def test_it_does_so_while_its_account_is_offline(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "oops")
    delete = job(inbox, "delete", message)
    assert (await inbox.store.claim_jobs([], known=())).jobs == ()
    assert status(inbox, delete) == ("completed", None)
    assert await inbox.claim() == []


async def test_a_delete_of_a_message_that_is_on_its_way_waits_for_what_becomes_of_it(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "oops")
    attempt = await inbox.claim_one()
    delete = job(inbox, "delete", message)
    assert await claimed(inbox) == []
    turn = await inbox.store.turn((), {}, known=[message])
    assert list(turn.withdrawn) == [message]  # whoever has it in hand gives it back if nothing has left
    await inbox.send(attempt, 70)  # too late
    (found,) = await claim(inbox)
    assert (found.id, found.telegram_ids) == (delete, (70,))


async def test_a_delete_cancels_no_message_of_another_owner(inbox: Inbox) -> None:
    message = inbox.write(inbox.chat("500"), "mine")
    delete = job(inbox, "delete", message, owner_id=OTHER_OWNER)
    assert await claimed(inbox) == []
    assert status(inbox, delete) == ("failed", "its account belongs to another owner")
    assert len(await inbox.claim()) == 1


# ---------------------------------------------------------------- whose it is


async def test_a_job_without_an_account_takes_its_messages(inbox: Inbox) -> None:
    message = await sent(inbox)
    edit = job(inbox, "edit", message, {"text": "x"}, integration_account_id=None)
    (found,) = await claim(inbox)
    assert (found.id, found.account_id) == (edit, inbox.account)
    (row,) = inbox.kit.app.rows("message_jobs")
    assert row["integration_account_id"] is None  # the application's row stays as it is


async def test_a_job_about_a_chat_takes_its_conversations_last_account(kit: StoreKit, inbox: Inbox) -> None:
    await kit.store.add_account("bob", OWNER, "token", user_id=2)
    chat = inbox.chat("500")
    await sent(inbox, chat=chat)
    about(inbox, "mark_read", chat, integration_account_id=None)
    (found,) = await claim(inbox)
    assert found.account_id == inbox.account


async def test_a_job_takes_its_owners_only_account_and_fails_where_there_are_two(
    kit: StoreKit, inbox: Inbox
) -> None:
    first = about(inbox, "mark_read", inbox.chat("500"), integration_account_id=None)
    assert await claimed(inbox) == [first]
    await kit.store.add_account("bob", OWNER, "token", user_id=2)
    second = about(inbox, "mark_read", inbox.chat("501"), integration_account_id=None)
    assert await claimed(inbox, first) == []
    why = "no account: its message and chat had none, and its owner has not just one"
    assert status(inbox, second) == ("failed", why)


async def test_jobs_of_accounts_that_are_not_online_wait(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    read = about(inbox, "mark_read", inbox.chat("500"))
    assert (await kit.store.claim_jobs([bob], known=())).jobs == ()
    assert status(inbox, read) == ("pending", None)
    kit.app.update("integration_accounts", inbox.account, is_active=False)
    assert (await kit.store.claim_jobs([bob], known=())).jobs == ()
    assert status(inbox, read) == ("pending", None)


async def test_a_job_of_another_account_does_not_find_the_message(kit: StoreKit, inbox: Inbox) -> None:
    bob = await kit.store.add_account("bob", OWNER, "token", user_id=2)
    await inbox.store.ingest(inbox.account, batch(inbound(500, 44), peers=[user(500)]))
    (row,) = inbox.kit.app.rows("messages")
    inbox.kit.app.update("messages", row["id"], external_message_id=None)
    job(inbox, "react", row["id"], {"emoji": "👍"}, integration_account_id=bob)
    (found,) = (await kit.store.claim_jobs([bob], known=())).jobs
    assert found.telegram_ids == ()


# ---------------------------------------------------------------- what nobody can do


async def test_what_nobody_can_do_fails_with_its_reason(kit: StoreKit, inbox: Inbox) -> None:
    message = await sent(inbox)
    foreign = inbox.kit.app.insert("conversations", owner_id=OTHER_OWNER)
    other = inbox.kit.app.insert("conversations", owner_id=OWNER)
    email = inbox.write(ConversationId(other), "a letter", external_message_id="1")
    inbox.kit.app.update("messages", email, channel="email")
    wanted = {
        job(inbox, "edit", message, owner_id=OTHER_OWNER): "its account belongs to another owner",
        job(inbox, "edit", email, {"text": "x"}): "its message is not on Telegram",
        job(inbox, "typing"): "it names no message and no conversation",
        about(inbox, "mark_read", NOBODY): "its conversation does not exist",
        about(inbox, "mark_read", "no uuid"): "its conversation does not exist",
        about(inbox, "mark_read", foreign): "its conversation belongs to another owner",
    }
    assert await claimed(inbox) == []
    assert {each: status(inbox, each) for each in wanted} == {
        each: ("failed", why) for each, why in wanted.items()
    }
    assert await claimed(inbox) == []


async def test_typing_that_came_too_late_fails_even_while_its_account_is_offline(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    late = about(inbox, "typing", chat, created_at=(START - timedelta(seconds=11)).isoformat())
    fresh = about(inbox, "typing", chat, created_at=(START - timedelta(seconds=9)).isoformat())
    await inbox.store.claim_jobs([], known=())
    assert status(inbox, late) == ("failed", "it came too late: typing is worth nothing after 10 s")
    assert status(inbox, fresh) == ("pending", None)


@pytest.mark.parametrize("payload", ["null", "[]", "7", '"text"', "true", '{"conversation_id": null}'])
async def test_a_payload_of_any_kind_reaches_the_worker_as_what_it_is(inbox: Inbox, payload: str) -> None:
    message = await sent(inbox)
    odd = job(inbox, "edit", message, json.loads(payload))
    (found,) = await claim(inbox)
    assert found.id == odd
    assert found.payload == (json.loads(payload) if payload.startswith("{") else None)


async def test_a_payload_of_a_megabyte_is_not_carried_about(inbox: Inbox) -> None:
    message = await sent(inbox)
    job(inbox, "edit", message, {"text": "x" * 1_000_000})
    (found,) = await claim(inbox)
    assert found.payload is None


@pytest.mark.parametrize("conversation", [7, -(2**70), "x" * 10_000, {"a": 1}, [], True, 1.5, "\ud7ff'; --"])
async def test_a_conversation_that_is_none_fails_by_itself(inbox: Inbox, conversation: object) -> None:
    odd = job(inbox, "mark_read", payload={"conversation_id": conversation})
    fine = about(inbox, "mark_read", inbox.chat("500"))
    assert await claimed(inbox) == [fine]
    assert status(inbox, odd) == ("failed", "its conversation does not exist")


@pytest.mark.parametrize("action", ["", "Edit ", "foo", "drop table messages", "e" * 10_000])
async def test_an_unknown_action_reaches_the_worker_and_waits_for_nothing(inbox: Inbox, action: str) -> None:
    waiting = inbox.write(inbox.chat("500"), "later")
    odd = job(inbox, action, waiting)
    assert await claimed(inbox) == [odd]


async def test_a_status_that_nobody_knows_is_left_alone(inbox: Inbox) -> None:
    chat = inbox.chat("500")
    for odd in ("Pending", "", "done"):
        about(inbox, "mark_read", chat, status=odd)
    assert await claimed(inbox) == []


# ---------------------------------------------------------------- attempts, fences, crashes


async def test_attempts_are_counted_unless_nothing_was_tried(inbox: Inbox) -> None:
    read = about(inbox, "mark_read", inbox.chat("500"))
    (first,) = await claim(inbox)
    assert first.attempt == 1
    await inbox.store.settle_jobs([JobVerdict(read, ended=False, retry_after_s=1)])
    assert status(inbox, read) == ("pending", None)
    inbox.kit.calendar.advance(2)
    (second,) = await claim(inbox)
    assert second.attempt == 2
    await inbox.store.settle_jobs([JobVerdict(read, ended=False, was_tried=False)])
    (again,) = await claim(inbox)
    assert again.attempt == 2


async def test_a_job_that_its_holder_forgot_is_handed_over_again_as_the_same_attempt(inbox: Inbox) -> None:
    read = about(inbox, "mark_read", inbox.chat("500"))
    assert await claimed(inbox) == [read]
    assert await claimed(inbox, read) == []
    (again,) = await claim(inbox)
    assert (again.id, again.attempt) == (read, 1)


async def test_a_crash_leaves_nothing_in_processing(kit: StoreKit, inbox: Inbox) -> None:
    old, new = about(inbox, "mark_read", inbox.chat("500")), about(inbox, "mark_read", inbox.chat("501"))
    assert await claimed(inbox, limit=1) == [old]
    heir = kit.take_over()
    # Before what is new, and whatever the heir believes to know.
    jobs = (await heir.claim_jobs([inbox.account], known=[old])).jobs
    assert [(each.id, each.attempt) for each in jobs] == [(old, 2), (new, 1)]
    await heir.settle_jobs([JobVerdict(old, ended=True)])
    assert status(inbox, old) == ("completed", None)


async def test_who_was_replaced_writes_nothing_more(kit: StoreKit, inbox: Inbox) -> None:
    read = about(inbox, "mark_read", inbox.chat("500"))
    await claim(inbox)
    heir = kit.take_over()
    await heir.claim_jobs([inbox.account], known=())
    with suppress(StoreSuperseded):  # the embedded store says so, Supabase writes nothing
        await kit.store.settle_jobs([JobVerdict(read, ended=True, error="too late")])
    assert status(inbox, read) == ("processing", None)


async def test_a_job_that_the_worker_dies_of_is_given_up(kit: StoreKit, inbox: Inbox) -> None:
    read = about(inbox, "mark_read", inbox.chat("500"))
    store = kit.store
    for _ in range(10):
        assert len((await store.claim_jobs([inbox.account], known=())).jobs) == 1
        store = kit.take_over()
    assert (await store.claim_jobs([inbox.account], known=())).jobs == ()
    assert status(inbox, read) == ("failed", "given up: the worker ended 10 times while it had it in hand")


async def test_a_job_ends_once_with_its_reason(inbox: Inbox) -> None:
    message = await sent(inbox)
    delete = job(inbox, "delete", message)
    await claim(inbox)
    await inbox.store.settle_jobs([JobVerdict(delete, ended=True, error="MESSAGE_DELETE_FORBIDDEN")])
    await inbox.store.settle_jobs([JobVerdict(delete, ended=True)])
    assert status(inbox, delete) == ("failed", "MESSAGE_DELETE_FORBIDDEN")


async def test_a_job_that_the_application_takes_away_or_ends_itself_is_let_go(inbox: Inbox) -> None:
    removed, ended = (about(inbox, "mark_read", inbox.chat(each)) for each in ("500", "501"))
    await claim(inbox)
    inbox.kit.app.delete("message_jobs", removed)
    inbox.kit.app.update("message_jobs", ended, status="failed", error_message="by hand")
    await done(inbox, removed, ended)
    row = inbox.kit.app.row("message_jobs", ended)
    assert row is not None
    assert (row["status"], row["error_message"]) == ("failed", "by hand")
