"""The answer to every function is lost after the commit: it is asked again, and nothing is there twice."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
import trio

import tgworker.supabase
from contracts.store_kit import batch, inbound, user
from stack_kit import Database
from tgworker.devstack import Fault, Stack
from tgworker.messaging.errors import StoreAway, StoreFault
from tgworker.messaging.incoming_files import Fetched
from tgworker.messaging.job_outcomes import JobVerdict
from tgworker.messaging.limits import Retention
from tgworker.messaging.login_ports import LoginNews, LoginState
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.models import (
    AccountState,
    Copy,
    Heartbeat,
    Owned,
    Position,
    Recipients,
    Secret,
    Sought,
    WorkerStatus,
)
from tgworker.messaging.outcomes import Refused, Sent, Settled, Unresolved
from tgworker.messaging.pacing import Scope, ScopeKind, StoredWait
from tgworker.messaging.presence import Presence
from tgworker.messaging.records import CancelAnswer, OutboxState
from tgworker.supabase import (
    Holder,
    LongPoll,
    SupabaseHeartbeat,
    SupabaseLeases,
    SupabaseStore,
    check_schema,
    open_rest,
)

OWNER = "0f000000-0000-4000-8000-000000000001"
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LOST = 3
"""The client itself sends a request that tore once more: the third loss is the caller's second."""

T = TypeVar("T")


def functions() -> set[str]:
    """Every function that the adapter calls."""
    folder = Path(tgworker.supabase.__file__).parent
    text = "".join(file.read_text() for file in folder.glob("*.py"))
    return set(re.findall(r'"(tgworker_\w+)"', text))


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """What every loop does: ask until the store answers."""
    while True:
        try:
            return await call()
        except StoreAway:
            await trio.sleep(0.02)


