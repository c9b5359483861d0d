"""Keys, roles and row security through the gateway, as Supabase has them."""

import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import trio

from tgworker.devstack import Stack, sign

HERS = "00000000-0000-0000-0000-00000000000a"


async def texts(client: httpx.AsyncClient, **headers: str) -> tuple[int, Any]:
    answer = await client.get("/rest/v1/notes?select=text&order=id", headers=headers)
    return answer.status_code, answer.json()


async def whoami(client: httpx.AsyncClient, **headers: str) -> str:
    return str((await client.post("/rest/v1/rpc/whoami", headers=headers)).json())


async def test_the_key_alone_gives_no_rights_and_row_security_answers_with_nothing(
    bare: httpx.AsyncClient, stack: Stack
) -> None:
    for key in (stack.service_role_key, stack.anon_key):
        assert await texts(bare, apikey=key) == (200, [])
        assert await whoami(bare, apikey=key) == "anon"


async def test_service_role_is_not_bound_by_row_security(bare: httpx.AsyncClient, stack: Stack) -> None:
    key = stack.service_role_key
    assert await texts(bare, apikey=key, authorization=f"Bearer {key}") == (
        200,
        [{"text": "hers"}, {"text": "his"}],
    )


async def test_the_key_may_stand_in_the_query(bare: httpx.AsyncClient, stack: Stack) -> None:
    answer = await bare.get("/rest/v1/rpc/whoami", params={"apikey": stack.anon_key})
    # PostgREST takes every word of the query for an argument; the hosted gateway leaves it there as well.
    assert answer.json()["code"] == "PGRST202"


@pytest.mark.parametrize("places", [("apikey",), ("apikey", "authorization"), ("authorization", "apikey")])
async def test_a_secret_key_is_changed_into_service_role_s_jwt(
    places: tuple[str, ...], bare: httpx.AsyncClient, stack: Stack
) -> None:
    headers = dict.fromkeys(places, stack.keys.secret)
    if "authorization" in headers:
        headers["authorization"] = f"Bearer {stack.keys.secret}"
    assert await whoami(bare, **headers) == "service_role"
    assert (await texts(bare, **headers))[1] == [{"text": "hers"}, {"text": "his"}]


async def test_a_publishable_key_is_anon(bare: httpx.AsyncClient, stack: Stack) -> None:
    assert await whoami(bare, apikey=stack.keys.publishable) == "anon"


async def test_a_user_s_token_counts_beside_any_key(bare: httpx.AsyncClient, stack: Stack) -> None:
    token = sign("authenticated", sub=HERS)
    for key in (stack.anon_key, stack.keys.publishable, stack.keys.secret):
        assert await texts(bare, apikey=key, authorization=f"Bearer {token}") == (200, [{"text": "hers"}])


async def test_without_a_key_or_with_another_s_the_gateway_refuses(bare: httpx.AsyncClient) -> None:
    status, body = await texts(bare)
    assert (status, body["message"]) == (401, "No API key found in request")
    for key in ("sb_secret_of_another_project", sign("service_role", secret="x" * 40)):
        status, body = await texts(bare, apikey=key)
        assert (status, body["message"]) == (401, "Invalid API key")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (sign("service_role", secret="another secret of forty characters or more"), "PGRST301"),
        (sign("service_role", expires_at=int(time.time()) - 3600), "PGRST301"),
    ],
    ids=["wrong", "expired"],
)
async def test_a_wrong_or_expired_token_is_refused_by_postgrest(
    token: str, code: str, bare: httpx.AsyncClient, stack: Stack
) -> None:
    status, body = await texts(bare, apikey=stack.anon_key, authorization=f"Bearer {token}")
    assert (status, body["code"]) == (401, code)


async def test_functions_for_service_role_alone_tell_keys_apart(
    bare: httpx.AsyncClient, stack: Stack
) -> None:
    path = "/rest/v1/rpc/only_service"
    assert (await bare.post(path, headers={"apikey": stack.keys.secret})).json() == "service_role"
    refused = await bare.post(path, headers={"apikey": stack.service_role_key})
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")


async def test_the_statement_timeout_binds_service_role(service: httpx.AsyncClient, stack: Stack) -> None:
    name = stack.database
    await stack.postgresql.run_sql(
        f"alter role authenticator in database {name} set statement_timeout = '200ms'", user="supabase_admin"
    )
    await stack.postgrest.restart()
    answer = await service.post("/rest/v1/rpc/nap", json={"p_seconds": 5})
    assert (answer.status_code, answer.json()["code"]) == (500, "57014")


async def test_other_paths_lead_nowhere(service: httpx.AsyncClient) -> None:
    for path in ("/", "/rest/v1", "/auth/v1/token", "/rest/v2/notes"):
        answer = await service.get(path)
        assert (answer.status_code, answer.json()) == (404, {"message": "no Route matched with those values"})


async def test_bodies_and_headers_arrive_both_ways(service: httpx.AsyncClient) -> None:
    text = "x" * 3_000_000
    written = await service.post(
        "/rest/v1/notes", json={"text": text}, headers={"prefer": "return=representation,count=exact"}
    )
    assert (written.status_code, written.json()[0]["text"]) == (201, text)
    counted = await service.head("/rest/v1/notes", headers={"prefer": "count=exact"})
    assert counted.headers["content-range"] == "0-2/3"
    assert (await service.delete("/rest/v1/notes?id=gt.2")).status_code == 204
    chunked = await service.post(
        "/rest/v1/notes",
        content=pieces(b'{"text": ', b'"in pieces"}'),
        headers={"content-type": "application/json"},
    )
    assert chunked.status_code == 201
    assert (await texts(service))[1][-1] == {"text": "in pieces"}


async def pieces(*parts: bytes) -> AsyncGenerator[bytes]:
    for part in parts:
        await trio.lowlevel.checkpoint()
        yield part


async def test_a_connection_serves_many_requests(service: httpx.AsyncClient) -> None:
    connections: set[Any] = set()
    for _ in range(5):
        answer = await service.get("/rest/v1/notes")
        connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(connections) == 1


async def test_what_is_not_http_is_told_so(stack: Stack) -> None:
    host, _, port = stack.gateway.address.partition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"HELO\r\n\r\n")
        assert (await stream.receive_some(65536)).startswith(b"HTTP/1.1 400 ")
        assert await stream.receive_some(65536) == b""


async def test_new_tables_are_seen(service: httpx.AsyncClient, stack: Stack) -> None:
    assert (await service.get("/rest/v1/later")).status_code == 404
    await stack.postgresql.run_sql("create table later (a int)", database=stack.database)
    with trio.fail_after(20):
        while (await service.post("/rest/v1/later", json={"a": 1})).status_code != 201:
            await trio.sleep(0.02)
