"""Pins: who hears of them, under which numbers, and when a chat is told."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from tgworker.sandbox import Sandbox, SandboxError

STATE = functions.updates.GetStateRequest()


def pin(to: Any, message: int, **how: Any) -> Any:
    return functions.messages.UpdatePinnedMessageRequest(to, message, **how)


def services(client: MiniClient) -> list[Any]:
    return [each.message for each in client.heard(types.UpdateNewMessage) if each.message.action]


async def test_a_pin_in_a_private_chat_is_for_both_and_is_spoken_of(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.send_text(bob.id, bob.id, "numbers differ")
    sandbox.send_text(alice.id, bob.id, "hello")
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        start = (await other.ask(STATE)).pts
        to = await peer(client, bob)
        answer = await client.ask(pin(to, 1))
        first, second = answer.updates
        assert (first.messages, first.pinned, first.pts_count) == ([1], True, 1)
        assert isinstance(second.message.action, types.MessageActionPinMessage)
        assert second.message.reply_to.reply_to_msg_id == 1
        assert (first.pts, second.pts) == (second.pts - 1, (await client.ask(STATE)).pts)
        theirs = await other.hear(types.UpdatePinnedMessages)
        assert (theirs.peer, theirs.messages) == (types.PeerUser(alice.id), [2])
        said = (await other.hear(types.UpdateNewMessage)).message
        assert (said.id, said.reply_to.reply_to_msg_id, said.silent) == (3, 2, False)
        assert (await other.ask(STATE)).pts == start + 2
        assert (await client.ask(pin(to, 1))).updates == []
        (held,) = (await other.ask(functions.messages.GetMessagesRequest([types.InputMessageID(2)]))).messages
        assert held.pinned
        whole = await other.ask(functions.users.GetFullUserRequest(await peer(other, alice)))
        assert whole.full_user.pinned_msg_id == 2
        (off,) = (await client.ask(pin(to, 1, unpin=True))).updates
        assert (off.messages, off.pinned) == ([1], False)
        assert not (await other.hear(types.UpdatePinnedMessages, 2)).pinned
        assert len(services(other)) == 1
        difference = await other.ask(functions.updates.GetDifferenceRequest(start, None, 0))
        pins = [each for each in difference.other_updates if isinstance(each, types.UpdatePinnedMessages)]
        assert [(each.messages, each.pinned) for each in pins] == [([2], True), ([2], False)]


async def test_a_pin_for_oneself_is_nobody_elses(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.send_text(alice.id, bob.id, "hello")
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        (only,) = (await client.ask(pin(await peer(client, bob), 1, pm_oneside=True))).updates
        assert only.messages == [1]
        assert other.heard(types.UpdatePinnedMessages) == []
        note = await client.ask(
            functions.messages.SendMessageRequest(types.InputPeerSelf(), "a note", random_id=1)
        )
        assert len((await client.ask(pin(types.InputPeerSelf(), note.id))).updates) == 1
    assert [line.pinned for line in sandbox.chat(alice.id, bob.id)] == [True]
    assert [line.pinned for line in sandbox.chat(bob.id, alice.id)] == [False]


async def test_pins_in_a_group_have_as_many_numbers_as_members(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    sandbox.send_text(alice.id, bob.id, "alice's and bob's numbers are ahead")
    room = sandbox.rooms.create_group(alice.id, [bob.id, carol.id], "Choir")
    sandbox.send_text(bob.id, room.peer, "one")
    sandbox.send_text(bob.id, room.peer, "two")
    async with open_mini(sandbox, carol.session) as client:
        for each in (3, 4):
            assert sandbox.phone.update_pinned_message(bob.id, room.peer, each, silent=True)
        heard = await client.hear(types.UpdatePinnedMessages, 2)
        assert (heard.peer, heard.messages) == (types.PeerChat(5001), [3])
        assert services(client)[-1].silent
        full = await client.ask(functions.messages.GetFullChatRequest(5001))
        assert full.full_chat.pinned_msg_id == 3
        search = functions.messages.SearchRequest(
            types.InputPeerChat(5001), "", types.InputMessagesFilterPinned(), None, None, 0, 0, 9, 0, 0, 0
        )
        assert [each.id for each in (await client.ask(search)).messages] == [3, 2]
        done = await client.ask(functions.messages.UnpinAllMessagesRequest(types.InputPeerChat(5001)))
        assert (done.pts_count, done.pts, done.offset) == (2, (await client.ask(STATE)).pts, 0)
    assert sandbox.phone.unpin_all_messages(bob.id, room.peer) == 0


async def test_pins_in_a_supergroup_stand_in_its_own_log(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    news = sandbox.rooms.create_channel(alice.id, [bob.id], "News", broadcast=True)
    post = sandbox.send_text(alice.id, room.peer, "hello").sender_message_id
    extra = sandbox.send_text(alice.id, news.peer, "extra").sender_message_id
    async with open_mini(sandbox, bob.session) as client:
        before = sandbox.rooms.get(room.peer).pts
        sandbox.phone.update_pinned_message(alice.id, room.peer, post)
        heard = await client.hear(types.UpdatePinnedChannelMessages)
        assert (heard.channel_id, heard.messages, heard.pinned) == (2_000_000_001, [post], True)
        assert heard.pts == before + 1
        said = (await client.hear(types.UpdateNewChannelMessage)).message
        assert said.reply_to.reply_to_msg_id == post
        sandbox.phone.unpin_all_messages(bob.id, room.peer)
        assert not (await client.hear(types.UpdatePinnedChannelMessages, 2)).pinned
        known = heard.channel_id, client.received[-1].chats[0].access_hash
        channel = types.InputPeerChannel(*known)
        sandbox.phone.update_pinned_message(alice.id, room.peer, post)
        full = await client.ask(functions.channels.GetFullChannelRequest(types.InputChannel(*known)))
        assert full.full_chat.pinned_msg_id == post
        done = await client.ask(functions.messages.UnpinAllMessagesRequest(channel))
        assert (done.pts, done.pts_count) == (sandbox.rooms.get(room.peer).pts, 1)
        answer = await client.ask(pin(channel, post))
        assert [type(each).__name__ for each in answer.updates] == [
            "UpdatePinnedChannelMessages",
            "UpdateNewChannelMessage",
        ]
        difference = await client.ask(
            functions.updates.GetChannelDifferenceRequest(
                types.InputChannel(*known), types.ChannelMessagesFilterEmpty(), before, 100
            )
        )
        pins = [
            u.pinned for u in difference.other_updates if isinstance(u, types.UpdatePinnedChannelMessages)
        ]
        assert pins == [True, False, True, False, True]
        with pytest.raises(RpcFailure, match="MESSAGE_ID_INVALID"):
            await client.ask(pin(channel, 99))
    with pytest.raises(SandboxError, match="CHAT_ADMIN_REQUIRED"):
        sandbox.phone.update_pinned_message(bob.id, news.peer, extra)
    with pytest.raises(SandboxError, match="CHAT_WRITE_FORBIDDEN"):
        sandbox.phone.unpin_all_messages(carol.id, room.peer)
