"""Exports: who has to wait, what belongs to one, and what ends it."""

from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from tgworker.sandbox import Fault, Limits, Rate, Sandbox
from tgworker.sandbox.accounts import SERVICE_ID

INIT = functions.account.InitTakeoutSessionRequest


async def history(client: MiniClient, sandbox: Sandbox) -> functions.messages.GetHistoryRequest:
    return functions.messages.GetHistoryRequest(
        await peer(client, sandbox.users[1]), 0, None, 0, 100, 0, 0, 0
    )


async def test_the_first_export_of_a_device_waits_and_all_devices_are_told_once(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    alice = sandbox.users[0]
    sandbox.behave(takeout_delay_s=100)
    async with open_mini(sandbox, alice.session) as client:
        with pytest.raises(RpcFailure, match="TAKEOUT_INIT_DELAY_100") as failure:
            await client.ask(INIT(message_users=True))
        assert failure.value.code == 420
        await trio.sleep(40)
        with pytest.raises(RpcFailure, match="TAKEOUT_INIT_DELAY_60"):
            await client.ask(INIT(message_users=True))
        (told,) = sandbox.chat(alice.id, SERVICE_ID)
        assert told.text.startswith("Data export request.")
        await trio.sleep(60)
        await client.ask(INIT(message_users=True))
        assert [(each.state, each.parts) for each in sandbox.takeouts(alice.id)] == [
            ("open", ("message_users",))
        ]


async def test_who_allows_it_on_another_device_ends_the_wait_for_the_devices_that_asked(
    sandbox: Sandbox, autojump_clock: MockClock
) -> None:
    alice = sandbox.users[0]
    sandbox.behave(takeout_delay_s=100)
    async with open_mini(sandbox, alice.session) as client:
        assert sandbox.allow_takeout(alice.id) == 0
        with pytest.raises(RpcFailure, match="TAKEOUT_INIT_DELAY_100"):
            await client.ask(INIT())
        assert sandbox.allow_takeout(alice.id) == 1
        await client.ask(INIT())
        await client.ask(INIT())
    async with open_mini(sandbox, sandbox.new_session(alice.id)) as other:
        with pytest.raises(RpcFailure, match="TAKEOUT_INIT_DELAY_100"):
            await other.ask(INIT())


async def test_another_export_takes_the_place_of_the_first_and_nobody_elses_can_be_used(
    sandbox: Sandbox,
) -> None:
    alice = sandbox.users[0]
    async with open_mini(sandbox, alice.session) as client:
        first, second = (await client.ask(INIT())).id, (await client.ask(INIT())).id
        asked = await history(client, sandbox)
        with pytest.raises(RpcFailure, match="TAKEOUT_INVALID"):
            await client.ask(functions.InvokeWithTakeoutRequest(first, asked))
        await client.ask(functions.InvokeWithTakeoutRequest(second, asked))
        async with open_mini(sandbox, sandbox.new_session(alice.id)) as other:
            theirs = functions.InvokeWithTakeoutRequest(second, await history(other, sandbox))
            with pytest.raises(RpcFailure, match="TAKEOUT_INVALID"):
                await other.ask(theirs)
        finish = functions.account.FinishTakeoutSessionRequest(success=True)
        with pytest.raises(RpcFailure, match="TAKEOUT_REQUIRED") as failure:
            await client.ask(finish)
        assert failure.value.code == 403
        assert await client.ask(functions.InvokeWithTakeoutRequest(second, finish))
        with pytest.raises(RpcFailure, match="TAKEOUT_INVALID"):
            await client.ask(functions.InvokeWithTakeoutRequest(second, asked))
        assert [(each.state, each.requests) for each in sandbox.takeouts(alice.id)] == [
            ("replaced", 0),
            ("success", 2),
        ]


async def test_a_takeout_has_limits_of_its_own(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    slow, fast = Rate(1, 0.1), Rate(2, 0.5)
    sandbox.limit(Limits(methods={"messages.getHistory": slow}, takeout={"messages.getHistory": fast}))
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        takeout_id = (await client.ask(INIT())).id
        asked = await history(client, sandbox)
        inside = functions.InvokeWithTakeoutRequest(takeout_id, asked)
        await client.ask(asked)
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_10"):
            await client.ask(asked)
        await client.ask(inside)
        await client.ask(inside)
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_2"):
            await client.ask(inside)
        await trio.sleep(2)
        await client.ask(inside)


async def test_ranges_cut_private_chats_and_leave_channels_whole(sandbox: Sandbox) -> None:
    alice, bob = sandbox.users[:2]
    sandbox.behave(takeout_range=4)
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Room")
    for number in range(6):
        sandbox.send_text(bob.id, alice.id, str(number))
        sandbox.send_text(bob.id, room.peer, str(number))
    async with open_mini(sandbox, alice.session) as client:
        takeout_id = (await client.ask(INIT())).id

        async def inside(request: Any) -> Any:
            return await client.ask(functions.InvokeWithTakeoutRequest(takeout_id, request))

        with pytest.raises(RpcFailure, match="TAKEOUT_REQUIRED"):
            await client.ask(functions.messages.GetSplitRangesRequest())
        ranges = await inside(functions.messages.GetSplitRangesRequest())
        assert [(each.min_id, each.max_id) for each in ranges] == [(1, 4), (5, 2**31 - 1)]
        asked = await history(client, sandbox)
        listing = functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 100, 0)
        texts, chats = [], []
        for each in ranges:
            found = await inside(functions.InvokeWithMessagesRangeRequest(each, asked))
            texts.append([message.message for message in found.messages])
            listed = await inside(functions.InvokeWithMessagesRangeRequest(each, listing))
            chats.append({type(dialog.peer) for dialog in listed.dialogs})
        assert texts == [["3", "2", "1", "0"], ["5", "4"]]
        assert chats == [{types.PeerUser}, {types.PeerUser, types.PeerChannel}]


async def test_a_fault_can_meet_only_what_belongs_to_an_export(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        takeout_id = (await client.ask(INIT())).id
        asked = await history(client, sandbox)
        sandbox.faults.set(Fault("rpc_error", "invokeWithTakeout", message="TAKEOUT_INVALID", count=1))
        await client.ask(asked)
        with pytest.raises(RpcFailure, match="TAKEOUT_INVALID"):
            await client.ask(functions.InvokeWithTakeoutRequest(takeout_id, asked))
        await client.ask(functions.InvokeWithTakeoutRequest(takeout_id, asked))
        assert sandbox.statistics().requests["invokeWithTakeout"] == 2


@pytest.mark.parametrize("method", ["account.finishTakeoutSession", "messages.getSplitRanges"])
async def test_faults_of_what_is_asked_within_an_export(
    sandbox: Sandbox, autojump_clock: MockClock, method: str
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        takeout_id = (await client.ask(INIT())).id
        query = (
            functions.account.FinishTakeoutSessionRequest(success=True)
            if method == "account.finishTakeoutSession"
            else functions.messages.GetSplitRangesRequest()
        )
        asked = functions.InvokeWithTakeoutRequest(takeout_id, query)
        before = sandbox.takeouts(sandbox.users[0].id)
        for fault, refusal in (
            (Fault("flood_wait", method, seconds=3, count=1), "FLOOD_WAIT_3"),
            (Fault("rpc_error", method, code=500, message="INTERNAL", count=1), "INTERNAL"),
        ):
            sandbox.faults.set(fault)
            with pytest.raises(RpcFailure, match=refusal):
                await client.ask(asked)
        sandbox.faults.set(Fault("delay", method, seconds=7.5, count=1))
        pending = await client.post(asked)
        await client.hear(types.MsgsAck)
        assert sandbox.takeouts(sandbox.users[0].id) == before
        sent_at = trio.current_time()
        await pending.done.wait()
        assert trio.current_time() - sent_at == 7.5
        assert not isinstance(pending.result, RpcFailure)
        sandbox.faults.set(Fault("drop", method, count=1))
        after = sandbox.takeouts(sandbox.users[0].id)
        await client.post(asked)
        await client.closed.wait()
        assert sandbox.takeouts(sandbox.users[0].id) == after
