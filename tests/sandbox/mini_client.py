"""A small MTProto client on trio, for tests of the sandbox on the mock clock.

Encryption and handshake are Telethon's own (its functions need no event loop), so that a mistake in the
sandbox's is not made twice.
"""

import logging
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from zlib import crc32

import trio
from telethon.crypto import AuthKey
from telethon.extensions import BinaryReader
from telethon.network.authenticator import do_authentication
from telethon.network.mtprotostate import MTProtoState
from telethon.sessions import StringSession
from telethon.tl import TLRequest, functions, types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult

from tgworker.sandbox import Sandbox, SandboxUser


class RpcFailure(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class Pending:
    def __init__(self, request: Any) -> None:
        self.request = request
        self.done = trio.Event()
        self.result: Any = None


class MiniClient:
    """``received`` is every object that came, containers unpacked; ``closed`` is set at the line's end."""

    def __init__(self, stream: trio.SocketStream, key: bytes) -> None:
        self.stream = stream
        self.state = MTProtoState(AuthKey(key), defaultdict(lambda: logging.getLogger("mini")))
        self.received: list[Any] = []
        self.errors: list[int] = []
        self.closed = trio.Event()
        self._changed = trio.Event()
        self._pending: dict[int, Pending] = {}
        self._sent_packets = 0
        self._buffer = bytearray()

    # -- asking

    async def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer, whatever salt it takes."""
        pending = await self.post(request)
        await pending.done.wait()
        if isinstance(pending.result, RpcFailure):
            raise pending.result
        return pending.result

    async def post(self, request: Any, *, even: bool = False) -> Pending:
        """Send a request, and wait for nothing."""
        (pending,) = await self.post_all([request], even=even)
        return pending

    async def post_all(self, requests: list[Any], *, even: bool = False) -> list[Pending]:
        """Send requests in one packet: one as it is, several in a container."""
        pending = [Pending(request) for request in requests]
        await self._transmit(pending, even=even)
        return pending

    async def _transmit(self, pending: list[Pending], *, even: bool = False) -> int:
        parts = b"".join(self._message(each, even=even) for each in pending)
        if len(pending) > 1:
            body = struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(pending)) + parts
            parts = self._header(body, content=False) + body
        (outer_id,) = struct.unpack_from("<q", parts)
        if len(pending) > 1:
            container = Pending(None)
            container.result = pending
            self._pending[outer_id] = container
        await self.send_packet(self.state.encrypt_message_data(parts))
        return int(outer_id)

    def _message(self, pending: Pending, *, even: bool = False) -> bytes:
        body = bytes(pending.request)
        header = self._header(body, content=isinstance(pending.request, TLRequest) and not even)
        self._pending[struct.unpack_from("<q", header)[0]] = pending
        return header + body

    def _header(self, body: bytes, *, content: bool) -> bytes:
        return struct.pack("<qii", self.state._get_new_msg_id(), self.state._get_seq_no(content), len(body))

    async def send_message(self, msg_id: int, seq_no: int, body: bytes) -> None:
        """Send a message with any header."""
        await self.send_packet(
            self.state.encrypt_message_data(struct.pack("<qii", msg_id, seq_no, len(body)) + body)
        )

    # -- hearing

    def heard(self, kind: Any) -> list[Any]:
        """What came of a type, inside of updates too."""
        inner = [u for each in self.received if isinstance(each, types.Updates) for u in each.updates]
        short = [each.update for each in self.received if isinstance(each, types.UpdateShort)]
        return [each for each in [*self.received, *inner, *short] if isinstance(each, kind)]

    async def hear(self, kind: Any, count: int = 1) -> Any:
        """Wait until so many objects of a type have come; returns the last."""
        await self.until(lambda: len(self.heard(kind)) >= count)
        return self.heard(kind)[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came makes a condition true."""
        while not condition():
            await self._changed.wait()

    # -- packets, in the full transport

    async def send_packet(self, packet: bytes) -> None:
        data = struct.pack("<ii", len(packet) + 12, self._sent_packets) + packet
        self._sent_packets += 1
        await self.stream.send_all(data + struct.pack("<I", crc32(data)))

    async def receive_packet(self) -> bytes | None:
        while len(self._buffer) < 4 or len(self._buffer) < int.from_bytes(self._buffer[:4], "little"):
            try:
                chunk = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        size = int.from_bytes(self._buffer[:4], "little")
        packet = bytes(self._buffer[8 : size - 4])
        del self._buffer[:size]
        return packet

    async def read(self) -> None:
        """Take in what comes, until the line ends."""
        while (packet := await self.receive_packet()) is not None:
            if len(packet) == 4:
                self.errors.append(struct.unpack("<i", packet)[0])
            else:
                message: Any = self.state.decrypt_message_data(packet)
                await self._take(message.obj)
            self._changed.set()
            self._changed = trio.Event()
        self.closed.set()

    async def _take(self, obj: Any) -> None:
        match obj:
            case MessageContainer():
                for each in obj.messages:
                    await self._take(each.obj)
                return
            case GzipPacked():
                await self._take(tl_object(obj.data))
                return
            case RpcResult():
                self._settle(obj)
            case types.BadServerSalt():
                self.state.salt = obj.new_server_salt
                again = self._pending.pop(obj.bad_msg_id, None)
                if again is not None:
                    await self._transmit(again.result if again.request is None else [again])
            case types.NewSessionCreated():
                self.state.salt = obj.server_salt
            case types.Pong():
                self._finish(obj.msg_id, obj)
            case _:
                pass
        self.received.append(obj)

    def _settle(self, result: Any) -> None:
        if result.error is not None:
            failure = RpcFailure(result.error.error_code, result.error.error_message)
            self._finish(result.req_msg_id, failure)
        elif result.req_msg_id in self._pending:
            request = self._pending[result.req_msg_id].request
            while hasattr(request, "query"):
                request = request.query
            self._finish(result.req_msg_id, request.read_result(BinaryReader(result.body)))

    def _finish(self, msg_id: int, result: Any) -> None:
        pending = self._pending.pop(msg_id, None)
        if pending is not None:
            pending.result = result
            pending.done.set()


def key_of(session: str) -> bytes:
    """The authorization key in a session."""
    key: Any = StringSession(session).auth_key
    return bytes(key.key)


def tl_object(data: bytes) -> Any:
    """Deserialise an object."""
    return BinaryReader(data).tgread_object()


@asynccontextmanager
async def open_mini(sandbox: Sandbox, session: str, *, greet: bool = True) -> AsyncGenerator[MiniClient]:
    """A line to the sandbox under a session; ``greet``: its salt and its updates are settled already."""
    stream = await trio.open_tcp_stream(sandbox.host, sandbox.port)
    client = MiniClient(stream, key_of(session))
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(client.read)
        if greet:
            await client.ask(functions.PingRequest(1))
        yield client
        nursery.cancel_scope.cancel()


class PlainLine:
    """A line without a key: for handshakes. Telethon's authenticator takes it for its plain sender."""

    def __init__(self, client: MiniClient) -> None:
        self.client = client

    async def send(self, request: Any) -> Any:
        await self.send_plain(bytes(request))
        packet = await self.client.receive_packet()
        if packet is None:
            raise EOFError
        return tl_object(packet[20:])

    async def send_plain(self, body: bytes) -> None:
        msg_id = self.client.state._get_new_msg_id()
        await self.client.send_packet(struct.pack("<qqi", 0, msg_id, len(body)) + body)

    async def make_key(self) -> bytes:
        """A whole handshake."""
        made: Any = await do_authentication(self)
        return bytes(made[0].key)


@asynccontextmanager
async def open_plain(sandbox: Sandbox) -> AsyncGenerator[PlainLine]:
    """A line without a key."""
    async with await trio.open_tcp_stream(sandbox.host, sandbox.port) as stream:
        yield PlainLine(MiniClient(stream, bytes(256)))


async def peer(client: MiniClient, user: SandboxUser) -> Any:
    """Another user as this one may address him."""
    found = await client.ask(functions.contacts.ResolveUsernameRequest(user.username))
    return types.InputPeerUser(user.id, found.users[0].access_hash)


def send(to: Any, text: str, random_id: int, **more: Any) -> Any:
    """A request to send a text."""
    return functions.messages.SendMessageRequest(to, text, random_id=random_id, **more)


def texts(sandbox: Sandbox, user: int, other: int) -> list[str]:
    """What user number ``user`` holds of the chat with user number ``other``."""
    return [line.text for line in sandbox.chat(sandbox.users[user].id, sandbox.users[other].id)]
