"""Forwarded messages: what stands above them, and that the same ``random_id`` makes no second one."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Fault, PhoneFile, Sandbox, SandboxError


def forward(source: Any, ids: list[int], to: Any, names: list[int], **how: Any) -> Any:
    return functions.messages.ForwardMessagesRequest(source, ids, to, random_id=names, **how)


async def refused(client: MiniClient, request: Any) -> tuple[int, str]:
    with pytest.raises(RpcFailure) as failure:
        await client.ask(request)
    return failure.value.code, failure.value.message


async def test_several_are_forwarded_under_their_names_and_once(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    sandbox.send_text(alice.id, bob.id, "mine")
    sandbox.send_text(bob.id, alice.id, "yours")
    sandbox.files.send(bob.id, alice.id, PhoneFile("photo", PICTURE, caption="look"))
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, carol.session) as other:
        source, to = await peer(client, bob), await peer(client, carol)
        request = forward(source, [1, 2, 99, 3], to, [11, 12, 99, 13])
        answer = await client.ask(request)
        numbered = {u.random_id: u.id for u in answer.updates if isinstance(u, types.UpdateMessageID)}
        sent: list[Any] = [u.message for u in answer.updates if isinstance(u, types.UpdateNewMessage)]
        assert numbered == {11: 4, 12: 5, 13: 6}
        assert [each.fwd_from.from_id.user_id for each in sent] == [alice.id, bob.id, bob.id]
        arrived = await other.hear(types.UpdateNewMessage, 3)
        assert (arrived.message.message, type(arrived.message.media)) == ("look", types.MessageMediaPhoto)
        assert bob.id in {
            u.id for each in other.received if isinstance(each, types.Updates) for u in each.users
        }
        again = await client.ask(request)
        assert [u.pts_count for u in again.updates if isinstance(u, types.UpdateNewMessage)] == [0, 0, 0]
        assert [each.text for each in sandbox.chat(carol.id, alice.id)] == ["mine", "yours", "look"]
        part = await client.ask(forward(source, [2, 1], to, [12, 14]))
        assert {u.random_id: u.id for u in part.updates if isinstance(u, types.UpdateMessageID)} == {
            12: 5,
            14: 7,
        }
        sandbox.behave(repeats="error")
        assert await refused(client, request) == (500, "RANDOM_ID_DUPLICATE")
    assert sandbox.statistics().repeats >= 4


async def test_a_lost_answer_and_a_repeat_forward_once(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    sandbox.send_text(bob.id, alice.id, "hello")
    request = None
    async with open_mini(sandbox, alice.session) as client:
        request = forward(await peer(client, bob), [1], await peer(client, carol), [5])
        sandbox.faults.set(Fault("accept_drop", "messages.forwardMessages", peer=carol.id, count=1))
        await client.post(request)
        await client.closed.wait()
    async with open_mini(sandbox, alice.session) as client:
        await client.ask(request)
    assert [each.forwarded_from for each in sandbox.chat(carol.id, alice.id)] == [bob.id]


async def test_the_first_origin_stays_and_may_be_dropped(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    news = sandbox.rooms.create_channel(alice.id, [bob.id], "News", broadcast=True)
    crew = sandbox.rooms.create_channel(alice.id, [bob.id, carol.id], "Crew")
    post = sandbox.send_text(alice.id, news.peer, "extra").sender_message_id
    (first,) = sandbox.phone.forward_messages(bob.id, news.peer, [post], carol.id)
    number = first.recipient_message_id
    (second,) = sandbox.phone.forward_messages(carol.id, bob.id, [number], crew.peer)
    (third,) = sandbox.phone.forward_messages(carol.id, bob.id, [number], crew.peer, drop_author=True)
    (note,) = sandbox.phone.forward_messages(carol.id, crew.peer, [second.sender_message_id], carol.id)
    lines = sandbox.chat(bob.id, crew.peer)
    assert [each.forwarded_from for each in lines] == [news.peer, None]
    assert third.recipient_message_id == third.sender_message_id
    async with open_mini(sandbox, carol.session) as client:
        kept = await client.ask(
            functions.messages.GetMessagesRequest(
                [types.InputMessageID(number), types.InputMessageID(note.sender_message_id)]
            )
        )
        theirs, saved = (each.fwd_from for each in kept.messages)
        assert (theirs.from_id, theirs.channel_post) == (types.PeerChannel(2_000_000_001), post)
        assert (saved.saved_from_peer.channel_id, saved.saved_from_msg_id) == (
            2_000_000_002,
            second.sender_message_id,
        )
        assert {type(each) for each in kept.chats} == {types.ChannelForbidden, types.Channel}


async def test_an_album_stays_an_album(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    files = [PhoneFile("photo", PICTURE, caption=each) for each in ("one", "two")]
    sent = sandbox.files.send(alice.id, bob.id, *files)
    sandbox.phone.forward_messages(alice.id, bob.id, [each.sender_message_id for each in sent], carol.id)
    async with open_mini(sandbox, carol.session) as client:
        history = functions.messages.GetHistoryRequest(await peer(client, alice), 0, None, 0, 9, 0, 0, 0)
        groups = {each.grouped_id for each in (await client.ask(history)).messages}
    assert len(groups) == 1
    assert None not in groups


async def test_what_may_not_leave_a_chat_stays(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    post = sandbox.send_text(alice.id, crew.peer, "for us").sender_message_id
    sandbox.send_text(bob.id, carol.id, "hello")
    async with open_mini(sandbox, alice.session) as owner, open_mini(sandbox, bob.session) as client:
        dialogs = await client.ask(
            functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0)
        )
        theirs = next(each for each in dialogs.chats if each.id == 2_000_000_001)
        channel = types.InputPeerChannel(theirs.id, theirs.access_hash)
        to = await peer(client, carol)
        await client.ask(forward(channel, [post], to, [1]))
        dialogs = await owner.ask(functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0))
        mine = next(each for each in dialogs.chats if each.id == theirs.id)
        toggle = functions.messages.ToggleNoForwardsRequest
        answer = await owner.ask(toggle(types.InputPeerChannel(mine.id, mine.access_hash), enabled=True))
        assert answer.chats[0].noforwards
        assert await refused(client, toggle(channel, enabled=False)) == (400, "CHAT_ADMIN_REQUIRED")
        same = toggle(types.InputPeerChannel(mine.id, mine.access_hash), enabled=True)
        assert await refused(owner, same) == (400, "CHAT_NOT_MODIFIED")
        assert await refused(client, forward(channel, [post], to, [2])) == (400, "CHAT_FORWARDS_RESTRICTED")
        assert await refused(client, forward(to, [], to, [])) == (400, "MESSAGE_IDS_EMPTY")
        assert await refused(client, forward(to, [1], to, [])) == (400, "RANDOM_ID_INVALID")
        assert await refused(client, forward(to, [77], to, [3])) == (400, "MESSAGE_ID_INVALID")
        many = list(range(1, 102))
        assert await refused(client, forward(to, many, to, many)) == (400, "LIMIT_INVALID")
    with pytest.raises(SandboxError, match="CHAT_FORWARDS_RESTRICTED"):
        sandbox.phone.forward_messages(bob.id, crew.peer, [post], carol.id)
    sandbox.rooms.toggle_no_forwards(crew.peer, enabled=False)
    assert len(sandbox.phone.forward_messages(bob.id, crew.peer, [post], carol.id)) == 1
