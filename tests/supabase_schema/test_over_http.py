"""Through PostgREST, as the worker calls: arguments by name, answers as JSON, errors with their status."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from stack_kit import Database
from supabase_schema.world import OWNER
from tgworker.devstack import Stack

HOLDER = str(uuid4())


async def call(stack: Stack, key: str, function: str, **arguments: Any) -> httpx.Response:
    headers = {"apikey": key, "authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=20) as client:
        return await client.post(f"/rest/v1/rpc/{function}", json=arguments)


async def account_of(database: Database) -> str:
    return await database.sql(f"insert into integration_accounts (owner_id) values ('{OWNER}') returning id")


@pytest.mark.slow
async def test_a_message_goes_all_the_way(stack: Stack, database: Database) -> None:
    account, message = await account_of(database), str(uuid4())

    async def rpc(function: str, **arguments: Any) -> Any:
        answer = await call(stack, stack.service_role_key, function, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert (await rpc("tgworker_schema"))["version"] == 1
    leases = await rpc(
        "tgworker_acquire_leases", p_holder=HOLDER, p_incarnation=1, p_worker="w", p_accounts=[account]
    )
    assert leases["leases"] == [{"account": account, "fence": 1}]
    # Values that only a 64-bit integer holds come through.
    peer = {
        "chat_id": 500,
        "kind": "user",
        "access_hash": -(2**63),
        "first_name": "Olá 👩‍👩‍👧",
        "username": "Ada",
    }
    batch = {
        "peers": [peer],
        "position": {"pts": 2**53 + 1, "qts": 0, "date": 0, "seq": 0, "channels": {"7": 1}},
    }
    ingested = await rpc("tgworker_ingest", p_account=account, p_fence=1, p_batch=batch)
    assert ingested == {"new": 0, "messages": []}
    assert (await rpc("tgworker_position", p_account=account))["pts"] == 2**53 + 1
    text = 'line\nbreak "quotes" \u2028 \' %s'
    await rpc("tgworker_enqueue", p_account=account, p_to="@ada", p_messages=[{"id": message, "text": text}])
    assert await rpc("tgworker_wait", p_accounts=[account], p_timeout_s=1) == {"work": True, "jobs": False}
    slots = [{"account": account, "fence": 1, "free": 5}]
    ticked = await rpc("tgworker_tick", p_holder=HOLDER, p_slots=slots, p_known=[])
    (attempt,) = ticked["claim"]["attempts"]
    assert (attempt["text"], attempt["to"]) == (text, "500")
    assert attempt["peer"]["access_hash"] == -(2**63)
    item = {**attempt, "outcome": "sent", "telegram_id": 70, "sent_at": "2026-01-01T00:00:00Z"}
    assert await rpc("tgworker_settle", p_items=[item]) == {"settled": [message], "stale": []}
    (record,) = await rpc("tgworker_outcomes", p_ids=[message, "nonsense"])
    assert (record["state"], record["telegram_id"]) == ("sent", 70)


@pytest.mark.slow
async def test_errors_come_with_their_status_and_their_case(stack: Stack, database: Database) -> None:
    account = await account_of(database)
    key = stack.service_role_key
    enqueue = {"p_messages": [], "p_to": "nobody in particular"}
    cases: list[tuple[str, dict[str, Any], int, str, str]] = [
        ("tgworker_ingest", {"p_account": account, "p_fence": 7, "p_batch": {}}, 409, "PT409", "lease_lost"),
        ("tgworker_enqueue", {"p_account": account, **enqueue}, 422, "PT422", "recipient_unknown"),
        ("tgworker_enqueue", {"p_account": HOLDER, **enqueue}, 410, "PT410", "account_gone"),
        ("tgworker_adopt_account", {"p_account": account}, 409, "PT409", "not_adopted"),
        (
            "tgworker_renew_leases",
            {"p_holder": HOLDER, "p_leases": [], "p_ttl_s": 1},
            400,
            "PT400",
            "bad_request",
        ),
    ]
    for function, arguments, status, code, case in cases:
        answer = await call(stack, key, function, **arguments)
        body = answer.json()
        assert (answer.status_code, body["code"], body["details"]) == (status, code, case), body
        assert body["message"]


@pytest.mark.slow
async def test_a_key_of_another_role_is_told_so(stack: Stack) -> None:
    answer = await call(stack, stack.anon_key, "tgworker_schema")
    assert answer.status_code in (401, 403, 404)
    assert "version" not in answer.text
