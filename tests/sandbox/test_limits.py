"""Who sends too much is told how long to wait; who waits so long may go on, and not a moment before."""

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import functions, types
from trio.testing import MockClock

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer, send, texts
from tgworker.sandbox import Limits, Rate, Sandbox, SandboxError, throttle
from tgworker.sandbox.limits import admit

CHAT = Limits(chat=Rate(2, 0.5))


@given(burst=st.integers(1, 5), per_s=st.sampled_from([0.1, 1 / 3, 1, 7, 30]), gaps=st.lists(st.floats(0, 5)))
def test_a_bucket_lets_through_a_burst_and_then_so_many_a_second(
    burst: int, per_s: float, gaps: list[float]
) -> None:
    rate, full_at_s, now_s = Rate(burst, per_s), 0.0, 100.0
    passed: list[float] = []
    for gap in gaps:
        now_s += gap
        full_at_s, wait_s = admit(rate, full_at_s, now_s)
        if wait_s == 0:
            passed.append(now_s)
        else:
            assert admit(rate, full_at_s, now_s + wait_s).wait_s == 0
            assert admit(rate, full_at_s, now_s + wait_s * 0.9).wait_s > 0
    for index, first in enumerate(passed):
        for count, last in enumerate(passed[index:], 1):
            assert count <= burst + (last - first) * per_s + 1e-6


@pytest.mark.parametrize(("burst", "per_s"), [(0, 1), (1, 0), (1, float("inf")), (1, -1)])
def test_a_rate_lets_something_pass(burst: int, per_s: float) -> None:
    with pytest.raises(ValueError, match="a rate has"):
        Rate(burst, per_s)


@pytest.mark.parametrize("wrong", [{"scope": "peer"}, {"wait_at_least_s": 0}, {"strangers": -1}])
def test_limits_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"scope|wait_at_least_s"):
        Limits(**wrong)


async def refused(client: MiniClient, request: Any) -> str:
    with pytest.raises(RpcFailure) as failure:
        await client.ask(request)
    assert failure.value.code == (400 if failure.value.message == "PEER_FLOOD" else 420)
    return failure.value.message


