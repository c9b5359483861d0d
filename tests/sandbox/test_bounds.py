"""Nothing that a client does makes the server grow, hang or fall."""

import os
import socket
import struct
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import trio
import trio.lowlevel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, key_of, open_mini, open_plain, peer, send
from tgworker.sandbox import Fault, Sandbox, ServerKey, open_sandbox
from tgworker.sandbox.auth_keys import STRANGERS_KEPT, KeyRing
from tgworker.sandbox.errors import Unreadable
from tgworker.sandbox.lines import CHUNK_BYTES, LineReader, LineTooLong
from tgworker.sandbox.unpacking import read_object, unpack

GET_STATE = functions.updates.GetStateRequest()


async def test_a_client_that_does_not_read_is_cut_off(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, bob.session) as other:
        stream = await trio.open_tcp_stream(sandbox.host, sandbox.port)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with stream:
            await deaf_greeting(sandbox, stream, alice.session)
            with trio.fail_after(30):
                for number in range(20_000):
                    if sandbox.statistics().overflows:
                        break
                    sandbox.send_text(bob.id, alice.id, os.urandom(2000).hex())
                    if number % 100 == 0:
                        await trio.lowlevel.checkpoint()
            assert sandbox.statistics().overflows == 1
            await trio.testing.wait_all_tasks_blocked()
            assert sandbox.statistics().open == 1
            assert await other.ask(GET_STATE)


async def deaf_greeting(sandbox: Sandbox, stream: trio.SocketStream, session: str) -> None:
    """Say enough to be sent updates, and read nothing ever after."""
    client = MiniClient(stream, key_of(session))
    await client.post(functions.PingRequest(1))
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    "head",
    [
        b"\xef\x7f\xff\xff\xff",
        b"\xee\xee\xee\xee\xff\xff\xff\x7f",
        b"\xdd\xdd\xdd\xdd\xff\xff\xff\x7f",
        struct.pack("<ii", 2**30, 0),
        struct.pack("<ii", -5, 0),
        b"GET / HTTP/1.1\r\nHost: telegram\r\n\r\n" + bytes(64),
        bytes(range(64)),
    ],
    ids=["abridged", "intermediate", "padded", "full", "negative", "http", "obfuscated"],
)
async def test_a_packet_of_impossible_length_ends_the_line(sandbox: Sandbox, head: bytes) -> None:
    async with await trio.open_tcp_stream(sandbox.host, sandbox.port) as stream:
        await stream.send_all(head)
        with trio.fail_after(5):
            with suppress(trio.BrokenResourceError):  # reset: what it had not read was thrown away
                assert await stream.receive_some() == b""
        await trio.testing.wait_all_tasks_blocked()
        assert sandbox.statistics().open == 0


@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_be_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        read_object(data)


