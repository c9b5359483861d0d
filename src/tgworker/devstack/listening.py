"""Listening on 127.0.0.1, and what to say when that cannot be."""

import errno

import trio

from tgworker.devstack.errors import PortTaken, Unfit

HOST = "127.0.0.1"


async def listen(port: int, option: str) -> trio.SocketListener:
    """Listen on a TCP port of 127.0.0.1.

    Args:
        port: 0 for any.
        option: The option that sets it, for the message.

    Raises:
        PortTaken: Another program listens there.
        Unfit: It cannot be listened on for another reason.
    """
    if not 0 <= port <= 65535:
        raise Unfit(f"{option} must be between 0 and 65535, not {port}")
    try:
        (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port, option) from None
        raise Unfit(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
    return listener


def port_of(listener: trio.SocketListener) -> int:
    """Where a listener listens."""
    port: int = listener.socket.getsockname()[1]
    return port
