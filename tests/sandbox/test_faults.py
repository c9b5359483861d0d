"""Each named fault does what its name says, to whom it is meant for, as often as it is meant to."""

from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, open_plain, peer, send, texts
from tgworker.sandbox import Action, Fault, Sandbox

PING = functions.PingRequest(1)
GET_STATE = functions.updates.GetStateRequest()
SEND = "messages.sendMessage"
ME = types.InputPeerSelf()


async def silent(client: MiniClient, request: Any, seconds: float = 60) -> bool:
    """Whether a request is not answered for so long."""
    with trio.move_on_after(seconds) as scope:
        await client.ask(request)
    return scope.cancelled_caught


async def test_blackhole_swallows_a_request_and_leaves_the_line(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        hole = sandbox.faults.set(Fault("blackhole", SEND))
        assert await silent(client, send(ME, "lost", 1))
        assert await client.ask(PING)
        assert await client.ask(GET_STATE)
        sandbox.faults.clear(hole)
        await client.ask(send(ME, "not lost", 2))
        assert texts(sandbox, 0, 0) == ["not lost"]


async def test_drop_cuts_the_line_and_nothing_is_executed(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    sandbox.faults.set(Fault("drop", SEND))
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.post(send(ME, "lost", 1))
        await client.closed.wait()
    assert texts(sandbox, 0, 0) == []


async def test_delay_executes_and_answers_later(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("delay", SEND, seconds=7.5))
        began = trio.current_time()
        pending = await client.post(send(ME, "late", 1))
        await client.hear(types.MsgsAck)
        assert texts(sandbox, 0, 0) == []
        await client.ask(GET_STATE)
        assert trio.current_time() == began
        await pending.done.wait()
        assert trio.current_time() - began == 7.5
        assert texts(sandbox, 0, 0) == ["late"]


async def test_delay_executes_nothing_when_the_line_ends_before(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    sandbox.faults.set(Fault("delay", SEND, seconds=7.5))
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.post(send(ME, "too late", 1))
        await client.hear(types.MsgsAck)
    await trio.sleep(10)
    assert texts(sandbox, 0, 0) == []


async def test_rpc_error_answers_with_an_error_and_executes_nothing(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("rpc_error", SEND, code=-503, message="Timeout"))
        with pytest.raises(RpcFailure) as failure:
            await client.ask(send(ME, "refused", 1))
        assert (failure.value.code, failure.value.message) == (-503, "Timeout")
    assert texts(sandbox, 0, 0) == []


@pytest.mark.parametrize(("seconds", "announced"), [(33, 33), (0.2, 1), (1.5, 2), (86400, 86400)])
async def test_flood_wait_announces_whole_seconds(sandbox: Sandbox, seconds: float, announced: int) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("flood_wait", SEND, seconds=seconds))
        with pytest.raises(RpcFailure) as failure:
            await client.ask(send(ME, "too fast", 1))
        assert (failure.value.code, failure.value.message) == (420, f"FLOOD_WAIT_{announced}")
    assert texts(sandbox, 0, 0) == []


async def test_accept_mute_executes_and_swallows_the_answer(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("accept_mute", SEND, count=1))
        assert await silent(client, send(ME, "delivered", 1))
        assert texts(sandbox, 0, 0) == ["delivered"]
        assert client.heard(types.UpdateNewMessage) == []
        again = await client.ask(send(ME, "delivered", 1))
        assert type(again.updates[0]) is types.UpdateMessageID
        assert texts(sandbox, 0, 0) == ["delivered"]


async def test_accept_drop_executes_and_cuts_the_line(sandbox: Sandbox) -> None:
    sandbox.faults.set(Fault("accept_drop", SEND))
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        pending = await client.post(send(ME, "delivered", 1))
        await client.closed.wait()
        assert not pending.done.is_set()
    assert texts(sandbox, 0, 0) == ["delivered"]


async def test_half_close_executes_says_nothing_more_and_goes_on_reading(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("half_close", "ping"))
        pending = await client.post(PING)
        await client.closed.wait()
        assert not pending.done.is_set()
        await client.post(send(ME, "still heard", 1))
        await trio.sleep(1)
        assert texts(sandbox, 0, 0) == ["still heard"]
        assert sandbox.statistics().open == 1
    await trio.sleep(1)
    assert sandbox.statistics().open == 0


async def test_deaf_pushes_nothing_and_answers_everything(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        state = await client.ask(GET_STATE)
        sandbox.faults.set(Fault("deaf", "push", user=alice.id, count=1))
        sandbox.send_text(bob.id, alice.id, "unheard")
        await trio.sleep(1)
        assert client.heard(types.UpdateNewMessage) == []
        assert len(other.heard(types.UpdateNewMessage)) == 1
        since = functions.updates.GetDifferenceRequest(state.pts, state.date, state.qts)
        assert [each.message for each in (await client.ask(since)).new_messages] == ["unheard"]
        sandbox.send_text(bob.id, alice.id, "heard")
        await trio.sleep(1)
        assert [each.message.message for each in client.heard(types.UpdateNewMessage)] == ["heard"]


@pytest.mark.parametrize(("action", "method"), [("deaf", "ping"), ("deaf", "*"), ("drop", "push")])
def test_only_pushes_can_be_deaf(action: Action, method: str) -> None:
    with pytest.raises(ValueError, match="what is pushed can be deaf"):
        Fault(action, method)


# -- where


@pytest.mark.parametrize("user", [None, 1001])
async def test_a_raw_black_hole_swallows_everything_both_ways(
    sandbox: Sandbox, autojump_clock: MockClock, user: int | None
) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        hole = sandbox.faults.set(Fault("blackhole", "raw", user=user))
        assert await silent(client, PING)
        assert await silent(client, send(ME, "into the hole", 1))
        sandbox.send_text(bob.id, alice.id, "from the hole")
        await trio.sleep(60)
        assert client.heard(types.UpdateNewMessage) == []
        assert not client.closed.is_set()
        sandbox.faults.clear(hole)
        await trio.sleep(60)
        assert texts(sandbox, 0, 0) == []
        assert client.heard(types.UpdateNewMessage) == []
        assert await client.ask(PING)
        sandbox.send_text(bob.id, alice.id, "after the hole")
        assert (await client.hear(types.UpdateNewMessage)).message.message == "after the hole"


async def test_a_line_made_into_a_black_hole_hangs_and_never_recovers_what_it_wrote(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    hole = sandbox.faults.set(Fault("blackhole", "raw"))
    async with open_mini(sandbox, sandbox.users[0].session, greet=False) as client:
        pending = await client.post(GET_STATE)
        await trio.sleep(300)  # longer than a line without a word may stand
        assert not client.closed.is_set()
        sandbox.faults.clear(hole)
        await trio.sleep(300)
        assert not pending.done.is_set()
        assert await client.ask(GET_STATE)


async def test_a_handshake_vanishes_in_a_raw_black_hole(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    sandbox.faults.set(Fault("blackhole", "raw"))
    async with open_plain(sandbox) as line:
        with trio.move_on_after(100) as scope:
            await line.send(functions.ReqPqMultiRequest(1))
        assert scope.cancelled_caught


async def test_a_black_hole_for_one_user_spares_the_others(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    alice, bob, _ = sandbox.users
    sandbox.faults.set(Fault("blackhole", "raw", user=alice.id))
    async with (
        open_mini(sandbox, alice.session, greet=False) as deaf,
        open_mini(sandbox, bob.session) as well,
    ):
        assert await silent(deaf, GET_STATE)
        assert await well.ask(GET_STATE)
        await well.ask(send(await peer(well, alice), "for later", 1))
    assert texts(sandbox, 0, 1) == ["for later"]


async def test_a_client_that_closes_in_a_black_hole_is_gone(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session):
        sandbox.faults.set(Fault("blackhole", "raw"))
    await trio.sleep(1)
    assert sandbox.statistics().open == 0


async def test_a_raw_delay_slows_every_packet(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("delay", "raw", seconds=2))
        began = trio.current_time()
        await client.ask(PING)
        await client.ask(GET_STATE)
        assert trio.current_time() - began == 4


async def test_a_raw_drop_cuts_even_pings(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("drop", "raw", count=1))
        await client.post(PING)
        await client.closed.wait()
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        assert await client.ask(GET_STATE)


async def test_pings_fail_alone(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        hole = sandbox.faults.set(Fault("blackhole", "Ping"))
        assert await silent(client, PING)
        assert await silent(client, functions.PingDelayDisconnectRequest(1, 1000))
        assert await client.ask(GET_STATE)
        sandbox.faults.clear(hole)
        sandbox.faults.set(Fault("delay", "ping", seconds=3))
        began = trio.current_time()
        await client.ask(PING)
        assert trio.current_time() - began == 3
        sandbox.faults.clear()
        sandbox.faults.set(Fault("drop", "ping"))
        await client.post(PING)
        await client.closed.wait()


@pytest.mark.parametrize(("action", "ends"), [("drop", True), ("half_close", True), ("blackhole", False)])
async def test_fresh_connections_fail(
    sandbox: Sandbox, autojump_clock: MockClock, action: Action, ends: bool
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as before:
        sandbox.faults.set(Fault(action, "connect", count=1))
        async with open_mini(sandbox, sandbox.users[1].session, greet=False) as client:
            if action != "drop":  # a line that is cut at once may already be reset
                pending = await client.post(GET_STATE)
                await trio.sleep(100)
                assert not pending.done.is_set()
            else:
                await trio.sleep(100)
            assert client.closed.is_set() is ends
        assert await before.ask(GET_STATE)
        async with open_mini(sandbox, sandbox.users[1].session) as after:
            assert await after.ask(GET_STATE)


async def test_fresh_connections_are_slow(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    sandbox.faults.set(Fault("delay", "connect", seconds=4))
    began = trio.current_time()
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        assert await client.ask(GET_STATE)
        assert trio.current_time() - began == 4


async def test_any_request_is_every_request_and_no_ping(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("blackhole"))
        assert await silent(client, GET_STATE)
        assert await silent(client, send(ME, "x", 1))
        assert await client.ask(PING)


@pytest.mark.parametrize(
    "method", ["messages.sendMessage", "SendMessageRequest", "sendMessage", "messages.SendMessageRequest"]
)
async def test_a_method_is_known_in_every_spelling(sandbox: Sandbox, method: str) -> None:
    sandbox.faults.set(Fault("rpc_error", method, message="NO"))
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.ask(GET_STATE)
        with pytest.raises(RpcFailure, match="NO"):
            await client.ask(send(ME, "x", 1))


# -- for whom, and how often


async def test_a_fault_for_a_peer_spares_the_other_chats(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    sandbox.faults.set(Fault("rpc_error", SEND, peer=bob.id, message="NO"))
    sandbox.faults.set(Fault("rpc_error", SEND, peer=alice.id, message="NOT_MYSELF"))
    async with open_mini(sandbox, alice.session) as client:
        await client.ask(send(await peer(client, carol), "x", 1))
        with pytest.raises(RpcFailure, match="'NO'"):
            await client.ask(send(await peer(client, bob), "x", 2))
        with pytest.raises(RpcFailure, match="NOT_MYSELF"):
            await client.ask(send(ME, "x", 3))


async def test_a_fault_for_a_user_spares_the_others(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.faults.set(Fault("rpc_error", user=alice.id, message="NO"))
    async with open_mini(sandbox, alice.session) as hers, open_mini(sandbox, bob.session) as his:
        assert await his.ask(GET_STATE)
        with pytest.raises(RpcFailure):
            await hers.ask(GET_STATE)


async def test_a_counted_fault_is_over_after_so_many(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        number = sandbox.faults.set(Fault("rpc_error", "getState", message="NO", count=2))
        with pytest.raises(RpcFailure):
            await client.ask(GET_STATE)
        (active,) = sandbox.faults.listing()
        assert (active.id, active.hits) == (number, 1)
        with pytest.raises(RpcFailure):
            await client.ask(GET_STATE)
        assert sandbox.faults.listing() == ()
        assert await client.ask(GET_STATE)
        assert sandbox.faults.clear(number) == 0
        assert sandbox.statistics().faults == {"rpc_error": 2}


async def test_of_several_faults_the_first_happens(sandbox: Sandbox) -> None:
    first = sandbox.faults.set(Fault("rpc_error", message="FIRST"))
    second = sandbox.faults.set(Fault("rpc_error", message="SECOND"))
    assert [each.id for each in sandbox.faults.listing()] == [first, second]
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        with pytest.raises(RpcFailure, match="FIRST"):
            await client.ask(GET_STATE)
        assert sandbox.faults.clear(first) == 1
        with pytest.raises(RpcFailure, match="SECOND"):
            await client.ask(GET_STATE)
        assert sandbox.faults.clear() == 1
        assert await client.ask(GET_STATE)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"action": "explode"}, "no fault is called explode"),
        ({"action": "drop", "method": "messages.sendMesage"}, "Telegram has no method messages.sendMesage"),
        ({"action": "rpc_error", "method": "raw", "message": "X"}, "rpc_error needs a request"),
        ({"action": "accept_mute", "method": "ping"}, "accept_mute needs a request"),
        ({"action": "drop", "method": "raw", "peer": 1001}, "raw is not about a peer"),
        ({"action": "drop", "method": "connect", "user": 1001}, "nobody knows whose"),
        ({"action": "rpc_error"}, "rpc_error needs a message"),
        ({"action": "delay"}, "delay needs seconds"),
        ({"action": "flood_wait", "seconds": -1}, "flood_wait needs seconds"),
        ({"action": "delay", "seconds": float("nan")}, "delay needs seconds"),
        ({"action": "delay", "seconds": float("inf")}, "delay needs seconds"),
        ({"action": "drop", "count": 0}, "count must be 1 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_that_could_never_happen_is_refused(fault: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fault(**fault)
