"""What one connection has still to send: bounded, packed into containers, sealed, or swallowed."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from tgworker.sandbox.auth_keys import KeyRecord, Session
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.envelope import seal
from tgworker.sandbox.packing import Outgoing, pack
from tgworker.sandbox.wire import Wire

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""A client that lets more pile up is cut off: the server must not grow because somebody does not read."""

BATCH_MESSAGES = 100
BATCH_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a connection sits.

    Attributes:
        record: The authorization key that it uses.
        session: The MTProto session under it.
    """

    record: KeyRecord
    session: Session


class Outbox:
    """A queue of messages and the task that sends them.

    Args:
        cloud: The salt, and the time.
        wire: Where they go.
        is_silent: Whether nothing may be sent now; what would have been is lost.
        overflow: Called once when the client has let too much pile up.
    """

    def __init__(
        self, cloud: Cloud, wire: Wire, is_silent: Callable[[], bool], overflow: Callable[[], None]
    ) -> None:
        self._cloud = cloud
        self._wire = wire
        self._is_silent = is_silent
        self._overflow = overflow
        self._queue: deque[tuple[Seat | None, Outgoing]] = deque()
        self._queued_bytes = 0
        self._wake = trio.Event()
        self._shut = False

    def put(self, seat: Seat, message: Outgoing) -> None:
        """Queue a message. Never blocks."""
        self._append(seat, message)

    def put_packet(self, packet: bytes) -> None:
        """Queue a packet that is not encrypted: part of a handshake, or a transport error."""
        self._append(None, Outgoing(packet))

    def shut(self) -> None:
        """Send nothing any more, and tell the client so; it may go on writing."""
        self._shut = True
        self._wire.shut_sending()

    async def run(self) -> None:
        """Send what is queued, for ever.

        Raises:
            LineBroken: The client is gone.

        Cancellation: what is queued is lost, and a packet may be sent in part.
        """
        while True:
            if not self._queue:
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            packet = self._next_packet()
            if not self._shut and not self._is_silent():
                await self._wire.send([packet])

    def _append(self, seat: Seat | None, message: Outgoing) -> None:
        if self._queue and self._queued_bytes + len(message.body) > MAX_QUEUED_BYTES:
            self._overflow()
            return
        self._queue.append((seat, message))
        self._queued_bytes += len(message.body)
        self._wake.set()

    def _next_packet(self) -> bytes:
        """Take as many messages as fit into one packet."""
        seat, message = self._take()
        if seat is None:
            return message.body
        batch, size = [message], len(message.body)
        while self._queue and self._queue[0][0] == seat and len(batch) < BATCH_MESSAGES:
            size += len(self._queue[0][1].body)
            if size > BATCH_BYTES:
                break
            batch.append(self._take()[1])
        data = pack(seat.session, batch, self._cloud.calendar())
        return seal(seat.record.key, seat.record.id, self._cloud.salt, seat.session.id, data)

    def _take(self) -> tuple[Seat | None, Outgoing]:
        seat, message = self._queue.popleft()
        self._queued_bytes -= len(message.body)
        return seat, message
