"""MTProto's own rules: salts, message ids, sessions, containers, compression, keep-alives."""

import gzip
import struct
import time
from typing import Any

import pytest
import trio
from telethon.tl import TLObject, functions, types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult

from sandbox.mini_client import MiniClient, RpcFailure, open_mini
from tgworker.sandbox import Sandbox
from tgworker.sandbox.auth_keys import SESSIONS_KEPT, KeyRecord, Session
from tgworker.sandbox.protocol import REMEMBERED_IDS, is_news
from tgworker.sandbox.unpacking import MAX_UNZIPPED_BYTES

PING = bytes(functions.PingRequest(9))
GET_STATE = functions.updates.GetStateRequest()


def now_id(offset_s: float = 0) -> int:
    return int((time.time() + offset_s) * 2**32) & ~3


async def test_a_wrong_salt_is_corrected_and_nothing_is_executed(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.ask(GET_STATE)
        sandbox.turn_salt()
        await client.ask(GET_STATE)
        assert [salt.error_code for salt in client.heard(types.BadServerSalt)] == [48, 48]
        assert sandbox.statistics().requests == {"updates.getState": 2}


async def test_a_container_under_a_wrong_salt_is_sent_again_as_a_whole(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.turn_salt()
        for pending in await client.post_all([GET_STATE] * 5):
            await pending.done.wait()
        assert len(client.heard(types.BadServerSalt)) == 2
        assert sandbox.statistics().requests == {"updates.getState": 5}


@pytest.mark.parametrize(
    ("skew_s", "low_bits", "code"),
    [(-310, 0, 16), (+40, 0, 17), (0, 1, 18), (0, 2, 18)],
    ids=["too old", "too new", "a server's", "odd"],
)
async def test_a_message_id_that_cannot_be_is_complained_about(
    sandbox: Sandbox, skew_s: int, low_bits: int, code: int
) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        msg_id = now_id(skew_s) | low_bits
        await client.send_message(msg_id, 1, PING)
        bad = await client.hear(types.BadMsgNotification)
        assert (bad.bad_msg_id, bad.error_code) == (msg_id, code)
        assert len(client.heard(types.Pong)) == 1  # only the greeting's


async def test_ids_at_the_edge_of_the_calendar_are_taken(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.send_message(now_id(-290), 1, PING)
        await client.send_message(now_id(+25), 1, PING)
        await client.hear(types.Pong, 3)


async def test_a_request_with_an_even_sequence_number_is_complained_about(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.post(GET_STATE, even=True)
        assert (await client.hear(types.BadMsgNotification)).error_code == 35
        assert sandbox.statistics().requests == {}


async def test_a_message_that_comes_twice_is_executed_once(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        body = bytes(functions.messages.SendMessageRequest(types.InputPeerSelf(), "once", random_id=1))
        msg_id = now_id()
        for _ in range(3):
            await client.send_message(msg_id, 1, body)
        await client.ask(functions.PingRequest(2))
        assert sandbox.statistics().requests == {"messages.sendMessage": 1}


async def test_a_new_session_is_announced_once(sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as client:
        await client.ask(GET_STATE)
        await client.ask(GET_STATE)
        (news,) = client.heard(types.NewSessionCreated)
        assert news.server_salt == client.state.salt
        client.state.reset()
        await client.ask(GET_STATE)
        assert len(client.heard(types.NewSessionCreated)) == 2


async def test_a_session_goes_on_over_another_connection(sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    async with open_mini(sandbox, session) as first:
        await first.ask(GET_STATE)
    async with open_mini(sandbox, session, greet=False) as second:
        second.state.id, second.state.salt = first.state.id, first.state.salt
        second.state._highest_remote_id = first.state._highest_remote_id
        await second.ask(GET_STATE)
        assert second.heard(types.NewSessionCreated) == []


async def test_compressed_requests_and_answers(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    for number in range(100):
        sandbox.send_text(bob.id, alice.id, f"a text that can be compressed {number}")
    async with open_mini(sandbox, alice.session) as client:
        request = functions.messages.SendMessageRequest(types.InputPeerSelf(), "x" * 1000, random_id=1)
        await client.send_message(now_id(), 1, bytes(GzipPacked(bytes(request))))
        await client.until(lambda: len(sandbox.chat(alice.id, alice.id)) == 1)
        dialogs = await client.ask(
            functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0)
        )
        peer = types.InputPeerUser(bob.id, next(u.access_hash for u in dialogs.users if u.id == bob.id))
        page = await client.ask(functions.messages.GetHistoryRequest(peer, 0, None, 0, 100, 0, 0, 0))
        assert len(page.messages) == 100


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(PING + bytes(MAX_UNZIPPED_BYTES)), gzip.compress(PING)[:-9], b"no gzip at all", b""],
    ids=["bomb", "cut off", "nonsense", "nothing"],
)
async def test_bad_compression_is_an_error_and_not_the_end(sandbox: Sandbox, packed: bytes) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        body = struct.pack("<I", GzipPacked.CONSTRUCTOR_ID) + TLObject.serialize_bytes(packed)
        await client.send_message(now_id(), 1, body)
        assert (await client.hear(RpcResult)).error.error_message == "INPUT_METHOD_INVALID"
        assert await client.ask(GET_STATE)


async def test_one_unknown_request_in_a_container_does_not_disturb_the_others(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        first, unknown, last = await client.post_all([GET_STATE, Unknown(), GET_STATE])
        for pending in (first, unknown, last):
            await pending.done.wait()
        assert first.result.pts == last.result.pts == 1
        assert isinstance(unknown.result, RpcFailure)
        assert unknown.result.message == "INPUT_METHOD_INVALID"


class Unknown(functions.PingRequest):  # type: ignore[misc] # Telethon has no types
    """A request of a layer that nobody has heard of."""

    def __init__(self) -> None:
        super().__init__(0)

    def _bytes(self) -> bytes:
        return b"\xde\xad\xbe\xef" + bytes(8)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, 2**31 - 1),
        struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, -1),
        struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, 1),
        struct.pack("<Iiqii", MessageContainer.CONSTRUCTOR_ID, 1, 4, 1, 1000),
        struct.pack("<I", MessageContainer.CONSTRUCTOR_ID),
    ],
    ids=["too many", "negative", "missing", "too long", "empty"],
)
async def test_a_container_that_is_none_ends_the_line_and_no_other(sandbox: Sandbox, body: bytes) -> None:
    async with (
        open_mini(sandbox, sandbox.users[0].session) as client,
        open_mini(sandbox, sandbox.users[1].session) as other,
    ):
        await client.send_message(now_id(), 1, body)
        await client.closed.wait()
        assert await other.ask(GET_STATE)


async def test_a_packet_under_another_key_ends_the_line(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        packet = bytearray(client.state.encrypt_message_data(struct.pack("<qii", now_id(), 1, 12) + PING))
        packet[-1] ^= 1
        await client.send_packet(bytes(packet))
        await client.closed.wait()


async def test_wrappers_around_a_request(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        inner = functions.InitConnectionRequest(
            1, "d", "s", "a", "en", "", "en", query=functions.InvokeAfterMsgRequest(4, GET_STATE)
        )
        state = await client.ask(functions.InvokeWithLayerRequest(200, inner))
        assert state.pts == 1


async def test_wrappers_without_end_are_an_error(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        layer = struct.pack("<Ii", functions.InvokeWithLayerRequest.CONSTRUCTOR_ID, 1)
        await client.send_message(now_id(), 1, layer * 20_000 + bytes(GET_STATE))
        assert (await client.hear(RpcResult)).error.error_message == "INPUT_METHOD_INVALID"


async def test_a_client_that_wants_no_updates_gets_none(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        await client.ask(functions.InvokeWithoutUpdatesRequest(GET_STATE))
        sandbox.send_text(bob.id, alice.id, "unheard")
        await client.ask(GET_STATE)
        assert client.heard(types.UpdateNewMessage) == []


async def test_service_messages(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.ask(functions.PingRequest(3))
        (seen,) = [await post_service(client, types.MsgsAck([1, 2]))]
        await post_service(client, types.MsgsStateReq([seen, 4]))
        assert (await client.hear(types.MsgsStateInfo)).info == "\x04\x01"
        await client.post(functions.GetFutureSaltsRequest(1))
        assert (await client.hear(types.FutureSalts)).salts[0].salt == client.state.salt
        await client.post(functions.DestroySessionRequest(77))
        assert (await client.hear(types.DestroySessionNone)).session_id == 77
        await client.post(functions.DestroyAuthKeyRequest())
        await client.hear(types.DestroyAuthKeyOk)
        await client.post(GET_STATE)
        await client.until(lambda: bool(client.errors))
        assert client.errors == [-404]


async def post_service(client: MiniClient, message: Any) -> int:
    msg_id = int(client.state._get_new_msg_id())
    await client.send_message(msg_id, client.state._get_seq_no(content_related=False), bytes(message))
    return msg_id


async def test_a_promise_to_ping_is_held_to(sandbox: Sandbox, autojump_clock: trio.testing.MockClock) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        await client.ask(functions.PingDelayDisconnectRequest(1, 75))
        await trio.sleep(70)
        await client.ask(functions.PingDelayDisconnectRequest(2, 75))
        began = trio.current_time()
        await client.closed.wait()
        assert trio.current_time() - began == 75


def test_only_so_many_message_ids_are_remembered() -> None:
    session = Session(1)
    assert all(is_news(session, each) for each in range(REMEMBERED_IDS + 10))
    assert len(session.seen) == REMEMBERED_IDS
    assert not is_news(session, REMEMBERED_IDS + 9)


def test_only_so_many_sessions_of_a_key_are_remembered() -> None:
    record = KeyRecord(bytes(256), 1, 2)
    first = record.open_session(0)
    for each in range(1, SESSIONS_KEPT + 5):
        record.open_session(each)
        assert record.open_session(0) is first  # the one in use stays
    assert len(record.sessions) == SESSIONS_KEPT


async def test_answers_arrive_in_containers_when_there_are_many(sandbox: Sandbox) -> None:
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        pending = await client.post_all([GET_STATE] * 100)
        for each in pending:
            await each.done.wait()
        assert [each.result.pts for each in pending] == [1] * 100
