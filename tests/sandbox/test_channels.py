"""Channels: one number for all, a log of their own, and differences that may be sliced or too long."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, send
from tgworker.sandbox import Behaviour, Sandbox, SandboxRoom
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.channel_post import delete_posts, edit_post, publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.membership import create_channel, join_channel
from tgworker.sandbox.requests.call import Call
from tgworker.sandbox.requests.channel_updates import get_channel_difference
from tgworker.sandbox.room_views import input_channel
from tgworker.sandbox.unpacking import read_object


@dataclass(eq=False)
class Copy:
    """A client's copy of a channel, kept up to date by updates alone."""

    pts: int = 1
    texts: dict[int, str] = field(default_factory=dict[int, str])
    numbered: dict[int, int] = field(default_factory=dict[int, int])

    def apply(self, update: Any) -> None:
        match type(update).__name__:
            case "UpdateNewChannelMessage" | "UpdateEditChannelMessage":
                self.texts[update.message.id] = update.message.message or ""
            case "UpdateDeleteChannelMessages":
                for each in update.messages:
                    self.texts.pop(each, None)
            case "UpdateMessageID":
                self.numbered[update.random_id] = update.id
            case other:
                raise AssertionError(other)

    def push(self, body: bytes) -> None:
        """Pushes come without gaps: each begins where the one before ended."""
        for update in read_object(body).updates:
            assert update.pts == self.pts + update.pts_count
            self.pts = update.pts
            self.apply(update)

    def catch_up(self, cloud: Cloud, account: Account, channel: Channel) -> None:
        call = Call(cloud, KeyRecord(b"", 0, 2, user_id=account.id), account, self, dc_id=2)
        named = input_channel(cloud, account, channel)
        while True:
            request = functions.updates.GetChannelDifferenceRequest(
                named, types.ChannelMessagesFilterEmpty(), self.pts, 100
            )
            answer: Any = read_object(bytes(get_channel_difference(call, request)))
            self.pts = answer.pts
            if type(answer) is types.updates.ChannelDifferenceEmpty:
                return
            for message in answer.new_messages:
                self.texts[message.id] = message.message or ""
            for update in answer.other_updates:
                self.apply(update)
            if answer.final:
                return


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "edit", "delete", "catch up"]), st.integers(0, 2), st.integers(0, 30)
    ),
    max_size=60,
)


@given(steps=STEPS, limit=st.integers(1, 7))
def test_every_copy_becomes_the_channel(steps: list[tuple[str, int, int]], limit: int) -> None:
    behaviour = Behaviour(channel_difference_limit=limit)
    cloud = Cloud(dc_id=2, rng=Random(1), calendar=lambda: 1e9, clock=lambda: 0.0, behaviour=behaviour)
    accounts = [cloud.directory.add() for _ in range(3)]
    channel, _ = create_channel(cloud, accounts[0], "Crew", megagroup=True)
    join_channel(cloud, accounts[0], channel, accounts[1:])
    live = [Copy(channel.log.pts, {1: "", 2: ""}) for _ in accounts]
    late = [Copy() for _ in accounts]
    for account, copy in zip(accounts, live, strict=True):
        account.lines.add(copy)
    sent: dict[tuple[int, int], int] = {}
    for number, (act, who, which) in enumerate(steps):
        me, chosen = accounts[who], channel.ids[which % len(channel.ids)] if channel.ids else 0
        match act:
            case "send":
                sent[who, number] = publish(cloud, me, channel, f"text {number}", random_id=number).id
            case "edit" if chosen > 2:
                edit_post(cloud, channel, channel.letters[chosen], f"edit {number}", ())
            case "delete":
                delete_posts(cloud, channel, [chosen, chosen, 10_000])
            case "catch up":
                late[who].catch_up(cloud, me, channel)
            case _:
                pass
    held = {letter.id: letter.text for letter in channel.letters.values()}
    for index, account in enumerate(accounts):
        late[index].catch_up(cloud, account, channel)
        for copy in (live[index], late[index]):
            assert (copy.texts, copy.pts) == (held, channel.log.pts)
        known = {n: i for (who, n), i in sent.items() if who == index}
        assert late[index].numbered.items() <= known.items()
        assert {n for n, i in known.items() if i in held} <= set(late[index].numbered)
        assert channel.unread(account.id) == sum(
            1 for each in channel.letters.values() if each.author_id != account.id and each.id > (index and 1)
        )
    assert channel.ids == sorted(channel.letters)


