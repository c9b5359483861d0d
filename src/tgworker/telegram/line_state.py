"""How messages are numbered and packed for a line: as Telethon does, but for parts of files."""

import struct
from typing import Any

from telethon.network.mtprotostate import MTProtoState
from telethon.tl import functions

_PARTS = tuple(
    struct.pack("<I", kind.CONSTRUCTOR_ID)
    for kind in (functions.upload.SaveFilePartRequest, functions.upload.SaveBigFilePartRequest)
)
"""How requests begin that carry a part of a file."""


class LineState(MTProtoState):  # type: ignore[misc] # Telethon has no types
    """Telethon's state, which does not try to compress parts of files.

    Telethon compresses every request, and sends what comes of it where that is shorter. Files hardly ever get
    shorter, and to find that out took most of the time of an upload.
    """

    def write_data_as_message(
        self, buffer: Any, data: bytes, content_related: bool, *, after_id: int | None = None
    ) -> int:
        """Number a request, and write it into what is sent; returns the number.

        Args:
            buffer: Where it goes.
            data: The request, serialised.
            content_related: Whether it is to be acknowledged.
            after_id: The request that it is to wait for at the server.
        """
        if after_id is not None or not data.startswith(_PARTS):
            number: int = super().write_data_as_message(buffer, data, content_related, after_id=after_id)
            return number
        msg_id: int = self._get_new_msg_id()
        buffer.write(struct.pack("<qii", msg_id, self._get_seq_no(content_related), len(data)))
        buffer.write(data)
        return msg_id
