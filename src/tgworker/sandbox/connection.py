"""One client's connection, from its first byte to its last."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

import trio
from telethon.tl import functions

from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.clerk import Clerk
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.envelope import open_envelope
from tgworker.sandbox.errors import LineBroken
from tgworker.sandbox.faults import Births, Fault
from tgworker.sandbox.outbox import Outbox, Seat
from tgworker.sandbox.packing import Outgoing, transport_error
from tgworker.sandbox.plain_talk import PlainTalk
from tgworker.sandbox.protocol import (
    PINGS,
    SERVICE_MESSAGES,
    complaint,
    is_news,
    new_session,
    not_for_a_request,
    pong,
    service_answer,
)
from tgworker.sandbox.requests.table import RequestTable
from tgworker.sandbox.rivals import claim_key, leave_key
from tgworker.sandbox.unpacking import Arrived, unpack
from tgworker.sandbox.wire import Wire

if TYPE_CHECKING:
    from tgworker.sandbox.accounts import Account

HANDSHAKE_S = 60.0
"""A connection over which nothing encrypted has come after this long is closed."""

AUTH_KEY_NOT_FOUND = 404


class Connection:
    """A client's TCP connection. It implements `accounts.Line`, `clerk.ClerkLine` and `auth_keys.KeyUser`.

    Args:
        cloud: What all connections share.
        table: The requests that there are.
        stream: The TCP connection; it is closed when `run` ends.
        dc_id: The data centre that it leads to.

    Attributes:
        dc_id: The data centre that it leads to.
        wants_updates: Whether the client is told of its account's updates.
        session_id: The client's MTProto session.
        gone: Set when the connection is over.
    """

    def __init__(self, cloud: Cloud, table: RequestTable, stream: trio.SocketStream, dc_id: int) -> None:
        self.dc_id = dc_id
        self.wants_updates = True
        self.session_id: int | None = None
        self.gone = trio.Event()
        self._cloud = cloud
        self._stream = stream
        self._wire = Wire(stream)
        self._outbox = Outbox(cloud, self._wire, self._is_silent, self._overflow)
        self._clerk = Clerk(cloud, table, self)
        self._plain_talk = PlainTalk(cloud, dc_id)
        self._scope = trio.CancelScope()
        self._introduction = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._seat: Seat | None = None
        self._account: Account | None = None
        self._is_hole = False
        self._error_for_all: int | None = None
        self._births = Births(cloud.faults.moment())

    @property
    def user_id(self) -> int | None:
        """Who is logged in over this connection."""
        return None if self._seat is None else self._seat.record.user_id

    async def run(self) -> None:
        """Serve the client until it goes, breaks the protocol, or is cut off.

        Cancellation: the connection is closed at once; what was queued for the client is lost.
        """
        self._cloud.counts.connections += 1
        self._cloud.counts.open += 1
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._ends_with, self._outbox.run)
                    nursery.start_soon(self._ends_with, self._read)
        finally:
            self._cloud.counts.open -= 1
            self._seat = None
            self._enlist()
            self.gone.set()
            await trio.aclose_forcefully(self._stream)

    def push(self, body: bytes) -> None:
        """See `accounts.Line`."""
        record = None if self._seat is None else self._seat.record
        if (
            self.wants_updates
            and record is not None
            and record.refusal is None
            and record.user_id is not None
            and self._cloud.faults.on_push(record.user_id, self._births) is None
        ):
            self.send(Outgoing(body, answer=False))

    def push_to_guest(self, body: bytes) -> None:
        """See `auth_keys.KeyUser`."""
        record = None if self._seat is None else self._seat.record
        if (
            self.wants_updates
            and record is not None
            and record.user_id is None
            and self._cloud.faults.on_push(None, self._births) is None
        ):
            self.send(Outgoing(body, answer=False))

    def send(self, message: Outgoing) -> None:
        """Queue a message for the client, under the key and session that it uses now."""
        if self._seat is not None:
            self._outbox.put(self._seat, message)

    def introduce(self) -> None:
        """See `clerk.ClerkLine`."""
        self._births.client = self._cloud.faults.moment()

    def ask_difference(self) -> bool:
        """See `clerk.ClerkLine`."""
        self._births.difference = self._cloud.faults.moment()
        return not self._cloud.faults.withholds(self.user_id, self._births)

    def cut(self, reason: str) -> None:
        """End the connection, whatever is queued."""
        self._scope.cancel(reason=reason)

    def forget_session(self) -> bool:
        """Forget the client's MTProto session until its next packet; returns whether there was one."""
        if self._seat is None:
            return False
        self._seat.record.sessions.pop(self._seat.session.id, None)
        self._seat = None
        self._enlist()
        return True

    def half_close(self) -> None:
        """Send nothing any more; go on reading."""
        self._outbox.shut()

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something after a while, if the connection still stands."""

        async def wait_and_act() -> None:
            await trio.sleep(delay_s)
            act()

        assert self._nursery is not None, "only a running connection delays anything"
        self._nursery.start_soon(wait_and_act)

    # -- the two tasks

    async def _ends_with(self, task: Callable[[], Any]) -> None:
        try:
            await task()
        except LineBroken as broken:
            self._scope.cancel(reason=str(broken))
        else:
            self._scope.cancel(reason="finished")

    async def _read(self) -> None:
        fault = self._cloud.faults.on_connect()
        if fault is not None and await self._suffer(fault, connecting=True):
            self._is_hole = True
        self._introduction.deadline = trio.current_time() + HANDSHAKE_S
        with self._introduction:
            while True:
                packet = await self._wire.receive()
                record = self._cloud.keys.get(int.from_bytes(packet[:8], "little"))
                fault = self._cloud.faults.on_packet(None if record is None else record.user_id)
                if self._error_for_all is not None:
                    self._outbox.put_packet(transport_error(self._error_for_all))
                elif self._is_hole or (fault is not None and await self._suffer(fault)):
                    self._vanish(record)
                else:
                    await self._on_packet(packet, record)

    async def _suffer(self, fault: Fault, *, connecting: bool = False) -> bool:
        """Let a fault happen to the line; returns whether the packet vanishes."""
        match fault.action:
            case "blackhole":
                return True
            case "drop":
                raise LineBroken("fault: drop")
            case "delay":
                await trio.sleep(fault.seconds)
            case "half_close":
                self.half_close()
            case "transport_error" if connecting:
                self._error_for_all = fault.code
            case "transport_error":
                self._outbox.put_packet(transport_error(fault.code))
                return True
            case "rpc_error" | "flood_wait" | "accept_mute" | "accept_drop" | "deaf":
                raise AssertionError("a fault for requests, or for pushes")
            case _:
                assert_never(fault.action)
        return False

    def _vanish(self, record: KeyRecord | None) -> None:
        """A packet was swallowed: the network is gone, and nobody can say who uses the key."""
        self._introduction.deadline = float("inf")
        if record is not None:
            leave_key(record, self)

    def _is_silent(self) -> bool:
        return self._is_hole or self._cloud.faults.silences(self.user_id)

    def _overflow(self) -> None:
        self._cloud.counts.overflows += 1
        self.cut("the client does not read")

    # -- packets

    async def _on_packet(self, packet: bytes, record: KeyRecord | None) -> None:
        if packet[:8] == bytes(8):
            self._outbox.put_packet(self._plain_talk.answer(packet))
        elif record is None or record.dc_id != self.dc_id:
            self._outbox.put_packet(transport_error(AUTH_KEY_NOT_FOUND))
        else:
            await self._on_encrypted(packet, record)

    async def _on_encrypted(self, packet: bytes, record: KeyRecord) -> None:
        envelope = open_envelope(record.key, packet)
        self._introduction.deadline = float("inf")
        session = record.open_session(envelope.session_id)
        seat = self._seat = Seat(record, session)
        self.session_id = session.id
        self._births.key = record.born
        self._enlist()
        wrong = complaint(self._cloud, envelope)
        if wrong is not None:
            self.send(wrong)
            return
        if not session.seen:
            self.send(new_session(self._cloud, envelope.msg_id))
        if not is_news(session, envelope.msg_id):
            return
        for message in unpack(envelope.msg_id, envelope.seq_no, envelope.body):
            if message.msg_id == envelope.msg_id or is_news(session, message.msg_id):
                await self._on_message(seat, message)
        self._enlist()  # one of them may have logged in, or out

    async def _on_message(self, seat: Seat, message: Arrived) -> None:
        if isinstance(message.body, PINGS):
            self._on_ping(seat, message)
        elif isinstance(message.body, SERVICE_MESSAGES):
            answer = service_answer(self._cloud, seat, message.msg_id, message.body)
            if answer is not None:
                self.send(answer)
        elif message.seq_no % 2 == 0:
            self.send(not_for_a_request(message.msg_id, message.seq_no))
        else:
            await claim_key(self._cloud, seat.record, self)
            self._clerk.handle(seat.record, message.msg_id, message.body)

    def _on_ping(self, seat: Seat, message: Arrived) -> None:
        if isinstance(message.body, functions.PingDelayDisconnectRequest):
            self._scope.deadline = trio.current_time() + message.body.disconnect_delay
        answer = pong(message.msg_id, message.body)
        fault = self._cloud.faults.on_ping(seat.record.user_id)
        match None if fault is None else fault.action:
            case None:
                self.send(answer)
            case "blackhole":
                pass
            case "drop":
                self.cut("fault: drop")
            case "delay":
                assert fault is not None
                self.later(fault.seconds, lambda: self.send(answer))
            case "half_close":
                self.half_close()
            case _:
                raise AssertionError("a fault for requests")

    def _enlist(self) -> None:
        """Be among the lines of the account that is logged in here, and of no other."""
        record = None if self._seat is None else self._seat.record
        user_id = None if record is None or record.refusal is not None else record.user_id
        if user_id == (None if self._account is None else self._account.id):
            return
        if self._account is not None:
            self._cloud.directory.disconnect(self._account, self)
        self._account = None if user_id is None else self._cloud.directory.get(user_id)
        if self._account is not None and self._account.dc_id == self.dc_id:
            self._cloud.directory.connect(self._account, self)  # (a guest gets files here, and no news)
