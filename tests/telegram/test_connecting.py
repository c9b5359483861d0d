"""Making a line: who it is, where it starts, and what it says when Telegram will not have it."""

import struct
from collections.abc import AsyncGenerator

import pytest
import trio
from telethon.crypto import AuthKey
from telethon.sessions import StringSession
from trio.testing import MockClock

from telegram.telegram_world import World, open_files, open_world, receive_texts
from tgworker.messaging.errors import AccountRefused, TelegramAway, TelegramFloods
from tgworker.messaging.models import Account, AccountId, AccountState, Peer, PeerKind, Secret
from tgworker.messaging.outcomes import Released, Sent
from tgworker.messaging.ports import Connection, Telegram
from tgworker.sandbox import Fault
from tgworker.telegram import (
    ConfigUnusable,
    NotASession,
    ServerOverride,
    TelegramSettings,
    TelethonConnection,
    TelethonTelegram,
)

GET_USERS, GET_DIFFERENCE = "GetUsersRequest", "GetDifferenceRequest"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


def stranger(world: World) -> Secret:
    """A session with a key that the server has never seen."""
    session = StringSession()
    host, port = world.sandbox.server.rsplit(":", 1)
    session.set_dc(world.sandbox.dc, host, int(port))
    session.auth_key = AuthKey(bytes(range(1, 129)) * 2)
    return Secret(session.save())


async def test_connect_says_whose_line_it_is(autojump_clock: MockClock, world: World) -> None:
    async with world.open(0) as line:
        me = await line.connect(None, [])
    assert (me.chat_id, me.kind, me.is_self) == (world.id(0), PeerKind.USER, True)
    assert me.access_hash is not None


async def test_an_account_never_seen_starts_from_now_and_says_so_at_once(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.send_text(world.id(1), world.id(0), "old")
    async with world.open(0) as line:
        await line.connect(None, [])
        first = await line.updates.receive()
        assert (first.messages, first.sent_ids) == ((), ())
        assert first.position is not None
        assert first.position.pts > 0
        assert trio.current_time() == 0
        world.sandbox.send_text(world.id(1), world.id(0), "new")
        assert await receive_texts(line, 1) == ["new"]


async def test_a_line_catches_up_from_the_stored_position(autojump_clock: MockClock, world: World) -> None:
    async with world.open(0) as line:
        await line.connect(None, [])
        stored = (await line.updates.receive()).position
    for number in range(5):
        world.sandbox.send_text(world.id(1), world.id(0), f"missed {number}")
    async with world.open(0) as line:
        await line.connect(stored, [])
        assert await receive_texts(line, 5) == [f"missed {number}" for number in range(5)]
        world.sandbox.send_text(world.id(1), world.id(0), "live")
        batch = await line.updates.receive()
        assert [message.text for message in batch.messages] == ["live"]
    async with world.open(0) as line:
        await line.connect(batch.position, [])
        with trio.move_on_after(60) as silence:
            while not (await line.updates.receive()).messages:
                pass
        assert silence.cancelled_caught  # nothing comes twice


async def test_a_deadline_cuts_connect_at_its_second_and_a_new_line_works(
    autojump_clock: MockClock, world: World
) -> None:
    files = open_files()
    for method in ("raw", "connect", GET_USERS, "InitConnectionRequest"):
        fault = world.sandbox.faults.set(Fault("blackhole", method=method))
        start = trio.current_time()
        async with world.open(0) as line:
            with trio.move_on_after(3) as deadline:
                await line.connect(None, [])
            if deadline.cancelled_caught:
                assert trio.current_time() - start == 3
                with pytest.raises(TelegramAway):
                    await line.ping()
        world.sandbox.faults.clear(fault)
    async with world.online(0) as line:
        await line.ping()
    await trio.testing.wait_all_tasks_blocked()
    assert open_files() == files


async def test_a_server_that_is_not_there_is_away(autojump_clock: MockClock, world: World) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    nobody = ServerOverride(host="127.0.0.1", port=port, dc=2, public_key_pem=world.sandbox.public_key_pem)
    telegram = TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash", server=nobody))
    async with telegram.open(world.account(0), Secret(world.sandbox.users[0].session)) as line:
        with pytest.raises(TelegramAway, match="refused"):
            await line.connect(None, [])


async def test_a_server_that_hangs_up_is_away(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.faults.set(Fault("drop", method="raw"))
    async with world.open(0) as line:
        with pytest.raises(TelegramAway):
            await line.connect(None, [])
        assert await line.wait_lost()


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (struct.pack("<iii", -429, -429, -429), "-429"),
        (struct.pack("<ii", 4, 0), "the line broke"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10, "line"),
        (b"", "Telegram closed the line"),
        (b"\x10", "line"),
    ],
    ids=["flood", "length", "http", "nothing", "a byte"],
)
async def test_whatever_a_server_says_the_line_is_away_in_words(
    autojump_clock: MockClock, world: World, nonsense: bytes, words: str
) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if nonsense:
                await stream.send_all(nonsense)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        port = listener.socket.getsockname()[1]
        server = ServerOverride(
            host="127.0.0.1", port=port, dc=2, public_key_pem=world.sandbox.public_key_pem
        )
        telegram = TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash", server=server))
        async with telegram.open(world.account(0), Secret(world.sandbox.users[0].session)) as line:
            with pytest.raises(TelegramAway, match=words) as caught:
                await line.connect(None, [])
            assert isinstance(caught.value, TelegramFloods) is (words == "-429")  # waited out in minutes
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 0


