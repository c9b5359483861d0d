"""Lines over a stream of bytes, each bounded."""

import trio


class LineTooLong(Exception):
    """The other side sent more than a line may hold."""


async def receive_line(stream: trio.abc.ReceiveStream, longest_bytes: int) -> bytes:
    """The bytes before the first newline, or all there were before the end; what follows is dropped.

    Args:
        stream: Where the line comes from.
        longest_bytes: The most that is kept.

    Raises:
        LineTooLong: If there is no newline in the first ``longest_bytes``.
        trio.BrokenResourceError: If the line breaks.
    """
    received = bytearray()
    while b"\n" not in received:
        if len(received) > longest_bytes:
            raise LineTooLong(f"no newline in {longest_bytes} bytes")
        chunk = await stream.receive_some()
        if not chunk:
            break
        received += chunk
    return bytes(received.partition(b"\n")[0])
