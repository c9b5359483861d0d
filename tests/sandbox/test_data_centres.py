"""Several data centres in one sandbox, and packets that are answered with an error code alone."""

from functools import partial
from typing import Any

import pytest
import trio
from telethon.tl import functions

from sandbox.mini_client import MiniClient, RpcFailure, key_of, open_mini
from tgworker.sandbox import Fault, Sandbox, SandboxError, ServerKey, open_sandbox
from tgworker.sandbox.string_session import string_session

GET_STATE = functions.updates.GetStateRequest()


async def answers(sandbox: Sandbox, port: int, session: str) -> list[int]:
    """The transport errors that a client meets which says one thing."""
    async with await trio.open_tcp_stream(sandbox.host, port) as stream, trio.open_nursery() as nursery:
        client = MiniClient(stream, key_of(session))
        nursery.start_soon(client.read)
        await client.post(functions.PingRequest(1))
        with trio.fail_after(10):
            await client.until(lambda: bool(client.errors or client.received))
        nursery.cancel_scope.cancel()
        return client.errors


async def test_each_knows_its_own_keys(server_key: ServerKey) -> None:
    async with open_sandbox(users=2, key=server_key, more_dcs=(4, 5)) as sandbox:
        alice, bob = sandbox.users
        assert list(sandbox.dcs) == [2, 4, 5]
        ports = {dc: int(address.rpartition(":")[2]) for dc, address in sandbox.dcs.items()}
        assert ports[2] == sandbox.port
        sandbox.move_user(bob.id, 4)
        session = sandbox.new_session(bob.id)
        assert session == string_session(4, sandbox.host, ports[4], key_of(session))
        assert await answers(sandbox, ports[4], session) == []
        assert await answers(sandbox, ports[2], session) == [-404]
        assert await answers(sandbox, ports[4], alice.session) == [-404]


async def test_who_lives_elsewhere_is_sent_there(server_key: ServerKey) -> None:
    async with open_sandbox(users=2, key=server_key, more_dcs=(4,)) as sandbox:
        alice = sandbox.users[0]
        async with open_mini(sandbox, alice.session) as client:
            await client.ask(GET_STATE)
            sandbox.move_user(alice.id, 4)
            with pytest.raises(RpcFailure, match="USER_MIGRATE_4") as failure:
                await client.ask(GET_STATE)
            assert failure.value.code == 303
            sandbox.move_user(alice.id, 2)
            await client.ask(GET_STATE)
        with pytest.raises(SandboxError, match="no data centre 7"):
            sandbox.move_user(alice.id, 7)
    with pytest.raises(SandboxError, match="data centre 2 is there twice"):
        async with open_sandbox(more_dcs=(2,)):
            pass


async def test_a_packet_is_answered_with_a_code_and_not_executed(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.faults.set(Fault("transport_error", "raw", user=alice.id, code=429, count=1))
    assert await answers(sandbox, sandbox.port, alice.session) == [-429]
    assert await answers(sandbox, sandbox.port, alice.session) == []
    sandbox.faults.set(Fault("transport_error", "raw", user=alice.id, code=404))
    for _ in range(3):
        assert await answers(sandbox, sandbox.port, alice.session) == [-404]
    assert await answers(sandbox, sandbox.port, bob.session) == []
    assert sandbox.statistics().faults == {"transport_error": 4}


async def test_a_connection_may_give_nothing_but_the_code(sandbox: Sandbox) -> None:
    sandbox.faults.set(Fault("transport_error", "connect", code=429, count=1))
    session = sandbox.users[0].session
    async with (
        await trio.open_tcp_stream(sandbox.host, sandbox.port) as stream,
        trio.open_nursery() as nursery,
    ):
        client = MiniClient(stream, key_of(session))
        nursery.start_soon(client.read)
        for number in range(1, 4):
            await client.post(functions.PingRequest(number))
            with trio.fail_after(10):
                await client.until(partial(met, client, number))
        assert (client.errors, client.received) == ([-429] * 3, [])
        nursery.cancel_scope.cancel()
    assert await answers(sandbox, sandbox.port, session) == []


def met(client: MiniClient, count: int) -> bool:
    return len(client.errors) == count


@pytest.mark.parametrize(
    "wrong",
    [{"code": 500}, {"method": "ping"}, {"method": "*"}, {"method": "messages.sendMessage"}],
)
def test_only_what_telegram_has_is_a_transport_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="transport_error"):
        Fault("transport_error", wrong.get("method", "raw"), code=wrong.get("code", 404))


@pytest.mark.parametrize("reason", ["SESSION_EXPIRED", "USER_DEACTIVATED_BAN"])
async def test_keys_die_of_other_reasons_too(sandbox: Sandbox, reason: Any) -> None:
    alice = sandbox.users[0]
    async with open_mini(sandbox, alice.session) as client:
        assert sandbox.revoke(alice.id, reason) == 1
        with pytest.raises(RpcFailure, match=reason) as failure:
            await client.ask(GET_STATE)
        assert failure.value.code == 401
    assert sandbox._cloud.directory.get(alice.id).banned is reason.startswith("USER")
