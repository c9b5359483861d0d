"""Two connections that use one key at the same time kill it; reconnections and black holes do not."""

import pytest
import trio
from telethon.tl import functions
from trio.testing import MockClock

from sandbox.mini_client import MiniClient, RpcFailure, open_mini
from tgworker.sandbox import Fault, Sandbox
from tgworker.sandbox.rivals import GRACE_S

GET_STATE = functions.updates.GetStateRequest()


async def is_dead(client: MiniClient) -> bool:
    pending = await client.post(GET_STATE)
    await pending.done.wait()
    if not isinstance(pending.result, RpcFailure):
        return False
    assert (pending.result.code, pending.result.message) == (406, "AUTH_KEY_DUPLICATED")
    return True


async def test_two_connections_in_use_kill_the_key_for_ever(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as one, open_mini(sandbox, session) as two:
        assert not await is_dead(one)
        began = trio.current_time()
        assert await is_dead(two)
        assert trio.current_time() - began == GRACE_S
        assert await is_dead(one)
    async with open_mini(sandbox, session) as three:
        assert await is_dead(three)
    assert sandbox.statistics().duplicated_keys == 1
    async with open_mini(sandbox, sandbox.new_session(sandbox.users[0].id)) as fresh:
        assert not await is_dead(fresh)


async def test_the_first_hears_no_updates_any_more(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as one, open_mini(sandbox, alice.session) as two:
        await one.ask(GET_STATE)
        assert await is_dead(two)
        heard = len(one.received)
        sandbox.send_text(bob.id, alice.id, "unheard")
        await trio.sleep(10)
        assert len(one.received) == heard


async def test_a_second_connection_that_asks_nothing_is_harmless(sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as one, open_mini(sandbox, session) as two:
        assert not await is_dead(one)
        await two.ask(functions.PingRequest(2))
        assert not await is_dead(one)


async def test_a_connection_that_was_closed_is_no_rival(sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    for _ in range(5):
        async with open_mini(sandbox, session) as client:
            assert not await is_dead(client)


async def test_a_connection_that_closes_a_moment_later_is_no_rival(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as two, trio.open_nursery() as nursery:
        async with open_mini(sandbox, session) as one:
            await one.ask(GET_STATE)
            nursery.start_soon(two.ask, GET_STATE)
            await trio.sleep(GRACE_S / 2)
        assert not await is_dead(two)
    assert trio.current_time() == pytest.approx(GRACE_S / 2)


async def test_the_same_session_over_another_connection_is_a_reconnection(sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as one:
        assert not await is_dead(one)
        async with open_mini(sandbox, session, greet=False) as two:
            two.state.id, two.state.salt = one.state.id, one.state.salt
            assert not await is_dead(two)


async def test_who_vanished_in_a_black_hole_is_no_rival_until_he_is_heard_again(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as one:
        assert not await is_dead(one)
        hole = sandbox.faults.set(Fault("blackhole", "raw"))
        await one.post(functions.PingRequest(5))
        await trio.sleep(1)
        sandbox.faults.clear(hole)
        async with open_mini(sandbox, session) as two:
            assert not await is_dead(two)
            assert await is_dead(one)
            assert await is_dead(two)


async def test_where_duplicates_live_nobody_dies(sandbox: Sandbox) -> None:
    sandbox.behave(duplicates="live")
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as one, open_mini(sandbox, session) as two:
        for _ in range(3):
            assert not await is_dead(one)
            assert not await is_dead(two)


async def test_two_devices_of_one_user_are_no_rivals(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    async with (
        open_mini(sandbox, alice.session) as one,
        open_mini(sandbox, sandbox.new_session(alice.id)) as two,
    ):
        for _ in range(3):
            assert not await is_dead(one)
            assert not await is_dead(two)