@given(seed=st.integers(0, 2**32), flips=st.integers(1, 8))
@settings(max_examples=300)
def test_no_damaged_request_does_more_than_be_unreadable(seed: int, flips: int) -> None:
    rng = Random(seed)
    request = rng.choice(
        [
            send(types.InputPeerUser(1, 2), "text", 3, entities=[types.MessageEntityBold(0, 1)]),
            functions.messages.GetHistoryRequest(types.InputPeerSelf(), 1, None, 0, 10, 0, 0, 0),
            functions.InvokeWithLayerRequest(
                1, functions.InitConnectionRequest(1, "d", "s", "a", "l", "p", "c", GET_STATE)
            ),
            functions.users.GetUsersRequest([types.InputUserSelf(), types.InputUser(1, 2)]),
        ]
    )
    body = bytearray(bytes(request))
    for _ in range(flips):
        body[rng.randrange(len(body))] = rng.randrange(256)
    assert len(unpack(0, 1, bytes(body) or b"\0")) == 1


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_damaged_requests_never_bring_the_server_down(server_key: ServerKey, seed: int) -> None:
    """Requests of every kind with random bytes in them, executed for real; others are served all along."""
    rng = Random(seed)
    async with open_sandbox(users=2, key=server_key, rng=Random(seed)) as sandbox:
        alice, bob = sandbox.users
        sandbox.send_text(bob.id, alice.id, "hello")
        group = sandbox.rooms.create_group(alice.id, [bob.id], "Choir")
        crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew", username="crew")
        async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
            to = await peer(client, bob)
            me = types.InputUser(to.user_id, to.access_hash)
            (chat,) = (await client.ask(functions.contacts.ResolveUsernameRequest("crew"))).chats
            channel = types.InputChannel(chat.id, chat.access_hash)
            post = types.InputPeerChannel(chat.id, chat.access_hash)
            first = types.InputMessageID(1)
            kinds = [
                *requests_about_rooms(-group.peer, channel, me),
                send(types.InputPeerChat(-group.peer), "text", 4),
                send(post, "text", 5),
                send(types.InputPeerUserFromMessage(post, 1, bob.id), "text", 6),
                functions.messages.GetHistoryRequest(post, 1, None, 0, 10, 0, 0, 0),
                functions.channels.GetMessagesRequest(channel, [first]),
                functions.updates.GetChannelDifferenceRequest(
                    channel, types.ChannelMessagesFilterEmpty(), crew.pts, 5
                ),
                functions.contacts.ImportContactsRequest([types.InputPhoneContact(1, bob.phone, "B", "")]),
                functions.contacts.DeleteContactsRequest([me]),
                functions.folders.EditPeerFoldersRequest([types.InputFolderPeer(to, 1)]),
                functions.messages.GetPeerDialogsRequest([types.InputDialogPeer(post)]),
                functions.auth.ExportAuthorizationRequest(2),
                send(to, "text", 3, entities=[types.MessageEntityBold(0, 1)]),
                functions.messages.GetHistoryRequest(to, 1, None, 0, 10, 0, 0, 0),
                functions.messages.SearchRequest(
                    to, "e", types.InputMessagesFilterEmpty(), None, None, 0, 0, 10, 0, 0, 0
                ),
                functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0),
                functions.messages.GetMessagesRequest([types.InputMessageID(1)]),
                functions.messages.EditMessageRequest(to, 1, message="x"),
                functions.messages.DeleteMessagesRequest([1], revoke=True),
                functions.messages.ReadHistoryRequest(to, 1),
                functions.messages.SetTypingRequest(to, types.SendMessageTypingAction()),
                functions.updates.GetDifferenceRequest(1, None, 0, pts_limit=3, pts_total_limit=4),
                functions.users.GetUsersRequest([types.InputUserSelf(), types.InputUser(1, 2)]),
                functions.contacts.ResolvePhoneRequest("123"),
                functions.auth.SignInRequest("99966", "hash", "12345"),
                functions.auth.SendCodeRequest("99966", 1, "h", types.CodeSettings()),
            ]
            for _ in range(40):
                body = bytearray(bytes(rng.choice(kinds)))
                for _ in range(rng.randrange(1, 6)):
                    body[rng.randrange(4, len(body))] = rng.randrange(256)
                await client.send_message(client.state._get_new_msg_id(), 1, bytes(body))
            await client.ask(functions.PingRequest(7))
            assert await other.ask(GET_STATE)


def requests_about_rooms(group_id: int, channel: Any, user: Any) -> list[Any]:
    return [
        functions.messages.CreateChatRequest([user], "Choir"),
        functions.messages.AddChatUserRequest(group_id, user, 0),
        functions.messages.DeleteChatUserRequest(group_id, user),
        functions.messages.MigrateChatRequest(group_id),
        functions.messages.GetChatsRequest([group_id]),
        functions.messages.GetFullChatRequest(group_id),
        functions.channels.CreateChannelRequest("Crew", "", megagroup=True),
        functions.channels.InviteToChannelRequest(channel, [user]),
        functions.channels.JoinChannelRequest(channel),
        functions.channels.LeaveChannelRequest(channel),
        functions.channels.GetChannelsRequest([channel]),
        functions.channels.GetFullChannelRequest(channel),
        functions.channels.GetParticipantsRequest(channel, types.ChannelParticipantsRecent(), 0, 10, 0),
        functions.channels.ToggleSlowModeRequest(channel, 10),
        functions.channels.DeleteMessagesRequest(channel, [1]),
        functions.channels.ReadHistoryRequest(channel, 1),
    ]