async def test_a_connection_connects_once(autojump_clock: MockClock, world: World) -> None:
    async with world.open(0) as line:
        with pytest.raises(TelegramAway, match="not connected"):
            await line.ping()
        await line.connect(None, [])
        with pytest.raises(TelegramAway, match="open a new one"):
            await line.connect(None, [])
        await line.ping()
    with pytest.raises(TelegramAway, match="closed"):
        await line.ping()


async def test_an_unknown_key_is_believed_the_second_time(autojump_clock: MockClock, world: World) -> None:
    account, session = world.account(0), stranger(world)
    async with world.telegram.open(account, session) as line:
        with pytest.raises(TelegramAway, match="-404"):
            await line.connect(None, [])
    async with world.telegram.open(account, session) as line:
        with pytest.raises(AccountRefused, match=r"-404, twice") as refused:
            await line.connect(None, [])
    assert refused.value.state is AccountState.NEEDS_LOGIN


async def test_a_key_that_is_known_after_all_ends_the_doubt(autojump_clock: MockClock, world: World) -> None:
    doubts = world.telegram._doubts
    async with world.online(0) as line:
        key = line._key
    assert not doubts.confirms(key)  # one -404 ...
    async with world.online(0):
        pass  # ... that was none
    assert not doubts.confirms(key)
    assert doubts.confirms(key)


@pytest.mark.parametrize(
    ("code", "name", "state"),
    [
        (401, "SESSION_REVOKED", AccountState.NEEDS_LOGIN),
        (401, "AUTH_KEY_UNREGISTERED", AccountState.NEEDS_LOGIN),
        (406, "AUTH_KEY_DUPLICATED", AccountState.NEEDS_LOGIN),
        (401, "USER_DEACTIVATED_BAN", AccountState.BANNED),
    ],
)
@pytest.mark.parametrize("method", [GET_USERS, GET_DIFFERENCE, "GetConfigRequest"])
async def test_a_refused_account_is_refused_wherever_telegram_says_so(
    autojump_clock: MockClock, world: World, method: str, code: int, name: str, state: AccountState
) -> None:
    async with world.online(0) as line:
        pass
    world.sandbox.faults.set(Fault("rpc_error", method=method, code=code, message=name))
    async with world.open(0) as line:
        with pytest.raises(AccountRefused, match=rf"^{name}: ") as refused:  # noqa: PT012 # whichever is first
            await line.connect(None, [])
            await line.wait_lost()
    assert refused.value.state is state