async def test_a_wait_holds_for_the_whole_method_until_it_is_over(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    alice, bob, carol = sandbox.users
    sandbox.limit(CHAT)
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        to_bob, to_carol = await peer(client, bob), await peer(client, carol)
        await client.ask(send(to_bob, "1", 1))
        await client.ask(send(to_bob, "2", 2))
        assert await refused(client, send(to_bob, "3", 3)) == "FLOOD_WAIT_2"
        await trio.sleep(0.5)
        assert await refused(client, send(to_carol, "to another", 4)) == "FLOOD_WAIT_2"
        assert await refused(client, send(to_bob, "1", 1)) == "FLOOD_WAIT_2"  # even what was sent before
        await client.ask(functions.updates.GetStateRequest())  # other methods are free
        await other.ask(send(await peer(other, alice), "others too", 1))
        await trio.sleep(1.5)
        await client.ask(send(to_carol, "to another", 4))
        await client.ask(send(to_bob, "3", 3))
    assert texts(sandbox, 1, 0) == ["1", "2", "others too", "3"]
    assert sandbox.statistics().floods == {"FLOOD_WAIT": 3}


async def test_a_wait_may_hold_for_one_chat(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, carol = sandbox.users
    sandbox.limit(Limits(chat=Rate(1, 0.1), scope="chat", wait_at_least_s=30))
    async with open_mini(sandbox, alice.session) as client:
        to_bob, to_carol = await peer(client, bob), await peer(client, carol)
        await client.ask(send(to_bob, "1", 1))
        assert await refused(client, send(to_bob, "2", 2)) == "FLOOD_WAIT_30"
        await client.ask(send(to_carol, "to another", 3))
        await trio.sleep(29)
        assert await refused(client, send(to_bob, "2", 2)) == "FLOOD_WAIT_1"
        await trio.sleep(1)
        await client.ask(send(to_bob, "2", 2))


async def test_the_published_numbers(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, carol = sandbox.users
    group = sandbox.rooms.create_group(alice.id, [bob.id], "Choir")
    sandbox.limit(Limits.published())
    async with open_mini(sandbox, alice.session) as client:
        to_group = types.InputPeerChat(-group.peer)
        for number in range(20):
            await client.ask(send(to_group, str(number), number + 1))
            await trio.sleep(0.1)
        assert await refused(client, send(to_group, "x", 99)) == "FLOOD_WAIT_1"
        await trio.sleep(1)
        await client.ask(send(to_group, "x", 99))
        assert await refused(client, send(to_group, "x", 100)) == "FLOOD_WAIT_3"
        await trio.sleep(60)
        to_bob, to_carol = await peer(client, bob), await peer(client, carol)
        for number in range(5):
            await client.ask(send(to_bob, str(number), 200 + number))
            await client.ask(send(to_carol, str(number), 300 + number))
        assert await refused(client, send(to_bob, "x", 400)) == "FLOOD_WAIT_1"


async def test_all_messages_together_and_those_who_pay(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    payer = sandbox.add_user(premium=True)
    sandbox.limit(Limits(account=Rate(3, 1), premium=True))
    for session, name in (
        (sandbox.users[0].session, "FLOOD_PREMIUM_WAIT_1"),
        (payer.session, "FLOOD_WAIT_1"),
    ):
        async with open_mini(sandbox, session) as client:
            for number in range(3):
                await client.ask(send(types.InputPeerSelf(), str(number), number + 1))
            assert await refused(client, send(types.InputPeerSelf(), "x", 9)) == name
            assert await refused(client, send(types.InputPeerSelf(), "x", 9)) == name


async def test_any_method_can_be_limited(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, _ = sandbox.users
    sandbox.limit(Limits(methods={"ResolveUsernameRequest": Rate(1, 1 / 86400)}, wait_at_least_s=60))
    async with open_mini(sandbox, alice.session) as client:
        await peer(client, bob)
        request = functions.contacts.ResolveUsernameRequest("user1003")
        sandbox.limit(Limits(methods={"contacts.resolveUsername": Rate(1, 1 / 86400)}))
        await client.ask(request)
        assert await refused(client, request) == "FLOOD_WAIT_86400"
        await client.ask(functions.contacts.ResolvePhoneRequest(bob.phone))
        sandbox.limit(Limits())
        await client.ask(request)


async def test_first_messages_to_strangers_and_nothing_else_are_peer_flood(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    strangers = [sandbox.add_user(stranger=True) for _ in range(3)]
    sandbox.limit(Limits(strangers=1))
    async with open_mini(sandbox, alice.session) as client:
        peers = [await peer(client, each) for each in strangers]
        await client.ask(send(peers[0], "the first", 1))
        await client.ask(send(peers[0], "and more to the same", 2))
        assert await refused(client, send(peers[1], "the second", 3)) == "PEER_FLOOD"
        await client.ask(send(await peer(client, bob), "to a contact", 4))
        sandbox.send_text(strangers[1].id, alice.id, "he writes first")
        await client.ask(send(peers[1], "an answer", 5))
        assert await refused(client, send(peers[2], "the third", 6)) == "PEER_FLOOD"
        sandbox.befriend(alice.id, strangers[2].id)
        await client.ask(send(peers[2], "a friend now", 7))
        await client.ask(send(types.InputPeerSelf(), "a note", 8))
    assert sandbox.statistics().floods == {"PEER_FLOOD": 2}


async def test_a_slow_supergroup_lets_its_members_wait(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    sandbox.rooms.set_slowmode(room.peer, 30)
    for session in (alice.session, bob.session):
        async with open_mini(sandbox, session) as client:
            dialogs: Any = await client.ask(
                functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0)
            )
            (chat,) = dialogs.chats
            assert chat.slowmode_enabled
            to = types.InputPeerChannel(chat.id, chat.access_hash)
            await client.ask(send(to, "1", 1))
            if session == alice.session:  # its creator
                await client.ask(send(to, "2", 2))
                continue
            await trio.sleep(10)
            assert await refused(client, send(to, "2", 2)) == "SLOWMODE_WAIT_20"
            await client.ask(send(types.InputPeerSelf(), "elsewhere", 3))
            await trio.sleep(20)
            await client.ask(send(to, "2", 2))
    news = sandbox.rooms.create_channel(alice.id, [], "News", broadcast=True)
    for peer_id, seconds in ((news.peer, 1), (room.peer, -1)):
        with pytest.raises(SandboxError, match=r"no supergroup|0 or more"):
            sandbox.rooms.set_slowmode(peer_id, seconds)


async def test_a_random_id_is_forgotten_after_its_window(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    alice, bob, _ = sandbox.users
    sandbox.behave(random_id_window_s=60)
    async with open_mini(sandbox, alice.session) as client:
        to = await peer(client, bob)
        first = await client.ask(send(to, "hello", 7))
        await trio.sleep(59)
        assert (await client.ask(send(to, "hello", 7))).updates[0].id == first.id
        await trio.sleep(1)
        second = await client.ask(send(to, "hello", 7))
        assert second.id > first.id
        await trio.sleep(59)
        assert (await client.ask(send(to, "hello", 7))).updates[0].id == second.id
    assert texts(sandbox, 1, 0) == ["hello", "hello"]


async def test_buckets_that_are_full_are_forgotten(
    sandbox: Sandbox, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "BUCKETS_KEPT", 3)
    sandbox.limit(Limits(chat=Rate(2, 1)))
    users = [sandbox.add_user() for _ in range(6)]
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        for number, user in enumerate(users):
            await client.ask(send(await peer(client, user), "hello", number + 1))
            await trio.sleep(0.6)
            assert len(sandbox._cloud.throttle._full_at_s) <= 3