async def named(client: MiniClient, room: SandboxRoom) -> Any:
    """The channel as this client may address it."""
    dialogs = await client.ask(functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 100, 0))
    (chat,) = [c for c in dialogs.chats if c.id == -room.peer - 10**12]
    return types.InputPeerChannel(chat.id, chat.access_hash)


async def test_a_post_has_one_number_and_moves_only_its_channels_log(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    one, two = (sandbox.rooms.create_channel(alice.id, [bob.id], title) for title in ("one", "two"))
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        before = await client.ask(functions.updates.GetStateRequest())
        answer = await client.ask(send(await named(client, one), "hello", 7))
        numbered, new = answer.updates
        heard = await other.hear(types.UpdateNewChannelMessage)
        assert (numbered.id, numbered.random_id, new.message.id) == (3, 7, 3)
        assert (heard.message.id, heard.pts, heard.pts_count) == (3, one.pts + 1, 1)
        assert heard.message.from_id == types.PeerUser(alice.id)
        assert (await client.ask(functions.updates.GetStateRequest())).pts == before.pts
        assert sandbox.rooms.get(two.peer).pts == two.pts
        repeat = await client.ask(send(await named(client, one), "hello", 7))
        assert (repeat.updates[1].message.id, repeat.updates[1].pts_count) == (3, 0)
        assert len(sandbox.chat(bob.id, one.peer)) == 1


async def test_a_channel_may_say_only_that_something_happened(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    sandbox.behave(channel_pushes="too_long")
    async with open_mini(sandbox, bob.session) as client:
        sandbox.send_text(alice.id, room.peer, "hello")
        hint = await client.hear(types.UpdateChannelTooLong)
        assert (hint.channel_id, hint.pts) == (2_000_000_001, room.pts + 1)
        assert client.heard(types.UpdateNewChannelMessage) == []


async def test_the_accounts_difference_names_the_channels_that_changed(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    async with open_mini(sandbox, bob.session) as client, open_mini(sandbox, carol.session) as other:
        difference = functions.updates.GetDifferenceRequest(1, None, 0)
        answer = await client.ask(difference)
        assert answer.other_updates == [types.UpdateChannelTooLong(2_000_000_001, room.pts)]
        assert [chat.title for chat in answer.chats] == ["Crew"]
        assert type(await other.ask(difference)) is types.updates.DifferenceEmpty
        sandbox.behave(channel_hints=False)
        assert type(await client.ask(difference)) is types.updates.DifferenceEmpty


async def test_a_private_channel_is_closed_to_strangers_and_a_named_one_open(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    closed = sandbox.rooms.create_channel(alice.id, [bob.id], "closed")
    sandbox.rooms.create_channel(alice.id, [bob.id], "open", username="Open")
    async with open_mini(sandbox, carol.session) as client:
        found = await client.ask(functions.contacts.ResolveUsernameRequest("oPEN"))
        to = types.InputPeerChannel(found.chats[0].id, found.chats[0].access_hash)
        history = functions.messages.GetHistoryRequest(to, 0, None, 0, 10, 0, 0, 0)
        assert (await client.ask(history)).count == 2
        with pytest.raises(RpcFailure, match="CHAT_WRITE_FORBIDDEN"):
            await client.ask(send(to, "x", 1))
        sandbox.rooms.add_member(closed.peer, carol.id)
        inside = await named(client, closed)
        sandbox.rooms.remove_member(closed.peer, carol.id)
        with pytest.raises(RpcFailure, match="CHANNEL_PRIVATE"):
            await client.ask(send(inside, "x", 2))


async def test_a_supergroup_says_who_came_and_went_and_a_channel_does_not(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    crew = sandbox.rooms.create_channel(alice.id, [], "Crew")
    news = sandbox.rooms.create_channel(alice.id, [], "News", broadcast=True)
    for room in (crew, news):
        sandbox.rooms.add_member(room.peer, bob.id)
        sandbox.rooms.add_member(room.peer, carol.id, by=carol.id)
        sandbox.rooms.remove_member(room.peer, carol.id, by=bob.id)
        assert sandbox.rooms.remove_member(room.peer, bob.id, by=bob.id).members == (alice.id,)
    async with open_mini(sandbox, alice.session) as client:
        told: dict[int, list[Any]] = {}
        for room in (crew, news):
            history = functions.messages.GetHistoryRequest(await named(client, room), 0, None, 0, 10, 0, 0, 0)
            messages = (await client.ask(history)).messages
            told[room.peer] = [(getattr(m.from_id, "user_id", None), m.action) for m in messages[::-1]]
    created, *moves = told[crew.peer]
    assert type(created[1]) is types.MessageActionChannelCreate
    assert moves == [
        (alice.id, types.MessageActionChatAddUser([bob.id])),
        (carol.id, types.MessageActionChatAddUser([carol.id])),
        (bob.id, types.MessageActionChatDeleteUser(carol.id)),
        (bob.id, types.MessageActionChatDeleteUser(bob.id)),
    ]
    assert len(told[news.peer]) == 1


async def test_reading_tells_ones_other_devices_and_the_writers(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    sent = sandbox.send_text(alice.id, room.peer, "hello")
    async with (
        open_mini(sandbox, alice.session) as writer,
        open_mini(sandbox, bob.session) as reader,
        open_mini(sandbox, sandbox.new_session(bob.id)) as laptop,
    ):
        channel = await named(reader, room)
        request = functions.channels.ReadHistoryRequest(channel, 0)
        assert await reader.ask(request) is True
        assert await reader.ask(request) is False
        inbox = await laptop.hear(types.UpdateReadChannelInbox)
        outbox = await writer.hear(types.UpdateReadChannelOutbox)
        assert (inbox.max_id, inbox.still_unread_count) == (sent.sender_message_id, 0)
        assert outbox.max_id == sent.sender_message_id
        assert reader.heard(types.UpdateReadChannelInbox) == []


async def test_a_difference_may_be_too_long_for_what_the_sandbox_remembers(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    for number in range(5):
        sandbox.send_text(alice.id, bob.id, str(number))
    sandbox.behave(difference_remembers=3)
    async with open_mini(sandbox, bob.session) as client:
        long = await client.ask(functions.updates.GetDifferenceRequest(2, None, 0))
        assert (type(long), long.pts) == (types.updates.DifferenceTooLong, 6)
        short = await client.ask(functions.updates.GetDifferenceRequest(3, None, 0))
        assert [message.message for message in short.new_messages] == ["2", "3", "4"]


async def test_what_a_page_costs_does_not_grow_with_the_history(sandbox: Sandbox) -> None:
    """Counted, not timed: a page of ten looks at its own messages and at a few more to find its place."""
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    for number in range(3000):
        sandbox.send_text(alice.id, room.peer, str(number))
    channel = sandbox._cloud.channels.get(2_000_000_001)
    looked_at: list[int] = []

    class Counted(dict[int, Any]):
        def __getitem__(self, key: int) -> Any:
            looked_at.append(key)
            return super().__getitem__(key)

    channel.letters = Counted(channel.letters)
    async with open_mini(sandbox, bob.session) as client:
        to = await named(client, room)
        looked_at.clear()
        newest = channel.letters[channel.ids[-1]].date
        for offset in ({"offset_id": 1500}, {"offset_date": newest}):
            request: dict[str, Any] = {"offset_id": 0, "offset_date": None, **offset}
            history = functions.messages.GetHistoryRequest(
                to, add_offset=0, limit=10, max_id=0, min_id=0, hash=0, **request
            )
            page = await client.ask(history)
            assert page.count == 3002
        assert len(looked_at) < 60
