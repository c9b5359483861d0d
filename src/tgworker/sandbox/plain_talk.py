"""What a connection says before it has a key: a handshake, packet by packet."""

import struct

from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import LineBroken, Unreadable
from tgworker.sandbox.handshake import Handshake
from tgworker.sandbox.unpacking import read_object

HEADER_BYTES = 20
"""No key, a message id, a length."""


class PlainTalk:
    """The handshakes of one connection.

    Args:
        cloud: Where keys go.
        dc_id: The data centre that makes them.
    """

    def __init__(self, cloud: Cloud, dc_id: int) -> None:
        self._dc_id = dc_id
        self._cloud = cloud
        self._handshake: Handshake | None = None

    def answer(self, packet: bytes) -> bytes:
        """Answer one step.

        Raises:
            LineBroken: It is none.
        """
        try:
            request = read_object(packet[HEADER_BYTES:])
        except Unreadable:
            raise LineBroken("unreadable plain packet") from None
        if self._handshake is None:
            self._handshake = Handshake(self._cloud.server_key, self._cloud.rng, self._cloud.calendar)
        step = self._handshake.step(request)
        if step.key is not None:
            self._cloud.keys.add(step.key, dc_id=self._dc_id, born=self._cloud.faults.moment())
            self._cloud.counts.handshakes += 1
        body = bytes(step.answer)
        msg_id = int(self._cloud.calendar() * 2**32) & ~3 | 1
        return struct.pack("<qqi", 0, msg_id, len(body)) + body