async def test_a_refusal_in_the_middle_ends_the_line_and_keeps_the_message(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.faults.set(
            Fault("rpc_error", method="SendMessageRequest", code=401, message="SESSION_REVOKED")
        )
        assert await line.send_text(peer, "hi", random_id=1) == Released("SESSION_REVOKED")
        with pytest.raises(AccountRefused, match=r"^SESSION_REVOKED: "):
            await line.wait_lost()
        with pytest.raises(AccountRefused, match=r"^SESSION_REVOKED: "):
            await line.wait_lost()
    assert world.texts(1, 0) == []


async def test_a_session_that_is_ended_elsewhere_ends_the_line_at_its_next_request(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        world.sandbox.revoke(world.id(0))
        assert await line.send_text(peer, "hi", random_id=1) == Released("SESSION_REVOKED")
        with pytest.raises(AccountRefused, match=r"^SESSION_REVOKED: .*log in again"):
            await line.wait_lost()
    async with world.open(0) as line:
        with pytest.raises(AccountRefused, match=r"^SESSION_REVOKED: "):
            await line.connect(None, [])


async def test_a_session_used_twice_at_once_is_dead_and_says_why(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0), world.open(0) as second:
        with pytest.raises(AccountRefused, match=r"^AUTH_KEY_DUPLICATED: .*two places"):
            await second.connect(None, [])


async def test_lines_one_after_the_other_are_never_two_at_once(
    autojump_clock: MockClock, world: World
) -> None:
    for _ in range(20):
        async with world.online(0) as line:
            await line.ping()
    assert world.sandbox.statistics().duplicated_keys == 0


async def test_trouble_inside_telegram_is_no_refusal(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.faults.set(Fault("rpc_error", method=GET_USERS, code=500, message="INTERNAL"))
    async with world.open(0) as line:
        with pytest.raises(TelegramAway, match="INTERNAL"):
            await line.connect(None, [])


async def test_stored_peers_can_be_addressed_without_asking(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
    async with world.open(0) as line:
        await line.connect(None, [peer])
        world.sandbox.faults.set(Fault("blackhole", method="*"))
        assert await line.resolve(str(peer.chat_id)) == peer


async def test_an_unusable_session_or_config_is_refused_before_anything_opens(
    autojump_clock: MockClock, world: World
) -> None:
    with pytest.raises(NotASession):
        async with world.telegram.open(world.account(0), Secret("garbage")):
            pass
    account = Account(AccountId("x"), "owner", None, None, "", {"proxy": {"host": "h"}})
    with pytest.raises(ConfigUnusable):
        async with world.telegram.open(account, Secret(world.sandbox.users[0].session)):
            pass


def fill_the_ports(telegram: TelethonTelegram, line: TelethonConnection) -> tuple[Telegram, Connection]:
    """Never called: the type checkers say whether the adapter fills what the core asks for."""
    return telegram, line


# ------------------------------------------------ describe_session


async def test_a_session_is_described_without_receiving_anything(
    autojump_clock: MockClock, world: World
) -> None:
    me = (await world.telegram.describe_session(Secret(world.sandbox.users[1].session))).me
    assert isinstance(me, Peer)
    assert (me.chat_id, me.is_self) == (world.id(1), True)
    assert trio.current_time() == 0


async def test_a_session_that_nobody_is_logged_in_with_is_refused(
    autojump_clock: MockClock, world: World
) -> None:
    with pytest.raises(AccountRefused, match=r"-404, twice"):
        await world.telegram.describe_session(stranger(world))
    with pytest.raises(NotASession):
        await world.telegram.describe_session(Secret("garbage"))
    world.sandbox.faults.set(Fault("rpc_error", method=GET_USERS, code=401, message="AUTH_KEY_UNREGISTERED"))
    with pytest.raises(AccountRefused, match=r"^AUTH_KEY_UNREGISTERED"):
        await world.telegram.describe_session(Secret(world.sandbox.users[0].session))


async def test_describing_ends_at_its_deadline(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.faults.set(Fault("blackhole", method="raw"))
    with trio.move_on_after(10) as deadline:
        await world.telegram.describe_session(Secret(world.sandbox.users[0].session))
    assert deadline.cancelled_caught
    assert trio.current_time() == 10


async def test_a_described_session_can_be_used(autojump_clock: MockClock, world: World) -> None:
    session = Secret(world.sandbox.users[0].session)
    await world.telegram.describe_session(session)
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert isinstance(await line.send_text(peer, "hi", random_id=5), Sent)