async def test_objects_of_other_kinds_where_certain_ones_must_stand_are_refused(sandbox: Sandbox) -> None:
    """What parses is not yet what is meant: each place gets each wrong thing, and the server lives."""
    alice, bob, _ = sandbox.users
    group = sandbox.rooms.create_group(alice.id, [bob.id], "Choir")
    wrong: list[Any] = [
        types.InputPeerSelf(),
        types.InputPeerEmpty(),
        types.InputUserEmpty(),
        types.InputChannelEmpty(),
        types.InputChannel(1, 2),
        types.InputChannelFromMessage(types.InputPeerSelf(), 1, 2_000_000_001),
        types.InputPeerChannelFromMessage(types.InputPeerChat(-group.peer), 1, 2_000_000_001),
        types.InputPeerUserFromMessage(types.InputPeerUserFromMessage(types.InputPeerSelf(), 1, 2), 1, 2),
        types.InputUserFromMessage(types.InputPeerChat(-group.peer), 2**31 - 1, alice.id),
        types.InputFolderPeer(types.InputPeerEmpty(), 1),
        types.InputPhoneContact(2**62, "", "", ""),
        types.InputMessageID(-1),
        types.User(2**62),
        types.PeerUser(2**62),
        types.JsonNull(),
    ]
    sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    async with open_mini(sandbox, alice.session) as client:
        for each in wrong:
            for request in [
                *requests_about_rooms(-group.peer, each, each),
                send(each, "text", 1),
                send(types.InputPeerSelf(), "text", 2, entities=[types.MessageEntityBold(-1, 2**31 - 1)]),
                functions.messages.GetHistoryRequest(each, -1, None, -1, -1, -1, -1, 0),
                functions.messages.GetMessagesRequest([each]),
                functions.channels.GetMessagesRequest(each, [each]),
                functions.updates.GetChannelDifferenceRequest(each, each, 1, -1),
                functions.contacts.ImportContactsRequest([each]),
                functions.contacts.DeleteContactsRequest([each]),
                functions.folders.EditPeerFoldersRequest([each]),
                functions.messages.GetPeerDialogsRequest([each, types.InputDialogPeer(each)]),
                functions.messages.GetDialogsRequest(None, -1, each, -1, 0),
                functions.messages.SetTypingRequest(each, each),
                functions.users.GetUsersRequest([each]),
                functions.users.GetFullUserRequest(each),
            ]:
                with trio.fail_after(5), suppress(RpcFailure):
                    await client.ask(request)
        assert await client.ask(GET_STATE)


async def test_unknown_keys_do_not_pile_up(sandbox: Sandbox) -> None:
    ring = KeyRing()
    member = ring.add(os.urandom(256), 1001)
    for _ in range(STRANGERS_KEPT + 50):
        ring.add(os.urandom(256))
    assert len(list(ring)) == STRANGERS_KEPT + 1
    assert ring.get(member.id) is member


async def test_leaving_ends_every_line_at_once_whatever_it_suffers(server_key: ServerKey) -> None:
    async with (
        open_sandbox(users=3, key=server_key, control_port=0) as sandbox,
        trio.open_nursery() as nursery,
    ):
        assert sandbox.control is not None
        host, port = sandbox.control.split(":")
        ended = trio.Event()

        async def stay(session: str) -> None:
            async with open_mini(sandbox, session) as client:
                await client.post(GET_STATE)
                await client.closed.wait()
            ended.set()

        sandbox.faults.set(Fault("delay", "updates.getState", user=1001, seconds=1000))
        sandbox.faults.set(Fault("blackhole", "updates.getState", user=1002))
        sandbox.faults.set(Fault("half_close", "updates.getState", user=1003))
        for user in sandbox.users:
            nursery.start_soon(stay, user.session)
        control = await trio.open_tcp_stream(host, int(port))
        async with control, open_plain(sandbox):
            with trio.fail_after(20):
                while sandbox.statistics().requests.get("updates.getState", 0) < 3:
                    await trio.sleep(0.01)
            before = trio.current_time()
            sandbox.stop()
            with trio.fail_after(20):
                assert await control.receive_some() == b""
                await ended.wait()
            assert trio.current_time() - before < 5  # and not the 1000 s of a delay
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream(sandbox.host, sandbox.port)
    assert sandbox.statistics().open == 0


async def test_no_more_of_a_line_is_held_than_the_limit_and_a_chunk() -> None:
    sending, receiving = trio.testing.memory_stream_one_way_pair()
    reader = LineReader(receiving, limit=100)

    async def speak() -> None:
        for _ in range(50):
            await sending.send_all(b"x" * CHUNK_BYTES)
            await trio.testing.wait_all_tasks_blocked()
            assert len(reader._buffer) <= 100 + CHUNK_BYTES
        await sending.send_all(b"\nshort\n")
        await sending.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        assert await reader.read() == LineTooLong()
        assert await reader.read() == b"short"
        assert await reader.read() is None


async def test_an_error_in_the_context_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_sandbox():
            raise KeyError("mine")


async def test_the_context_is_left_when_it_is_cancelled() -> None:
    with trio.move_on_after(0.05) as scope:
        async with open_sandbox() as sandbox, open_mini(sandbox, sandbox.users[0].session):
            await trio.sleep_forever()
    assert scope.cancelled_caught
