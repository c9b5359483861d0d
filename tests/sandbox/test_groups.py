"""Basic groups: each member holds every message under his own number, and hears of what concerns him."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import RpcFailure, open_mini, peer, send
from tgworker.sandbox import Fault, Sandbox, SandboxError, UnknownPeer, UnknownUser


def members(sandbox: Sandbox) -> list[int]:
    return [user.id for user in sandbox.users]


async def test_one_message_has_as_many_numbers_as_members(sandbox: Sandbox) -> None:
    alice, bob, carol = members(sandbox)
    sandbox.send_text(alice, bob, "bob's numbers are ahead")
    room = sandbox.rooms.create_group(alice, [bob, carol], "Choir")
    sent = sandbox.send_text(bob, room.peer, "hello")
    assert room.peer == -5001
    numbers = {
        user: [(line.id, line.author) for line in sandbox.chat(user, room.peer)] for user in room.members
    }
    assert numbers == {alice: [(3, bob)], bob: [(3, bob)], carol: [(2, bob)]}
    assert (sent.sender_message_id, sent.recipient_message_id) == (3, 0)
    assert [chat.unread for chat in sandbox.chats(carol)] == [2]


async def test_members_hear_of_a_message_and_the_sender_is_answered(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_group(alice.id, members(sandbox)[1:], "Choir")
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        answer = await client.ask(send(types.InputPeerChat(5001), "hello", 1))
        heard = await other.hear(types.UpdateNewMessage)
        assert (type(answer), answer.id) == (types.UpdateShortSentMessage, 2)
        assert heard.message.peer_id == types.PeerChat(5001)
        assert heard.message.from_id == types.PeerUser(alice.id)
        (push,) = [each for each in other.heard(types.Updates) if each.chats]
        assert [chat.title for chat in push.chats] == ["Choir"]
        sandbox.behave(pushes="short", answers="full")
        answer = await client.ask(send(types.InputPeerChat(5001), "again", 2))
        short = await other.hear(types.UpdateShortChatMessage)
        assert (short.chat_id, short.from_id, short.message) == (5001, alice.id, "again")
        assert [type(each).__name__ for each in answer.updates] == ["UpdateMessageID", "UpdateNewMessage"]
        repeat = await client.ask(send(types.InputPeerChat(5001), "again", 2))
        assert (repeat.updates[1].message.id, repeat.updates[1].pts_count) == (3, 0)
    assert len(sandbox.chat(bob.id, room.peer)) == 2


async def test_who_has_left_hears_no_more_and_keeps_what_he_has(sandbox: Sandbox) -> None:
    alice, bob, carol = members(sandbox)
    room = sandbox.rooms.create_group(alice, [bob, carol], "Choir")
    sandbox.send_text(alice, room.peer, "before")
    assert sandbox.rooms.remove_member(room.peer, bob).members == (alice, carol)
    sandbox.send_text(alice, room.peer, "after")
    assert [line.text for line in sandbox.chat(bob, room.peer)] == ["before"]
    with pytest.raises(SandboxError, match="CHAT_WRITE_FORBIDDEN"):
        sandbox.send_text(bob, room.peer, "still here?")
    with pytest.raises(SandboxError, match="USER_NOT_PARTICIPANT"):
        sandbox.rooms.remove_member(room.peer, bob)
    sandbox.rooms.add_member(room.peer, bob)
    sandbox.send_text(bob, room.peer, "back")
    async with open_mini(sandbox, sandbox.users[1].session) as client:
        page: Any = await client.ask(
            functions.messages.GetHistoryRequest(types.InputPeerChat(5001), 0, None, 0, 10, 0, 0, 0)
        )
        kinds = [type(m.action).__name__ if m.action else m.message for m in page.messages]
        assert kinds == [
            "back",
            "MessageActionChatAddUser",
            "MessageActionChatDeleteUser",
            "before",
            "MessageActionChatCreate",
        ]


async def test_a_migrated_group_is_closed_and_points_to_its_supergroup(sandbox: Sandbox) -> None:
    alice, bob, carol = members(sandbox)
    room = sandbox.rooms.create_group(alice, [bob, carol], "Choir")
    sandbox.send_text(bob, room.peer, "in the old one")
    big = sandbox.rooms.migrate(room.peer)
    assert (big.kind, big.members, big.peer) == ("supergroup", (alice, bob, carol), -1002000000001)
    assert sandbox.rooms.get(room.peer).migrated_to == big.peer
    with pytest.raises(SandboxError, match="PEER_ID_INVALID"):
        sandbox.send_text(bob, room.peer, "x")
    for act in (sandbox.rooms.migrate,):
        with pytest.raises(SandboxError, match="CHAT_ID_INVALID"):
            act(room.peer)
    assert sandbox.send_text(bob, big.peer, "in the new one").sender_message_id == 2
    assert [line.text for line in sandbox.chat(carol, room.peer)] == ["in the old one"]
    assert [each.peer for each in sandbox.rooms.listing()] == [room.peer, big.peer]


async def test_who_is_not_there_is_named(sandbox: Sandbox) -> None:
    alice, bob, _ = members(sandbox)
    for peer_id in (-1, -1000000000001):
        with pytest.raises(UnknownPeer, match=f"no group or channel {peer_id}"):
            sandbox.send_text(alice, peer_id, "x")
    with pytest.raises(UnknownPeer):
        sandbox.rooms.migrate(bob)
    with pytest.raises(UnknownUser):
        sandbox.rooms.create_group(alice, [1], "Choir")
    with pytest.raises(SandboxError, match="USERS_TOO_FEW"):
        sandbox.rooms.create_group(alice, [], "Choir")
    with pytest.raises(SandboxError, match="CHAT_TITLE_EMPTY"):
        sandbox.rooms.create_group(alice, [bob], " ")


async def test_a_fault_for_one_group_leaves_the_others_alone(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    one, other = (sandbox.rooms.create_group(alice.id, [bob.id], title) for title in "AB")
    channel = sandbox.rooms.create_channel(alice.id, [bob.id], "C")
    sandbox.faults.set(Fault("flood_wait", "messages.sendMessage", peer=one.peer, seconds=9))
    sandbox.faults.set(Fault("rpc_error", "*", peer=channel.peer, message="CHANNEL_PRIVATE"))
    async with open_mini(sandbox, alice.session) as client:
        await client.ask(send(await peer(client, bob), "to bob", 1))
        await client.ask(send(types.InputPeerChat(-other.peer), "to the other", 2))
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_9"):
            await client.ask(send(types.InputPeerChat(-one.peer), "to the one", 3))
        with pytest.raises(RpcFailure, match="CHANNEL_PRIVATE"):
            await client.ask(functions.channels.ReadHistoryRequest(types.InputChannel(2_000_000_001, 0), 0))