@pytest.mark.slow
async def test_no_function_minds_that_its_answer_is_lost(stack: Stack, database: Database) -> None:
    for name in functions():
        stack.faults.set(Fault("lose_answer", path=f"/rest/v1/rpc/{name}", count=LOST))
    async with open_rest(stack.url, Secret(stack.service_role_key)) as rest:
        leases = SupabaseLeases(rest, Holder(uuid4(), 1, "w"), clock=trio.current_time)
        store = SupabaseStore(rest, leases)
        heartbeat = SupabaseHeartbeat(rest)

        await again(lambda: check_schema(rest))
        account = await again(lambda: store.add_account("me", OWNER, "token", user_id=1))
        assert [found.id for found in await again(store.active_accounts)] == [account]
        assert await again(lambda: leases.acquire([account])) == {}
        await again(leases.renew)
        await again(lambda: store.record_account(account, AccountState.ONLINE, last_error=None, user_id=1))
        await again(lambda: store.record_synced([account]))
        await again(lambda: store.save_peers(account, [user(500, photo_id=9)]))
        assert await again(lambda: store.peers(account)) == [user(500, photo_id=9)]

        position = Position(7, 1, 2, 3, {9: 4})
        photo = FileFacts(FileKind.PHOTO, 7, "image/jpeg")
        some = batch(inbound(500, 70, "one", file=photo), inbound(500, 71, "two"), position=position)
        await again(lambda: store.ingest(account, some))
        assert await again(lambda: store.position(account)) == position
        found = await again(lambda: store.find_messages(account, [70, 71, 72], chat_id=None))
        assert sorted(found) == [(500, 70), (500, 71)]

        fetched = Fetched("media", "a", "a.jpg", "image/jpeg", 7)
        (file,) = await again(lambda: store.wanted_files(account))
        await again(lambda: store.finish_file(account, file, fetched))
        assert await again(lambda: store.wanted_files(account)) == []
        (avatar,) = await again(lambda: store.wanted_avatars(account))
        await again(lambda: store.finish_avatar(account, avatar, fetched, url="https://a"))
        assert await again(lambda: store.wanted_avatars(account)) == []

        wait = StoredWait(Scope(ScopeKind.METHOD, "messages.sendMessage"), 60, "FLOOD_WAIT_60")
        await again(lambda: store.save_waits(account, [wait]))
        (waits,) = await again(lambda: store.waits(account))
        assert waits.scope == wait.scope
        messages = await again(lambda: store.enqueue(account, "500", ["hello", "you"]))
        assert await again(lambda: LongPoll(rest, wait_s=1).wait([account], jobs_of=[account]))
        (attempt,) = (await again(lambda: store.turn((), {account: 5}, known=()))).attempts
        await again(lambda: store.record_progress(attempt, 1, 2))
        # And once more where it settles, too.
        stack.faults.set(Fault("lose_answer", path="/rest/v1/rpc/tgworker_tick", count=LOST))
        outcome = Settled(attempt, Sent(72))
        (behind,) = (await again(lambda: store.turn([outcome], {account: 5}, known=()))).attempts
        assert (attempt.number, behind.number) == (LOST + 1, LOST + 1)
        outcome = Settled(behind, Sent(None))
        assert list((await again(lambda: store.turn([outcome], {account: 5}, known=()))).attempts) == []
        # (It is handed out as often as answers were lost, and then no more.)
        assert await again(lambda: store.unnamed(account)) == []
        assert await again(lambda: store.owned(behind, 500, [72, 73])) == Owned(frozenset({72}), rivals=False)
        await again(lambda: store.name(behind, 500, Copy(73, NOON)))
        assert await again(lambda: store.is_acquainted(account, attempt.conversation_id))
        records = await again(lambda: store.outcomes(messages))
        assert [records[message].state for message in messages] == [OutboxState.SENT] * 2
        assert await again(store.list_outbox) == []

        (strange,) = await again(lambda: store.enqueue(account, "@ada", ["dear"]))
        (unknown,) = (await again(lambda: store.turn((), {account: 5}, known=()))).attempts
        outcome = Settled(unknown, Unresolved("who is it?"))
        await again(lambda: store.turn([outcome], {}, known=()))
        assert await again(lambda: store.recipients(account)) == Recipients(False, (Sought("@ada"),))
        await again(lambda: store.record_introduced(account))
        refused = {"@ada": Refused("USERNAME_NOT_OCCUPIED")}
        assert list(await again(lambda: store.record_recipients(account, refused))) == []
        assert await again(lambda: store.recipients(account)) == Recipients(True, ())
        assert await again(lambda: store.retry([strange])) == {strange: OutboxState.WAITING}
        assert await again(lambda: store.cancel([strange])) == {strange: CancelAnswer.CANCELLED}

        asked_for = await again(lambda: store.request_history(account, "500", limit=100))
        assert [row.job_id for row in await again(store.histories)] == [asked_for]
        await database.sql(
            "insert into message_jobs (owner_id, integration_account_id, action, payload)"
            f" select '{OWNER}', '{account}', 'mark_read', jsonb_build_object('conversation_id', id)"
            " from conversations limit 1"
        )
        assert await again(store.count_history) == 1
        (history,) = await again(lambda: store.claim_history([account], known=()))
        await again(lambda: store.save_history(history, [inbound(500, 60, "old")], []))
        await again(lambda: store.finish_history(history.id))
        whole = await again(lambda: store.request_history(account, "all", limit=100))
        (job_of_all,) = await again(lambda: store.claim_history([account], known=()))
        await again(lambda: store.put_history_off(job_of_all, seconds=0, note="later"))
        (job_of_all,) = await again(lambda: store.claim_history([account], known=()))
        await again(lambda: store.keep_takeout(job_of_all, "sealed"))
        await again(lambda: store.file_chats(job_of_all, [500, 501], [user(500)], cursor=None))
        assert [row.chats for row in await again(lambda: store.histories([whole]))] == [2]
        for _ in range(3):
            (claimed,) = await again(lambda: store.claim_history([account], known=()))
            await again(partial(store.finish_history, claimed.id))
        assert await again(store.histories) == []
        (job,) = (await again(lambda: store.claim_jobs([account], known=()))).jobs
        await again(lambda: store.settle_jobs([JobVerdict(job.id, ended=True)]))

        await again(lambda: heartbeat.write(Heartbeat("w", WorkerStatus.ONLINE, {}, 1, 1)))
        row = await again(lambda: heartbeat.read("w"))
        assert row is not None
        assert (row.status, row.seq) == ("online", 1)

        for number in (1, 2):
            await database.sql(
                f"insert into tgworker_login_requests (owner_id, phone) values ('{OWNER}', '{number}')"
            )
        ticket = str(uuid4())
        one, two = await again(lambda: store.claim_logins(ticket, known=(), limit=2))
        await again(lambda: store.tell_login(ticket, one.id, LoginNews(LoginState.CODE_SENT, left=3)))
        await database.sql(f"update tgworker_login_requests set code = '12345' where id = '{one.id}'")
        # (What is read is lost with the answer that it is emptied: whoever gave it is asked once more.)
        assert await again(lambda: store.take_answer(ticket, one.id)) is None
        await database.sql(f"update tgworker_login_requests set code = '12346' where id = '{one.id}'")
        assert await again(lambda: store.take_answer(ticket, one.id)) == Secret("12346")
        assert await again(lambda: store.take_answer(ticket, one.id)) is None
        store_login = partial(store.store_login, ticket, one.id, "token", user_id=1, phone=None)
        assert await again(store_login) == account
        await again(lambda: store.end_login(ticket, two.id, LoginState.FAILED, "no"))
        assert (
            await database.sql("select string_agg(state, ' ') from tgworker_login_requests") == "done failed"
        )

        await again(lambda: store.record_presence({account: [Presence(500, is_online=True)]}))
        await again(lambda: store.shown([account]))

        record = await again(lambda: store.find_account("me"))
        assert record is not None
        assert len(await again(store.list_accounts)) == 1
        told = await again(lambda: store.transcript(account, direction="inbound"))
        assert told == [(500, "old"), (500, "one"), (500, "two")]
        sent = await again(lambda: store.transcript(account, direction="outbound"))
        assert sent == [(500, "hello"), (500, "you")]
        assert await again(lambda: store.sweep(Retention())) is False
        # (Nothing is to be adopted here; what these do where something is, the functions' own tests repeat.)
        assert (await again(lambda: store.adoption.session(account))).ours is None
        for step in (store.adoption.adopt, store.adoption.release):
            with pytest.raises(StoreFault, match=r"all accounts are ours|was not adopted"):
                await again(partial(step, account))
        assert await again(store.adoption.finish) == []
        await again(lambda: store.forget_user(account, 2))
        assert await again(lambda: store.position(account)) is None
        await again(lambda: leases.release([account]))
        assert await again(lambda: leases.acquire([account])) == {}
        await again(lambda: leases.release([account]))
        assert await again(lambda: store.held_s(account)) == 0
        await again(lambda: store.switch_account(account, active=False))
        await again(lambda: store.replace_session(account, "token", "other"))
        assert await database.sql("select sum(messages_synced) from sync_history_jobs") == "1"
        await again(lambda: store.remove_account(account))
        assert await again(store.list_accounts) == []

    counts = (
        "select (select count(*) from messages), (select count(*) from conversations),"
        " (select max(unread_count) from conversations), (select count(*) from sync_history_jobs),"
        " (select count(*) from integration_accounts), (select count(*) from tgworker_outbox),"
        " (select count(*) from attachments), (select max(bytes_total) from tgworker_outbox)"
    )
    assert await database.sql(counts) == "6|2|2|0|0|3|1|2"
    # Each function lost as many answers as it was to lose: a fault that is over is not listed any more.
    assert [each.fault.path for each in stack.faults.listing()] == []
    assert stack.faults.hits() == {"lose_answer": LOST * (len(functions()) + 1)}
